/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bf16 products with AVX512-BF16. Format: compute/bf16.h.
 *
 * Tile: h rows of x, 1 … 14, by one panel of 32 columns. Registers: 2 h
 * accumulators, two vectors of the panel, two numbers of x in all lanes; 31 of 32
 * at h = 14. A step over two inputs is h broadcasts, 2 loads and 2 h vdpbf16ps: 28
 * cycles at h = 14 where a core starts one 512-bit vdpbf16ps a cycle (Zen 4).
 *
 * Measured on Zen 4, from level 1: 5,479 cycles a tile of 384 inputs (98.1 %).
 *
 * What is read as bf16 next is activated and rounded tile by tile, from a block
 * of 14 x 32 floats in level 1. Loops, splits of rows and prefetching: as in
 * linear.c.
 */
#include <immintrin.h>
#include <stdbool.h>
#include <stdalign.h>

#include "base/bits.h"
#include "compute/avx512/attention_bf16.h"
#include "compute/avx512/avx512.h"
#include "compute/avx512/vector.h"
#include "compute/bf16.h"
#include "compute/narrow.h"
#include "compute/tables.h"

enum { PANEL = FBY_AVX512_PANEL, TILE = FBY_AVX512_ROWS, HALF = TILE / 2, GROUP = 2 };

static const fby_bf16_shape shape = {PANEL, GROUP};

typedef struct tile {
    const char *x;
    size_t ldx; /* bytes */
    const char *panel;
    size_t steps;
    const char *prefetch; /* from here on … */
    size_t prefetch_step; /* … so many bytes a step */
    const float *residual;
    size_t ldr;
    float *out;
    size_t ldo;
    __mmask16 lanes[2]; /* of the panel's columns that exist */
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

/* ---- products ---- */

FBY_INLINE const char *row_at(const char *low, const char *high, size_t ldx, size_t row)
{
    return row < HALF ? low + row * ldx : high + (row - HALF) * ldx;
}

/* Whole stores can be forwarded to the activation's loads. */
FBY_INLINE void store(float *out, __m512 y, __mmask16 lanes, const bool whole)
{
    if (whole)
        _mm512_storeu_ps(out, y);
    else
        _mm512_mask_storeu_ps(out, lanes, y);
}

/* panel: the columns' bias. */
FBY_INLINE void finish(const tile *t, const char *panel, __m512 acc[TILE][2], const size_t rows,
                       const bool whole)
{
    const __m512 bias[2] = {_mm512_load_ps(panel), _mm512_load_ps(panel + 64)};
    FBY_UNROLL
    for (size_t i = 0; i < 2; i++) {
        const __mmask16 lanes = t->lanes[i];
        float *out = t->out + 16 * i;
        const float *residual = t->residual != NULL ? t->residual + 16 * i : NULL;
        FBY_UNROLL
        for (size_t row = 0; row < rows; row++, out += t->ldo) {
            __m512 y = _mm512_add_ps(acc[row][i], bias[i]);
            if (residual != NULL) {
                y = _mm512_add_ps(y, _mm512_maskz_loadu_ps(lanes, residual));
                residual += t->ldr;
            }
            store(out, y, lanes, whole);
        }
    }
}

FBY_INLINE void run_tile(const tile *t, const size_t rows)
{
    __m512 acc[TILE][2];
    /* Two bases for the rows, as in linear.c. */
    const char *low = t->x, *high = t->x + HALF * t->ldx, *panel = t->panel;
    __asm__("" : "+r"(high));
    const char *prefetch = t->prefetch;
    const size_t ldx = t->ldx, prefetch_step = t->prefetch_step;

    FBY_UNROLL
    for (size_t row = 0; row < rows; row++)
        acc[row][0] = acc[row][1] = _mm512_setzero_ps();
    FBY_NO_UNROLL
    for (size_t i = t->steps; i != 0; i--) {
        __m512i b0 = _mm512_load_si512(panel), b1 = _mm512_load_si512(panel + 64);
        __asm__("" : "+v"(b0), "+v"(b1)); /* as in linear.c */
        _mm_prefetch(prefetch, _MM_HINT_T0);
        FBY_UNROLL
        for (size_t row = 0; row < rows; row++) {
            const void *x = row_at(low, high, ldx, row);
            __m512i a = _mm512_set1_epi32(*(const int *)x);
            acc[row][0] = _mm512_dpbf16_ps(acc[row][0], (__m512bh)a, (__m512bh)b0);
            acc[row][1] = _mm512_dpbf16_ps(acc[row][1], (__m512bh)a, (__m512bh)b1);
        }
        low += GROUP * sizeof(uint16_t);
        high += GROUP * sizeof(uint16_t);
        panel += 128;
        prefetch += prefetch_step;
    }
    if (t->lanes[1] == 0xffff)
        finish(t, panel, acc, rows, true);
    else
        finish(t, panel, acc, rows, false);
}

/* One body a height: the same sums. */
static void run_tile_of(const tile *t, uint32_t rows)
{
#define RUN_TILE(height) run_tile(t, height)
    FBY_AVX512_HEIGHTS(rows, RUN_TILE)
#undef RUN_TILE
}

/* x (rows, columns) as bf16; out is ldo bytes from row to row. */
static void round_rows(const float *x, size_t ldx, uint32_t rows, uint32_t columns, char *out,
                       size_t ldo)
{
    for (uint32_t row = 0; row < rows; row++, x += ldx, out += ldo)
        for (uint32_t j = 0; j < columns; j += 16) {
            __mmask16 lanes = fby_avx512_lanes(columns - j, 0);
            __m256i y = (__m256i)_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(lanes, x + j));
            _mm256_mask_storeu_epi16(out + j * sizeof(uint16_t), lanes, y);
        }
}

