/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Activations, in place, on the tile that a product has just written: it is in
 * level 1, and a load and a store a vector cost less than a product with the
 * activation inlined for each of its 14 heights would.
 *
 * GELU (erf) is max(x, 0) less the even function |x| Phi(-|x|), which a table of
 * 32 cubics gives: the rounded |x| / step picks the four coefficients out of two
 * registers each (vpermt2ps). At most 6e-7 off; 14 instructions a vector beside
 * loads, stores and copies. For codes of 8 bits, whose steps are a hundred times as
 * large, 16 quadratics do, of one register a power: 1.4e-4 off, 12 instructions.
 * The others come from exp:
 * tanh(x) = (1 - e) / (1 + e), e = exp(-2 |x|), with x's sign. What is not finite
 * stays so: where a limit would be, at infinity, there is NaN.
 */
#include <stdbool.h>

#include "compute/avx512/avx512.h"
#include "compute/avx512/vector.h"

enum { TOGETHER = 4 }; /* vectors */

static const float log2e = 0x1.715476p+0f;

FBY_INLINE __m512 magnitude(__m512 x)
{
    return _mm512_abs_ps(x);
}

/* max(x, 0), NaN for what is not finite: of the classes of numbers, four bits each, those below 0
 * give 0 (8) and infinities NaN (3), the others themselves. */
FBY_INLINE __m512 positive(__m512 x)
{
    return _mm512_fixupimm_ps(x, x, _mm512_set1_epi32(0x08330000), 0);
}

/* Entry `index` of the table, by its low bits. */
FBY_INLINE __m512 look_up(__m512i index, const int power, const bool coarse)
{
    if (coarse)
        return _mm512_permutexvar_ps(index, _mm512_loadu_ps(fby_gelu_coarse[power]));
    const float *table = fby_gelu_fine[power];
    return _mm512_permutex2var_ps(_mm512_loadu_ps(table), index, _mm512_loadu_ps(table + 16));
}

/* Step by step for all of them, since a core's schedulers hold little more than one vector's
 * chain. Minima and maxima are of integers, which have more units: sizes stand in the same order,
 * NaN above all, so that any x has one of the polynomials; below 0 is below 0. */
FBY_INLINE void gelu_erf(__m512 x[TOGETHER], const bool coarse)
{
    const __m512 magic = _mm512_set1_ps(0x1.8p23f); /* t + magic: t rounded, in the low bits */
    const float width = coarse ? fby_gelu_coarse_step : fby_gelu_fine_step;
    const int degree = coarse ? 2 : 3;
    const __m512 step = _mm512_set1_ps(width), steps = _mm512_set1_ps(1.0f / width);
    const __m512 last = _mm512_set1_ps((coarse ? 15.0f : 31.0f) * width); /* the one of zeros */
    __m512 r[TOGETHER], shifted[TOGETHER], p[TOGETHER];
    FBY_UNROLL
    for (int v = 0; v < TOGETHER; v++) {
        r[v] = magnitude(x[v]);
        p[v] = _mm512_castsi512_ps(
            _mm512_min_epi32(_mm512_castps_si512(r[v]), _mm512_castps_si512(last)));
    }
    FBY_UNROLL
    for (int v = 0; v < TOGETHER; v++)
        shifted[v] = _mm512_fmadd_ps(p[v], steps, magic);
    FBY_UNROLL
    for (int v = 0; v < TOGETHER; v++) {
        p[v] = look_up(_mm512_castps_si512(shifted[v]), degree, coarse);
        /* Of |x| itself: by the zeros, infinity gives NaN. */
        r[v] = _mm512_fnmadd_ps(_mm512_sub_ps(shifted[v], magic), step, r[v]);
    }
    FBY_UNROLL
    for (int power = degree - 1; power >= 0; power--)
        FBY_UNROLL
    for (int v = 0; v < TOGETHER; v++)
        p[v] = _mm512_fmadd_ps(p[v], r[v], look_up(_mm512_castps_si512(shifted[v]), power, coarse));
    FBY_UNROLL
    for (int v = 0; v < TOGETHER; v++) {
        __m512i above = _mm512_max_epi32(_mm512_castps_si512(x[v]), _mm512_setzero_si512());
        x[v] = _mm512_sub_ps(_mm512_castsi512_ps(above), p[v]);
    }
}

/* x (1 + tanh z) / 2 = x / (1 + exp(-2 z)), by |z| so that exp stays in range. */
FBY_INLINE __m512 gelu_tanh(__m512 x)
{
    const __m512 one = _mm512_set1_ps(1.0f);
    __m512 cube = _mm512_mul_ps(_mm512_mul_ps(x, x), x);
    __m512 z = _mm512_fmadd_ps(cube, _mm512_set1_ps(0.044715f), x);
    __m512 t = _mm512_mul_ps(magnitude(z), _mm512_set1_ps(-2.0f * 0x1.988454p-1f * log2e));
    __m512 e = fby_avx512_exp2_of(t);
    __mmask16 positive = _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_GT_OQ);
    __m512 above = _mm512_mask_mov_ps(e, positive, one);
    return _mm512_mul_ps(x, _mm512_div_ps(above, _mm512_add_ps(one, e)));
}

