/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/metrics.h"

/* The bucket of 1e-5 × 1.5^n seconds. */
void fby_time_observe(fby_time_histogram *histogram, uint64_t ns)
{
    uint64_t bound = 10000;
    int i = 0;
    for (; i < FBY_TIME_BUCKETS && ns > bound; i++)
        bound += bound / 2;
    fby_counter_add(&histogram->buckets[i], 1);
    fby_counter_add(&histogram->sum_ns, ns);
}

void fby_size_observe(fby_size_histogram *histogram, uint64_t n)
{
    int i = 0;
    while (i < FBY_SIZE_BUCKETS && n > (uint64_t)1 << i)
        i++;
    fby_counter_add(&histogram->buckets[i], 1);
    fby_counter_add(&histogram->sum, n);
}
