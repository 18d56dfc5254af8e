/* SPDX-License-Identifier: Apache-2.0 */
/* Eight vectors of eight products and sums, in whatever registers plain C has. */
#include <string.h>

#include "compute/tables.h"

enum { VECTORS = 8, LANES = 4 };

uint64_t fby_c_peak_loop(uint64_t rounds, float sink[FBY_PEAK_SINK])
{
    float acc[VECTORS][LANES] = {{0}};
    float a[LANES], b[LANES];
    memcpy(a, sink, sizeof a);
    memcpy(b, sink + LANES, sizeof b);
    for (uint64_t round = 0; round < rounds; round++)
        for (int i = 0; i < VECTORS; i++)
            for (int j = 0; j < LANES; j++)
                acc[i][j] = acc[i][j] * a[j] + b[j];
    memcpy(sink, acc, sizeof acc);
    return rounds * VECTORS * LANES * 2;
}