/* What lies between a row's end and its last cache line's. */
static void clear_ends(char *out, uint32_t k, uint32_t rows)
{
    const size_t bytes = fby_bf16_operand_bytes(k), used = k * sizeof(uint16_t);
    for (uint32_t row = 0; row < rows && used < bytes; row++)
        memset(out + row * bytes + used, 0, bytes - used);
}

/* Where a product's tiles go: to floats, or, if `narrow` is not NULL, to bf16. */
typedef struct target {
    float *out;
    size_t ldo;
    char *narrow;
    size_t ldn;
} target;

/* activation(x Wᵀ + bias [+ residual]). */
static void product(const fby_linear *linear, fby_activation activation, const char *x,
                    const float *residual, size_t ldr, uint32_t rows, const target *to)
{
    const size_t stride = fby_bf16_panel_bytes(shape, linear->k);
    const size_t ldx = fby_bf16_operand_bytes(linear->k);
    const size_t steps = fby_div_up_u32(linear->k, GROUP);
    const uint32_t tiles = fby_div_up_u32(rows, TILE);
    const char *panel = linear->packed;
    alignas(64) float block[TILE * PANEL];

    if (rows == 0)
        return;
    const size_t pace = stride / (tiles * steps) + 1;
    const size_t prefetch_step = fby_min_size(pace, 64);
    for (uint32_t column = 0; column < linear->n; column += PANEL, panel += stride) {
        uint32_t columns = fby_min_u32(PANEL, linear->n - column);
        uint32_t row = 0;
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
                .out = to->narrow != NULL ? block : to->out + row * to->ldo + column,
                .ldo = to->narrow != NULL ? PANEL : to->ldo,
                .lanes = {fby_avx512_lanes(columns, 0), fby_avx512_lanes(columns, 1)},
            };
            run_tile_of(&t, height);
            if (activation != FBY_ACTIVATION_NONE)
                fby_avx512_activate(activation, t.out, t.ldo, height, columns);
            if (to->narrow != NULL)
                round_rows(block, PANEL, height, columns,
                           to->narrow + row * to->ldn + column * sizeof(uint16_t), to->ldn);
            row += height;
        }
    }
}

static void operand(const fby_linear *next, const float *x, size_t ldx, uint32_t rows, void *out)
{
    round_rows(x, ldx, rows, next->k, out, fby_bf16_operand_bytes(next->k));
    clear_ends(out, next->k, rows);
}

static void linear(const fby_linear *linear, fby_activation activation, const void *x,
                   uint32_t rows, float *out, size_t ldo)
{
    const target to = {.out = out, .ldo = ldo};
    product(linear, activation, x, NULL, 0, rows, &to);
}

static void linear_bf16(const fby_linear *linear, const void *x, uint32_t rows, uint16_t *out,
                        size_t ldo)
{
    const target to = {.narrow = (char *)out, .ldn = ldo * sizeof(uint16_t)};
    product(linear, FBY_ACTIVATION_NONE, x, NULL, 0, rows, &to);
}

static void linear_operand(const fby_linear *linear, fby_activation activation, const void *x,
                           uint32_t rows, const fby_linear *next, float *wide, size_t ldw,
                           void *out)
{
    (void)wide;
    (void)ldw;
    const target to = {.narrow = out, .ldn = fby_bf16_operand_bytes(next->k)};
    product(linear, activation, x, NULL, 0, rows, &to);
    clear_ends(out, next->k, rows);
}

static void linear_residual_norm(const fby_linear *linear, const fby_layer_norm *norm,
                                 const void *x, const float *residual, size_t ldr, uint32_t rows,
                                 float *out, size_t ldo, const fby_linear *next, void *out_operand)
{
    const target to = {.out = out, .ldo = ldo};
    product(linear, FBY_ACTIVATION_NONE, x, residual, ldr, rows, &to);
    for (uint32_t row = 0; row < rows; row += FBY_AVX512_NORM_ROWS) {
        uint32_t count = fby_min_u32(FBY_AVX512_NORM_ROWS, rows - row);
        fby_avx512_layer_norm(norm, out + row * ldo, ldo, count);
        if (next != NULL)
            operand(next, out + row * ldo, ldo, count,
                    (char *)out_operand + row * fby_bf16_operand_bytes(next->k));
    }
}

/* As many vdpbf16ps a cycle as the core starts, as in peak.c. */
static uint64_t peak_loop(uint64_t rounds, float *sink)
{
    enum { CHAINS = 24 };
    __m512 acc[CHAINS];
    const __m512i a = _mm512_loadu_si512(sink), b = _mm512_loadu_si512(sink + 16);
    FBY_UNROLL
    for (int i = 0; i < CHAINS; i++)
        acc[i] = _mm512_loadu_ps(sink + 16 * i);
    FBY_NO_UNROLL
    for (uint64_t round = 0; round < rounds; round++)
        FBY_UNROLL
    for (int i = 0; i < CHAINS; i++)
        acc[i] = _mm512_dpbf16_ps(acc[i], (__m512bh)a, (__m512bh)b);
    FBY_UNROLL
    for (int i = 0; i < CHAINS; i++)
        _mm512_storeu_ps(sink + 16 * i, acc[i]);
    return rounds * CHAINS * 32 * 2;
}

const fby_narrow fby_bf16_avx512bf16 = {
    .name = "avx512bf16",
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
    .linear_bf16 = linear_bf16,
    .attention_scratch = fby_avx512_attention_bf16_scratch,
    .attention = fby_avx512_attention_bf16,
    .peak_loop = peak_loop,
};
