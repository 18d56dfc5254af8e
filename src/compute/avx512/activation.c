/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Activations, in place, on the tile that a product has just written: it is in
 * level 1, and a load and a store a vector cost less than a product with the
 * activation inlined for each of its 14 heights would.
 *
 * GELU (erf) is max(x, 0) less the even function |x| Phi(-|x|), which a table of
 * 32 cubics gives: the rounded |x| / step picks the four coefficients out of two
 * registers each (vpermt2ps looks at the low five bits, so any x is safe). At
 * most 6e-7 off; 12 instructions a vector. The others come from exp:
 * tanh(x) = (1 - e) / (1 + e), e = exp(-2 |x|), with x's sign.
 */
#include "compute/avx512/avx512.h"
#include "compute/avx512/vector.h"

static const float log2e = 0x1.715476p+0f;

FBY_INLINE __m512 magnitude(__m512 x)
{
    return _mm512_abs_ps(x);
}

FBY_INLINE __m512 look_up(__m512i index, const float table[32])
{
    return _mm512_permutex2var_ps(_mm512_loadu_ps(table), index, _mm512_loadu_ps(table + 16));
}

FBY_INLINE __m512 gelu_erf(__m512 x)
{
    const __m512 magic = _mm512_set1_ps(0x1.8p23f); /* t + magic: t rounded, in the low bits */
    const __m512 steps = _mm512_set1_ps(FBY_GELU_STEPS_PER_UNIT);
    const __m512 last = _mm512_set1_ps(31.0f / FBY_GELU_STEPS_PER_UNIT); /* the cubic that is 0 */
    /* The smaller of |x| and `last`, without a sign; `last` for NaN. */
    __m512 size = _mm512_range_ps(x, last, 0x8 | 0x2);
    __m512 shifted = _mm512_fmadd_ps(size, steps, magic);
    __m512 r = _mm512_fmsub_ps(size, steps, _mm512_sub_ps(shifted, magic));
    __m512i i = _mm512_castps_si512(shifted);
    __m512 p = look_up(i, fby_gelu_table[3]);
    p = _mm512_fmadd_ps(p, r, look_up(i, fby_gelu_table[2]));
    p = _mm512_fmadd_ps(p, r, look_up(i, fby_gelu_table[1]));
    p = _mm512_fmadd_ps(p, r, look_up(i, fby_gelu_table[0]));
    return _mm512_sub_ps(_mm512_max_ps(_mm512_setzero_ps(), x), p);
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
    return _mm512_or_ps(y, _mm512_and_ps(x, sign));
}

FBY_INLINE __m512 activate(const fby_activation activation, __m512 x)
{
    switch (activation) {
    case FBY_ACTIVATION_GELU_ERF:
        return gelu_erf(x);
    case FBY_ACTIVATION_GELU_TANH:
        return gelu_tanh(x);
    case FBY_ACTIVATION_RELU:
        return _mm512_max_ps(_mm512_setzero_ps(), x);
    case FBY_ACTIVATION_TANH:
        return tanh_of(x);
    case FBY_ACTIVATION_NONE:
        break;
    }
    return x;
}

FBY_INLINE void each(const fby_activation activation, float *x, size_t ldx, uint32_t rows,
                     uint32_t columns)
{
    for (uint32_t row = 0; row < rows; row++, x += ldx) {
        uint32_t i = 0;
        for (; i + 32 <= columns; i += 32) {
            __m512 left = activate(activation, _mm512_loadu_ps(x + i));
            __m512 right = activate(activation, _mm512_loadu_ps(x + i + 16));
            _mm512_storeu_ps(x + i, left);
            _mm512_storeu_ps(x + i + 16, right);
        }
        for (; i < columns; i += 16) {
            __mmask16 lanes = fby_avx512_lanes(columns - i, 0);
            __m512 y = activate(activation, _mm512_maskz_loadu_ps(lanes, x + i));
            _mm512_mask_storeu_ps(x + i, lanes, y);
        }
    }
}

void fby_avx512_activate(fby_activation activation, float *x, size_t ldx, uint32_t rows,
                         uint32_t columns)
{
    switch (activation) {
    case FBY_ACTIVATION_NONE:
        return;
    case FBY_ACTIVATION_GELU_ERF:
        each(FBY_ACTIVATION_GELU_ERF, x, ldx, rows, columns);
        return;
    case FBY_ACTIVATION_GELU_TANH:
        each(FBY_ACTIVATION_GELU_TANH, x, ldx, rows, columns);
        return;
    case FBY_ACTIVATION_RELU:
        each(FBY_ACTIVATION_RELU, x, ldx, rows, columns);
        return;
    case FBY_ACTIVATION_TANH:
        each(FBY_ACTIVATION_TANH, x, ldx, rows, columns);
        return;
    }
}

void fby_avx512_exp2(float *x, uint32_t n)
{
    for (uint32_t i = 0; i < n; i += 16) {
        __mmask16 lanes = fby_avx512_lanes(n - i, 0);
        __m512 y = fby_avx512_exp2_of(_mm512_maskz_loadu_ps(lanes, x + i));
        _mm512_mask_storeu_ps(x + i, lanes, y);
    }
}
