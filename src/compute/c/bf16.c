/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bf16 in plain C: the kernels of every machine, and what the others are compared
 * with. A panel is 8 columns; sums run over k in order, in f32. Format: compute/bf16.h.
 */
#include "compute/bf16.h"
#include "compute/c/c.h"
#include "compute/narrow.h"
#include "compute/tables.h"

enum { ROWS = 4, COLUMNS = 8 };

static const fby_bf16_shape shape = {COLUMNS, 1};

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

static void operand(const fby_linear *next, const float *x, size_t ldx, uint32_t rows, void *out)
{
    const size_t bytes = fby_bf16_operand_bytes(next->k);
    for (size_t row = 0; row < rows; row++) {
        uint16_t *to = (uint16_t *)((char *)out + row * bytes);
        memset(to, 0, bytes);
        for (uint32_t j = 0; j < next->k; j++)
            to[j] = fby_bf16_of(x[row * ldx + j]);
    }
}

typedef float lanes __attribute__((vector_size(16)));

static inline lanes widen(const uint16_t *x)
{
    typedef uint32_t words __attribute__((vector_size(16)));
    words bits = {x[0], x[1], x[2], x[3]};
    bits <<= 16;
    return (lanes)bits;
}

static void row_by_panel(const uint16_t *x, const uint16_t *panel, uint32_t k, float y[COLUMNS])
{
    lanes acc[2] = {{0}, {0}};
    for (uint32_t j = 0; j < k; j++, panel += COLUMNS) {
        float a = fby_bf16_to_float(x[j]);
        acc[0] += a * widen(panel);
        acc[1] += a * widen(panel + 4);
    }
    memcpy(y, acc, sizeof acc);
    fby_c_add(y, (const float *)(const void *)panel, COLUMNS);
}

/* out = activation(x Wᵀ + bias [+ residual]). */
static void product(const fby_linear *linear, fby_activation activation, const void *x,
                    const float *residual, size_t ldr, uint32_t rows, float *out, size_t ldo)
{
    const size_t bytes = fby_bf16_operand_bytes(linear->k);
    const char *panel = linear->packed;
    for (uint32_t column = 0; column < linear->n; column += COLUMNS) {
        uint32_t width = fby_min_u32(COLUMNS, linear->n - column);
        for (uint32_t row = 0; row < rows; row++) {
            float y[COLUMNS];
            row_by_panel((const uint16_t *)((const char *)x + row * bytes), (const uint16_t *)panel,
                         linear->k, y);
            if (residual != NULL)
                fby_c_add(y, residual + row * ldr + column, width);
            fby_c_activate(activation, y, width);
            memcpy(out + row * ldo + column, y, width * sizeof *y);
        }
        panel += fby_bf16_panel_bytes(shape, linear->k);
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
    fby_c_layer_norm(norm, out, ldo, rows);
    if (next != NULL)
        operand(next, out, ldo, rows, out_operand);
}

const fby_narrow fby_bf16_c = {
    .name = "c",
    .precision = "bf16",
    .version = 1,
    .panel_width = COLUMNS,
    .row_tile = ROWS,
    .packed_bytes = packed_bytes,
    .pack = pack,
    .operand_bytes = fby_bf16_operand_bytes,
    .operand = operand,
    .linear = linear,
    .linear_operand = linear_operand,
    .linear_residual_norm = linear_residual_norm,
};
