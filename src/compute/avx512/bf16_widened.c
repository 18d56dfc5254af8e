/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bf16 weights where there is no AVX512-BF16: widened on load, half of f32's memory
 * at 94 % of its speed (Zen 4). Left sides stay f32. Format: compute/bf16.h.
 *
 * Tile: h rows of x, 1 … 12, by one panel of 32 columns. Registers: 2 h
 * accumulators, two vectors of the panel, one number of x in all lanes, a mask; 28 of
 * 32 at h = 12. A step over two inputs is 2 h broadcasts, 4 loads that shift or mask,
 * and 4 h multiply-adds.
 *
 * Loops, splits of rows and prefetching: compute/tiles.h.
 */
#include <immintrin.h>
#include <string.h>

#include "base/bits.h"
#include "compute/avx512/avx512.h"
#include "compute/avx512/vector.h"
#include "compute/bf16.h"
#include "compute/bf16_widened.h"
#include "compute/narrow.h"
#include "compute/tables.h"
#include "compute/tiles.h"

enum { PANEL = FBY_AVX512_PANEL, VECTORS = 2, TILE = 12, HALF = TILE / 2, GROUP = 2 };

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

/* The even or the odd inputs' weights of 16 columns. */
FBY_INLINE __m512 widen(const char *panel, const int odd)
{
    __m512i pairs = _mm512_load_si512(panel);
    __m512i bits = odd ? _mm512_and_si512(pairs, _mm512_set1_epi32((int)0xffff0000))
                       : _mm512_slli_epi32(pairs, 16);
    return _mm512_castsi512_ps(bits);
}

FBY_INLINE void run_tile(const fby_tile *t, const size_t rows)
{
    __m512 acc[TILE][VECTORS];
    const size_t ldx = t->ldx / sizeof(float), prefetch_step = t->prefetch_step;
    const float *low = t->x;
    const float *high = low + (rows > HALF ? HALF * ldx : 0); /* as in linear.c */
    __asm__("" : "+r"(high));
    const char *panel = t->panel;
    uintptr_t prefetch = t->prefetch;

    FBY_UNROLL
    for (size_t row = 0; row < rows; row++)
        acc[row][0] = acc[row][1] = _mm512_setzero_ps();
    FBY_NO_UNROLL
    for (size_t i = t->steps; i != 0; i--) {
        _mm_prefetch((const char *)prefetch, _MM_HINT_T0);
        FBY_UNROLL
        for (int odd = 0; odd < GROUP; odd++) {
            __m512 b0 = widen(panel, odd), b1 = widen(panel + 64, odd);
            __asm__("" : "+v"(b0), "+v"(b1));
            FBY_UNROLL
            for (size_t row = 0; row < rows; row++) {
                const float *x = row < HALF ? low + row * ldx : high + (row - HALF) * ldx;
                __m512 a = _mm512_set1_ps(x[odd]);
                acc[row][0] = _mm512_fmadd_ps(a, b0, acc[row][0]);
                acc[row][1] = _mm512_fmadd_ps(a, b1, acc[row][1]);
            }
        }
        low += GROUP;
        high += GROUP;
        panel += 64 * VECTORS;
        prefetch += prefetch_step;
    }

    FBY_UNROLL
    for (uint32_t i = 0; i < VECTORS; i++) {
        const __m512 bias = _mm512_load_ps(panel + 64 * i);
        const __mmask16 lanes = fby_avx512_lanes(t->columns, i);
        float *out = t->out + 16 * i;
        const float *residual = t->residual != NULL ? t->residual + 16 * i : NULL;
        FBY_UNROLL
        for (size_t row = 0; row < rows; row++, out += t->ldo) {
            __m512 y = _mm512_add_ps(acc[row][i], bias);
            if (residual != NULL) {
                y = _mm512_add_ps(y, _mm512_maskz_loadu_ps(lanes, residual));
                residual += t->ldr;
            }
            _mm512_mask_storeu_ps(out, lanes, y);
        }
    }
}

static void run_tile_of(const fby_tile *t, fby_activation activation)
{
#define RUN_TILE(height) run_tile(t, height)
    FBY_HEIGHTS(t->rows, 12, RUN_TILE)
#undef RUN_TILE
    if (activation != FBY_ACTIVATION_NONE)
        fby_avx512_activate(activation, t->out, t->ldo, t->rows, t->columns);
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
    (void)wide;
    (void)ldw;
    product(linear, activation, x, NULL, 0, rows, out,
            fby_widened_operand_bytes(next->k) / sizeof(float));
    fby_widened_clear_ends(out, next->k, rows);
}

static void linear_residual_norm(const fby_linear *linear, const fby_layer_norm *norm,
                                 const void *x, const float *residual, size_t ldr, uint32_t rows,
                                 float *out, size_t ldo, const fby_linear *next, void *out_operand)
{
    product(linear, FBY_ACTIVATION_NONE, x, residual, ldr, rows, out, ldo);
    fby_avx512_layer_norm(norm, out, ldo, rows);
    if (next != NULL)
        fby_widened_operand(next, out, ldo, rows, out_operand);
}

const fby_narrow fby_bf16_avx512 = {
    .name = "avx512",
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
