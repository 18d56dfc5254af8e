/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Products with packed weights.
 *
 * Tile: h rows of x, 1 … 6, by one panel of 16 columns. Registers: 4 h
 * accumulators, a vector of each row of x, two of the panel: 32 of 32 at h = 6.
 * Four steps over k are h + 16 loads, 4 prefetches and 16 h multiply-adds. At
 * h = 6 that is 96 multiply-adds: 48 cycles where a core starts two 128-bit ones
 * a cycle (Cortex-A76, Neoverse N1 and N2), 24 where it starts four (Neoverse V1
 * and V2, Cortex-X). Their latency of 4 cycles is hidden by 8, or 16, chains; a
 * tile has 24. At h = 1 there are 4 chains: latency decides.
 *
 * These are computed from the cores' software optimisation guides. Nothing was
 * measured on a core: qemu has no notion of time.
 *
 * Loops, splits of rows and prefetching: compute/tiles.h.
 *
 * A panel is (k, 16) weights, a cache line a step, then the 16 columns' bias;
 * columns beyond n are 0.
 */
#include <string.h>

#include "base/assert.h"
#include "base/bits.h"
#include "compute/neon/neon.h"
#include "compute/neon/tile.h"

enum { PANEL = FBY_NEON_PANEL, TILE = FBY_NEON_ROWS, VECTORS = FBY_NEON_VECTORS };

static size_t panel_floats(uint32_t k)
{
    return ((size_t)k + 1) * PANEL;
}

size_t fby_neon_packed_bytes(uint32_t n, uint32_t k)
{
    return fby_div_up_u32(n, PANEL) * panel_floats(k) * sizeof(float);
}

void fby_neon_pack(const float *w, const float *bias, uint32_t n, uint32_t k, void *packed)
{
    fby_assert(n - 1 < FBY_LINEAR_MAX && k - 1 < FBY_LINEAR_MAX);
    memset(packed, 0, fby_neon_packed_bytes(n, k));
    float *to = packed;
    for (uint32_t first = 0; first < n; first += PANEL) {
        uint32_t columns = fby_min_u32(PANEL, n - first);
        for (size_t i = 0; i < k; i++, to += PANEL)
            for (uint32_t column = 0; column < columns; column++)
                to[column] = w[(size_t)(first + column) * k + i];
        for (uint32_t column = 0; column < columns; column++)
            to[column] = bias != NULL ? bias[first + column] : 0.0f;
        to += PANEL;
    }
}

FBY_INLINE void run_tile(const fby_tile *t, const int rows)
{
    const float *panel = t->panel, *bias = panel + t->steps * PANEL;
    float32x4_t acc[TILE][VECTORS];
    FBY_UNROLL
    for (int row = 0; row < rows; row++)
        FBY_UNROLL
    for (int i = 0; i < VECTORS; i++)
        acc[row][i] = vdupq_n_f32(0.0f);
    fby_neon_multiply(acc, rows, VECTORS, t->x, t->ldx / sizeof(float), panel, PANEL, t->steps, 1,
                      t->prefetch, t->prefetch_step);
    FBY_UNROLL
    for (int row = 0; row < rows; row++)
        FBY_UNROLL
    for (int i = 0; i < VECTORS; i++)
        acc[row][i] = vaddq_f32(acc[row][i], vld1q_f32(bias + 4 * i));
    fby_neon_store_tile(t, acc, rows);
}

static void run_tile_of(const fby_tile *t, fby_activation activation)
{
#define RUN_TILE(height) run_tile(t, height)
    FBY_HEIGHTS(t->rows, 6, RUN_TILE)
#undef RUN_TILE
    if (activation != FBY_ACTIVATION_NONE)
        fby_neon_activate(activation, t->out, t->ldo, t->rows, t->columns);
}

static void product(const fby_linear *linear, fby_activation activation, const float *x, size_t ldx,
                    const float *residual, size_t ldr, uint32_t rows, float *out, size_t ldo)
{
    const fby_product p = {
        .linear = linear,
        .activation = activation,
        .panel_bytes = panel_floats(linear->k) * sizeof(float),
        .steps = linear->k,
        .x = x,
        .ldx = ldx * sizeof(float),
        .residual = residual,
        .ldr = ldr,
        .rows = rows,
        .out = out,
        .ldo = ldo,
    };
    fby_product_run(&p, TILE, PANEL, run_tile_of);
}

void fby_neon_linear(const fby_linear *linear, fby_activation activation, const float *x,
                     size_t ldx, uint32_t rows, float *out, size_t ldo)
{
    product(linear, activation, x, ldx, NULL, 0, rows, out, ldo);
}

void fby_neon_linear_residual_norm(const fby_linear *linear, const fby_layer_norm *norm,
                                   const float *x, size_t ldx, const float *residual, size_t ldr,
                                   uint32_t rows, float *out, size_t ldo)
{
    product(linear, FBY_ACTIVATION_NONE, x, ldx, residual, ldr, rows, out, ldo);
    fby_neon_layer_norm(norm, out, ldo, rows);
}
