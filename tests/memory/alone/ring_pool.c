/* SPDX-License-Identifier: Apache-2.0 */
/* The ring pool by itself: compiled with its public header and its archive, as C and as C++, and
 * with vectors of another size than the archive's. */
#define FBY_FEATURE_DIM 384
#include "forebay/ring_pool.h"

int main(void)
{
    fby_ring_pool_options options = FBY_RING_POOL_OPTIONS_INIT;
    fby_ring_pool_stats stats;
    fby_ring_pool *pool = 0;
    float *vectors = 0;
    void *bytes = 0;
    fby_ring_workload workload = FBY_RING_WORKLOAD_INIT;
    size_t capacity = 0;

    stats.struct_size = sizeof stats;
    options.kind = FBY_RING_LOCAL_UNORDERED;
    options.capacity_bytes = 1 << 20;
    if (fby_ring_pool_create(&options, &pool) != FBY_OK)
        return 1;
    if (fby_ring_alloc_vectors(pool, 4, &vectors) != FBY_OK ||
        fby_ring_alloc(pool, 100, &bytes) != FBY_OK ||
        fby_ring_pool_get_stats(pool, &stats) != FBY_OK ||
        stats.in_flight_bytes != 4 * 384 * 4 + 128)
        return 2;
    vectors[4 * FBY_FEATURE_DIM - 1] = 1;
    fby_ring_release(pool, bytes);
    fby_ring_release_unordered(pool, vectors);
    if (fby_ring_pool_get_stats(pool, &stats) != FBY_OK || stats.in_flight_bytes != 0)
        return 3;
    fby_ring_pool_destroy(pool);

    workload.mean_vectors = workload.peak_vectors = 5;
    workload.requests_in_flight = 100;
    if (fby_ring_pool_size(&workload, &capacity) != FBY_OK ||
        capacity < 100 * 5 * sizeof(float[384]))
        return 4;
    return 0;
}
