/* SPDX-License-Identifier: Apache-2.0 */
/* The ring pool by itself: compiled with its public header and its archive, as C and as C++. */
#include "forebay/ring_pool.h"

int main(void)
{
    fby_ring_pool_options options = FBY_RING_POOL_OPTIONS_INIT;
    fby_ring_pool_stats stats;
    fby_ring_pool *pool = 0;
    float *vectors = 0;
    void *bytes = 0;

    options.kind = FBY_RING_LOCAL_UNORDERED;
    options.capacity_bytes = 1 << 20;
    if (fby_ring_pool_create(&options, &pool) != FBY_OK)
        return 1;
    if (fby_ring_alloc_vectors(pool, 4, &vectors) != FBY_OK ||
        fby_ring_alloc(pool, 100, &bytes) != FBY_OK)
        return 2;
    vectors[4 * FBY_FEATURE_DIM - 1] = 1;
    fby_ring_release(pool, bytes);
    fby_ring_release_unordered(pool, vectors);
    stats.struct_size = sizeof stats;
    if (fby_ring_pool_get_stats(pool, &stats) != FBY_OK || stats.in_flight_bytes != 0)
        return 3;
    fby_ring_pool_destroy(pool);
    return 0;
}
