/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Products with packed weights.
 *
 * Tile: h rows of x, 1 … 14, by one panel of 32 columns. Registers: 2 h
 * accumulators, two vectors of the panel, one element of x in all lanes; 31 of
 * 32 at h = 14. A step over k is h broadcasts, 2 loads and 2 h multiply-adds:
 * 28 cycles at h = 14 where a core starts one 512-bit multiply-add a cycle
 * (Zen 4), 14 where it starts two.
 *
 * Loops, splits of rows and prefetching: compute/tiles.h.
 *
 * Measured on Zen 4 (EPYC Genoa, gcc 12): 98.6 % of the peak from level 1;
 * MiniLM's products of 126 rows, the weights of 6 layers in turn, on a busy
 * machine: 91 to 94 %, with GELU 90 %.
 *
 * A panel is (k, 32) weights, then the 32 columns' bias; columns beyond n are 0.
 */
#include <immintrin.h>

#include "base/assert.h"
#include "base/bits.h"
#include "compute/avx512/avx512.h"
#include "compute/avx512/vector.h"
#include "compute/tiles.h"

enum { PANEL = FBY_AVX512_PANEL, TILE = FBY_AVX512_ROWS, HALF = TILE / 2 };

static size_t panel_floats(uint32_t k)
{
    return ((size_t)k + 1) * PANEL;
}

size_t fby_avx512_packed_bytes(uint32_t n, uint32_t k)
{
    return fby_div_up_u32(n, PANEL) * panel_floats(k) * sizeof(float);
}

void fby_avx512_pack(const float *w, const float *bias, uint32_t n, uint32_t k, void *packed)
{
    fby_assert(n - 1 < FBY_LINEAR_MAX && k - 1 < FBY_LINEAR_MAX);
    float *to = packed;
    for (uint32_t first = 0; first < n; first += PANEL) {
        uint32_t columns = fby_min_u32(PANEL, n - first);
        for (size_t i = 0; i < k; i++, to += PANEL)
            for (uint32_t column = 0; column < PANEL; column++)
                to[column] = column < columns ? w[(size_t)(first + column) * k + i] : 0.0f;
        for (uint32_t column = 0; column < PANEL; column++)
            to[column] = bias != NULL && column < columns ? bias[first + column] : 0.0f;
        to += PANEL;
    }
}

FBY_INLINE void run_tile(const fby_tile *t, const size_t rows)
{
    __m512 acc[TILE][2];
    /* Two bases for the rows, so that the offsets fit in registers: 3.5 % at h = 14. */
    const size_t ldx = t->ldx / sizeof(float), prefetch_step = t->prefetch_step;
    const float *low = t->x, *high = low + (rows > HALF ? HALF * ldx : 0);
    const float *panel = t->panel;
    __asm__("" : "+r"(high));
    uintptr_t prefetch = t->prefetch;

    FBY_UNROLL
    for (size_t row = 0; row < rows; row++)
        acc[row][0] = acc[row][1] = _mm512_setzero_ps();
    FBY_NO_UNROLL
    for (size_t i = t->steps; i != 0; i--) {
        __m512 b0 = _mm512_loadu_ps(panel), b1 = _mm512_loadu_ps(panel + 16);
        /* Registers, not memory operands of each multiply-add, as gcc prefers at h <= 4. */
        __asm__("" : "+v"(b0), "+v"(b1));
        _mm_prefetch((const char *)prefetch, _MM_HINT_T0);
        FBY_UNROLL
        for (size_t row = 0; row < rows; row++) {
            const float *x = row < HALF ? low + row * ldx : high + (row - HALF) * ldx;
            __m512 a = _mm512_set1_ps(*x);
            acc[row][0] = _mm512_fmadd_ps(a, b0, acc[row][0]);
            acc[row][1] = _mm512_fmadd_ps(a, b1, acc[row][1]);
        }
        low++;
        high++;
        panel += PANEL;
        prefetch += prefetch_step;
    }

    __m512 bias0 = _mm512_loadu_ps(panel), bias1 = _mm512_loadu_ps(panel + 16);
    FBY_UNROLL
    for (size_t row = 0; row < rows; row++) {
        acc[row][0] = _mm512_add_ps(acc[row][0], bias0);
        acc[row][1] = _mm512_add_ps(acc[row][1], bias1);
    }
    const __mmask16 m0 = fby_avx512_lanes(t->columns, 0), m1 = fby_avx512_lanes(t->columns, 1);
    if (t->residual != NULL) {
        const float *residual = t->residual;
        FBY_UNROLL
        for (size_t row = 0; row < rows; row++, residual += t->ldr) {
            acc[row][0] = _mm512_add_ps(acc[row][0], _mm512_maskz_loadu_ps(m0, residual));
            acc[row][1] = _mm512_add_ps(acc[row][1], _mm512_maskz_loadu_ps(m1, residual + 16));
        }
    }
    float *out = t->out;
    if (m1 == 0xffff) { /* whole stores can be forwarded to the activation's loads */
        FBY_UNROLL
        for (size_t row = 0; row < rows; row++, out += t->ldo) {
            _mm512_storeu_ps(out, acc[row][0]);
            _mm512_storeu_ps(out + 16, acc[row][1]);
        }
        return;
    }
    FBY_UNROLL
    for (size_t row = 0; row < rows; row++, out += t->ldo) {
        _mm512_mask_storeu_ps(out, m0, acc[row][0]);
        _mm512_mask_storeu_ps(out + 16, m1, acc[row][1]);
    }
}

static void run_tile_of(const fby_tile *t, fby_activation activation)
{
#define RUN_TILE(height) run_tile(t, height)
    FBY_HEIGHTS(t->rows, 14, RUN_TILE)
#undef RUN_TILE
    if (activation != FBY_ACTIVATION_NONE)
        fby_avx512_activate(activation, t->out, t->ldo, t->rows, t->columns);
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

void fby_avx512_linear(const fby_linear *linear, fby_activation activation, const float *x,
                       size_t ldx, uint32_t rows, float *out, size_t ldo)
{
    product(linear, activation, x, ldx, NULL, 0, rows, out, ldo);
}

void fby_avx512_linear_residual_norm(const fby_linear *linear, const fby_layer_norm *norm,
                                     const float *x, size_t ldx, const float *residual, size_t ldr,
                                     uint32_t rows, float *out, size_t ldo)
{
    product(linear, FBY_ACTIVATION_NONE, x, ldx, residual, ldr, rows, out, ldo);
    fby_avx512_layer_norm(norm, out, ldo, rows);
}
