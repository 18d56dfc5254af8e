/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Activations, in place, on the tile that a product has just written: it is in
 * level 1.
 *
 * GELU (erf) is max(x, 0) less the even function |x| Phi(-|x|) = |x| / P(|x|)^16 (see
 * coefficients.h): 6 multiply-adds, 4 products and a division, where a polynomial alone takes
 * degree 14. At most 6e-7 off. The others come from exp: tanh(x) = (1 - e) / (1 + e),
 * e = exp(-2 |x|), with x's sign. What is not finite stays so: where a limit would be, at infinity,
 * there is NaN.
 */
#include "compute/avx2/avx2.h"
#include "compute/avx2/vector.h"

static const float log2e = 0x1.715476p+0f;

FBY_INLINE __m256 magnitude(__m256 x)
{
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x);
}

/* y, NaN where x is not finite. */
FBY_INLINE __m256 stays(__m256 x, __m256 y)
{
    return _mm256_fmadd_ps(x, _mm256_setzero_ps(), y);
}

FBY_INLINE __m256 gelu_erf(__m256 x)
{
    const float *c = fby_gelu_coefficients;
    __m256 u = magnitude(x);
    __m256 p = _mm256_set1_ps(c[6]);
    FBY_UNROLL
    for (int i = 5; i >= 0; i--)
        p = _mm256_fmadd_ps(p, u, _mm256_set1_ps(c[i]));
    FBY_UNROLL
    for (int i = 0; i < 4; i++)
        p = _mm256_mul_ps(p, p);
    return _mm256_sub_ps(_mm256_max_ps(_mm256_setzero_ps(), x), _mm256_div_ps(u, p));
}

/* x (1 + tanh z) / 2 = x / (1 + exp(-2 z)), by |z| so that exp stays in range. */
FBY_INLINE __m256 gelu_tanh(__m256 x)
{
    const __m256 one = _mm256_set1_ps(1.0f);
    __m256 cube = _mm256_mul_ps(_mm256_mul_ps(x, x), x);
    __m256 z = _mm256_fmadd_ps(cube, _mm256_set1_ps(0.044715f), x);
    __m256 t = _mm256_mul_ps(magnitude(z), _mm256_set1_ps(-2.0f * 0x1.988454p-1f * log2e));
    __m256 e = fby_avx2_exp2_of(t);
    __m256 positive = _mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_GT_OQ);
    __m256 above = _mm256_blendv_ps(e, one, positive);
    return _mm256_mul_ps(x, _mm256_div_ps(above, _mm256_add_ps(one, e)));
}

FBY_INLINE __m256 tanh_of(__m256 x)
{
    const __m256 one = _mm256_set1_ps(1.0f), sign = _mm256_set1_ps(-0.0f);
    __m256 e = fby_avx2_exp2_of(_mm256_mul_ps(magnitude(x), _mm256_set1_ps(-2.0f * log2e)));
    __m256 y = _mm256_div_ps(_mm256_sub_ps(one, e), _mm256_add_ps(one, e));
    return stays(x, _mm256_or_ps(y, _mm256_and_ps(x, sign)));
}

FBY_INLINE __m256 activate(const fby_activation activation, __m256 x)
{
    switch (activation) {
    case FBY_ACTIVATION_GELU_ERF:
        return gelu_erf(x);
    case FBY_ACTIVATION_GELU_TANH:
        return gelu_tanh(x);
    case FBY_ACTIVATION_RELU:
        return stays(x, _mm256_max_ps(_mm256_setzero_ps(), x));
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
    for (uint32_t row = 0; row < rows; row++, x += ldx)
        for (uint32_t i = 0; i < columns; i += 8) {
            __m256 y = activate(activation, fby_avx2_load(x + i, columns - i));
            fby_avx2_store(x + i, y, columns - i);
        }
}

void fby_avx2_activate(fby_activation activation, float *x, size_t ldx, uint32_t rows,
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

void fby_avx2_exp2(float *x, uint32_t n)
{
    for (uint32_t i = 0; i < n; i += 8)
        fby_avx2_store(x + i, fby_avx2_exp2_of(fby_avx2_load(x + i, n - i)), n - i);
}