FBY_INLINE __m512 tanh_of(__m512 x)
{
    const __m512 one = _mm512_set1_ps(1.0f), sign = _mm512_set1_ps(-0.0f);
    __m512 e = fby_avx512_exp2_of(_mm512_mul_ps(magnitude(x), _mm512_set1_ps(-2.0f * log2e)));
    __m512 y = _mm512_div_ps(_mm512_sub_ps(one, e), _mm512_add_ps(one, e));
    y = _mm512_or_ps(y, _mm512_and_ps(x, sign));
    return _mm512_fmadd_ps(x, _mm512_setzero_ps(), y);
}

FBY_INLINE void activate(const fby_activation activation, const bool coarse, __m512 x[TOGETHER])
{
    if (activation == FBY_ACTIVATION_GELU_ERF) {
        gelu_erf(x, coarse);
        return;
    }
    FBY_UNROLL
    for (int v = 0; v < TOGETHER; v++)
        if (activation == FBY_ACTIVATION_GELU_TANH)
            x[v] = gelu_tanh(x[v]);
        else if (activation == FBY_ACTIVATION_RELU)
            x[v] = positive(x[v]);
        else if (activation == FBY_ACTIVATION_TANH)
            x[v] = tanh_of(x[v]);
}

/* Two rows' 32 columns from x on, or one's. */
FBY_INLINE void whole(const fby_activation activation, const bool coarse, float *x, size_t ldx,
                      const size_t rows)
{
    __m512 y[TOGETHER];
    FBY_UNROLL
    for (size_t v = 0; v < TOGETHER; v++)
        y[v] = v / 2 < rows ? _mm512_loadu_ps(x + v / 2 * ldx + v % 2 * 16) : _mm512_setzero_ps();
    activate(activation, coarse, y);
    FBY_UNROLL
    for (size_t v = 0; v < 2 * rows; v++)
        _mm512_storeu_ps(x + v / 2 * ldx + v % 2 * 16, y[v]);
}

/* Up to 32 columns of a row. */
FBY_INLINE void part(const fby_activation activation, const bool coarse, float *x, uint32_t columns)
{
    const __mmask16 lanes[2] = {fby_avx512_lanes(columns, 0), fby_avx512_lanes(columns, 1)};
    __m512 y[TOGETHER] = {_mm512_maskz_loadu_ps(lanes[0], x), _mm512_setzero_ps(),
                          _mm512_setzero_ps(), _mm512_setzero_ps()};
    if (lanes[1] != 0)
        y[1] = _mm512_maskz_loadu_ps(lanes[1], x + 16);
    activate(activation, coarse, y);
    _mm512_mask_storeu_ps(x, lanes[0], y[0]);
    if (lanes[1] != 0)
        _mm512_mask_storeu_ps(x + 16, lanes[1], y[1]);
}

FBY_INLINE void each(const fby_activation activation, const bool coarse, float *x, size_t ldx,
                     uint32_t rows, uint32_t columns)
{
    for (; columns >= 32; columns -= 32, x += 32) {
        float *row = x;
        uint32_t left = rows;
        for (; left >= 2; left -= 2, row += 2 * ldx)
            whole(activation, coarse, row, ldx, 2);
        if (left != 0)
            whole(activation, coarse, row, ldx, 1);
    }
    for (uint32_t row = 0; row < rows && columns != 0; row++, x += ldx)
        part(activation, coarse, x, columns);
}

void fby_avx512_activate(fby_activation activation, float *x, size_t ldx, uint32_t rows,
                         uint32_t columns)
{
    switch (activation) {
    case FBY_ACTIVATION_NONE:
        return;
    case FBY_ACTIVATION_GELU_ERF:
        each(FBY_ACTIVATION_GELU_ERF, false, x, ldx, rows, columns);
        return;
    case FBY_ACTIVATION_GELU_TANH:
        each(FBY_ACTIVATION_GELU_TANH, false, x, ldx, rows, columns);
        return;
    case FBY_ACTIVATION_RELU:
        each(FBY_ACTIVATION_RELU, false, x, ldx, rows, columns);
        return;
    case FBY_ACTIVATION_TANH:
        each(FBY_ACTIVATION_TANH, false, x, ldx, rows, columns);
        return;
    }
}

void fby_avx512_activate_coarse(fby_activation activation, float *x, size_t ldx, uint32_t rows,
                                uint32_t columns)
{
    if (activation == FBY_ACTIVATION_GELU_ERF)
        each(FBY_ACTIVATION_GELU_ERF, true, x, ldx, rows, columns);
    else
        fby_avx512_activate(activation, x, ldx, rows, columns);
}

void fby_avx512_exp2(float *x, uint32_t n)
{
    for (uint32_t i = 0; i < n; i += 16) {
        __mmask16 lanes = fby_avx512_lanes(n - i, 0);
        __m512 y = fby_avx512_exp2_of(_mm512_maskz_loadu_ps(lanes, x + i));
        _mm512_mask_storeu_ps(x + i, lanes, y);
    }
}
