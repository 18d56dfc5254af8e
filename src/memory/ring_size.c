/* SPDX-License-Identifier: Apache-2.0 */
#include "forebay/ring_pool.h"

#include <math.h>

#include "base/options.h"
#include "base/status.h"

/* ln(10^9): room is missing at most once in so many. */
static const double log_odds = 20.72326583694641;

/*
 * What n requests take with a chance of 1 - 10^-9, in vectors. Each is in
 * [0, peak], so its variance is at most mean (peak - mean) (Bhatia and Davis
 * 2000); Bernstein's inequality for their sum S, V the sum of the variances:
 *
 *     P(S - E S >= t) <= exp(-t^2 / (2 V + 2 peak t / 3))
 *
 * solved for t.
 */
static double likely_vectors(double n, double mean, double peak)
{
    double variance = n * mean * (peak - mean), third = log_odds * peak / 3;
    double more = third + sqrt(third * third + 2 * log_odds * variance);
    double likely = n * mean + more;
    return likely < n * peak ? likely : n * peak;
}

fby_status fby_ring_pool_size(const fby_ring_workload *given, size_t *capacity_bytes)
{
    fby_ring_workload read = FBY_RING_WORKLOAD_INIT;
    const fby_ring_workload *workload = &read;
    fby_status status = fby_options_read(&read, sizeof read, given, "fby_ring_workload");
    if (status != FBY_OK)
        return status;
    size_t vector = workload->vector_bytes;
    if (workload->peak_vectors == 0 || workload->requests_in_flight == 0 || vector == 0)
        return fby_error(FBY_EINVAL,
                         "a workload of %u requests in flight, of at most %u vectors of %zu bytes",
                         workload->requests_in_flight, workload->peak_vectors, vector);
    double peak = workload->peak_vectors, mean = workload->mean_vectors;
    if (!(mean > 0 && mean <= peak))
        return fby_error(FBY_EINVAL, "a workload of %g vectors a request, of at most %u", mean,
                         workload->peak_vectors);

    double requests = (double)workload->requests_in_flight + (double)workload->requests_waiting;
    double bytes = (likely_vectors(requests, mean, peak) + 1 + 2 * peak) * (double)vector;
    /* Each slice is rounded up to a granule. */
    if (vector % FBY_RING_GRANULE != 0)
        bytes += (requests + 2) * FBY_RING_GRANULE;
    if (bytes > (double)(SIZE_MAX / 4))
        return fby_error(FBY_EINVAL, "a workload of %g bytes", bytes);
    size_t size = (size_t)bytes;
    *capacity_bytes = (size + FBY_RING_GRANULE - 1) & ~(size_t)(FBY_RING_GRANULE - 1);
    return FBY_OK;
}
