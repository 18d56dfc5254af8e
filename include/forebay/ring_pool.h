/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ring pool: slices of one contiguous, page-touched region, for requests in
 * flight. Allocation moves a write cursor, release a read cursor; neither calls
 * the system, and what they cost does not depend on the pool's size.
 *
 *     create --> alloc --> the caller's slice --> release --> ... --> destroy
 *                  |                                 |
 *                  |    a slice released before      |  the read cursor passes it
 *                  |    an older one is marked  ---->|  when its turn comes
 *                  +-- no room: FBY_EAGAIN, counted; the caller tries later
 *
 * Kinds:
 *   local            one thread; slices are released in the order of allocation
 *   local-unordered  one thread; in any order
 *   shared           one thread allocates, another releases, in any order
 *
 * A slice starts on a 64-byte boundary, is a multiple of 64 bytes long and never
 * split over the region's end. Its bytes are the caller's until it is released,
 * and are whatever the last user left in them.
 *
 * Threads: local kinds, all calls on one thread, the one that created the pool
 * for its memory to be near. Shared: fby_ring_alloc() on one thread,
 * fby_ring_release() on one thread, which may be another; how a slice's address
 * travels from the first to the second is the caller's, and must synchronise
 * (a release store, an acquire load). fby_ring_pool_get_stats(): any thread.
 *
 * The elastic window. Slices are placed below the *window*: nearly twice the
 * recent peak of the span, which is the bytes between the two cursors; 16 KiB at
 * least, 256 KiB in a shared pool. So the bytes touched follow the load, not the
 * capacity.
 *   - It widens at once: when nothing below it is free, the write cursor goes on
 *     above it, up to the capacity. Nothing is refused for the window's sake.
 *   - It narrows while the load is lower: the recent peak fades by a quarter each
 *     time that the pool looks for room and half of it has been allocated since, so
 *     a burst of B bytes is forgotten when about 4 B more have gone through.
 *   - It decides only where the write cursor goes next. The pool keeps the list
 *     of the stretches of memory between read and write cursor, in order; the
 *     write cursor moves only to memory outside all of them and stops where the
 *     next begins. So nothing in flight is ever overwritten, whatever the window
 *     does; tests/spin/ring_pool.pml is this argument as a model.
 *
 * Misuse (a slice released twice, one that is not of this pool, one out of order
 * from a FIFO pool) is an assertion in every build: a message, then abort(). A
 * shared pool, where looking at a mark would cost both threads a cache line, finds
 * out when the allocating thread takes the slice back; an address inside the region
 * at which a slice has begun by then passes for that slice.
 *
 * Algorithm: a bip buffer (S. Cooke, 2003) of more than two stretches, with a
 * byte of metadata for each 64-byte granule.
 */
#ifndef FOREBAY_RING_POOL_H
#define FOREBAY_RING_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "forebay/status.h"

