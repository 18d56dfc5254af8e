/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dot products of one query with many rows: the inner loops of exact search.
 *
 * Both give the same bits on every instruction set. dots_i8() is integer
 * arithmetic modulo 2^32. dots_f32() multiplies floats as doubles, which is
 * exact (24 + 24 ≤ 53 bits), and adds them in FBY_SEARCH_LANES sums of fixed
 * order; a fused multiply-add rounds no differently.
 *
 * Rows stand `stride` elements apart and are `n` long, padded with zeros to the
 * multiple that each function asks for; the query likewise. Pointers need only
 * the alignment of their type, 64 bytes are faster.
 *
 * Threads: pure functions of their arguments.
 */
#ifndef FBY_COMPUTE_SEARCH_KERNELS_H
#define FBY_COMPUTE_SEARCH_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "base/cpu.h"

enum {
    FBY_SEARCH_I8_MULTIPLE = 64, /* n of dots_i8() */
    FBY_SEARCH_LANES = 16        /* n of dots_f32() is a multiple of it; sums side by side */
};

typedef struct fby_search_kernels {
    const char *name; /* the instruction set's */

    /* For each of `rows` rows of codes: dots[i] = Σ row[j] query[j], and checks[i] the same with
     * `check`, both modulo 2^32: two products for one reading of memory. */
    void (*dots_i8)(const int8_t *codes, size_t stride, size_t rows, const int16_t *query,
                    const int16_t *check, uint32_t n, uint32_t *dots, uint32_t *checks);

    /* dots[i] = Σ row[j] query[j]: lane l sums j ≡ l mod FBY_SEARCH_LANES in ascending order,
     * then lanes are added by fby_search_lanes_sum(). */
    void (*dots_f32)(const float *vectors, size_t stride, size_t rows, const float *query,
                     uint32_t n, double *dots);
} fby_search_kernels;

/* The table for `isa`, or for the widest that it includes. */
const fby_search_kernels *fby_search_kernels_for(fby_isa isa);

/* Halves upon halves: the order in which every table adds its lanes. */
static inline double fby_search_lanes_sum(double lanes[FBY_SEARCH_LANES])
{
    for (int width = FBY_SEARCH_LANES / 2; width > 0; width /= 2)
        for (int i = 0; i < width; i++)
            lanes[i] += lanes[i + width];
    return lanes[0];
}

/* What fby_search_kernels_for() chooses from; only call those whose instruction set is there. */
extern const fby_search_kernels fby_search_kernels_c;
#if defined(__x86_64__)
extern const fby_search_kernels fby_search_kernels_avx2;
extern const fby_search_kernels fby_search_kernels_avx512;
#endif
#if defined(__aarch64__)
extern const fby_search_kernels fby_search_kernels_neon;
#endif

#endif
