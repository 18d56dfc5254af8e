/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bf16 weights widened on load: half of f32's memory, two thirds of its speed (Zen 4).
 * Left sides stay f32. Format: compute/bf16.h.
 *
 * Tile: h rows of x, 1 … 4, by one panel of 24 columns. Registers: 3 h accumulators,
 * three vectors of the panel, one number of x in all lanes; 16 of 16 at h = 4. A step
 * over two inputs is 2 h broadcasts, 6 loads, 9 shifts, and 6 h multiply-adds.
 *
 * Loops, splits of rows and prefetching: compute/tiles.h.
 */
#include <immintrin.h>
#include <string.h>

#include "base/bits.h"
#include "compute/avx2/avx2.h"
#include "compute/avx2/vector.h"
#include "compute/bf16.h"
#include "compute/bf16_widened.h"
#include "compute/narrow.h"
#include "compute/tables.h"
#include "compute/tiles.h"

enum { PANEL = FBY_AVX2_PANEL, VECTORS = 3, TILE = FBY_AVX2_ROWS, GROUP = 2 };

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

FBY_INLINE void run_tile(const fby_tile *t, const int rows)
{
    __m256 acc[TILE][VECTORS];
    const float *x = t->x;
    const char *panel = t->panel;
    const size_t ldx = t->ldx / sizeof(float), prefetch_step = t->prefetch_step;
    uintptr_t prefetch = t->prefetch;

    FBY_UNROLL
    for (int row = 0; row < rows; row++)
        FBY_UNROLL
    for (int i = 0; i < VECTORS; i++)
        acc[row][i] = _mm256_setzero_ps();
    FBY_NO_UNROLL
    for (size_t step = t->steps; step != 0; step--) {
        _mm_prefetch((const char *)prefetch, _MM_HINT_T0);
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

static void run_tile_of(const fby_tile *t, fby_activation activation)
{
#define RUN_TILE(height) run_tile(t, height)
    FBY_HEIGHTS(t->rows, 4, RUN_TILE)
#undef RUN_TILE
    if (activation != FBY_ACTIVATION_NONE)
        fby_avx2_activate(activation, t->out, t->ldo, t->rows, t->columns);
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
    fby_avx2_layer_norm(norm, out, ldo, rows);
    if (next != NULL)
        fby_widened_operand(next, out, ldo, rows, out_operand);
}

const fby_narrow fby_bf16_avx2 = {
    .name = "avx2",
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
