/* SPDX-License-Identifier: Apache-2.0 */
/* What a bench says about repeated measurements. */
#ifndef FBY_CLI_BENCH_STATS_H
#define FBY_CLI_BENCH_STATS_H

#include <stddef.h>

typedef struct fby_spread {
    double q1, median, q3;
} fby_spread;

/* Ascending, in place. NaN has no place in a measurement. */
void fby_sort(double *samples, size_t count);

/* The value below which the share `p` of `sorted` lies, 0 ≤ p ≤ 1, between neighbours by
 * interpolation (Hyndman and Fan 1996, definition 7: numpy's default). count ≥ 1. */
double fby_quantile(const double *sorted, size_t count, double p);

/* Sorts `samples`, count ≥ 1. */
fby_spread fby_spread_of(double *samples, size_t count);

#endif