#ifdef __cplusplus
extern "C" {
#endif

#define FBY_RING_GRANULE 64 /* bytes; alignment and unit of a slice */

/* Floats in a vector. Yours, if defined before this header is included: only macros and inline
 * functions below use it, the library does not. */
#ifndef FBY_FEATURE_DIM
#define FBY_FEATURE_DIM 128
#endif
#define FBY_RING_VECTORS_MAX 64 /* in a request */

typedef enum fby_ring_kind {
    FBY_RING_LOCAL = 0,
    FBY_RING_LOCAL_UNORDERED = 1,
    FBY_RING_SHARED = 2
} fby_ring_kind;

typedef struct fby_ring_pool fby_ring_pool;

/* ---- creation ---- */

typedef struct fby_ring_pool_options {
    size_t struct_size;
    fby_ring_kind kind;
    size_t capacity_bytes; /* rounded up to a multiple of 64; at least 64 */
    bool window_off;       /* use the whole capacity, one slice after the other */
    bool no_huge_pages;    /* do not ask for them */
    bool no_numa;          /* do not bind to the calling thread's node */
} fby_ring_pool_options;
#define FBY_RING_POOL_OPTIONS_INIT                                                                 \
    {                                                                                              \
        sizeof(fby_ring_pool_options), FBY_RING_LOCAL, 0, false, false, false                      \
    }

/*
 * Maps the region with its metadata (1/32 of the capacity more), on the calling
 * thread's NUMA node and in huge pages where the system grants that, and touches
 * every page: no call after this one faults or allocates. Call it on the thread
 * that will use the pool; of a shared one, that which allocates.
 *
 * FBY_EINVAL for a capacity of 0, an unknown kind or a struct_size that was not
 * set, FBY_EUNSUPPORTED when a larger struct asks for what this version does not
 * have; FBY_ENOMEM if the system gives no memory.
 */
FBY_API fby_status fby_ring_pool_create(const fby_ring_pool_options *options, fby_ring_pool **pool);

/* Slices still in flight end with it. NULL is fine. No other call may run. */
FBY_API void fby_ring_pool_destroy(fby_ring_pool *pool);

/* ---- sizing ---- */

typedef struct fby_ring_workload {
    size_t struct_size;
    size_t vector_bytes;         /* set by the macro: FBY_FEATURE_DIM floats */
    double mean_vectors;         /* of a request */
    uint32_t peak_vectors;       /* of a request, at most */
    uint32_t requests_in_flight; /* at most; the slots of the ring that carries them */
    uint32_t requests_waiting;   /* released, but younger than one in flight, at most: 0 where
                                  * answers keep their order; as many again as are in flight is a
                                  * fair guess elsewhere */
} fby_ring_workload;
#define FBY_RING_WORKLOAD_INIT                                                                     \
    {                                                                                              \
        sizeof(fby_ring_workload), sizeof(float[FBY_FEATURE_DIM]), 0.0, 0, 0, 0                    \
    }

/*
 * The capacity for which independent requests find no room at most once in 10^9,
 * in bytes: by Bernstein's inequality for a sum of n variables in [0, peak] with
 * the given mean, never more than n * peak; and room for two slices lost where
 * the cursors turn. FBY_EINVAL when a field is 0 (except as said), the mean is
 * not in (0, peak], or the result overflows.
 *
 * For a ring of `ring_slots` slots whose small results, of at most
 * `inline_result_vectors` vectors, travel in the slots: requests_in_flight is
 * ring_slots, and such results count as 0 in the mean.
 */
FBY_API fby_status fby_ring_pool_size(const fby_ring_workload *workload, size_t *capacity_bytes);

/* ---- statistics ---- */

/*
 * Each field is one word that was true when it was read. Fields are read one
 * after the other while the pool works, so two of them may be a few operations
 * apart; what is derived from two cursors is never negative.
 */
typedef struct fby_ring_pool_stats {
    size_t struct_size; /* set by the caller */
    uint64_t capacity_bytes;
    uint64_t in_flight_bytes; /* allocated and not yet released */
    uint64_t span_bytes;      /* between the cursors: in flight, and released ones that wait. Except
                               * in a FIFO pool the read cursor moves when allocation next looks
                               * for room, so some of it may wait for nothing but that. */
    uint64_t peak_span_bytes; /* the largest seen when allocation looked for room, which is at least
                               * once in half a window's bytes: the true peak is at most that much
                               * more */
    uint64_t window_bytes;    /* slices are placed below this offset */
    uint64_t peak_window_bytes;
    uint64_t wraps;     /* moves of the write cursor to a lower address */
    uint64_t exhausted; /* answers of FBY_EAGAIN */
} fby_ring_pool_stats;

/* FBY_EINVAL for a wrong struct_size. Any thread. */
FBY_API fby_status fby_ring_pool_get_stats(fby_ring_pool *pool, fby_ring_pool_stats *stats);

/* ---- private: what the inline calls below need; its size is part of the ABI ---- */

/* A type of its own: what callers write into slices (floats, integers, pointers) is not a cursor,
 * which a compiler may know by the types. */
typedef unsigned long long fby_ring_word_;

/*
 *     region: ... granule 2 | 1 | 0 | ... | pool | slow half ... | mark of granule 0 | 1 | 2 | ...
 *                                         ^<--- FBY_RING_MARKS_ --->^
 *
 * Granules are counted down from the pool, which lies behind the region and before the marks: so
 * from a slice to its mark is a subtraction and a shift, without a load. A mark is at a slice's
 * lowest granule the slice's size, with FBY_RING_RELEASED_ once it has been released (a FIFO
 * pool's is not changed then); elsewhere 0 or what is left of slices long gone, marked so too.
 */
#define FBY_RING_MARKS_    3840    /* bytes from the pool to the mark of granule 0 */
#define FBY_RING_GAP_      4       /* granule 0 ends so many before the pool */
#define FBY_RING_SMALL_    0x3fffu /* granules that a mark can say */
#define FBY_RING_BIG_      0x8000u /* more: the size stands elsewhere */
#define FBY_RING_RELEASED_ 0xc000u /* all marks but of small slices in flight are ≤ 0, signed */
#define FBY_RING_QUEUE_    4096u   /* a shared pool's returned slices, not yet taken back */

struct fby_ring_pool {
    /* Constant. */
    fby_ring_word_ kind_;
    fby_ring_word_ unordered_;  /* in a pool of this kind one more than the largest distance */
    fby_ring_word_ shared_;     /* of a slice, else 0; the same */
    fby_ring_word_ base_, end_; /* addresses of the region */
    fby_ring_word_ *big_;       /* sizes of slices that a mark cannot say */
    uint32_t *queue_;           /* shared: granules of returned slices */
    struct fby_ring_slow_ *slow_;

    /* The allocating thread's: addresses. */
    fby_ring_word_ head_;   /* the write cursor */
    fby_ring_word_ limit_;  /* up to where it may go without looking further; 0 in shared pools */
    fby_ring_word_ oldest_; /* FIFO: the read cursor; 0 in other kinds */
    fby_ring_word_ turn_;   /* where the read cursor's stretch ends; 0 for the newest */
    fby_ring_word_ tail_;   /* the read cursor of other kinds */
    fby_ring_word_ taken_;  /* shared: returned slices taken back so far */
    fby_ring_word_ shared_limit_; /* shared: what limit_ is in others */
    fby_ring_word_ reserved1_;

    /* The releasing thread's. */
    fby_ring_word_ released_;   /* unordered: bytes of all slices released so far */
    fby_ring_word_ returned_;   /* shared: slices put into the queue so far */
    fby_ring_word_ taken_seen_; /* the newest taken_ that it has looked at */
    fby_ring_word_ reserved2_[5];
} __attribute__((aligned(64)));

#ifdef __cplusplus
static_assert(sizeof(fby_ring_pool) == 192, "layout is ABI");
#else
_Static_assert(sizeof(fby_ring_pool) == 192, "layout is ABI");
#endif

FBY_API fby_status fby_ring_alloc_slow_(fby_ring_pool *pool, size_t bytes, void **slice);
FBY_API void fby_ring_guessed_wrong_(fby_ring_pool *pool);
FBY_API void fby_ring_release_fifo_slow_(fby_ring_pool *pool, void *slice);
FBY_API void fby_ring_release_slow_(fby_ring_pool *pool, void *slice);
FBY_API void fby_ring_release_shared_slow_(fby_ring_pool *pool, void *slice);
FBY_API fby_status fby_ring_vectors_refused_(uint32_t vectors);

/* Granules from an address up to the pool: FBY_RING_GAP_ + 1 for granule 0. Far too many for an
 * address behind the pool or not aligned: rotated, so that one comparison refuses all. In the gap
 * every mark is 0. */
static inline fby_ring_word_ fby_ring_distance_(const fby_ring_pool *pool, const void *slice)
{
    fby_ring_word_ bytes = (fby_ring_word_)(uintptr_t)pool - (fby_ring_word_)(uintptr_t)slice;
    return bytes >> 6 | bytes << 58;
}

static inline uint16_t *fby_ring_mark_(fby_ring_pool *pool, fby_ring_word_ distance)
{
    return (uint16_t *)(void *)((unsigned char *)pool + (FBY_RING_MARKS_ - 2 * FBY_RING_GAP_ - 2) +
                                2 * distance);
}

static inline fby_ring_word_ fby_ring_round_(size_t bytes)
{
    return ((fby_ring_word_)bytes + (FBY_RING_GRANULE - 1)) &
           ~(fby_ring_word_)(FBY_RING_GRANULE - 1);
}

static inline void fby_ring_store_(fby_ring_word_ *at, fby_ring_word_ x)
{
    __atomic_store_n(at, x, __ATOMIC_RELAXED); /* a plain store; statistics may look at the word */
}

/* ---- the hot calls ---- */

/*
 * Writes the address of a slice of at least `bytes` bytes to `*slice`.
 * FBY_EAGAIN when there is no room now: no free stretch of memory that is large
 * enough (64 bytes more than the slice) and at least 1/64 of the capacity, or slices in 16
 * stretches already, which happens to a pool that is kept nearly full. FBY_EINVAL, with a message,
 * for 0 bytes or more than the pool has. The allocating thread.
 */
static inline fby_status fby_ring_alloc(fby_ring_pool *pool, size_t bytes, void **slice)
{
    fby_ring_word_ size = fby_ring_round_(bytes), head = pool->head_;

    /* The first comparison is for sizes of 0, asked for or overflown, too. */
    if (__builtin_expect(
            size - 1 >= FBY_RING_SMALL_ * FBY_RING_GRANULE || head + size > pool->limit_, 0)) {
        void *found; /* so that the caller's need not be in memory */
        fby_status status = fby_ring_alloc_slow_(pool, bytes, &found);
        if (status == FBY_OK)
            *slice = found;
        return status;
    }
    fby_ring_word_ distance = ((fby_ring_word_)(uintptr_t)pool - head) / FBY_RING_GRANULE;
    __atomic_store_n(fby_ring_mark_(pool, distance), (uint16_t)(size / FBY_RING_GRANULE),
                     __ATOMIC_RELAXED);
    fby_ring_store_(&pool->head_, head + size);
    *slice = (void *)(uintptr_t)head;
    return FBY_OK;
}

/* The same from a shared pool, inline; fby_ring_alloc() makes a call there. */
static inline fby_status fby_ring_alloc_shared(fby_ring_pool *pool, size_t bytes, void **slice)
{
    fby_ring_word_ size = fby_ring_round_(bytes), head = pool->head_;

    if (__builtin_expect(size - 1 >= FBY_RING_SMALL_ * FBY_RING_GRANULE ||
                             head + size > pool->shared_limit_,
                         0)) {
        void *found;
        fby_status status = fby_ring_alloc_slow_(pool, bytes, &found);
        if (status == FBY_OK)
            *slice = found;
        return status;
    }
    fby_ring_word_ distance = ((fby_ring_word_)(uintptr_t)pool - head) / FBY_RING_GRANULE;
    uint16_t *at = fby_ring_mark_(pool, distance), mark = (uint16_t)(size / FBY_RING_GRANULE);
    /* Marks ahead of the write cursor may be guessed: as if the next slices were as large as
     * those before. A right guess needs no store, and here each counts: the lines of two slices,
     * which the other thread has, come one after the other, later for every store between. */
    uint16_t guess = __atomic_load_n(at, __ATOMIC_RELAXED);
    if (guess != mark) {
        if ((int16_t)guess > 0)
            fby_ring_guessed_wrong_(pool);
        __atomic_store_n(at, mark, __ATOMIC_RELAXED);
    }
    fby_ring_store_(&pool->head_, head + size);
    *slice = (void *)(uintptr_t)head;
    return FBY_OK;
}

/*
 * Ends the use of a slice, given by its first byte; one function for each kind,
 * the releasing thread. A pool of another kind is an assertion like the rest.
 */
static inline void fby_ring_release_fifo(fby_ring_pool *pool, void *slice)
{
    fby_ring_word_ address = (fby_ring_word_)(uintptr_t)slice;

    /* Between the cursors of one stretch slice follows slice, so here a mark is that of a slice in
     * flight: marks of a FIFO pool need not be cleared. */
    if (__builtin_expect(address != pool->oldest_ || address == pool->head_, 0)) {
        fby_ring_release_fifo_slow_(pool, slice);
        return;
    }
    fby_ring_word_ distance = ((fby_ring_word_)(uintptr_t)pool - address) / FBY_RING_GRANULE;
    int mark = (int16_t)*fby_ring_mark_(pool, distance);
    if (__builtin_expect(mark < 0, 0)) { /* FBY_RING_BIG_ */
        fby_ring_release_fifo_slow_(pool, slice);
        return;
    }
    fby_ring_store_(&pool->oldest_, address + (fby_ring_word_)mark * FBY_RING_GRANULE);
}

static inline void fby_ring_release_unordered(fby_ring_pool *pool, void *slice)
{
    fby_ring_word_ distance = fby_ring_distance_(pool, slice);

    if (__builtin_expect(distance >= pool->unordered_, 0)) {
        fby_ring_release_slow_(pool, slice);
        return;
    }
    uint16_t *at = fby_ring_mark_(pool, distance);
    int mark = (int16_t)*at;
    if (__builtin_expect(mark <= 0, 0)) { /* a big slice, or none in flight */
        fby_ring_release_slow_(pool, slice);
        return;
    }
    *at = (uint16_t)((unsigned)mark | FBY_RING_RELEASED_);
    fby_ring_store_(&pool->released_, pool->released_ + (fby_ring_word_)mark * FBY_RING_GRANULE);
}

static inline void fby_ring_release_shared(fby_ring_pool *pool, void *slice)
{
    fby_ring_word_ distance = fby_ring_distance_(pool, slice), returned = pool->returned_;

    if (__builtin_expect(
            distance >= pool->shared_ || returned - pool->taken_seen_ == FBY_RING_QUEUE_, 0)) {
        fby_ring_release_shared_slow_(pool, slice);
        return;
    }
    __atomic_store_n(&pool->queue_[returned % FBY_RING_QUEUE_], (uint32_t)distance,
                     __ATOMIC_RELAXED);
    /* R1, with A1 in ring_shared.c: this thread is done with the slice before the other may hand it
     * out again. */
    __atomic_store_n(&pool->returned_, returned + 1, __ATOMIC_RELEASE);
}

/* The same for a pool of any kind. */
static inline void fby_ring_release(fby_ring_pool *pool, void *slice)
{
    if (pool->kind_ == FBY_RING_LOCAL)
        fby_ring_release_fifo(pool, slice);
    else if (pool->kind_ == FBY_RING_LOCAL_UNORDERED)
        fby_ring_release_unordered(pool, slice);
    else
        fby_ring_release_shared(pool, slice);
}

/* ---- vectors ---- */

/* A slice of shape (vectors, FBY_FEATURE_DIM). As fby_ring_alloc(), and
 * FBY_EINVAL for more than FBY_RING_VECTORS_MAX. */
static inline fby_status fby_ring_alloc_vectors(fby_ring_pool *pool, uint32_t vectors,
                                                float **slice)
{
    if (__builtin_expect(vectors > FBY_RING_VECTORS_MAX, 0))
        return fby_ring_vectors_refused_(vectors);
    void *memory = NULL;
    fby_status status = fby_ring_alloc(pool, vectors * sizeof(float[FBY_FEATURE_DIM]), &memory);
    if (__builtin_expect(status == FBY_OK, 1))
        *slice = (float *)memory;
    return status;
}

#ifdef __cplusplus
}
#endif
#endif
