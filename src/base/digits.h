/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers that people write. */
#ifndef FBY_BASE_DIGITS_H
#define FBY_BASE_DIGITS_H

#include <stdbool.h>
#include <stdint.h>

/* Digits only: no sign, no space. `*end` is what follows them. False for none, or too many. */
static inline bool fby_read_digits(const char *text, uint64_t *x, const char **end)
{
    uint64_t sum = 0;
    const char *at = text;

    for (; *at >= '0' && *at <= '9'; at++)
        if (__builtin_mul_overflow(sum, 10u, &sum) ||
            __builtin_add_overflow(sum, (uint64_t)(*at - '0'), &sum))
            return false;
    *end = at;
    *x = sum;
    return at != text;
}

#endif
