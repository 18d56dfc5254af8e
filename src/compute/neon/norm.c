/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LayerNorm, and the small sums over vectors. A sum runs in 4 vectors of 4 lanes,
 * so that the adds' latency is hidden where a core starts two a cycle, then over
 * those in a fixed order. A row of 384 floats is 96 vectors, read three times and
 * written once.
 */
#include "compute/neon/neon.h"
#include "compute/neon/vector.h"
#include "compute/norm.h"

enum { SUMS = 4, STEP = SUMS * 4 };

FBY_INLINE float total(const float32x4_t sum[SUMS])
{
    return vaddvq_f32(vaddq_f32(vaddq_f32(sum[0], sum[1]), vaddq_f32(sum[2], sum[3])));
}

static float sum_of(const float *x, uint32_t n)
{
    float32x4_t sum[SUMS];
    FBY_UNROLL
    for (int s = 0; s < SUMS; s++)
        sum[s] = vdupq_n_f32(0.0f);
    uint32_t i = 0;
    for (; i + STEP <= n; i += STEP)
        FBY_UNROLL
    for (int s = 0; s < SUMS; s++)
        sum[s] = vaddq_f32(sum[s], vld1q_f32(x + i + 4 * s));
    for (; i < n; i += 4)
        sum[0] = vaddq_f32(sum[0], fby_neon_load(x + i, n - i));
    return total(sum);
}

static float squares_from(const float *x, float mean, uint32_t n)
{
    const float32x4_t middle = vdupq_n_f32(mean);
    float32x4_t sum[SUMS];
    FBY_UNROLL
    for (int s = 0; s < SUMS; s++)
        sum[s] = vdupq_n_f32(0.0f);
    uint32_t i = 0;
    for (; i + STEP <= n; i += STEP)
        FBY_UNROLL
    for (int s = 0; s < SUMS; s++) {
        float32x4_t d = vsubq_f32(vld1q_f32(x + i + 4 * s), middle);
        sum[s] = vfmaq_f32(sum[s], d, d);
    }
    for (; i < n; i += 4) {
        uint32x4_t d = vreinterpretq_u32_f32(vsubq_f32(fby_neon_load(x + i, n - i), middle));
        float32x4_t exist = vreinterpretq_f32_u32(vandq_u32(d, fby_neon_lanes(n - i)));
        sum[0] = vfmaq_f32(sum[0], exist, exist);
    }
    return total(sum);
}

static void normalize(const fby_layer_norm *norm, float *x, float mean, float factor)
{
    const float32x4_t middle = vdupq_n_f32(mean);
    for (uint32_t i = 0; i < norm->n; i += 4) {
        uint32_t left = norm->n - i;
        float32x4_t d = vsubq_f32(fby_neon_load(x + i, left), middle);
        float32x4_t y = vfmaq_f32(fby_neon_load(norm->beta + i, left), vmulq_n_f32(d, factor),
                                  fby_neon_load(norm->gamma + i, left));
        fby_neon_store(x + i, y, left);
    }
}

void fby_neon_layer_norm(const fby_layer_norm *norm, float *x, size_t ldx, uint32_t rows)
{
    const float count = (float)norm->n;
    for (uint32_t row = 0; row < rows; row++, x += ldx) {
        float mean = sum_of(x, norm->n) / count;
        float variance = squares_from(x, mean, norm->n) / count;
        normalize(norm, x, mean, fby_norm_factor(variance, norm->epsilon));
    }
}

void fby_neon_add(float *x, const float *y, uint32_t n)
{
    for (uint32_t i = 0; i < n; i += 4) {
        float32x4_t sum = vaddq_f32(fby_neon_load(x + i, n - i), fby_neon_load(y + i, n - i));
        fby_neon_store(x + i, sum, n - i);
    }
}

void fby_neon_max(float *x, const float *y, uint32_t n)
{
    for (uint32_t i = 0; i < n; i += 4) {
        float32x4_t a = fby_neon_load(x + i, n - i), b = fby_neon_load(y + i, n - i);
        float32x4_t larger = vfmaq_f32(vmaxq_f32(a, b), a, vdupq_n_f32(0.0f));
        fby_neon_store(x + i, vfmaq_f32(larger, b, vdupq_n_f32(0.0f)), n - i);
    }
}

void fby_neon_scale(float *x, float factor, uint32_t n)
{
    for (uint32_t i = 0; i < n; i += 4)
        fby_neon_store(x + i, vmulq_n_f32(fby_neon_load(x + i, n - i), factor), n - i);
}

float fby_neon_dot(const float *x, const float *y, uint32_t n)
{
    float32x4_t sum[SUMS];
    FBY_UNROLL
    for (int s = 0; s < SUMS; s++)
        sum[s] = vdupq_n_f32(0.0f);
    uint32_t i = 0;
    for (; i + STEP <= n; i += STEP)
        FBY_UNROLL
    for (int s = 0; s < SUMS; s++)
        sum[s] = vfmaq_f32(sum[s], vld1q_f32(x + i + 4 * s), vld1q_f32(y + i + 4 * s));
    for (; i < n; i += 4)
        sum[0] = vfmaq_f32(sum[0], fby_neon_load(x + i, n - i), fby_neon_load(y + i, n - i));
    return total(sum);
}
