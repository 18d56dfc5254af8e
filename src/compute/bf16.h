/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bf16 of all tables: the upper half of a float, rounded to nearest even, and
 * where the weights of a layer lie.
 *
 *     panel of P columns: w (k / G, P, G) | bias (P) floats; G is 2, or 1
 *     row: x (k), and a zero where k is odd
 *
 * Each panel begins on a cache line, each row too. Products are exact in f32; their
 * sums are rounded, in an order of the table's own.
 */
#ifndef FBY_COMPUTE_BF16_H
#define FBY_COMPUTE_BF16_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/bits.h"

static inline uint16_t fby_bf16_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if ((bits & 0x7fffffffu) > 0x7f800000u) /* rounding could make infinity of a NaN */
        return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static inline float fby_bf16_to_float(uint16_t x)
{
    uint32_t bits = (uint32_t)x << 16;
    float y;
    memcpy(&y, &bits, sizeof y);
    return y;
}

static inline size_t fby_bf16_operand_bytes(uint32_t k)
{
    return fby_align_up((size_t)k * sizeof(uint16_t), 64);
}

/* Width is even, so that the bias is aligned. */
typedef struct fby_bf16_shape {
    uint32_t width, group;
} fby_bf16_shape;

/* Bytes from a panel's beginning to its bias. */
static inline size_t fby_bf16_bias_at(fby_bf16_shape shape, uint32_t k)
{
    return fby_align_up(k, shape.group) * shape.width * sizeof(uint16_t);
}

static inline size_t fby_bf16_panel_bytes(fby_bf16_shape shape, uint32_t k)
{
    return fby_align_up(fby_bf16_bias_at(shape, k) + shape.width * sizeof(float), 64);
}

size_t fby_bf16_packed_bytes(fby_bf16_shape shape, uint32_t n, uint32_t k);
void fby_bf16_pack(fby_bf16_shape shape, const float *w, const float *bias, uint32_t n, uint32_t k,
                   void *packed);

#endif
