/* SPDX-License-Identifier: Apache-2.0 */
/* Arithmetic on sizes: powers of two, rounding, checked sums and products. */
#ifndef FBY_BASE_BITS_H
#define FBY_BASE_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool fby_is_pow2(uint64_t x)
{
    return x != 0 && (x & (x - 1)) == 0;
}

/* `x` rounded up to a multiple of `align`, a power of two. The caller knows
 * that it does not overflow. */
static inline size_t fby_align_up(size_t x, size_t align)
{
    return (x + align - 1) & ~(align - 1);
}

static inline uint32_t fby_div_up_u32(uint32_t x, uint32_t by)
{
    return x / by + (x % by != 0);
}

static inline uint32_t fby_min_u32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static inline uint64_t fby_min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline size_t fby_min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static inline size_t fby_max_size(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* a + b and a * b; false, `*out` untouched, when they overflow. */
static inline bool fby_add_size(size_t a, size_t b, size_t *out)
{
    size_t sum;
    if (__builtin_add_overflow(a, b, &sum))
        return false;
    *out = sum;
    return true;
}

static inline bool fby_mul_size(size_t a, size_t b, size_t *out)
{
    size_t product;
    if (__builtin_mul_overflow(a, b, &product))
        return false;
    *out = product;
    return true;
}

#endif
