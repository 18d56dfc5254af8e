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
 * Loops: panels, and inside all rows, so that a panel is read from memory once
 * and from level 1 or 2 afterwards. Rows are split evenly among tiles (7 are
 * 4 + 3), since a short tile costs more an element. Meanwhile one prefetch a step
 * fetches the next panel, evenly over all tiles; panels lie in the order of use.
 *
 * A panel is (k, 16) weights, a cache line a step, then the 16 columns' bias;
 * columns beyond n are 0.
 */
#include <string.h>

#include "base/assert.h"
#include "base/bits.h"
#include "compute/neon/neon.h"
#include "compute/neon/vector.h"

enum { PANEL = FBY_NEON_PANEL, TILE = FBY_NEON_ROWS, VECTORS = FBY_NEON_VECTORS };

typedef struct tile {
    const float *x;
    size_t ldx;
    const float *panel;
    size_t k;
    const char *prefetch;  /* from here on … */
    size_t prefetch_step;  /* … so many bytes a step */
    const float *residual; /* added, or NULL */
    size_t ldr;
    float *out;
    size_t ldo;
    uint32_t columns; /* of the panel that exist */
} tile;

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

/* Where all columns exist. */
FBY_INLINE void add_and_store(const tile *t, float32x4_t acc[TILE][VECTORS], const int rows)
{
    const float *residual = t->residual;
    float *out = t->out;
    if (residual != NULL)
        FBY_UNROLL
    for (int row = 0; row < rows; row++, residual += t->ldr)
        FBY_UNROLL
    for (int i = 0; i < VECTORS; i++)
        acc[row][i] = vaddq_f32(acc[row][i], vld1q_f32(residual + 4 * i));
    FBY_UNROLL
    for (int row = 0; row < rows; row++, out += t->ldo)
        FBY_UNROLL
    for (int i = 0; i < VECTORS; i++)
        vst1q_f32(out + 4 * i, acc[row][i]);
}

static void add_and_store_some(const tile *t, float sum[TILE][PANEL], uint32_t rows)
{
    for (uint32_t row = 0; row < rows; row++) {
        if (t->residual != NULL)
            fby_neon_add(sum[row], t->residual + row * t->ldr, t->columns);
        memcpy(t->out + row * t->ldo, sum[row], t->columns * sizeof(float));
    }
}

FBY_INLINE void run_tile(const tile *t, const int rows)
{
    const float *bias = t->panel + t->k * PANEL;
    float32x4_t acc[TILE][VECTORS];
    FBY_UNROLL
    for (int row = 0; row < rows; row++)
        FBY_UNROLL
    for (int i = 0; i < VECTORS; i++)
        acc[row][i] = vdupq_n_f32(0.0f);
    fby_neon_multiply(acc, rows, VECTORS, t->x, t->ldx, t->panel, PANEL, t->k, 1, t->prefetch,
                      t->prefetch_step);
    FBY_UNROLL
    for (int row = 0; row < rows; row++)
        FBY_UNROLL
    for (int i = 0; i < VECTORS; i++)
        acc[row][i] = vaddq_f32(acc[row][i], vld1q_f32(bias + 4 * i));
    if (t->columns == PANEL) {
        add_and_store(t, acc, rows);
        return;
    }
    float sum[TILE][PANEL];
    FBY_UNROLL
    for (int row = 0; row < rows; row++)
        FBY_UNROLL
    for (int i = 0; i < VECTORS; i++)
        vst1q_f32(sum[row] + 4 * i, acc[row][i]);
    add_and_store_some(t, sum, (uint32_t)rows);
}

/* One body a height: the same sums in the same order. */
static void run_tile_of(const tile *t, uint32_t rows)
{
    switch (rows) {
    case 1:
        run_tile(t, 1);
        return;
    case 2:
        run_tile(t, 2);
        return;
    case 3:
        run_tile(t, 3);
        return;
    case 4:
        run_tile(t, 4);
        return;
    case 5:
        run_tile(t, 5);
        return;
    default:
        run_tile(t, 6);
        return;
    }
}

/* out (rows, n) = activation(x Wᵀ + bias [+ residual]). */
static void product(const fby_linear *linear, fby_activation activation, const float *x, size_t ldx,
                    const float *residual, size_t ldr, uint32_t rows, float *out, size_t ldo)
{
    const size_t stride = panel_floats(linear->k);
    const float *panel = linear->packed;
    const uint32_t tiles = fby_div_up_u32(rows, TILE);

    if (rows == 0)
        return;
    const size_t prefetch_step = stride * sizeof(float) / ((size_t)tiles * linear->k) + 1;
    for (uint32_t column = 0; column < linear->n; column += PANEL, panel += stride) {
        uint32_t columns = fby_min_u32(PANEL, linear->n - column), row = 0;
        for (uint32_t i = 0; i < tiles; i++) {
            uint32_t height = rows / tiles + (i < rows % tiles);
            tile t = {
                .x = x + row * ldx,
                .ldx = ldx,
                .panel = panel,
                .k = linear->k,
                .prefetch = (const char *)(panel + stride) + i * linear->k * prefetch_step,
                .prefetch_step = prefetch_step,
                .residual = residual != NULL ? residual + row * ldr + column : NULL,
                .ldr = ldr,
                .out = out + row * ldo + column,
                .ldo = ldo,
                .columns = columns,
            };
            run_tile_of(&t, height);
            if (activation != FBY_ACTIVATION_NONE)
                fby_neon_activate(activation, t.out, ldo, height, columns);
            row += height;
        }
    }
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
