/* SPDX-License-Identifier: Apache-2.0 */
/* As many multiply-adds a cycle as the core starts: 12 independent chains hide the latency (8 do
 * on Zen, 10 on Skylake), each is stored, so the compiler drops none. */
#include "compute/avx2/vector.h"
#include "compute/tables.h"

enum { CHAINS = 12 };

uint64_t fby_avx2_peak_loop(uint64_t rounds, float sink[FBY_PEAK_SINK])
{
    const __m256 a = _mm256_loadu_ps(sink), b = _mm256_loadu_ps(sink + 8);
    __m256 acc[CHAINS];
    FBY_UNROLL
    for (int i = 0; i < CHAINS; i++)
        acc[i] = _mm256_loadu_ps(sink + 8 * i);
    FBY_NO_UNROLL
    for (uint64_t round = 0; round < rounds; round++)
        FBY_UNROLL
    for (int i = 0; i < CHAINS; i++)
        acc[i] = _mm256_fmadd_ps(acc[i], a, b);
    FBY_UNROLL
    for (int i = 0; i < CHAINS; i++)
        _mm256_storeu_ps(sink + 8 * i, acc[i]);
    return rounds * CHAINS * 8 * 2;
}
