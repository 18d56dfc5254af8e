/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/bench_stats.h"

#include <stdlib.h>

#include "base/assert.h"

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void fby_sort(double *samples, size_t count)
{
    qsort(samples, count, sizeof *samples, by_value);
}

double fby_quantile(const double *sorted, size_t count, double p)
{
    fby_assert(count >= 1 && p >= 0 && p <= 1);
    double place = p * (double)(count - 1);
    size_t below = (size_t)place;

    if (below + 1 >= count)
        return sorted[count - 1];
    return sorted[below] + (place - (double)below) * (sorted[below + 1] - sorted[below]);
}

fby_spread fby_spread_of(double *samples, size_t count)
{
    fby_sort(samples, count);
    return (fby_spread){fby_quantile(samples, count, 0.25), fby_quantile(samples, count, 0.5),
                        fby_quantile(samples, count, 0.75)};
}
