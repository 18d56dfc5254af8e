/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bf16 weights widened on load: half of f32's memory at f32's speed. Left sides stay
 * f32. Format: compute/bf16.h.
 *
 * Tile: h rows of x, 1 … 4, by one panel of 24 columns. Registers: 3 h accumulators,
 * three vectors of the panel, one number of x in all lanes; 16 of 16 at h = 4. A step
 * over two inputs is 2 h broadcasts, 6 loads, 9 shifts, and 6 h multiply-adds.
 *
 * Loops, splits of rows and prefetching: as in linear.c.
 */
#include <immintrin.h>
#include <string.h>

#include "base/bits.h"
#include "compute/avx2/avx2.h"
#include "compute/avx2/vector.h"
#include "compute/bf16.h"
#include "compute/narrow.h"
#include "compute/tables.h"

enum { PANEL = FBY_AVX2_PANEL, VECTORS = 3, TILE = FBY_AVX2_ROWS, GROUP = 2 };

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

/* The even or the odd inputs' weights of 8 columns. Shifted twice, since a mask would be a 17th
 * register. */
FBY_INLINE __m256 widen(const char *panel, const int odd)
{
    __m256i bits = _mm256_load_si256((const __m256i *)(const void *)panel);
    if (odd) {
        bits = _mm256_srli_epi32(bits, 16);
        __asm__("" : "+x"(bits)); /* which compilers would make a mask again */
    }
    bits = _mm256_slli_epi32(bits, 16);
    return _mm256_castsi256_ps(bits);
}

FBY_INLINE void run_tile(const tile *t, const int rows)
{
    __m256 acc[TILE][VECTORS];
    const float *x = t->x;
    const char *panel = t->panel, *prefetch = t->prefetch;
    const size_t ldx = t->ldx, prefetch_step = t->prefetch_step;

    FBY_UNROLL
    for (int row = 0; row < rows; row++)
        FBY_UNROLL
    for (int i = 0; i < VECTORS; i++)
        acc[row][i] = _mm256_setzero_ps();
    FBY_NO_UNROLL
    for (size_t step = t->steps; step != 0; step--) {
        _mm_prefetch(prefetch, _MM_HINT_T0);
        FBY_UNROLL
        for (int odd = 0; odd < GROUP; odd++) {
            __m256 b[VECTORS];
            __asm__ volatile("" ::: "memory"); /* the odd ones are not loaded with the even ones */
            FBY_UNROLL
            for (int i = 0; i < VECTORS; i++) {
                b[i] = widen(panel + 32 * i, odd);
                __asm__("" : "+x"(b[i])); /* as in linear.c */
            }
            FBY_UNROLL
            for (int row = 0; row < rows; row++) {
                __m256 a = _mm256_broadcast_ss(x + (size_t)row * ldx + odd);
                FBY_UNROLL
                for (int i = 0; i < VECTORS; i++)
                    acc[row][i] = _mm256_fmadd_ps(a, b[i], acc[row][i]);
            }
        }
        x += GROUP;
        panel += 32 * VECTORS;
        prefetch += prefetch_step;
    }

    FBY_UNROLL
    for (int i = 0; i < VECTORS; i++) {
        const __m256 bias = _mm256_load_ps((const float *)(const void *)(panel + 32 * i));
        const uint32_t first = 8 * (uint32_t)i;
        const uint32_t columns = t->columns > first ? t->columns - first : 0;
        float *out = t->out + first;
        const float *residual = t->residual != NULL ? t->residual + first : NULL;
        FBY_UNROLL
        for (int row = 0; row < rows; row++, out += t->ldo) {
            __m256 y = _mm256_add_ps(acc[row][i], bias);
            if (residual != NULL) {
                y = _mm256_add_ps(y, fby_avx2_load(residual, columns));
                residual += t->ldr;
            }
            fby_avx2_store(out, y, columns);
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
    default:
        run_tile(t, 4);
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
                fby_avx2_activate(activation, t.out, ldo, height, columns);
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
    fby_avx2_layer_norm(norm, out, ldo, rows);
    if (next != NULL)
        operand(next, out, ldo, rows, out_operand);
}

const fby_narrow fby_bf16_avx2 = {
    .name = "avx2",
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
