/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LayerNorm, and the small sums over vectors. A sum runs in 4 vectors of 16
 * lanes, so that the adds' latency is hidden, then over those in a fixed order.
 * Bound by loads and stores from level 1 or 2: a row of 384 floats is 24 vectors,
 * read three times and written once.
 */
#include "compute/avx512/avx512.h"
#include "compute/avx512/vector.h"

enum { SUMS = 4, STEP = SUMS * 16 };

FBY_INLINE float total(const __m512 sum[SUMS])
{
    return _mm512_reduce_add_ps(
        _mm512_add_ps(_mm512_add_ps(sum[0], sum[1]), _mm512_add_ps(sum[2], sum[3])));
}

static float sum_of(const float *x, uint32_t n)
{
    __m512 sum[SUMS];
    FBY_UNROLL
    for (int s = 0; s < SUMS; s++)
        sum[s] = _mm512_setzero_ps();
    uint32_t i = 0;
    for (; i + STEP <= n; i += STEP)
        FBY_UNROLL
    for (int s = 0; s < SUMS; s++)
        sum[s] = _mm512_add_ps(sum[s], _mm512_loadu_ps(x + i + 16 * s));
    for (; i < n; i += 16) {
        __mmask16 lanes = fby_avx512_lanes(n - i, 0);
        sum[0] = _mm512_add_ps(sum[0], _mm512_maskz_loadu_ps(lanes, x + i));
    }
    return total(sum);
}

static float squares_from(const float *x, float mean, uint32_t n)
{
    const __m512 middle = _mm512_set1_ps(mean);
    __m512 sum[SUMS];
    FBY_UNROLL
    for (int s = 0; s < SUMS; s++)
        sum[s] = _mm512_setzero_ps();
    uint32_t i = 0;
    for (; i + STEP <= n; i += STEP)
        FBY_UNROLL
    for (int s = 0; s < SUMS; s++) {
        __m512 d = _mm512_sub_ps(_mm512_loadu_ps(x + i + 16 * s), middle);
        sum[s] = _mm512_fmadd_ps(d, d, sum[s]);
    }
    for (; i < n; i += 16) {
        __mmask16 lanes = fby_avx512_lanes(n - i, 0);
        __m512 d = _mm512_maskz_sub_ps(lanes, _mm512_maskz_loadu_ps(lanes, x + i), middle);
        sum[0] = _mm512_fmadd_ps(d, d, sum[0]);
    }
    return total(sum);
}

static void normalize(const fby_layer_norm *norm, float *x, float mean, float factor)
{
    const __m512 middle = _mm512_set1_ps(mean), scale = _mm512_set1_ps(factor);
    for (uint32_t i = 0; i < norm->n; i += 16) {
        __mmask16 lanes = fby_avx512_lanes(norm->n - i, 0);
        __m512 gamma = _mm512_maskz_loadu_ps(lanes, norm->gamma + i);
        __m512 beta = _mm512_maskz_loadu_ps(lanes, norm->beta + i);
        __m512 d = _mm512_sub_ps(_mm512_maskz_loadu_ps(lanes, x + i), middle);
        __m512 y = _mm512_fmadd_ps(_mm512_mul_ps(d, scale), gamma, beta);
        _mm512_mask_storeu_ps(x + i, lanes, y);
    }
}

void fby_avx512_layer_norm(const fby_layer_norm *norm, float *x, size_t ldx, uint32_t rows)
{
    const float count = (float)norm->n;
    for (uint32_t row = 0; row < rows; row++, x += ldx) {
        float mean = sum_of(x, norm->n) / count;
        float variance = squares_from(x, mean, norm->n) / count;
        float root = _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(variance + norm->epsilon)));
        normalize(norm, x, mean, 1.0f / root);
    }
}

void fby_avx512_add(float *x, const float *y, uint32_t n)
{
    for (uint32_t i = 0; i < n; i += 16) {
        __mmask16 lanes = fby_avx512_lanes(n - i, 0);
        __m512 a = _mm512_maskz_loadu_ps(lanes, x + i), b = _mm512_maskz_loadu_ps(lanes, y + i);
        _mm512_mask_storeu_ps(x + i, lanes, _mm512_add_ps(a, b));
    }
}

void fby_avx512_max(float *x, const float *y, uint32_t n)
{
    for (uint32_t i = 0; i < n; i += 16) {
        __mmask16 lanes = fby_avx512_lanes(n - i, 0);
        __m512 a = _mm512_maskz_loadu_ps(lanes, x + i), b = _mm512_maskz_loadu_ps(lanes, y + i);
        _mm512_mask_storeu_ps(x + i, lanes, _mm512_max_ps(a, b));
    }
}

void fby_avx512_scale(float *x, float factor, uint32_t n)
{
    const __m512 by = _mm512_set1_ps(factor);
    for (uint32_t i = 0; i < n; i += 16) {
        __mmask16 lanes = fby_avx512_lanes(n - i, 0);
        _mm512_mask_storeu_ps(x + i, lanes, _mm512_mul_ps(_mm512_maskz_loadu_ps(lanes, x + i), by));
    }
}

float fby_avx512_dot(const float *x, const float *y, uint32_t n)
{
    __m512 sum[SUMS];
    FBY_UNROLL
    for (int s = 0; s < SUMS; s++)
        sum[s] = _mm512_setzero_ps();
    uint32_t i = 0;
    for (; i + STEP <= n; i += STEP)
        FBY_UNROLL
    for (int s = 0; s < SUMS; s++)
        sum[s] = _mm512_fmadd_ps(_mm512_loadu_ps(x + i + 16 * s), _mm512_loadu_ps(y + i + 16 * s),
                                 sum[s]);
    for (; i < n; i += 16) {
        __mmask16 lanes = fby_avx512_lanes(n - i, 0);
        sum[0] = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(lanes, x + i),
                                 _mm512_maskz_loadu_ps(lanes, y + i), sum[0]);
    }
    return total(sum);
}
