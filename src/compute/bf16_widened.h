/* SPDX-License-Identifier: Apache-2.0 */
/* Left sides of bf16 products whose weights are widened on load: rows of floats, each on cache
 * lines of its own, zeros up to the last one's end. */
#ifndef FBY_COMPUTE_BF16_WIDENED_H
#define FBY_COMPUTE_BF16_WIDENED_H

#include <string.h>

#include "base/bits.h"
#include "compute/kernels.h"

static inline size_t fby_widened_operand_bytes(uint32_t k)
{
    return fby_align_up(k * sizeof(float), 64);
}

static inline void fby_widened_clear_ends(float *out, uint32_t k, uint32_t rows)
{
    const size_t ld = fby_widened_operand_bytes(k) / sizeof(float);
    for (uint32_t row = 0; row < rows && k < ld; row++)
        memset(out + row * ld + k, 0, (ld - k) * sizeof(float));
}

static inline void fby_widened_operand(const fby_linear *next, const float *x, size_t ldx,
                                       uint32_t rows, void *out)
{
    const size_t ld = fby_widened_operand_bytes(next->k) / sizeof(float);
    for (uint32_t row = 0; row < rows; row++)
        memcpy((float *)out + row * ld, x + row * ldx, next->k * sizeof(float));
    fby_widened_clear_ends(out, next->k, rows);
}

#endif
