/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bf16 weights where there is no AVX512-BF16: widened on load, half of f32's memory
 * at f32's speed. Left sides stay f32. Format: compute/bf16.h.
 *
 * Tile: h rows of x, 1 … 12, by one panel of 32 columns. Registers: 2 h
 * accumulators, two vectors of the panel, one number of x in all lanes, a mask; 28 of
 * 32 at h = 12. A step over two inputs is 2 h broadcasts, 4 loads that shift or mask,
 * and 4 h multiply-adds.
 *
 * Loops, splits of rows and prefetching: as in linear.c.
 */
#include <immintrin.h>
#include <string.h>

#include "base/bits.h"
#include "compute/avx512/avx512.h"
#include "compute/avx512/vector.h"
#include "compute/bf16.h"
#include "compute/narrow.h"
#include "compute/tables.h"

enum { PANEL = FBY_AVX512_PANEL, VECTORS = 2, TILE = 12, HALF = TILE / 2, GROUP = 2 };

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

/* The even or the odd inputs' weights of 16 columns. */
FBY_INLINE __m512 widen(const char *panel, const int odd)
{
    __m512i pairs = _mm512_load_si512(panel);
    __m512i bits = odd ? _mm512_and_si512(pairs, _mm512_set1_epi32((int)0xffff0000))
                       : _mm512_slli_epi32(pairs, 16);
    return _mm512_castsi512_ps(bits);
}

FBY_INLINE void run_tile(const tile *t, const size_t rows)
{
    __m512 acc[TILE][VECTORS];
    const float *low = t->x, *high = t->x + HALF * t->ldx; /* as in linear.c */
    __asm__("" : "+r"(high));
    const char *panel = t->panel, *prefetch = t->prefetch;
    const size_t ldx = t->ldx, prefetch_step = t->prefetch_step;

    FBY_UNROLL
    for (size_t row = 0; row < rows; row++)
        acc[row][0] = acc[row][1] = _mm512_setzero_ps();
    FBY_NO_UNROLL
    for (size_t i = t->steps; i != 0; i--) {
        _mm_prefetch(prefetch, _MM_HINT_T0);
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
    case 6:
        run_tile(t, 6);
        return;
    case 7:
        run_tile(t, 7);
        return;
    case 8:
        run_tile(t, 8);
        return;
    case 9:
        run_tile(t, 9);
        return;
    case 10:
        run_tile(t, 10);
        return;
    case 11:
        run_tile(t, 11);
        return;
    default:
        run_tile(t, 12);
        return;
    }
}

/* out (rows, n) = activation(x Wᵀ + bias [+ residual]). */
static void product(const fby_linear *linear, fby_activation activation, const void *left,
                    const float *residual, size_t ldr, uint32_t rows, float *out, size_t ldo)
{
    const size_t stride = fby_bf16_panel_bytes(shape, linear->k);
    const size_t ldx = operand_bytes(linear->k) / sizeof(float);
    const size_t steps = fby_div_up_u32(linear->k, GROUP);
    const uint32_t tiles = fby_div_up_u32(rows, TILE);
    const float *x = left;
    const char *panel = linear->packed;

    if (rows == 0)
        return;
    const size_t prefetch_step = fby_min_size(stride / (tiles * steps) + 1, 64);
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
                fby_avx512_activate(activation, t.out, ldo, height, columns);
            row += height;
        }
    }
}

/* What lies between a row's end and its last cache line's. */
static void clear_ends(float *out, uint32_t k, uint32_t rows)
{
    const size_t ld = operand_bytes(k) / sizeof(float);
    for (uint32_t row = 0; row < rows && k < ld; row++)
        memset(out + row * ld + k, 0, (ld - k) * sizeof(float));
}

static void operand(const fby_linear *next, const float *x, size_t ldx, uint32_t rows, void *out)
{
    const size_t ld = operand_bytes(next->k) / sizeof(float);
    for (uint32_t row = 0; row < rows; row++)
        memcpy((float *)out + row * ld, x + row * ldx, next->k * sizeof(float));
    clear_ends(out, next->k, rows);
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
    product(linear, activation, x, NULL, 0, rows, out, operand_bytes(next->k) / sizeof(float));
    clear_ends(out, next->k, rows);
}

static void linear_residual_norm(const fby_linear *linear, const fby_layer_norm *norm,
                                 const void *x, const float *residual, size_t ldr, uint32_t rows,
                                 float *out, size_t ldo, const fby_linear *next, void *out_operand)
{
    product(linear, FBY_ACTIVATION_NONE, x, residual, ldr, rows, out, ldo);
    fby_avx512_layer_norm(norm, out, ldo, rows);
    if (next != NULL)
        operand(next, out, ldo, rows, out_operand);
}

const fby_narrow fby_bf16_avx512 = {
    .name = "avx512",
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
