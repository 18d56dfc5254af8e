/* SPDX-License-Identifier: Apache-2.0 */
/* As many multiply-adds a cycle as the core starts: 20 independent chains hide the latency (four
 * cycles at four a cycle are 16), each is stored, so the compiler drops none. */
#include "compute/neon/vector.h"
#include "compute/tables.h"

enum { CHAINS = 20 };

uint64_t fby_neon_peak_loop(uint64_t rounds, float sink[FBY_PEAK_SINK])
{
    const float32x4_t a = vld1q_f32(sink), b = vld1q_f32(sink + 4);
    float32x4_t acc[CHAINS];
    FBY_UNROLL
    for (int i = 0; i < CHAINS; i++)
        acc[i] = vld1q_f32(sink + 4 * i);
    FBY_NO_UNROLL
    for (uint64_t round = 0; round < rounds; round++)
        FBY_UNROLL
    for (int i = 0; i < CHAINS; i++)
        acc[i] = vfmaq_f32(acc[i], a, b);
    FBY_UNROLL
    for (int i = 0; i < CHAINS; i++)
        vst1q_f32(sink + 4 * i, acc[i]);
    return rounds * CHAINS * 4 * 2;
}
