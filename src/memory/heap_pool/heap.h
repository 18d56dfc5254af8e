/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One heap: a region cut up by TLSF under a lock, and what is known of its blocks.
 *
 *     init --> open --> { take, release, pin, unpin, compact } --> shut --> open ... --> end
 *
 * The struct outlives the region: a heap that is shut has no room, and whoever comes
 * with a handle of it finds no such block. So nobody needs to know, before he has
 * the lock, whether the heap is there.
 *
 * A block's move (compact.c):
 *
 *     used --hold--> moving --copied--> settle --> used
 *                       |   lock free      ^
 *                       +---- release: dying, freed when it settles
 *
 * The lock is not held while bytes are copied: others take and release meanwhile. The
 * block cannot be pinned (a pin waits), nor its neighbours merge with what is held.
 * tests/spin/heap_move.pml is this as a model.
 *
 * Threads: any, but for init and end.
 */
#ifndef FBY_MEMORY_HEAP_POOL_HEAP_H
#define FBY_MEMORY_HEAP_POOL_HEAP_H

#include <pthread.h>

#include "base/platform.h"
#include "memory/heap_pool/backend.h"
#include "memory/heap_pool/tlsf.h"

/* A handle: the acquisition's serial number (32 bits, never 0), the heap (8), the record (24). */
enum { FBY_HEAP_RECORDS_MAX = 1 << 24, FBY_HEAP_NO_HEAP = 255 /* of the system */ };

static inline fby_heap_block fby_heap_handle(uint32_t serial, uint32_t heap, uint32_t record)
{
    return (uint64_t)serial << 32 | (uint64_t)heap << 24 | record;
}
static inline uint32_t fby_heap_of(fby_heap_block block)
{
    return (uint32_t)(block >> 24) & 0xff;
}
static inline uint32_t fby_record_of(fby_heap_block block)
{
    return (uint32_t)block & (FBY_HEAP_RECORDS_MAX - 1);
}
static inline uint32_t fby_serial_of(fby_heap_block block)
{
    return (uint32_t)(block >> 32);
}

/* What is counted; constant while the pool lives. */
typedef struct fby_heap_counting {
    bool on;
    uint32_t warmup_count;
    uint64_t warmup_bytes[FBY_HEAP_WARMUP_MAX]; /* ascending */
} fby_heap_counting;

/* What is asked for, checked. */
typedef struct fby_heap_request {
    uint64_t bytes;
    uint32_t granules; /* UINT32_MAX: more than any heap has */
    uint32_t align_shift;
    uint32_t warmup; /* index of by_warmup */
    const char *label, *site;
} fby_heap_request;

typedef struct fby_pool_heap {
    /* Changed under the lock, read by any thread: guesses of who has not got it. */
    _Atomic uint64_t used, capacity; /* bytes */
    _Atomic uint64_t busy;           /* changed by any thread */

    /* Constant after init. */
    uint32_t index;
    const fby_heap_counting *counting;

    /* Under the lock. */
    _Alignas(FBY_CACHELINE) pthread_mutex_t lock;
    pthread_cond_t settled; /* a block that moved is there */
    uint32_t serial;        /* of the last acquisition; also of those before it was shut */
    bool compacting;        /* by one thread at a time */
    fby_heap_region region; /* bytes 0: shut */
    fby_heap_stats counts;  /* since the last reset; what is now where fby_heap_snapshot() says */
    uint64_t acquired_before, released_before; /* the last reset */
    fby_tlsf tlsf;
} fby_pool_heap;

void fby_heap_init(fby_pool_heap *heap, uint32_t index, const fby_heap_counting *counting);
void fby_heap_end(fby_pool_heap *heap);

/* `region` and the zeroed `records` become the heap's until fby_heap_shut(). */
void fby_heap_open(fby_pool_heap *heap, const fby_heap_region *region, fby_record *records,
                   uint32_t records_max, bool grown);

/* Takes both away if no block is left, else false. With `anyway` blocks end with it. */
bool fby_heap_shut(fby_pool_heap *heap, bool anyway, fby_heap_region *region, fby_record **records,
                   uint32_t *records_max);

typedef enum fby_heap_answer {
    FBY_HEAP_SERVED,
    FBY_HEAP_FULL,
    FBY_HEAP_CROWDED, /* it has room, but no record for another block */
    FBY_HEAP_BUSY
} fby_heap_answer;

/* FBY_HEAP_BUSY, only without `wait`: another thread has the lock. `place` may be NULL. */
fby_heap_answer fby_heap_take(fby_pool_heap *heap, const fby_heap_request *request, bool wait,
                              fby_heap_block *block, fby_heap_place *place);
void fby_heap_give(fby_pool_heap *heap, fby_heap_block block);
void fby_heap_pin_in(fby_pool_heap *heap, fby_heap_block block, fby_heap_place *place);
void fby_heap_unpin_in(fby_pool_heap *heap, fby_heap_block block);

/* Whether a request of `granules` may find room. Lower is nearer to its size, FBY_TLSF_NONE is no:
 * a guess either way, while another thread is in the heap. */
static inline uint32_t fby_heap_fit(const fby_pool_heap *heap, uint32_t granules)
{
    return fby_tlsf_nearest(&heap->tlsf, granules);
}
static inline uint64_t fby_heap_free_bytes(const fby_pool_heap *heap)
{
    uint64_t capacity = atomic_load_explicit(&heap->capacity, memory_order_relaxed);
    uint64_t used = atomic_load_explicit(&heap->used, memory_order_relaxed);
    return used < capacity ? capacity - used : 0;
}

bool fby_heap_is_grown(fby_pool_heap *heap);

/* Consistent: one moment of this heap. */
void fby_heap_snapshot(fby_pool_heap *heap, fby_heap_stats *stats);
void fby_heap_reset(fby_pool_heap *heap);
/* As if nothing had been acquired: after the warm-up. No block lives. */
void fby_heap_forget(fby_pool_heap *heap);
/* Blocks acquired and released since then. */
void fby_heap_lifetime(fby_pool_heap *heap, uint64_t *acquired, uint64_t *released);

/* Calls for each block that is in use, in the order of addresses. The lock is held. */
void fby_heap_each(fby_pool_heap *heap, void (*call)(void *context, const fby_record *record),
                   void *context);

/* Moves what is not pinned towards the beginning, if the heap's fragmentation is above `threshold`.
 * The number of blocks moved; 0 at once where another thread is at it. */
uint64_t fby_heap_compact(fby_pool_heap *heap, double threshold);

#endif
