/* SPDX-License-Identifier: Apache-2.0 */
/* What every test includes: cmocka's headers in the order that they need, and a
 * seeded generator whose seed is printed and can be replayed. */
#ifndef FBY_TEST_H
#define FBY_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "forebay/status.h"

typedef struct fby_rng {
    uint64_t state;
} fby_rng;

/* splitmix64 (Steele, Lea, Flood 2014). */
static inline uint64_t fby_rng_next(fby_rng *rng)
{
    uint64_t z = rng->state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Uniform below `n`, which is not 0; the bias of at most n / 2^64 is of no
 * consequence here. */
static inline uint64_t fby_rng_below(fby_rng *rng, uint64_t n)
{
    return fby_rng_next(rng) % n;
}

static inline bool fby_rng_bool(fby_rng *rng)
{
    return fby_rng_next(rng) & 1;
}

/* Uniform in [-1, 1). */
static inline float fby_rng_float(fby_rng *rng)
{
    return (float)(int32_t)(fby_rng_next(rng) >> 32) * 0x1p-31f;
}

/* Seeded from FBY_TEST_SEED, else from the clock; printed either way. */
static inline fby_rng fby_rng_from_env(void)
{
    const char *text = getenv("FBY_TEST_SEED");
    uint64_t seed = text != NULL ? strtoull(text, NULL, 0) : (uint64_t)time(NULL);
    printf("FBY_TEST_SEED=%llu\n", (unsigned long long)seed);
    return (fby_rng){seed};
}

#endif
