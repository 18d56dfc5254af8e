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
 * of 14 x 32 floats in level 1. Loops, splits of rows and prefetching:
 * compute/tiles.h.
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
#include "compute/tiles.h"

enum { PANEL = FBY_AVX512_PANEL, TILE = FBY_AVX512_ROWS, HALF = TILE / 2, GROUP = 2 };

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
FBY_INLINE void finish(const fby_tile *t, const char *panel, __m512 acc[TILE][2], const size_t rows,
                       const bool whole)
{
    const __m512 bias[2] = {_mm512_load_ps(panel), _mm512_load_ps(panel + 64)};
    FBY_UNROLL
    for (size_t i = 0; i < 2; i++) {
        const __mmask16 lanes = fby_avx512_lanes(t->columns, (uint32_t)i);
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

FBY_INLINE void run_tile(const fby_tile *t, const size_t rows)
{
    __m512 acc[TILE][2];
    const size_t ldx = t->ldx, prefetch_step = t->prefetch_step;
    const char *low = t->x, *high = low + (rows > HALF ? HALF * ldx : 0); /* as in linear.c */
    const char *panel = t->panel;
    __asm__("" : "+r"(high));
    uintptr_t prefetch = t->prefetch;

    FBY_UNROLL
    for (size_t row = 0; row < rows; row++)
        acc[row][0] = acc[row][1] = _mm512_setzero_ps();
    FBY_NO_UNROLL
    for (size_t i = t->steps; i != 0; i--) {
        __m512i b0 = _mm512_load_si512(panel), b1 = _mm512_load_si512(panel + 64);
        __asm__("" : "+v"(b0), "+v"(b1)); /* as in linear.c */
        _mm_prefetch((const char *)prefetch, _MM_HINT_T0);
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
    if (t->columns == PANEL)
        finish(t, panel, acc, rows, true);
    else
        finish(t, panel, acc, rows, false);
}

/* x (rows, columns) as bf16. */
static void round_rows(const float *x, size_t ldx, uint32_t rows, uint32_t columns, uint16_t *out,
                       size_t ldo)
{
    for (uint32_t row = 0; row < rows; row++, x += ldx, out += ldo)
        for (uint32_t j = 0; j < columns; j += 16) {
            __mmask16 lanes = fby_avx512_lanes(columns - j, 0);
            __m256i y = (__m256i)_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(lanes, x + j));
            _mm256_mask_storeu_epi16(out + j, lanes, y);
        }
}

static void run_tile_of(const fby_tile *to, fby_activation activation)
{
    alignas(64) float block[TILE * PANEL];
    fby_tile floats = *to, *t = &floats;
    if (to->narrow != NULL) {
        t->out = block;
        t->ldo = PANEL;
    }
#define RUN_TILE(height) run_tile(t, height)
    FBY_HEIGHTS(t->rows, 14, RUN_TILE)
#undef RUN_TILE
    if (activation != FBY_ACTIVATION_NONE)
        fby_avx512_activate(activation, t->out, t->ldo, t->rows, t->columns);
    if (to->narrow != NULL)
        round_rows(block, PANEL, t->rows, t->columns, to->narrow, to->ldo);
}

/* What lies between a row's end and its last cache line's. */
static void clear_ends(char *out, uint32_t k, uint32_t rows)
{
    const size_t bytes = fby_bf16_operand_bytes(k), used = k * sizeof(uint16_t);
    for (uint32_t row = 0; row < rows && used < bytes; row++)
        memset(out + row * bytes + used, 0, bytes - used);
}

static void product(const fby_linear *linear, fby_activation activation, const void *x,
                    const float *residual, size_t ldr, uint32_t rows, float *out, uint16_t *narrow,
                    size_t ldo)
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
        .narrow = narrow,
        .ldo = ldo,
    };
    fby_product_run(&p, TILE, PANEL, run_tile_of);
}

static void operand(const fby_linear *next, const float *x, size_t ldx, uint32_t rows, void *out)
{
    round_rows(x, ldx, rows, next->k, out, fby_bf16_operand_bytes(next->k) / sizeof(uint16_t));
    clear_ends(out, next->k, rows);
}

static void linear(const fby_linear *linear, fby_activation activation, const void *x,
                   uint32_t rows, float *out, size_t ldo)
{
    product(linear, activation, x, NULL, 0, rows, out, NULL, ldo);
}

static void linear_bf16(const fby_linear *linear, const void *x, uint32_t rows, uint16_t *out,
                        size_t ldo)
{
    product(linear, FBY_ACTIVATION_NONE, x, NULL, 0, rows, NULL, out, ldo);
}

static void linear_operand(const fby_linear *linear, fby_activation activation, const void *x,
                           uint32_t rows, const fby_linear *next, float *wide, size_t ldw,
                           void *out)
{
    (void)wide;
    (void)ldw;
    product(linear, activation, x, NULL, 0, rows, NULL, out,
            fby_bf16_operand_bytes(next->k) / sizeof(uint16_t));
    clear_ends(out, next->k, rows);
}

static void linear_residual_norm(const fby_linear *linear, const fby_layer_norm *norm,
                                 const void *x, const float *residual, size_t ldr, uint32_t rows,
                                 float *out, size_t ldo, const fby_linear *next, void *out_operand)
{
    product(linear, FBY_ACTIVATION_NONE, x, residual, ldr, rows, out, NULL, ldo);
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
