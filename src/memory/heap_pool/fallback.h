/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks that no heap had room for: each a region of its own from the backend. Slow,
 * counted, never moved. One lock, which the backend's work is not done under.
 *
 * Threads: any, but for init and destroy.
 */
#ifndef FBY_MEMORY_HEAP_POOL_FALLBACK_H
#define FBY_MEMORY_HEAP_POOL_FALLBACK_H

#include <pthread.h>

#include "memory/heap_pool/heap.h"

typedef struct fby_fallback_entry {
    fby_heap_region region;
    uint64_t bytes;
    const char *label, *site;
    uint32_t serial; /* 0: spare */
    uint32_t pins;
    uint32_t next; /* of the spare ones */
} fby_fallback_entry;

typedef struct fby_fallback {
    const fby_heap_source *source;
    void *device;
    const fby_heap_counting *counting;
    pthread_mutex_t lock;
    fby_fallback_entry *entries; /* (room), the first `begun` were in use */
    uint32_t room, begun, spare, serial;
    fby_heap_stats counts;
    uint64_t acquired_before, released_before; /* the last reset */
} fby_fallback;

void fby_fallback_init(fby_fallback *fallback, const fby_heap_source *source, void *device,
                       const fby_heap_counting *counting);
/* Gives back what is left. */
void fby_fallback_destroy(fby_fallback *fallback);

/* FBY_ENOMEM. `place` may be NULL. */
fby_status fby_fallback_take(fby_fallback *fallback, const fby_heap_request *request,
                             fby_heap_block *block, fby_heap_place *place);
void fby_fallback_give(fby_fallback *fallback, fby_heap_block block);
void fby_fallback_pin(fby_fallback *fallback, fby_heap_block block, fby_heap_place *place);
void fby_fallback_unpin(fby_fallback *fallback, fby_heap_block block);

void fby_fallback_snapshot(fby_fallback *fallback, fby_heap_stats *stats);
void fby_fallback_reset(fby_fallback *fallback);
void fby_fallback_lifetime(fby_fallback *fallback, uint64_t *acquired, uint64_t *released);
void fby_fallback_each(fby_fallback *fallback,
                       void (*call)(void *context, const fby_fallback_entry *entry), void *context);

#endif
