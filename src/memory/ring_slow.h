/* SPDX-License-Identifier: Apache-2.0 */
/* The half of a ring pool that the inline calls never look at. */
#ifndef FBY_MEMORY_RING_SLOW_H
#define FBY_MEMORY_RING_SLOW_H

#include "base/assert.h"
#include "base/platform.h"
#include "forebay/ring_pool.h"

enum {
    FBY_RING_STRETCHES = 16, /* a power of two; two or three are usual */
    FBY_RING_WINDOW_MIN = 16 << 10,
    FBY_RING_WINDOW_MIN_SHARED = 256 << 10, /* to look at the other thread's lines less often */
    FBY_RING_STEP_MIN = 64 << 10,           /* bytes between two looks, unless there are reasons */
    FBY_RING_BIG_STEP = 16384               /* granules for each entry of `big` */
};

/* Slices that lie one behind the other, from `start` to `end`: addresses. Of the oldest stretch
 * `start` is the read cursor's, of the newest `end` is the write cursor's, each as of the last time
 * that allocation looked for room. */
typedef struct fby_ring_stretch {
    fby_ring_word_ start, end;
} fby_ring_stretch;

/*
 * The allocating thread's, except where said. Stretches stand in the order of
 * allocation; no two share a byte.
 */
struct fby_ring_slow_ {
    fby_ring_stretch stretches[FBY_RING_STRETCHES];
    uint32_t oldest, count;  /* count ≥ 1 */
    fby_ring_word_ recent;   /* the recent peak of the span, bytes */
    fby_ring_word_ window;   /* nearly twice as much, bytes */
    fby_ring_word_ faded_at; /* position of the write cursor when `recent` last faded */
    fby_ring_word_ wanted;   /* shared: size of the slice for which room was last looked for */
    fby_ring_word_ guess;    /* shared: size of slices that marks ahead speak of; 0: none do */
    void *map;               /* the mapping, which the pool itself lies in */
    size_t map_bytes;
    bool window_off;

    /*
     * Statistics: written by the allocating thread (a FIFO pool has but one), read by any. A
     * position counts the bytes of all slices up to a cursor; an address is a position plus a
     * shift. `moves` is odd while a shift changes.
     */
    fby_ring_word_ moves, head_shift, tail_shift;
    fby_ring_word_ reach;      /* the window, or above it where slices had to go; bytes */
    fby_ring_word_ reach_peak; /* the largest so far */
    fby_ring_word_ span_peak, wraps, exhausted;
    fby_ring_word_ taken_bytes; /* shared: of all slices taken back so far */
};

/* ---- marks ---- */

static inline fby_ring_word_ fby_ring_distance_of(const fby_ring_pool *pool, fby_ring_word_ address)
{
    return ((fby_ring_word_)(uintptr_t)pool - address) / FBY_RING_GRANULE;
}

static inline uint16_t *fby_ring_mark_of(fby_ring_pool *pool, fby_ring_word_ address)
{
    return fby_ring_mark_(pool, fby_ring_distance_of(pool, address));
}

/* The size of a slice that its mark cannot say. */
static inline fby_ring_word_ *fby_ring_big_size(const fby_ring_pool *pool, fby_ring_word_ address)
{
    return &pool->big_[(address - pool->base_) / FBY_RING_GRANULE / FBY_RING_BIG_STEP];
}

/* By its mark, released or not. */
static inline fby_ring_word_ fby_ring_size_of(const fby_ring_pool *pool, fby_ring_word_ address,
                                              unsigned mark)
{
    mark &= FBY_RING_SMALL_;
    return FBY_LIKELY(mark != 0)
               ? (fby_ring_word_)mark * FBY_RING_GRANULE
               : __atomic_load_n(fby_ring_big_size(pool, address), __ATOMIC_RELAXED);
}

static inline bool fby_ring_in_flight(unsigned mark)
{
    return mark - 1 < FBY_RING_SMALL_ || mark == FBY_RING_BIG_;
}

static inline void fby_ring_assert_within(const fby_ring_pool *pool, fby_ring_word_ address)
{
    fby_assert(address % FBY_RING_GRANULE == 0 && address - pool->base_ < pool->end_ - pool->base_);
}

/* ---- ring_shared.c; the allocating thread, except where said ---- */

/* Marks the slices that the other thread has returned. */
void fby_ring_take_back(fby_ring_pool *pool);

/* Sets the limit, and guesses that slices up to there are of `size` bytes if the last that needed
 * room was. */
void fby_ring_guess_marks(fby_ring_pool *pool, fby_ring_word_ limit, fby_ring_word_ size);

/* What has been returned and not yet taken back. Any thread; what moves meanwhile may be in or
 * not. */
uint64_t fby_ring_returned_bytes(fby_ring_pool *pool);

#endif
