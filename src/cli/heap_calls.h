/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What acquiring and releasing takes: loops over a heap pool, and over the raw path
 * beside it, with the clock around few enough calls that percentiles mean something.
 *
 * One measurement at a time.
 */
#ifndef FBY_CLI_HEAP_CALLS_H
#define FBY_CLI_HEAP_CALLS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "forebay/heap_pool.h"

enum { FBY_HEAP_THREADS_MAX = 16, FBY_HEAP_BATCH = 64 /* calls between two looks at the clock */ };

typedef struct fby_heap_load {
    fby_heap_pool *pool; /* NULL: mmap and munmap */
    uint64_t bytes;      /* of a block */
    uint32_t threads;
    uint32_t samples; /* of each thread */
    uint32_t batch;   /* blocks that a thread holds at once, at most FBY_HEAP_BATCH */
    bool touch;       /* each page is touched when it is acquired: what a raw block needs */
    bool fill;        /* each byte is written */
} fby_heap_load;

/* Of one call, in ns: means over a batch. */
typedef struct fby_heap_times {
    double acquire_p50, acquire_p99, acquire_p999;
    double release_p50, release_p99, release_p999;
    double pair; /* the mean of both together */
} fby_heap_times;

/* Each thread acquires a batch, then releases it, `samples` times. */
fby_status fby_heap_time(const fby_heap_load *load, fby_heap_times *times);

/* One thread, `live` blocks of 64 bytes to 256 KiB, each power of two as likely: a batch drawn at
 * random is released, another acquired. */
fby_status fby_heap_time_mixed(fby_heap_pool *pool, uint32_t live, uint32_t samples,
                               fby_heap_times *times);

#endif
