/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bf16 weights widened on load: half of f32's memory. Left sides stay f32. Format:
 * compute/bf16.h.
 *
 * Tile: h rows of x, 1 … 6, by one panel of 16 columns. Registers: 4 h accumulators, a
 * vector of each row of x, two of the panel. A step is 2 loads, 4 shifts and 4 h
 * multiply-adds; a vector of x holds four steps. Counts of instructions: nothing was
 * measured on a core.
 *
 * Loops, splits of rows and prefetching: compute/tiles.h.
 */
#include <arm_neon.h>
#include <string.h>

#include "base/bits.h"
#include "compute/bf16.h"
#include "compute/bf16_widened.h"
#include "compute/narrow.h"
#include "compute/neon/neon.h"
#include "compute/neon/tile.h"
#include "compute/tables.h"

enum { PANEL = FBY_NEON_PANEL, TILE = FBY_NEON_ROWS, VECTORS = FBY_NEON_VECTORS, GROUP = 1 };

static const fby_bf16_shape shape = {PANEL, GROUP};

static size_t packed_bytes(uint32_t n, uint32_t k)
{
    return fby_bf16_packed_bytes(shape, n, k);
}

static void pack(const float *w, const float *bias, const float *sizes, uint32_t n, uint32_t k,
                 void *packed)
{
    (void)sizes;
    fby_bf16_pack(shape, w, bias, n, k, packed);
}

/* One input's weights of 16 columns. */
FBY_INLINE void widen(const char *panel, float32x4_t b[VECTORS])
{
    FBY_UNROLL
    for (int half = 0; half < 2; half++) {
        uint16x8_t eight = vld1q_u16((const uint16_t *)(const void *)(panel + 16 * half));
        b[2 * half] = vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(eight), 16));
        b[2 * half + 1] = vreinterpretq_f32_u32(vshll_high_n_u16(eight, 16));
    }
}

FBY_INLINE void multiply(const fby_tile *t, float32x4_t acc[TILE][VECTORS], const int rows)
{
    const size_t ldx = t->ldx / sizeof(float);
    const float *x = t->x;
    const char *panel = t->panel;
    uintptr_t prefetch = t->prefetch;
    size_t step = t->steps;
    FBY_NO_UNROLL
    for (; step >= 4; step -= 4, x += 4) {
        float32x4_t a[TILE];
        FBY_UNROLL
        for (int row = 0; row < rows; row++)
            a[row] = vld1q_f32(x + (size_t)row * ldx);
        FBY_UNROLL
        for (int lane = 0; lane < 4; lane++) {
            float32x4_t b[VECTORS];
            __builtin_prefetch((const void *)prefetch);
            prefetch += t->prefetch_step;
            widen(panel, b);
            panel += PANEL * sizeof(uint16_t);
            FBY_UNROLL
            for (int i = 0; i < VECTORS; i++)
                FBY_UNROLL
            for (int row = 0; row < rows; row++)
                acc[row][i] = fby_neon_fma_lane(acc[row][i], b[i], a[row], lane);
        }
    }
    FBY_NO_UNROLL
    for (; step != 0; step--, x++) {
        float32x4_t b[VECTORS];
        widen(panel, b);
        panel += PANEL * sizeof(uint16_t);
        FBY_UNROLL
        for (int i = 0; i < VECTORS; i++)
            FBY_UNROLL
        for (int row = 0; row < rows; row++)
            acc[row][i] = vfmaq_f32(acc[row][i], b[i], vld1q_dup_f32(x + (size_t)row * ldx));
    }
}

FBY_INLINE void run_tile(const fby_tile *t, const int rows)
{
    const float *bias = (const float *)t->panel + t->steps * GROUP * PANEL / 2;
    float32x4_t acc[TILE][VECTORS];
    FBY_UNROLL
    for (int row = 0; row < rows; row++)
        FBY_UNROLL
    for (int i = 0; i < VECTORS; i++)
        acc[row][i] = vdupq_n_f32(0.0f);
    multiply(t, acc, rows);
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

static void product(const fby_linear *linear, fby_activation activation, const void *x,
                    const float *residual, size_t ldr, uint32_t rows, float *out, size_t ldo)
{
    const fby_product p = {
        .linear = linear,
        .activation = activation,
        .panel_bytes = fby_bf16_panel_bytes(shape, linear->k),
        .steps = fby_div_up_u32(linear->k, GROUP),
        .x = x,
        .ldx = fby_widened_operand_bytes(linear->k),
        .residual = residual,
        .ldr = ldr,
        .rows = rows,
        .out = out,
        .ldo = ldo,
    };
    fby_product_run(&p, TILE, PANEL, run_tile_of);
}

static void linear(const fby_linear *linear, fby_activation activation, const void *x,
                   uint32_t rows, float *out, size_t ldo)
{
    product(linear, activation, x, NULL, 0, rows, out, ldo);
}

static void linear_operand(const fby_linear *linear, fby_activation activation, const void *x,
                           uint32_t rows, const fby_linear *next, float *wide, size_t ldw,
                           void *out)
{
    product(linear, activation, x, NULL, 0, rows, wide, ldw);
    fby_widened_operand(next, wide, ldw, rows, out);
}

static void linear_residual_norm(const fby_linear *linear, const fby_layer_norm *norm,
                                 const void *x, const float *residual, size_t ldr, uint32_t rows,
                                 float *out, size_t ldo, const fby_linear *next, void *out_operand)
{
    product(linear, FBY_ACTIVATION_NONE, x, residual, ldr, rows, out, ldo);
    fby_neon_layer_norm(norm, out, ldo, rows);
    if (next != NULL)
        fby_widened_operand(next, out, ldo, rows, out_operand);
}

const fby_narrow fby_bf16_neon = {
    .name = "neon",
    .precision = "bf16",
    .version = 1,
    .panel_width = PANEL,
    .row_tile = TILE,
    .packed_bytes = packed_bytes,
    .pack = pack,
    .operand_bytes = fby_widened_operand_bytes,
    .operand = fby_widened_operand,
    .linear = linear,
    .linear_operand = linear_operand,
    .linear_residual_norm = linear_residual_norm,
};
