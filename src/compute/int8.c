/* SPDX-License-Identifier: Apache-2.0 */
#include "compute/int8.h"

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

/* What becomes of one output column. */
typedef struct column {
    float scale, middle;
    int32_t sum;
} column;

static bool is_apart(const uint32_t apart[FBY_INT8_APART], uint32_t j)
{
    for (uint32_t i = 0; i < FBY_INT8_APART; i++)
        if (apart[i] == j)
            return true;
    return false;
}

static float limit(float x, float most)
{
    return x < -most ? -most : x < most ? x : most; /* `most` for NaN */
}

static column scale_of(const float *w, uint32_t k, const uint32_t apart[FBY_INT8_APART])
{
    float low = INFINITY, high = -INFINITY, most = 0.0f;
    for (uint32_t j = 0; j < k; j++) {
        if (is_apart(apart, j)) {
            most = fby_int8_larger(fabsf(w[j]), most);
            continue;
        }
        low = w[j] < low ? w[j] : low;
        high = w[j] > high ? w[j] : high;
    }
    if (!(high >= low)) /* all are apart, or NaN */
        low = high = 0.0f;
    float scale = fby_int8_larger((high - low) / 254.0f,
                                  most * (float)FBY_INT8_W_FINER / (float)FBY_INT8_W_MAX);
    return (column){fby_int8_larger(scale, 1e-30f), low + (high - low) / 2, 0};
}

/* Column `at` of a panel; w (k). */
static void pack_column(fby_int8_shape shape, const float *w, float bias, uint32_t k, uint32_t at,
                        char *panel)
{
    fby_int8_panel part = fby_int8_lay_out(shape, k);
    const uint32_t *apart = (const uint32_t *)(panel + part.apart);
    int8_t *codes = (int8_t *)(panel + part.codes);
    int16_t *finer = (int16_t *)panel;
    column c = scale_of(w, k, apart);

    for (uint32_t j = 0; j < k; j++) {
        if (is_apart(apart, j))
            continue;
        int8_t code = (int8_t)lrintf(limit((w[j] - c.middle) / c.scale, 127.0f));
        codes[((size_t)(j / shape.group) * shape.width + at) * shape.group + j % shape.group] =
            code;
        c.sum += code;
    }
    for (uint32_t i = 0; i < FBY_INT8_APART; i++)
        if (apart[i] < k)
            finer[((size_t)(i / 2) * shape.width + at) * 2 + i % 2] = (int16_t)lrintf(
                limit(w[apart[i]] / c.scale * (float)FBY_INT8_W_FINER, (float)FBY_INT8_W_MAX));
    ((float *)(panel + part.scale))[at] = c.scale;
    ((float *)(panel + part.low))[at] = c.scale * (float)c.sum;
    ((float *)(panel + part.middle))[at] = c.middle;
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
