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
 * Loops, splits of rows and prefetching: as in linear.c.
 */
#include <arm_neon.h>
#include <stdbool.h>
#include <string.h>

#include "base/bits.h"
#include "compute/bf16.h"
#include "compute/narrow.h"
#include "compute/neon/neon.h"
#include "compute/neon/vector.h"
#include "compute/tables.h"

enum { PANEL = FBY_NEON_PANEL, TILE = FBY_NEON_ROWS, VECTORS = FBY_NEON_VECTORS, GROUP = 1 };

static const fby_bf16_shape shape = {PANEL, GROUP};

typedef struct tile {
    const float *x;
    size_t ldx;
    const char *panel;
    size_t steps;
    const char *prefetch; /* from here on … */
    size_t prefetch_step; /* … so many bytes a step */
    const float *residual;
    size_t ldr;
    float *out;
    size_t ldo;
    uint32_t columns; /* of the panel, that exist */
} tile;

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

static size_t operand_bytes(uint32_t k)
{
    return fby_align_up(k * sizeof(float), 64);
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

FBY_INLINE void multiply(const tile *t, float32x4_t acc[TILE][VECTORS], const int rows)
{
    const float *x = t->x;
    const char *panel = t->panel, *prefetch = t->prefetch;
    size_t step = t->steps;
    FBY_NO_UNROLL
    for (; step >= 4; step -= 4, x += 4) {
        float32x4_t a[TILE];
        FBY_UNROLL
        for (int row = 0; row < rows; row++)
            a[row] = vld1q_f32(x + (size_t)row * t->ldx);
        FBY_UNROLL
        for (int lane = 0; lane < 4; lane++) {
            float32x4_t b[VECTORS];
            __builtin_prefetch(prefetch);
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
            acc[row][i] = vfmaq_f32(acc[row][i], b[i], vld1q_dup_f32(x + (size_t)row * t->ldx));
    }
}

static void add_and_store_some(const tile *t, float y[TILE][PANEL], uint32_t rows)
{
    for (uint32_t row = 0; row < rows; row++) {
        if (t->residual != NULL)
            fby_neon_add(y[row], t->residual + row * t->ldr, t->columns);
        memcpy(t->out + row * t->ldo, y[row], t->columns * sizeof(float));
    }
}

FBY_INLINE void run_tile(const tile *t, const int rows)
{
    const float *bias =
        (const float *)(const void *)(t->panel + t->steps * GROUP * PANEL * sizeof(uint16_t));
    const bool whole = t->columns == PANEL;
    float32x4_t acc[TILE][VECTORS];
    float some[TILE][PANEL];
    FBY_UNROLL
    for (int row = 0; row < rows; row++)
        FBY_UNROLL
    for (int i = 0; i < VECTORS; i++)
        acc[row][i] = vdupq_n_f32(0.0f);
    multiply(t, acc, rows);
    FBY_UNROLL
    for (int row = 0; row < rows; row++) {
        float *out = whole ? t->out + (size_t)row * t->ldo : some[row];
        FBY_UNROLL
        for (int i = 0; i < VECTORS; i++) {
            float32x4_t y = vaddq_f32(acc[row][i], vld1q_f32(bias + 4 * i));
            if (whole && t->residual != NULL)
                y = vaddq_f32(y, vld1q_f32(t->residual + (size_t)row * t->ldr + 4 * i));
            vst1q_f32(out + 4 * i, y);
        }
    }
    if (!whole)
        add_and_store_some(t, some, (uint32_t)rows);
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
static void product(const fby_linear *linear, fby_activation activation, const void *left,
                    const float *residual, size_t ldr, uint32_t rows, float *out, size_t ldo)
{
    const float *x = left;
    const size_t stride = fby_bf16_panel_bytes(shape, linear->k);
    const size_t ldx = operand_bytes(linear->k) / sizeof *x;
    const size_t steps = fby_div_up_u32(linear->k, GROUP);
    const uint32_t tiles = fby_div_up_u32(rows, TILE);
    const char *panel = linear->packed;

    if (rows == 0)
        return;
    const size_t prefetch_step = stride / (tiles * steps) + 1;
    for (uint32_t column = 0; column < linear->n; column += PANEL, panel += stride) {
        uint32_t columns = fby_min_u32(PANEL, linear->n - column), row = 0;
        for (uint32_t i = 0; i < tiles; i++) {
            uint32_t height = rows / tiles + (i < rows % tiles);
            tile t = {
                .x = x + row * ldx,
                .ldx = ldx,
                .panel = panel,
                .steps = steps,
                .prefetch = panel + stride + i * steps * prefetch_step,
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

static void operand(const fby_linear *next, const float *x, size_t ldx, uint32_t rows, void *out)
{
    const size_t bytes = operand_bytes(next->k), used = next->k * sizeof(float);
    for (uint32_t row = 0; row < rows; row++) {
        char *to = (char *)out + row * bytes;
        memcpy(to, x + row * ldx, used);
        memset(to + used, 0, bytes - used);
    }
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
    operand(next, wide, ldw, rows, out);
}

static void linear_residual_norm(const fby_linear *linear, const fby_layer_norm *norm,
                                 const void *x, const float *residual, size_t ldr, uint32_t rows,
                                 float *out, size_t ldo, const fby_linear *next, void *out_operand)
{
    product(linear, FBY_ACTIVATION_NONE, x, residual, ldr, rows, out, ldo);
    fby_neon_layer_norm(norm, out, ldo, rows);
    if (next != NULL)
        operand(next, out, ldo, rows, out_operand);
}

const fby_narrow fby_bf16_neon = {
    .name = "neon",
    .precision = "bf16",
    .version = 1,
    .panel_width = PANEL,
    .row_tile = TILE,
    .packed_bytes = packed_bytes,
    .pack = pack,
    .operand_bytes = operand_bytes,
    .operand = operand,
    .linear = linear,
    .linear_operand = linear_operand,
    .linear_residual_norm = linear_residual_norm,
};
