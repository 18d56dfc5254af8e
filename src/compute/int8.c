/* SPDX-License-Identifier: Apache-2.0 */
#include "compute/int8.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/assert.h"
#include "compute/narrow.h"

size_t fby_int8_packed_bytes(fby_int8_shape shape, uint32_t n, uint32_t k)
{
    return fby_div_up_u32(n, shape.width) * fby_int8_lay_out(shape, k).bytes;
}

int16_t fby_int8_apart_code(float x, float inverse)
{
    const float most = (float)FBY_INT8_X_MAX;
    float code = x * (inverse * (float)FBY_INT8_X_FINER);
    if (!(code >= -most))
        code = isnan(code) ? 0.0f : -most;
    return (int16_t)lrintf(code < most ? code : most);
}

/* The inputs of the largest sizes, the largest first; ties go to the lower index. */
static void choose(const float *sizes, uint32_t k, uint32_t apart[FBY_INT8_APART])
{
    uint32_t used = 0;
    for (uint32_t i = 0; i < FBY_INT8_APART; i++)
        apart[i] = k;
    for (uint32_t j = 0; j < k; j++) {
        uint32_t at = used;
        while (at > 0 && sizes[j] > sizes[apart[at - 1]])
            at--;
        if (at == FBY_INT8_APART)
            continue;
        used += used < FBY_INT8_APART;
        memmove(apart + at + 1, apart + at, (used - at - 1) * sizeof *apart);
        apart[at] = j;
    }
}

/* What becomes of one output column: w = scale (code + middle), the middle a whole number. */
typedef struct column {
    double scale, middle;
} column;

static bool is_apart(const uint32_t apart[FBY_INT8_APART], uint32_t j)
{
    for (uint32_t i = 0; i < FBY_INT8_APART; i++)
        if (apart[i] == j)
            return true;
    return false;
}

static double limit(double x, double most)
{
    return x < -most ? -most : x < most ? x : most; /* `most` for NaN */
}

static double larger(double a, double b)
{
    return a > b ? a : b;
}

static column scale_of(const float *w, uint32_t k, uint32_t shift,
                       const uint32_t apart[FBY_INT8_APART])
{
    const double parts = (double)(1u << shift);
    double low = INFINITY, high = -INFINITY, most = 0.0, sum = 0.0;
    for (uint32_t j = 0; j < k; j++) {
        const double value = (double)w[j];
        if (is_apart(apart, j)) {
            most = larger(fabs(value), most);
            continue;
        }
        low = value < low ? value : low;
        high = value > high ? value : high;
        sum += value;
    }
    if (!(high >= low)) /* all are apart, or NaN */
        low = high = 0.0;
    const double middle = low + (high - low) / 2; /* rounded by half a code: 253, not 254 */
    double scale = larger((high - low) / 253.0, most * FBY_INT8_W_FINER / FBY_INT8_W_MAX);
    /* The pair's two numbers fit into 16 bits. */
    scale = larger(scale, fabs(middle) / (FBY_INT8_W_MAX / parts - 1.0));
    scale = larger(scale, fabs(sum) / (FBY_INT8_W_MAX - k / 2.0 - 1.0)); /* codes are rounded */
    scale = scale < (double)FLT_MAX ? larger(scale, 1e-30) : (double)INFINITY;
    return (column){scale, nearbyint(limit(middle / scale, FBY_INT8_W_MAX / parts - 1.0))};
}

/* Column `at` of a panel; w (k). */
static void pack_column(fby_int8_shape shape, const float *w, float bias, uint32_t k, uint32_t at,
                        char *panel)
{
    const fby_int8_panel part = fby_int8_lay_out(shape, k);
    const uint32_t shift = fby_int8_sum_shift(k);
    const uint32_t *apart = (const uint32_t *)(panel + part.apart);
    int8_t *codes = (int8_t *)(panel + part.codes);
    int16_t *pairs = (int16_t *)panel;
    const column c = scale_of(w, k, shift, apart);
    double sum = 0.0;

    for (uint32_t j = 0; j < k; j++) {
        if (is_apart(apart, j))
            continue;
        int8_t code = (int8_t)lrint(limit((double)w[j] / c.scale - c.middle, 127.0));
        codes[((size_t)(j / shape.group) * shape.width + at) * shape.group + j % shape.group] =
            code;
        sum += code + c.middle;
    }
    for (uint32_t i = 0; i < FBY_INT8_APART; i++)
        if (apart[i] < k)
            pairs[((size_t)(i / 2) * shape.width + at) * 2 + i % 2] = (int16_t)lrint(
                limit((double)w[apart[i]] / c.scale * FBY_INT8_W_FINER, FBY_INT8_W_MAX));
    pairs += ((size_t)(FBY_INT8_PAIRS - 1) * shape.width + at) * 2;
    pairs[0] = (int16_t)lrint(limit(sum, FBY_INT8_W_MAX));
    pairs[1] = (int16_t)lrint(c.middle * (double)(1u << fby_int8_unit(shape, shift)));
    ((float *)(panel + part.scale))[at] = (float)c.scale;
    ((float *)(panel + part.bias))[at] = bias;
}

void fby_int8_pack(fby_int8_shape shape, const float *w, const float *bias, const float *sizes,
                   uint32_t n, uint32_t k, void *packed)
{
    fby_assert(n - 1 < FBY_LINEAR_MAX && k - 1 < FBY_NARROW_K_MAX);
    fby_int8_panel part = fby_int8_lay_out(shape, k);
    uint32_t apart[FBY_INT8_APART];
    choose(sizes, k, apart);
    memset(packed, 0, fby_int8_packed_bytes(shape, n, k));
    char *panel = packed;
    for (uint32_t first = 0; first < n; first += shape.width, panel += part.bytes) {
        memcpy(panel + part.apart, apart, sizeof apart);
        for (uint32_t j = 0; j < k; j++)
            ((uint16_t *)(panel + part.rest))[j / 16] |= (uint16_t)(!is_apart(apart, j) << j % 16);
        for (uint32_t at = 0; at < shape.width && first + at < n; at++)
            pack_column(shape, w + (size_t)(first + at) * k, bias != NULL ? bias[first + at] : 0.0f,
                        k, at, panel);
    }
}
