/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Products with packed weights: a tile of 4 rows and 8 columns, two vectors of 4
 * lanes a row, 8 accumulators; each element's sum over k in order.
 *
 * A panel is (k, 8) weights, then the 8 columns' bias; columns beyond n are 0.
 */
#include <string.h>

#include "base/assert.h"
#include "base/bits.h"
#include "compute/c/c.h"
#include "compute/unroll.h"

static size_t panel_floats(uint32_t k)
{
    /* Whole cache lines, so that each panel starts one. */
    return fby_align_up(((size_t)k + 1) * FBY_C_PANEL, 16);
}

size_t fby_c_packed_bytes(uint32_t n, uint32_t k)
{
    return fby_div_up_u32(n, FBY_C_PANEL) * panel_floats(k) * sizeof(float);
}

void fby_c_pack(const float *w, const float *bias, uint32_t n, uint32_t k, void *packed)
{
    fby_assert(n - 1 < FBY_LINEAR_MAX && k - 1 < FBY_LINEAR_MAX);
    memset(packed, 0, fby_c_packed_bytes(n, k));
    for (uint32_t column = 0; column < n; column++) {
        float *to = (float *)packed + column / FBY_C_PANEL * panel_floats(k) + column % FBY_C_PANEL;
        for (size_t i = 0; i < k; i++)
            to[i * FBY_C_PANEL] = w[(size_t)column * k + i];
        if (bias != NULL)
            to[(size_t)k * FBY_C_PANEL] = bias[column];
    }
}

/* Four lanes, as both compilers know them on every processor: an array of accumulators would go
 * through memory at each step. */
typedef float lanes __attribute__((vector_size(16)));

static inline lanes load(const float *x)
{
    lanes y;
    memcpy(&y, x, sizeof y);
    return y;
}

/* sum (rows, 8) = x (rows, k) panel (k, 8) + bias. */
FBY_INLINE void tile(const size_t rows, const float *x, size_t ldx, const float *panel, uint32_t k,
                     float sum[][FBY_C_PANEL])
{
    lanes acc[FBY_C_ROWS][2];
    FBY_UNROLL
    for (size_t row = 0; row < rows; row++)
        acc[row][0] = acc[row][1] = (lanes){0};
    FBY_NO_UNROLL
    for (size_t i = 0; i < k; i++, panel += FBY_C_PANEL) {
        lanes b0 = load(panel), b1 = load(panel + 4);
        FBY_UNROLL
        for (size_t row = 0; row < rows; row++) {
            float a = x[row * ldx + i];
            acc[row][0] += b0 * a;
            acc[row][1] += b1 * a;
        }
    }
    FBY_UNROLL
    for (size_t row = 0; row < rows; row++) {
        acc[row][0] += load(panel);
        acc[row][1] += load(panel + 4);
        memcpy(sum[row], acc[row], sizeof acc[row]);
    }
}

static void tile_any(uint32_t rows, const float *x, size_t ldx, const float *panel, uint32_t k,
                     float sum[][FBY_C_PANEL])
{
    if (rows == FBY_C_ROWS) {
        tile(FBY_C_ROWS, x, ldx, panel, k, sum);
        return;
    }
    for (uint32_t row = 0; row < rows; row++)
        tile(1, x + row * ldx, ldx, panel, k, sum + row);
}

/* out = activation(x Wᵀ + bias [+ residual]). */
static void product(const fby_linear *linear, fby_activation activation, const float *x, size_t ldx,
                    const float *residual, size_t ldr, uint32_t rows, float *out, size_t ldo)
{
    for (uint32_t column = 0; column < linear->n; column += FBY_C_PANEL) {
        const float *panel =
            (const float *)linear->packed + column / FBY_C_PANEL * panel_floats(linear->k);
        uint32_t width = fby_min_u32(FBY_C_PANEL, linear->n - column);
        for (uint32_t row = 0; row < rows; row += FBY_C_ROWS) {
            float sum[FBY_C_ROWS][FBY_C_PANEL];
            uint32_t height = fby_min_u32(FBY_C_ROWS, rows - row);
            tile_any(height, x + row * ldx, ldx, panel, linear->k, sum);
            for (uint32_t i = 0; i < height; i++) {
                if (residual != NULL)
                    fby_c_add(sum[i], residual + (row + i) * ldr + column, width);
                fby_c_activate(activation, sum[i], width);
                memcpy(out + (row + i) * ldo + column, sum[i], width * sizeof(float));
            }
        }
    }
}

void fby_c_linear(const fby_linear *linear, fby_activation activation, const float *x, size_t ldx,
                  uint32_t rows, float *out, size_t ldo)
{
    product(linear, activation, x, ldx, NULL, 0, rows, out, ldo);
}

void fby_c_linear_residual_norm(const fby_linear *linear, const fby_layer_norm *norm,
                                const float *x, size_t ldx, const float *residual, size_t ldr,
                                uint32_t rows, float *out, size_t ldo)
{
    product(linear, FBY_ACTIVATION_NONE, x, ldx, residual, ldr, rows, out, ldo);
    fby_c_layer_norm(norm, out, ldo, rows);
}
