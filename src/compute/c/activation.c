/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Activations and the exponential they and softmax rest on.
 *
 * 2^t = 2^i 2^r, with i the integer nearest to t: the polynomial of coefficients.h
 * for 2^r, i added to the exponent. GELU (erf) is max(x, 0) less the even function
 * |x| Phi(-|x|) = |x| / P(|x|)^16; at most 6e-7 off. The others come from exp:
 * tanh(x) = (1 - e) / (1 + e), e = exp(-2 |x|), with x's sign. What is not finite
 * stays so: where a limit would be, at infinity, there is NaN.
 */
#include <math.h>
#include <string.h>

#include "compute/c/c.h"
#include "compute/coefficients.h"

float fby_c_exp2(float t)
{
    const float *c = fby_exp2_coefficients;
    const float magic = 0x1.8p23f; /* t + magic is t rounded to an integer, in the low bits */
    if (!(t >= -126.0f))
        return t < -126.0f ? 0.0f : t; /* NaN */
    float shifted = t + magic;
    float r = t - (shifted - magic);
    float p = c[6];
    for (int i = 5; i >= 0; i--)
        p = p * r + c[i];
    uint32_t exponent, bits;
    memcpy(&exponent, &shifted, sizeof exponent);
    memcpy(&bits, &p, sizeof bits);
    bits += exponent << 23;
    memcpy(&p, &bits, sizeof p);
    return p;
}

static float gelu_erf(float x)
{
    const float *c = fby_gelu_coefficients;
    float u = fabsf(x);
    float p = c[6];
    for (int i = 5; i >= 0; i--)
        p = p * u + c[i];
    for (int i = 0; i < 4; i++)
        p *= p;
    return (x > 0.0f ? x : 0.0f) - u / p;
}

static const float log2e = 0x1.715476p+0f;

/* y / (1 + exp(-2 z)), z = sqrt(2/pi) (y + 0.044715 y^3), as y (1 + tanh z) / 2 is. With |z| in
 * the exponent, which stays in range, and the other side by e / (1 + e). */
static float gelu_tanh(float x)
{
    float z = 0x1.988454p-1f * (x + 0.044715f * x * x * x);
    float e = fby_c_exp2(fabsf(z) * (-2.0f * log2e));
    return x * ((x > 0.0f ? 1.0f : e) / (1.0f + e));
}

static float tanh_(float x)
{
    float e = fby_c_exp2(fabsf(x) * (-2.0f * log2e));
    return copysignf((1.0f - e) / (1.0f + e), x) + x * 0.0f; /* infinity gives NaN */
}

void fby_c_activate(fby_activation activation, float *x, uint32_t n)
{
    switch (activation) {
    case FBY_ACTIVATION_NONE:
        return;
    case FBY_ACTIVATION_GELU_ERF:
        for (uint32_t i = 0; i < n; i++)
            x[i] = gelu_erf(x[i]);
        return;
    case FBY_ACTIVATION_GELU_TANH:
        for (uint32_t i = 0; i < n; i++)
            x[i] = gelu_tanh(x[i]);
        return;
    case FBY_ACTIVATION_RELU:
        for (uint32_t i = 0; i < n; i++)
            x[i] = (x[i] > 0.0f ? x[i] : 0.0f) + x[i] * 0.0f; /* the same */
        return;
    case FBY_ACTIVATION_TANH:
        for (uint32_t i = 0; i < n; i++)
            x[i] = tanh_(x[i]);
        return;
    }
}
