/* SPDX-License-Identifier: Apache-2.0 */
/* Products and sums in vectors of four: 12 independent chains, each stored. */
#include <string.h>

#include "compute/tables.h"
#include "compute/unroll.h"

enum { CHAINS = 12, LANES = 4 };

typedef float lanes __attribute__((vector_size(16)));

uint64_t fby_c_peak_loop(uint64_t rounds, float sink[FBY_PEAK_SINK])
{
    lanes acc[CHAINS], a, b;
    memcpy(&a, sink, sizeof a);
    memcpy(&b, sink + LANES, sizeof b);
    FBY_UNROLL
    for (int i = 0; i < CHAINS; i++)
        memcpy(&acc[i], sink + LANES * i, sizeof acc[i]);
    FBY_NO_UNROLL
    for (uint64_t round = 0; round < rounds; round++) {
        FBY_UNROLL
        for (int i = 0; i < CHAINS; i++)
            acc[i] = acc[i] * a + b;
    }
    FBY_UNROLL
    for (int i = 0; i < CHAINS; i++)
        memcpy(sink + LANES * i, &acc[i], sizeof acc[i]);
    return rounds * CHAINS * LANES * 2;
}
