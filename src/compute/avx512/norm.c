/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LayerNorm, and the small sums over vectors. A sum runs in 4 vectors of 16
 * lanes, then over those in a fixed order. LayerNorm takes four rows in turns: what
 * one waits for, its last sums, a root and a division, the others hide, and gamma
 * and beta are loaded once for them. A row of 384 floats is 24 vectors, read three
 * times and written once: 24 + 24 + 36 loads of 512 bits, one a cycle (Zen 4).
 */
#include "compute/avx512/avx512.h"
#include "compute/avx512/vector.h"
#include "compute/norm.h"

enum { SUMS = 4, STEP = SUMS * 16, ROWS = FBY_AVX512_NORM_ROWS };

FBY_INLINE float total(const __m512 sum[SUMS])
{
    return _mm512_reduce_add_ps(
        _mm512_add_ps(_mm512_add_ps(sum[0], sum[1]), _mm512_add_ps(sum[2], sum[3])));
}

/* The sums of `rows` rows in turns, each in the same order whatever their number. */
FBY_INLINE void sum_rows(const float *x, size_t ldx, uint32_t n, const size_t rows,
                         float mean[ROWS])
{
    __m512 sum[ROWS][SUMS];
    FBY_UNROLL
    for (size_t row = 0; row < rows; row++)
        FBY_UNROLL
    for (int s = 0; s < SUMS; s++)
        sum[row][s] = _mm512_setzero_ps();
    uint32_t i = 0;
    FBY_NO_UNROLL
    for (; i + STEP <= n; i += STEP)
        FBY_UNROLL
    for (size_t row = 0; row < rows; row++)
        FBY_UNROLL
    for (int s = 0; s < SUMS; s++)
        sum[row][s] = _mm512_add_ps(sum[row][s], _mm512_loadu_ps(x + row * ldx + i + 16 * s));
    for (; i < n; i += 16) {
        __mmask16 lanes = fby_avx512_lanes(n - i, 0);
        FBY_UNROLL
        for (size_t row = 0; row < rows; row++)
            sum[row][0] =
                _mm512_add_ps(sum[row][0], _mm512_maskz_loadu_ps(lanes, x + row * ldx + i));
    }
    FBY_UNROLL
    for (size_t row = 0; row < rows; row++)
        mean[row] = total(sum[row]) / (float)n;
}

/* Of the differences from the mean. */
FBY_INLINE void square_rows(const float *x, size_t ldx, uint32_t n, const size_t rows,
                            const float mean[ROWS], float variance[ROWS])
{
    __m512 sum[ROWS][SUMS], middle[ROWS];
    FBY_UNROLL
    for (size_t row = 0; row < rows; row++) {
        middle[row] = _mm512_set1_ps(mean[row]);
        FBY_UNROLL
        for (int s = 0; s < SUMS; s++)
            sum[row][s] = _mm512_setzero_ps();
    }
    uint32_t i = 0;
    FBY_NO_UNROLL
    for (; i + STEP <= n; i += STEP)
        FBY_UNROLL
    for (size_t row = 0; row < rows; row++)
        FBY_UNROLL
    for (int s = 0; s < SUMS; s++) {
        __m512 d = _mm512_sub_ps(_mm512_loadu_ps(x + row * ldx + i + 16 * s), middle[row]);
        sum[row][s] = _mm512_fmadd_ps(d, d, sum[row][s]);
    }
    for (; i < n; i += 16) {
        __mmask16 lanes = fby_avx512_lanes(n - i, 0);
        FBY_UNROLL
        for (size_t row = 0; row < rows; row++) {
            __m512 d = _mm512_maskz_sub_ps(lanes, _mm512_maskz_loadu_ps(lanes, x + row * ldx + i),
                                           middle[row]);
            sum[row][0] = _mm512_fmadd_ps(d, d, sum[row][0]);
        }
    }
    FBY_UNROLL
    for (size_t row = 0; row < rows; row++)
        variance[row] = total(sum[row]) / (float)n;
}

FBY_INLINE void normalize_rows(const fby_layer_norm *norm, float *x, size_t ldx, const size_t rows)
{
    float mean[ROWS], variance[ROWS];
    __m512 middle[ROWS], scale[ROWS];
    sum_rows(x, ldx, norm->n, rows, mean);
    square_rows(x, ldx, norm->n, rows, mean, variance);
    FBY_UNROLL
    for (size_t row = 0; row < rows; row++) {
        middle[row] = _mm512_set1_ps(mean[row]);
        scale[row] = _mm512_set1_ps(fby_norm_factor(variance[row], norm->epsilon));
    }
    uint32_t i = 0;
    FBY_NO_UNROLL
    for (; i + 16 <= norm->n; i += 16) {
        __m512 gamma = _mm512_loadu_ps(norm->gamma + i), beta = _mm512_loadu_ps(norm->beta + i);
        FBY_UNROLL
        for (size_t row = 0; row < rows; row++) {
            __m512 d = _mm512_sub_ps(_mm512_loadu_ps(x + row * ldx + i), middle[row]);
            _mm512_storeu_ps(x + row * ldx + i,
                             _mm512_fmadd_ps(_mm512_mul_ps(d, scale[row]), gamma, beta));
        }
    }
    if (i < norm->n) {
        const __mmask16 lanes = fby_avx512_lanes(norm->n - i, 0);
        __m512 gamma = _mm512_maskz_loadu_ps(lanes, norm->gamma + i);
        __m512 beta = _mm512_maskz_loadu_ps(lanes, norm->beta + i);
        FBY_UNROLL
        for (size_t row = 0; row < rows; row++) {
            __m512 d = _mm512_sub_ps(_mm512_maskz_loadu_ps(lanes, x + row * ldx + i), middle[row]);
            _mm512_mask_storeu_ps(x + row * ldx + i, lanes,
                                  _mm512_fmadd_ps(_mm512_mul_ps(d, scale[row]), gamma, beta));
        }
    }
}

void fby_avx512_layer_norm(const fby_layer_norm *norm, float *x, size_t ldx, uint32_t rows)
{
    for (; rows >= ROWS; rows -= ROWS, x += ROWS * ldx)
        normalize_rows(norm, x, ldx, ROWS);
    for (; rows != 0; rows--, x += ldx)
        normalize_rows(norm, x, ldx, 1);
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
        __m512 larger = _mm512_fmadd_ps(a, _mm512_setzero_ps(), _mm512_max_ps(a, b));
        _mm512_mask_storeu_ps(x + i, lanes, _mm512_fmadd_ps(b, _mm512_setzero_ps(), larger));
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
