/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the files of the heap pool.
 *
 *     options.c    what was asked for, checked, defaults resolved
 *     create.c     heaps mapped, touched, warmed; closing
 *     pool.c       acquire, release, pin: which heap
 *     fallback.c   blocks of the system
 *     upkeep.c     growth, compaction: a thread
 *     stats.c      snapshots; series.c: as named numbers; advise.c: what they mean
 *     recorder.c   a trace of all calls
 *     heap.c, compact.c, tlsf.c    one heap
 *     host.c, vulkan*.c            where memory comes from
 */
#ifndef FBY_MEMORY_HEAP_POOL_POOL_H
#define FBY_MEMORY_HEAP_POOL_POOL_H

#include "base/status.h"
#include "memory/heap_pool/fallback.h"
#include "memory/heap_pool/heap.h"
#include "memory/heap_pool/recorder.h"

#define FBY_HEAP_ASKED_RECORD UINT64_MAX

typedef struct fby_heap_upkeep {
    pthread_t thread;
    bool started;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stopping;       /* under the lock */
    _Atomic bool wanted; /* a heap; set by any thread */
    /* Bytes that no heap had in one piece; FBY_HEAP_ASKED_RECORD: it was a record; 0: nothing. */
    _Atomic uint64_t asked;
    pthread_mutex_t turn; /* one compaction, growth or return of a heap at a time */
    _Atomic uint64_t grown, shrunk, failures;
} fby_heap_upkeep;

struct fby_heap_pool {
    /* Constant. */
    fby_heap_pool_options options; /* resolved; without pointers but log, log_context */
    const fby_heap_source *source;
    void *device;
    fby_heap_counting counting;
    fby_heap_recorder *recorder; /* NULL: nobody asks */
    /* Any thread. */
    _Alignas(FBY_CACHELINE) _Atomic uint32_t turn; /* round-robin: the next heap */
    _Alignas(FBY_CACHELINE) _Atomic uint32_t top;  /* heaps[top …] are not there */
    _Atomic uint64_t said_ns;                      /* when exhaustion was last told of */
    _Atomic uint64_t refused, crowded;
    /* Of a heap's used bytes: above, growth is looked into; UINT64_MAX: never. Rarely changed. */
    _Alignas(FBY_CACHELINE) _Atomic uint64_t growth_bytes;

    fby_fallback fallback;
    fby_heap_upkeep upkeep;
    fby_pool_heap heaps[FBY_HEAP_HEAPS_MAX];
};

/* Everything resolved: no 0 that means something else. */
fby_status fby_heap_options_resolve(const fby_heap_pool_options *given,
                                    fby_heap_pool_options *options, fby_heap_counting *counting);

/* ---- create.c ---- */

/* A heap in `slot`, ready. Any thread, while nobody else makes one there. */
fby_status fby_heap_pool_add(fby_heap_pool *pool, uint32_t slot, bool grown);
/* Takes the heap away if nothing is in it (or anyway). */
bool fby_heap_pool_remove(fby_heap_pool *pool, uint32_t slot, bool anyway);

/* Writes a line to the log. */
void fby_heap_pool_say(const fby_heap_pool *pool, const char *fmt, ...) FBY_PRINTF(2, 3);

/* ---- upkeep.c ---- */

void fby_heap_upkeep_init(fby_heap_upkeep *upkeep);
void fby_heap_upkeep_destroy(fby_heap_upkeep *upkeep);
fby_status fby_heap_upkeep_start(fby_heap_pool *pool);
void fby_heap_upkeep_stop(fby_heap_pool *pool);

/* Much is used, or a call found no room: looks whether a heap is wanted, and wakes the thread,
 * which looks again. `asked` as in fby_heap_upkeep. Any thread. */
void fby_heap_upkeep_notice(fby_heap_pool *pool);
void fby_heap_upkeep_exhausted(fby_heap_pool *pool, uint64_t asked);

/* How much of a heap is to be used before growth is looked into, with the heaps that are there. */
void fby_heap_upkeep_watch(fby_heap_pool *pool);

/* Of the heaps that are there, in bytes. */
void fby_heap_pool_use(const fby_heap_pool *pool, uint64_t *used, uint64_t *capacity,
                       uint32_t *heaps);

#endif
