/* SPDX-License-Identifier: Apache-2.0 */
/* Bits of NEON that several kernels use. */
#ifndef FBY_COMPUTE_NEON_VECTOR_H
#define FBY_COMPUTE_NEON_VECTOR_H

#include <arm_neon.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "compute/coefficients.h"
#include "compute/neon/neon.h"
#include "compute/unroll.h"

/* The first `count` floats, zeros beyond; nothing else is read. */
FBY_INLINE float32x4_t fby_neon_load(const float *x, uint32_t count)
{
    if (count >= 4)
        return vld1q_f32(x);
    float some[4] = {0};
    memcpy(some, x, count * sizeof *x);
    return vld1q_f32(some);
}

FBY_INLINE void fby_neon_store(float *x, float32x4_t y, uint32_t count)
{
    if (count >= 4) {
        vst1q_f32(x, y);
        return;
    }
    float some[4];
    vst1q_f32(some, y);
    memcpy(x, some, count * sizeof *x);
}

/* All bits set in the first `count` lanes, all 4 where count is more. */
FBY_INLINE uint32x4_t fby_neon_lanes(uint32_t count)
{
    static const uint32_t number[4] = {0, 1, 2, 3};
    return vcltq_u32(vld1q_u32(number), vdupq_n_u32(count));
}

/* acc + b a[lane]; the instruction's lane is a constant, as `lane` is once inlined. */
FBY_INLINE float32x4_t fby_neon_fma_lane(float32x4_t acc, float32x4_t b, float32x4_t a,
                                         const int lane)
{
    switch (lane) {
    case 0:
        return vfmaq_laneq_f32(acc, b, a, 0);
    case 1:
        return vfmaq_laneq_f32(acc, b, a, 1);
    case 2:
        return vfmaq_laneq_f32(acc, b, a, 2);
    default:
        return vfmaq_laneq_f32(acc, b, a, 3);
    }
}

/*
 * The loop of every product: acc (rows, 4 vectors) += x (rows, k) b (k, 4 vectors), each element
 * one chain of multiply-adds over k, in order. Four steps at a time: a vector of each row of x, and
 * for each step its lane of it; a multiply-add takes a lane as it takes a vector. With 6 rows of 4
 * vectors the registers are 24 accumulators, 6 of x, 2 of b. `prefetch`, if `ahead`, moves on by
 * prefetch_step bytes a step.
 */
FBY_INLINE void fby_neon_multiply(float32x4_t acc[FBY_NEON_ROWS][FBY_NEON_VECTORS], const int rows,
                                  const int vectors, const float *x, size_t ldx, const float *b,
                                  size_t ldb, size_t k, const int ahead, uintptr_t prefetch,
                                  size_t prefetch_step)
{
    size_t step = 0;
    FBY_NO_UNROLL
    for (; step + 4 <= k; step += 4) {
        float32x4_t a[FBY_NEON_ROWS];
        FBY_UNROLL
        for (int row = 0; row < rows; row++)
            a[row] = vld1q_f32(x + (size_t)row * ldx);
        FBY_UNROLL
        for (int lane = 0; lane < 4; lane++) {
            if (ahead) {
                __builtin_prefetch((const void *)prefetch);
                prefetch += prefetch_step;
            }
            FBY_UNROLL
            for (int i = 0; i < vectors; i++) {
                float32x4_t right = vld1q_f32(b + 4 * i);
                FBY_UNROLL
                for (int row = 0; row < rows; row++)
                    acc[row][i] = fby_neon_fma_lane(acc[row][i], right, a[row], lane);
            }
            b += ldb;
        }
        x += 4;
    }
    FBY_NO_UNROLL
    for (; step < k; step++) {
        FBY_UNROLL
        for (int i = 0; i < vectors; i++) {
            float32x4_t right = vld1q_f32(b + 4 * i);
            FBY_UNROLL
            for (int row = 0; row < rows; row++)
                acc[row][i] = vfmaq_f32(acc[row][i], right, vld1q_dup_f32(x + (size_t)row * ldx));
        }
        b += ldb;
        x++;
    }
}

/* 2^t for t < 128: t's nearest integer goes to the exponent, the rest through the polynomial of
 * coefficients.h. At most 1.01 ulp off; 0 below -126. */
FBY_INLINE float32x4_t fby_neon_exp2_of(float32x4_t t)
{
    const float *c = fby_exp2_coefficients;
    const float32x4_t least = vdupq_n_f32(-126.0f);
    uint32x4_t less = vcltq_f32(t, least); /* not NaN, which stays one */
    t = vmaxq_f32(t, least);
    float32x4_t whole = vrndnq_f32(t);
    float32x4_t r = vsubq_f32(t, whole);
    float32x4_t p = vdupq_n_f32(c[6]);
    FBY_UNROLL
    for (int i = 5; i >= 0; i--)
        p = vfmaq_f32(vdupq_n_f32(c[i]), p, r);
    int32x4_t exponent = vshlq_n_s32(vcvtq_s32_f32(whole), 23);
    int32x4_t bits = vaddq_s32(vreinterpretq_s32_f32(p), exponent);
    return vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_s32(bits), less));
}

#endif
