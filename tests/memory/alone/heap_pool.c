/* SPDX-License-Identifier: Apache-2.0 */
#include "forebay/heap_pool.h"

#include <string.h>

int main(void)
{
    fby_heap_pool_options options = FBY_HEAP_POOL_OPTIONS_INIT;
    fby_heap_pool *pool;
    fby_heap_block block;
    fby_heap_place place;
    options.heap_bytes = 1 << 20;
    options.num_heaps = 2;
    if (fby_heap_pool_create(&options, &pool) != FBY_OK)
        return 1;
    if (fby_heap_acquire(pool, 5000, 0, "alone", &block, &place) != FBY_OK)
        return 2;
    memset(place.address, 1, 5000);
    fby_heap_release(pool, block);
    fby_heap_pool_close(pool, NULL);
    return 0;
}
