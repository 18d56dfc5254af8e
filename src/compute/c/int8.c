/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Int8 in plain C: the kernels of every machine, and what the others are compared
 * with. The format, and the sums that a product is made of: compute/int8.h.
 *
 * A row's codes are 0 … 255. A panel is 8 columns, one after another: a sum is
 * the dot product of two arrays, which compilers know. Sums of integers are exact,
 * whatever their order.
 */
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "compute/c/c.h"
#include "compute/int8.h"
#include "compute/narrow.h"
#include "compute/tables.h"

enum { ROWS = 4, COLUMNS = 8 };

static fby_int8_shape shape_of(uint32_t k)
{
    return (fby_int8_shape){COLUMNS, (uint32_t)fby_align_up(k, 16), 0};
}

static size_t packed_bytes(uint32_t n, uint32_t k)
{
    return fby_int8_packed_bytes(shape_of(k), n, k);
}

static void pack(const float *w, const float *bias, const float *sizes, uint32_t n, uint32_t k,
                 void *packed)
{
    fby_int8_pack(shape_of(k), w, bias, sizes, n, k, packed);
}

static size_t operand_bytes(uint32_t k)
{
    return sizeof(fby_int8_row) + fby_align_up(k, FBY_INT8_LINE);
}

static float limit(float code)
{
    return code > 0.0f ? (code < 255.0f ? code : 255.0f) : 0.0f; /* 0 for NaN */
}

static bool is_apart(const uint32_t *apart, uint32_t j)
{
    for (uint32_t i = 0; i < FBY_INT8_APART; i++)
        if (apart[i] == j)
            return true;
    return false;
}

/* One row to its codes. */
static void quantize(const float *x, uint32_t k, const uint32_t *apart, fby_int8_row *row)
{
    uint8_t *codes = (uint8_t *)(row + 1);
    float low = 0.0f, high = 0.0f, none = 0.0f; /* a sum of zeros, unless one is not finite */
    int32_t sum = 0;
    for (uint32_t j = 0; j < k; j++) {
        none += x[j] * 0.0f;
        if (!is_apart(apart, j)) {
            low = x[j] < low ? x[j] : low;
            high = x[j] > high ? x[j] : high;
        }
    }
    memset(row, 0, operand_bytes(k));
    row->scale = fby_int8_row_scale(low, high + none, fby_int8_apart_size(x, k, apart));
    float inverse = 1.0f / row->scale, zero = fby_int8_zero(low, inverse);
    for (uint32_t j = 0; j < k; j++)
        if (!is_apart(apart, j)) {
            codes[j] = (uint8_t)limit(rintf(x[j] * inverse + zero));
            sum += codes[j];
        }
    for (uint32_t i = 0; i < FBY_INT8_APART; i++)
        row->apart[i] = apart[i] < k ? fby_int8_apart_code(x[apart[i]], inverse) : 0;
    row->zero = (int16_t)-zero;
    row->sum = fby_int8_sum(shape_of(k), sum, 0, fby_int8_sum_shift(k));
}

static void operand(const fby_linear *next, const float *x, size_t ldx, uint32_t rows, void *out)
{
    const size_t bytes = operand_bytes(next->k);
    const uint32_t *apart = fby_int8_indices(shape_of(next->k), next);
    for (size_t row = 0; row < rows; row++)
        quantize(x + row * ldx, next->k, apart, (fby_int8_row *)((char *)out + row * bytes));
}

static int32_t dot(const uint8_t *q, const int8_t *c, uint32_t k)
{
    int32_t sum = 0;
    for (uint32_t j = 0; j < k; j++)
        sum += q[j] * c[j];
    return sum;
}

/* y (8) = row panel. */
static void row_by_panel(const fby_int8_row *row, const char *panel, const fby_int8_panel *part,
                         uint32_t k, float y[COLUMNS])
{
    const uint8_t *q = (const uint8_t *)(row + 1);
    const int8_t *c = (const int8_t *)(panel + part->codes);
    const int16_t *u = (const int16_t *)panel;
    const float *scale = (const float *)(panel + part->scale);
    const float *bias = (const float *)(panel + part->bias);
    int32_t sum[COLUMNS];

    for (uint32_t column = 0; column < COLUMNS; column++)
        sum[column] = FBY_INT8_HALF;
    for (uint32_t i = 0; i < FBY_INT8_APART; i++)
        for (uint32_t column = 0; column < COLUMNS; column++)
            sum[column] += row->apart[i] * u[(i / 2 * COLUMNS + column) * 2 + i % 2];
    u += FBY_INT8_APART * COLUMNS;
    for (uint32_t column = 0; column < COLUMNS; column++)
        sum[column] = (sum[column] >> FBY_INT8_SHIFT) + row->zero * u[2 * column] +
                      row->sum * u[2 * column + 1];
    for (uint32_t column = 0; column < COLUMNS; column++, c += shape_of(k).group)
        sum[column] += dot(q, c, k);
    for (uint32_t column = 0; column < COLUMNS; column++)
        y[column] = (float)sum[column] * row->scale * scale[column] + bias[column];
}

/* out = activation(x Wᵀ + bias [+ residual]). */
static void product(const fby_linear *linear, fby_activation activation, const void *x,
                    const float *residual, size_t ldr, uint32_t rows, float *out, size_t ldo)
{
    const size_t bytes = operand_bytes(linear->k);
    const fby_int8_panel part = fby_int8_lay_out(shape_of(linear->k), linear->k);
    const char *panel = linear->packed;
    for (uint32_t column = 0; column < linear->n; column += COLUMNS, panel += part.bytes) {
        uint32_t width = fby_min_u32(COLUMNS, linear->n - column);
        for (uint32_t row = 0; row < rows; row++) {
            float y[COLUMNS];
            row_by_panel((const fby_int8_row *)((const char *)x + row * bytes), panel, &part,
                         linear->k, y);
            if (residual != NULL)
                fby_c_add(y, residual + row * ldr + column, width);
            fby_c_activate(activation, y, width);
            memcpy(out + row * ldo + column, y, width * sizeof *y);
        }
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

const fby_narrow fby_int8_c = {
    .name = "c",
    .precision = "int8",
    .version = 5,
    .panel_width = COLUMNS,
    .row_tile = ROWS,
    .wants_sizes = true,
    .packed_bytes = packed_bytes,
    .pack = pack,
    .operand_bytes = operand_bytes,
    .operand = operand,
    .linear = linear,
    .linear_operand = linear_operand,
    .linear_residual_norm = linear_residual_norm,
};
