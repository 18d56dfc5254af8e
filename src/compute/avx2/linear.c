/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Products with packed weights.
 *
 * Tile: h rows of x, 1 … 4, by one panel of 24 columns. Registers: 3 h
 * accumulators, three vectors of the panel, one element of x in all lanes: 16 of
 * 16 at h = 4. A step over k is h broadcasts, 3 loads and 3 h multiply-adds: 6
 * cycles at h = 4 where a core starts two 256-bit multiply-adds a cycle.
 *
 * Loops, splits of rows and prefetching: compute/tiles.h.
 *
 * Measured on Zen 4 (EPYC Genoa, gcc 12): 98 % of the peak from level 1; MiniLM's
 * products of 126 rows, the weights of 6 layers in turn, on a busy machine: 89 to
 * 94 %, with GELU 89 %.
 *
 * A panel is (k, 24) weights, then the 24 columns' bias; columns beyond n are 0.
 */
#include <immintrin.h>
#include <string.h>

#include "base/assert.h"
#include "base/bits.h"
#include "compute/avx2/avx2.h"
#include "compute/avx2/vector.h"
#include "compute/tiles.h"

enum { PANEL = FBY_AVX2_PANEL, TILE = FBY_AVX2_ROWS, VECTORS = PANEL / 8 };

static size_t panel_floats(uint32_t k)
{
    return ((size_t)k + 1) * PANEL;
}

size_t fby_avx2_packed_bytes(uint32_t n, uint32_t k)
{
    return fby_align_up(fby_div_up_u32(n, PANEL) * panel_floats(k) * sizeof(float), 64);
}

void fby_avx2_pack(const float *w, const float *bias, uint32_t n, uint32_t k, void *packed)
{
    fby_assert(n - 1 < FBY_LINEAR_MAX && k - 1 < FBY_LINEAR_MAX);
    memset(packed, 0, fby_avx2_packed_bytes(n, k));
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

/* Where all columns exist; else by fby_avx2_load() and _store(), which take longer. */
FBY_INLINE void add_and_store(const fby_tile *t, __m256 acc[TILE][VECTORS], const int rows)
{
    const float *residual = t->residual;
    float *out = t->out;
    if (residual != NULL)
        FBY_UNROLL
    for (int row = 0; row < rows; row++, residual += t->ldr)
        FBY_UNROLL
    for (int i = 0; i < VECTORS; i++)
        acc[row][i] = _mm256_add_ps(acc[row][i], _mm256_loadu_ps(residual + 8 * i));
    FBY_UNROLL
    for (int row = 0; row < rows; row++, out += t->ldo)
        FBY_UNROLL
    for (int i = 0; i < VECTORS; i++)
        _mm256_storeu_ps(out + 8 * i, acc[row][i]);
}

static void add_and_store_some(const fby_tile *t, float sum[TILE][PANEL], uint32_t rows)
{
    for (uint32_t row = 0; row < rows; row++) {
        if (t->residual != NULL)
            fby_avx2_add(sum[row], t->residual + row * t->ldr, t->columns);
        memcpy(t->out + row * t->ldo, sum[row], t->columns * sizeof(float));
    }
}

FBY_INLINE void run_tile(const fby_tile *t, const int rows)
{
    __m256 acc[TILE][VECTORS];
    const float *x = t->x, *panel = t->panel;
    const size_t ldx = t->ldx / sizeof(float), prefetch_step = t->prefetch_step;
    uintptr_t prefetch = t->prefetch;

    FBY_UNROLL
    for (int row = 0; row < rows; row++)
        FBY_UNROLL
    for (int i = 0; i < VECTORS; i++)
        acc[row][i] = _mm256_setzero_ps();
    FBY_NO_UNROLL
    for (size_t step = t->steps; step != 0; step--) {
        __m256 b[VECTORS];
        FBY_UNROLL
        for (int i = 0; i < VECTORS; i++) {
            b[i] = _mm256_loadu_ps(panel + 8 * i);
            /* Registers, not memory operands of each multiply-add, as gcc prefers. */
            __asm__("" : "+x"(b[i]));
        }
        _mm_prefetch((const char *)prefetch, _MM_HINT_T0);
        FBY_UNROLL
        for (int row = 0; row < rows; row++) {
            __m256 a = _mm256_broadcast_ss(x + (size_t)row * ldx);
            FBY_UNROLL
            for (int i = 0; i < VECTORS; i++)
                acc[row][i] = _mm256_fmadd_ps(a, b[i], acc[row][i]);
        }
        x++;
        panel += PANEL;
        prefetch += prefetch_step;
    }

    FBY_UNROLL
    for (int row = 0; row < rows; row++)
        FBY_UNROLL
    for (int i = 0; i < VECTORS; i++)
        acc[row][i] = _mm256_add_ps(acc[row][i], _mm256_loadu_ps(panel + 8 * i));
    if (t->columns == PANEL) {
        add_and_store(t, acc, rows);
        return;
    }
    float sum[TILE][PANEL];
    FBY_UNROLL
    for (int row = 0; row < rows; row++)
        FBY_UNROLL
    for (int i = 0; i < VECTORS; i++)
        _mm256_storeu_ps(sum[row] + 8 * i, acc[row][i]);
    add_and_store_some(t, sum, (uint32_t)rows);
}

static void run_tile_of(const fby_tile *t, fby_activation activation)
{
#define RUN_TILE(height) run_tile(t, height)
    FBY_HEIGHTS(t->rows, 4, RUN_TILE)
#undef RUN_TILE
    if (activation != FBY_ACTIVATION_NONE)
        fby_avx2_activate(activation, t->out, t->ldo, t->rows, t->columns);
}

static void product(const fby_linear *linear, fby_activation activation, const float *x, size_t ldx,
                    const float *residual, size_t ldr, uint32_t rows, float *out, size_t ldo)
{
    const fby_product p = {
        .linear = linear,
        .activation = activation,
        .panel_bytes = panel_floats(linear->k) * sizeof(float),
        .steps = linear->k,
        .x = x,
        .ldx = ldx * sizeof(float),
        .residual = residual,
        .ldr = ldr,
        .rows = rows,
        .out = out,
        .ldo = ldo,
    };
    fby_product_run(&p, TILE, PANEL, run_tile_of);
}

void fby_avx2_linear(const fby_linear *linear, fby_activation activation, const float *x,
                     size_t ldx, uint32_t rows, float *out, size_t ldo)
{
    product(linear, activation, x, ldx, NULL, 0, rows, out, ldo);
}

void fby_avx2_linear_residual_norm(const fby_linear *linear, const fby_layer_norm *norm,
                                   const float *x, size_t ldx, const float *residual, size_t ldr,
                                   uint32_t rows, float *out, size_t ldo)
{
    product(linear, FBY_ACTIVATION_NONE, x, ldx, residual, ldr, rows, out, ldo);
    fby_avx2_layer_norm(norm, out, ldo, rows);
}
