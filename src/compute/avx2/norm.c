/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LayerNorm, and the small sums over vectors. A sum runs in 4 vectors of 8 lanes,
 * so that the adds' latency is hidden, then over those in a fixed order. Bound by
 * loads and stores from level 1 or 2: a row of 384 floats is 48 vectors, read
 * three times and written once.
 */
#include "compute/avx2/avx2.h"
#include "compute/avx2/vector.h"
#include "compute/norm.h"

enum { SUMS = 4, STEP = SUMS * 8 };

FBY_INLINE float total(const __m256 sum[SUMS])
{
    return fby_avx2_sum(
        _mm256_add_ps(_mm256_add_ps(sum[0], sum[1]), _mm256_add_ps(sum[2], sum[3])));
}

static float sum_of(const float *x, uint32_t n)
{
    __m256 sum[SUMS];
    FBY_UNROLL
    for (int s = 0; s < SUMS; s++)
        sum[s] = _mm256_setzero_ps();
    uint32_t i = 0;
    for (; i + STEP <= n; i += STEP)
        FBY_UNROLL
    for (int s = 0; s < SUMS; s++)
        sum[s] = _mm256_add_ps(sum[s], _mm256_loadu_ps(x + i + 8 * s));
    for (; i < n; i += 8)
        sum[0] = _mm256_add_ps(sum[0], fby_avx2_load(x + i, n - i));
    return total(sum);
}

static float squares_from(const float *x, float mean, uint32_t n)
{
    const __m256 middle = _mm256_set1_ps(mean);
    __m256 sum[SUMS];
    FBY_UNROLL
    for (int s = 0; s < SUMS; s++)
        sum[s] = _mm256_setzero_ps();
    uint32_t i = 0;
    for (; i + STEP <= n; i += STEP)
        FBY_UNROLL
    for (int s = 0; s < SUMS; s++) {
        __m256 d = _mm256_sub_ps(_mm256_loadu_ps(x + i + 8 * s), middle);
        sum[s] = _mm256_fmadd_ps(d, d, sum[s]);
    }
    for (; i < n; i += 8) {
        __m256 exist = _mm256_castsi256_ps(fby_avx2_lanes(n - i));
        __m256 d = _mm256_and_ps(_mm256_sub_ps(fby_avx2_load(x + i, n - i), middle), exist);
        sum[0] = _mm256_fmadd_ps(d, d, sum[0]);
    }
    return total(sum);
}

static void normalize(const fby_layer_norm *norm, float *x, float mean, float factor)
{
    const __m256 middle = _mm256_set1_ps(mean), scale = _mm256_set1_ps(factor);
    for (uint32_t i = 0; i < norm->n; i += 8) {
        uint32_t left = norm->n - i;
        __m256 d = _mm256_sub_ps(fby_avx2_load(x + i, left), middle);
        __m256 y = _mm256_fmadd_ps(_mm256_mul_ps(d, scale), fby_avx2_load(norm->gamma + i, left),
                                   fby_avx2_load(norm->beta + i, left));
        fby_avx2_store(x + i, y, left);
    }
}

void fby_avx2_layer_norm(const fby_layer_norm *norm, float *x, size_t ldx, uint32_t rows)
{
    const float count = (float)norm->n;
    for (uint32_t row = 0; row < rows; row++, x += ldx) {
        float mean = sum_of(x, norm->n) / count;
        float variance = squares_from(x, mean, norm->n) / count;
        normalize(norm, x, mean, fby_norm_factor(variance, norm->epsilon));
    }
}

void fby_avx2_add(float *x, const float *y, uint32_t n)
{
    for (uint32_t i = 0; i < n; i += 8) {
        __m256 sum = _mm256_add_ps(fby_avx2_load(x + i, n - i), fby_avx2_load(y + i, n - i));
        fby_avx2_store(x + i, sum, n - i);
    }
}

void fby_avx2_max(float *x, const float *y, uint32_t n)
{
    for (uint32_t i = 0; i < n; i += 8) {
        __m256 a = fby_avx2_load(x + i, n - i), b = fby_avx2_load(y + i, n - i);
        __m256 larger = _mm256_fmadd_ps(a, _mm256_setzero_ps(), _mm256_max_ps(a, b));
        fby_avx2_store(x + i, _mm256_fmadd_ps(b, _mm256_setzero_ps(), larger), n - i);
    }
}

void fby_avx2_scale(float *x, float factor, uint32_t n)
{
    const __m256 by = _mm256_set1_ps(factor);
    for (uint32_t i = 0; i < n; i += 8)
        fby_avx2_store(x + i, _mm256_mul_ps(fby_avx2_load(x + i, n - i), by), n - i);
}

float fby_avx2_dot(const float *x, const float *y, uint32_t n)
{
    __m256 sum[SUMS];
    FBY_UNROLL
    for (int s = 0; s < SUMS; s++)
        sum[s] = _mm256_setzero_ps();
    uint32_t i = 0;
    for (; i + STEP <= n; i += STEP)
        FBY_UNROLL
    for (int s = 0; s < SUMS; s++)
        sum[s] =
            _mm256_fmadd_ps(_mm256_loadu_ps(x + i + 8 * s), _mm256_loadu_ps(y + i + 8 * s), sum[s]);
    for (; i < n; i += 8)
        sum[0] = _mm256_fmadd_ps(fby_avx2_load(x + i, n - i), fby_avx2_load(y + i, n - i), sum[0]);
    return total(sum);
}
