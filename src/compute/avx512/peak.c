/* SPDX-License-Identifier: Apache-2.0 */
/* As many multiply-adds a cycle as the core starts: 24 independent chains hide the latency (8
 * would on Zen 4 and 5), each is stored, so the compiler drops none. */
#include "compute/avx512/vector.h"
#include "compute/tables.h"

enum { CHAINS = 24 };

uint64_t fby_avx512_peak_loop(uint64_t rounds, float sink[FBY_PEAK_SINK])
{
    const __m512 a = _mm512_loadu_ps(sink), b = _mm512_loadu_ps(sink + 16);
    __m512 acc[CHAINS];
    FBY_UNROLL
    for (int i = 0; i < CHAINS; i++)
        acc[i] = _mm512_loadu_ps(sink + 16 * i);
    FBY_NO_UNROLL
    for (uint64_t round = 0; round < rounds; round++)
        FBY_UNROLL
    for (int i = 0; i < CHAINS; i++)
        acc[i] = _mm512_fmadd_ps(acc[i], a, b);
    FBY_UNROLL
    for (int i = 0; i < CHAINS; i++)
        _mm512_storeu_ps(sink + 16 * i, acc[i]);
    return rounds * CHAINS * 16 * 2;
}
