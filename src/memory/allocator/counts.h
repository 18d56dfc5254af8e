/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is counted of each call where statistics are on: sums in the thread's
 * cache, what is live and its peak for all threads together, and beside each
 * block the number of the cache that allocated it, so that a free by another
 * thread is known for one, and the free of a block that was never counted does
 * not take from what is live.
 *
 * Threads: any; a cache's sums are under its lock.
 */
#ifndef FBY_MEMORY_ALLOCATOR_COUNTS_H
#define FBY_MEMORY_ALLOCATOR_COUNTS_H

#include <stdint.h>

#include "memory/allocator/size_class.h"

/* By class; [0]: not of a class. */
typedef struct fby_counts {
    uint64_t mallocs[FBY_CLASSES], frees[FBY_CLASSES];
    uint64_t requested_bytes[FBY_CLASSES];
    uint64_t remote_frees[FBY_CLASSES];
    uint64_t usable_bytes; /* of all mallocs */
} fby_counts;

/* Before anything is counted. Without memory for the owners of small blocks these are all taken for
 * counted, and freed by their own thread. */
void fby_counts_start(void);

/* `cache` is the number of the calling thread's. */
void fby_counts_malloc(fby_counts *counts, uint16_t cache, uint32_t class_index, const void *block,
                       size_t size, size_t usable);
/* While the block is still there. */
void fby_counts_free(fby_counts *counts, uint16_t cache, uint32_t class_index, const void *block,
                     size_t usable);
/* A block that is of no class holds other usable bytes from now on. */
void fby_counts_resize(const void *block, size_t before, size_t after);

typedef struct fby_counts_live {
    uint64_t now, peak;
} fby_counts_live;

/* Usable bytes of all; blocks of a class. */
fby_counts_live fby_counts_live_bytes(void);
fby_counts_live fby_counts_live_blocks(uint32_t class_index);

#endif
