/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a product is cut into tiles, the same for every instruction set and precision.
 *
 *     for each panel of columns                            read from memory once
 *         for each tile of rows, as even as can be         from level 1 or 2, with x
 *             run(tile)                                    steps over k, then stores
 *
 * Rows are split evenly (32 in tiles of 14 are 11 + 11 + 10), since a short tile
 * costs more an element. What a row comes out as does not depend on its tile's
 * height: each element is a sum of its own over k, in order.
 *
 * Meanwhile one prefetch a step fetches the next panel, evenly over all tiles: a
 * faster pace takes the cache's miss buffers from the tile. Panels lie in the order
 * of use, so at a layer's end that is the next layer's first. To level 1: on Zen 4
 * prefetcht1 is as slow as none. Never more than a line a step: beyond that the
 * hardware's prefetcher does better (a single tile of 14 rows, 75 -> 86 GFLOP/s).
 */
#ifndef FBY_COMPUTE_TILES_H
#define FBY_COMPUTE_TILES_H

#include "base/bits.h"
#include "compute/kernels.h"
#include "compute/unroll.h"

typedef struct fby_tile {
    const void *x;
    size_t ldx; /* bytes */
    const void *panel;
    size_t steps;
    uintptr_t prefetch;    /* from here on, which may lie beyond the weights … */
    size_t prefetch_step;  /* … so many bytes a step */
    const float *residual; /* added, or NULL */
    size_t ldr;
    float *out;       /* NULL: … */
    uint16_t *narrow; /* … to bf16 */
    size_t ldo;
    uint32_t rows, columns; /* of a full tile, that exist */
} fby_tile;

/* out, or narrow, (rows, n) = activation(x Wᵀ + bias [+ residual]). */
typedef struct fby_product {
    const fby_linear *linear;
    fby_activation activation;
    size_t panel_bytes, steps; /* of a panel */
    const void *x;
    size_t ldx; /* bytes */
    const float *residual;
    size_t ldr;
    uint32_t rows;
    float *out;
    uint16_t *narrow;
    size_t ldo;
} fby_product;

FBY_INLINE void fby_product_run(const fby_product *p, const uint32_t height, const uint32_t width,
                                void (*run)(const fby_tile *t, fby_activation activation))
{
    const uint32_t tiles = fby_div_up_u32(p->rows, height);
    const char *panel = p->linear->packed;

    if (p->rows == 0)
        return;
    const size_t prefetch_step = fby_min_size(p->panel_bytes / (tiles * p->steps) + 1, 64);
    for (uint32_t column = 0; column < p->linear->n; column += width, panel += p->panel_bytes) {
        uint32_t row = 0;
        for (uint32_t i = 0; i < tiles; i++) {
            fby_tile t = {
                .x = (const char *)p->x + row * p->ldx,
                .ldx = p->ldx,
                .panel = panel,
                .steps = p->steps,
                .prefetch = (uintptr_t)panel + p->panel_bytes + i * p->steps * prefetch_step,
                .prefetch_step = prefetch_step,
                .residual = p->residual != NULL ? p->residual + row * p->ldr + column : NULL,
                .ldr = p->ldr,
                .out = p->out != NULL ? p->out + row * p->ldo + column : NULL,
                .narrow = p->narrow != NULL ? p->narrow + row * p->ldo + column : NULL,
                .ldo = p->ldo,
                .rows = p->rows / tiles + (i < p->rows % tiles),
                .columns = fby_min_u32(width, p->linear->n - column),
            };
            run(&t, p->activation);
            row += t.rows;
        }
    }
}

/* RUN(n), n a constant, where `rows` is n, from 1 to the number in the name: one body a height. */
#define FBY_HEIGHT(n, RUN)                                                                         \
    case n:                                                                                        \
        RUN(n);                                                                                    \
        break;
#define FBY_HEIGHTS_BELOW_4(RUN) FBY_HEIGHT(1, RUN) FBY_HEIGHT(2, RUN) FBY_HEIGHT(3, RUN)
#define FBY_HEIGHTS_BELOW_6(RUN) FBY_HEIGHTS_BELOW_4(RUN) FBY_HEIGHT(4, RUN) FBY_HEIGHT(5, RUN)
#define FBY_HEIGHTS_BELOW_12(RUN)                                                                  \
    FBY_HEIGHTS_BELOW_6(RUN)                                                                       \
    FBY_HEIGHT(6, RUN)                                                                             \
    FBY_HEIGHT(7, RUN)                                                                             \
    FBY_HEIGHT(8, RUN)                                                                             \
    FBY_HEIGHT(9, RUN)                                                                             \
    FBY_HEIGHT(10, RUN)                                                                            \
    FBY_HEIGHT(11, RUN)
#define FBY_HEIGHTS_BELOW_14(RUN) FBY_HEIGHTS_BELOW_12(RUN) FBY_HEIGHT(12, RUN) FBY_HEIGHT(13, RUN)
#define FBY_HEIGHTS(rows, most, RUN)                                                               \
    switch (rows) {                                                                                \
        FBY_HEIGHTS_BELOW_##most(RUN) default : RUN(most);                                         \
        break;                                                                                     \
    }

#endif
