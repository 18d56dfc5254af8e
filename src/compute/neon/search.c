/* SPDX-License-Identifier: Apache-2.0 */
#include <arm_neon.h>

#include "compute/search_kernels.h"

enum { AHEAD = 4096 }; /* bytes */
enum { TILE = 4 };     /* rows for one reading of the query: eight sums in registers */

/* Codes widen to 16 bits, products and sums are 32 bits wide. */
static inline void tile_i8(const int8_t *codes, size_t stride, size_t rows, const int16_t *query,
                           const int16_t *check, uint32_t n, uint32_t *dots, uint32_t *checks)
{
    int32x4_t dot[TILE], sum[TILE];
    for (size_t i = 0; i < rows; i++)
        dot[i] = sum[i] = vdupq_n_s32(0);
    for (uint32_t j = 0; j < n; j += 8) {
        for (size_t i = 0; i < rows && j % 64 == 0; i++)
            __builtin_prefetch((const char *)((uintptr_t)(codes + i * stride + j) + AHEAD));
        int16x8_t q = vld1q_s16(query + j), c = vld1q_s16(check + j);
        for (size_t i = 0; i < rows; i++) {
            int16x8_t x = vmovl_s8(vld1_s8(codes + i * stride + j));
            dot[i] = vmlal_s16(dot[i], vget_low_s16(x), vget_low_s16(q));
            dot[i] = vmlal_high_s16(dot[i], x, q);
            sum[i] = vmlal_s16(sum[i], vget_low_s16(x), vget_low_s16(c));
            sum[i] = vmlal_high_s16(sum[i], x, c);
        }
    }
    for (size_t i = 0; i < rows; i++) {
        dots[i] = (uint32_t)vaddvq_s32(dot[i]);
        checks[i] = (uint32_t)vaddvq_s32(sum[i]);
    }
}

static void dots_i8(const int8_t *codes, size_t stride, size_t rows, const int16_t *query,
                    const int16_t *check, uint32_t n, uint32_t *dots, uint32_t *checks)
{
    size_t i = 0;
    for (; i + TILE <= rows; i += TILE)
        tile_i8(codes + i * stride, stride, TILE, query, check, n, dots + i, checks + i);
    for (; i < rows; i++)
        tile_i8(codes + i * stride, stride, 1, query, check, n, dots + i, checks + i);
}

static void dots_f32(const float *vectors, size_t stride, size_t rows, const float *query,
                     uint32_t n, double *dots)
{
    for (size_t i = 0; i < rows; i++, vectors += stride) {
        float64x2_t sums[FBY_SEARCH_LANES / 2];
        for (int k = 0; k < FBY_SEARCH_LANES / 2; k++)
            sums[k] = vdupq_n_f64(0.0);
        for (uint32_t j = 0; j < n; j += FBY_SEARCH_LANES)
            for (int k = 0; k < FBY_SEARCH_LANES / 2; k++)
                sums[k] = vfmaq_f64(sums[k], vcvt_f64_f32(vld1_f32(vectors + j + 2 * k)),
                                    vcvt_f64_f32(vld1_f32(query + j + 2 * k)));
        double lanes[FBY_SEARCH_LANES];
        for (int k = 0; k < FBY_SEARCH_LANES / 2; k++)
            vst1q_f64(lanes + 2 * k, sums[k]);
        dots[i] = fby_search_lanes_sum(lanes);
    }
}

const fby_search_kernels fby_search_kernels_neon = {
    .name = "neon", .dots_i8 = dots_i8, .dots_f32 = dots_f32};
