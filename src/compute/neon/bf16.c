/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bf16 products with bfdot. Format: compute/bf16.h.
 *
 * Tile: h rows of x, 1 … 6, by one panel of 16 columns. Registers: 4 h accumulators, a
 * vector of each row of x, the panel's one by one. A step over two inputs is 4 loads and
 * 4 h bfdot of 8 products each, twice a multiply-add's; a vector of x holds four steps.
 * (bfmmla has 16 products and adds rows and columns in pairs: not built, since which of
 * the two is faster differs from core to core.) Counts of instructions: nothing was
 * measured on a core.
 *
 * Loops, splits of rows and prefetching: compute/tiles.h.
 */
#include <arm_neon.h>
#include <string.h>

#include "base/bits.h"
#include "compute/bf16.h"
#include "compute/narrow.h"
#include "compute/neon/neon.h"
#include "compute/neon/tile.h"
#include "compute/tables.h"

enum { PANEL = FBY_NEON_PANEL, TILE = FBY_NEON_ROWS, VECTORS = FBY_NEON_VECTORS, GROUP = 2 };

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

/* acc + b's pairs by a's pair `lane`; a constant once inlined. */
FBY_INLINE float32x4_t add_pair(float32x4_t acc, bfloat16x8_t b, bfloat16x8_t a, const int lane)
{
    switch (lane) {
    case 0:
        return vbfdotq_laneq_f32(acc, b, a, 0);
    case 1:
        return vbfdotq_laneq_f32(acc, b, a, 1);
    case 2:
        return vbfdotq_laneq_f32(acc, b, a, 2);
    default:
        return vbfdotq_laneq_f32(acc, b, a, 3);
    }
}

FBY_INLINE bfloat16x8_t load_eight(const void *from)
{
    return vreinterpretq_bf16_u16(vld1q_u16(from));
}

/* `lanes` steps: 4, or fewer at the end. Rows may be read beyond their numbers, to the line's end.
 */
FBY_INLINE void add_steps(const fby_tile *t, const uint16_t *x, const char *panel,
                          float32x4_t acc[TILE][VECTORS], const int rows, const int lanes)
{
    bfloat16x8_t a[TILE];
    FBY_UNROLL
    for (int row = 0; row < rows; row++)
        a[row] = load_eight(x + (size_t)row * (t->ldx / sizeof *x));
    FBY_UNROLL
    for (int lane = 0; lane < lanes; lane++)
        FBY_UNROLL
    for (int i = 0; i < VECTORS; i++) {
        bfloat16x8_t b = load_eight(panel + 64 * lane + 16 * i);
        FBY_UNROLL
        for (int row = 0; row < rows; row++)
            acc[row][i] = add_pair(acc[row][i], b, a[row], lane);
    }
}

FBY_INLINE void multiply(const fby_tile *t, float32x4_t acc[TILE][VECTORS], const int rows)
{
    const uint16_t *x = t->x;
    const char *panel = t->panel;
    uintptr_t prefetch = t->prefetch;
    size_t step = t->steps;
    FBY_NO_UNROLL
    for (; step >= 4; step -= 4) {
        FBY_UNROLL
        for (int i = 0; i < 4; i++, prefetch += t->prefetch_step)
            __builtin_prefetch((const void *)prefetch);
        add_steps(t, x, panel, acc, rows, 4);
        x += 4 * GROUP;
        panel += 4 * 64;
    }
    if (step == 3)
        add_steps(t, x, panel, acc, rows, 3);
    else if (step == 2)
        add_steps(t, x, panel, acc, rows, 2);
    else if (step == 1)
        add_steps(t, x, panel, acc, rows, 1);
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
        .ldx = fby_bf16_operand_bytes(linear->k),
        .residual = residual,
        .ldr = ldr,
        .rows = rows,
        .out = out,
        .ldo = ldo,
    };
    fby_product_run(&p, TILE, PANEL, run_tile_of);
}

static void operand(const fby_linear *next, const float *x, size_t ldx, uint32_t rows, void *out)
{
    const size_t bytes = fby_bf16_operand_bytes(next->k);
    for (uint32_t row = 0; row < rows; row++) {
        char *to = (char *)out + row * bytes;
        const float *from = x + row * ldx;
        uint32_t j = 0;
        for (; j + 8 <= next->k; j += 8) {
            bfloat16x8_t low = vcvtq_low_bf16_f32(vld1q_f32(from + j));
            bfloat16x8_t both = vcvtq_high_bf16_f32(low, vld1q_f32(from + j + 4));
            vst1q_u16((uint16_t *)(void *)to + j, vreinterpretq_u16_bf16(both));
        }
        memset(to + j * sizeof(uint16_t), 0, bytes - j * sizeof(uint16_t));
        for (; j < next->k; j++)
            ((uint16_t *)(void *)to)[j] = fby_bf16_of(from[j]);
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

/* As many bfdot a cycle as the core starts, as in peak.c. */
static uint64_t peak_loop(uint64_t rounds, float *sink)
{
    enum { CHAINS = 24 };
    float32x4_t acc[CHAINS];
    const bfloat16x8_t a = load_eight(sink), b = load_eight(sink + 16);
    FBY_UNROLL
    for (int i = 0; i < CHAINS; i++)
        acc[i] = vld1q_f32(sink + 4 * i);
    FBY_NO_UNROLL
    for (uint64_t round = 0; round < rounds; round++)
        FBY_UNROLL
    for (int i = 0; i < CHAINS; i++)
        acc[i] = vbfdotq_f32(acc[i], a, b);
    FBY_UNROLL
    for (int i = 0; i < CHAINS; i++)
        vst1q_f32(sink + 4 * i, acc[i]);
    return rounds * CHAINS * 8 * 2;
}

const fby_narrow fby_bf16_neonmm = {
    .name = "neonmm",
    .precision = "bf16",
    .version = 1,
    .panel_width = PANEL,
    .row_tile = TILE,
    .packed_bytes = packed_bytes,
    .pack = pack,
    .operand_bytes = fby_bf16_operand_bytes,
    .operand = operand,
    .linear = linear,
    .linear_operand = linear_operand,
    .linear_residual_norm = linear_residual_norm,
    .peak_loop = peak_loop,
};
