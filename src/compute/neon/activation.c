/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Activations, in place, on the tile that a product has just written: it is in
 * level 1.
 *
 * GELU (erf) is max(x, 0) less the even function |x| Phi(-|x|) = |x| / P(|x|)^16 (see
 * coefficients.h): 6 multiply-adds, 4 products and a division a vector. At most 6e-7 off. The
 * others come from exp: tanh(x) = (1 - e) / (1 + e), e = exp(-2 |x|), with x's sign. What is not
 * finite stays so: where a limit would be, at infinity, there is NaN.
 */
#include "compute/neon/neon.h"
#include "compute/neon/vector.h"

static const float log2e = 0x1.715476p+0f;

/* y, NaN where x is not finite. */
FBY_INLINE float32x4_t stays(float32x4_t x, float32x4_t y)
{
    return vfmaq_f32(y, x, vdupq_n_f32(0.0f));
}

FBY_INLINE float32x4_t gelu_erf(float32x4_t x)
{
    const float *c = fby_gelu_coefficients;
    float32x4_t u = vabsq_f32(x);
    float32x4_t p = vdupq_n_f32(c[6]);
    FBY_UNROLL
    for (int i = 5; i >= 0; i--)
        p = vfmaq_f32(vdupq_n_f32(c[i]), p, u);
    FBY_UNROLL
    for (int i = 0; i < 4; i++)
        p = vmulq_f32(p, p);
    return vsubq_f32(vmaxq_f32(vdupq_n_f32(0.0f), x), vdivq_f32(u, p));
}

/* x (1 + tanh z) / 2 = x / (1 + exp(-2 z)), by |z| so that exp stays in range. */
FBY_INLINE float32x4_t gelu_tanh(float32x4_t x)
{
    const float32x4_t one = vdupq_n_f32(1.0f);
    float32x4_t cube = vmulq_f32(vmulq_f32(x, x), x);
    float32x4_t z = vfmaq_f32(x, cube, vdupq_n_f32(0.044715f));
    float32x4_t e = fby_neon_exp2_of(vmulq_n_f32(vabsq_f32(z), -2.0f * 0x1.988454p-1f * log2e));
    float32x4_t above = vbslq_f32(vcgtq_f32(x, vdupq_n_f32(0.0f)), one, e);
    return vmulq_f32(x, vdivq_f32(above, vaddq_f32(one, e)));
}

FBY_INLINE float32x4_t tanh_of(float32x4_t x)
{
    const float32x4_t one = vdupq_n_f32(1.0f);
    float32x4_t e = fby_neon_exp2_of(vmulq_n_f32(vabsq_f32(x), -2.0f * log2e));
    float32x4_t y = vdivq_f32(vsubq_f32(one, e), vaddq_f32(one, e));
    return stays(x, vbslq_f32(vdupq_n_u32(0x80000000u), x, y));
}

FBY_INLINE float32x4_t activate(const fby_activation activation, float32x4_t x)
{
    switch (activation) {
    case FBY_ACTIVATION_GELU_ERF:
        return gelu_erf(x);
    case FBY_ACTIVATION_GELU_TANH:
        return gelu_tanh(x);
    case FBY_ACTIVATION_RELU:
        return stays(x, vmaxq_f32(vdupq_n_f32(0.0f), x));
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
        for (uint32_t i = 0; i < columns; i += 4) {
            float32x4_t y = activate(activation, fby_neon_load(x + i, columns - i));
            fby_neon_store(x + i, y, columns - i);
        }
}

void fby_neon_activate(fby_activation activation, float *x, size_t ldx, uint32_t rows,
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

void fby_neon_exp2(float *x, uint32_t n)
{
    for (uint32_t i = 0; i < n; i += 4)
        fby_neon_store(x + i, fby_neon_exp2_of(fby_neon_load(x + i, n - i)), n - i);
}
