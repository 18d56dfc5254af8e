/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pool: for each size class the spans that its blocks come from, and a depot
 * of magazines before them. The shared pools, one a memory node, serve the
 * thread caches; a heap of one's own has a pool to itself.
 *
 *     unit -> span: [ handed out | free (bit set) | ... | never carved ]
 *                     blocks leave lowest first, from the lowest span with room
 *
 * A span whose last block came back returns to the region. The bits of free
 * blocks are out of band; a bit found set when its block comes back is a double
 * free.
 *
 * Threads: any; a lock a class, which two threads meet on only when both run
 * out of magazines at once. Depots take no lock.
 */
#ifndef FBY_MEMORY_ALLOCATOR_POOL_H
#define FBY_MEMORY_ALLOCATOR_POOL_H

#include "memory/allocator/depot.h"
#include "memory/allocator/region.h"

typedef struct fby_pool_class {
    _Alignas(FBY_CACHELINE) fby_depot depot; /* written by many threads: a line of its own */
    _Alignas(FBY_CACHELINE) fby_lock lock;
    uint32_t with_room; /* spans that have a free block or room to carve, by address */
    uint32_t span_list; /* all spans */
    uint32_t span_count;
    uint64_t out_blocks; /* handed out and not back: live, in thread caches or magazines */
} fby_pool_class;

typedef struct fby_pool {
    fby_pool_class of[FBY_CLASSES];
    uint32_t node; /* memory node that its spans prefer; UINT32_MAX: no preference */
    bool shared;   /* its blocks have their class in the map: any thread's cache takes them */
    bool guarded;  /* the last page of a span is inaccessible while mappings last */
} fby_pool;

/* `pool` is all zeros. */
void fby_pool_init(fby_pool *pool, uint32_t node, bool shared, bool guarded);

/* Up to `count` blocks of a class into blocks[0 …], highest address first; how many. 0 only for
 * want of memory. */
uint32_t fby_pool_take(fby_pool *pool, uint32_t class_index, void **blocks, uint32_t count);

/* Whether the next block of the class would be one that was never handed out. */
bool fby_pool_would_grow(fby_pool *pool, uint32_t class_index);

/* Takes `count` blocks of a class back, each to the pool of its own span. Aborts on a block that is
 * free already or no block. */
void fby_pool_give(uint32_t class_index, void *const *blocks, uint32_t count);

/* A magazine's blocks to their spans, and the magazine to the empty ones. */
void fby_pool_give_magazine(uint32_t class_index, fby_magazine *magazine);

/* Adds to out[c] the blocks of each class that are handed out. */
void fby_pool_count_out(fby_pool *pool, uint64_t out[FBY_CLASSES]);

/* All spans to the region, whatever is still handed out. */
void fby_pool_clear(fby_pool *pool);

#endif
