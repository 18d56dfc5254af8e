/* SPDX-License-Identifier: Apache-2.0 */
/* What the products of all precisions do with a tile's sums. */
#ifndef FBY_COMPUTE_NEON_TILE_H
#define FBY_COMPUTE_NEON_TILE_H

#include "compute/neon/vector.h"
#include "compute/tiles.h"

static inline void fby_neon_store_some(const fby_tile *t, float y[FBY_NEON_ROWS][FBY_NEON_PANEL],
                                       uint32_t rows)
{
    for (uint32_t row = 0; row < rows; row++) {
        if (t->residual != NULL)
            fby_neon_add(y[row], t->residual + row * t->ldr, t->columns);
        memcpy(t->out + row * t->ldo, y[row], t->columns * sizeof(float));
    }
}

/* out = acc [+ residual]. */
FBY_INLINE void fby_neon_store_tile(const fby_tile *t,
                                    float32x4_t acc[FBY_NEON_ROWS][FBY_NEON_VECTORS],
                                    const int rows)
{
    if (t->columns == FBY_NEON_PANEL) {
        FBY_UNROLL
        for (int row = 0; row < rows; row++)
            FBY_UNROLL
        for (int i = 0; i < FBY_NEON_VECTORS; i++) {
            float32x4_t y = acc[row][i];
            if (t->residual != NULL)
                y = vaddq_f32(y, vld1q_f32(t->residual + (size_t)row * t->ldr + 4 * i));
            vst1q_f32(t->out + (size_t)row * t->ldo + 4 * i, y);
        }
        return;
    }
    float some[FBY_NEON_ROWS][FBY_NEON_PANEL];
    FBY_UNROLL
    for (int row = 0; row < rows; row++)
        FBY_UNROLL
    for (int i = 0; i < FBY_NEON_VECTORS; i++)
        vst1q_f32(some[row] + 4 * i, acc[row][i]);
    fby_neon_store_some(t, some, (uint32_t)rows);
}

#endif
