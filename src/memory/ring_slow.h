/* SPDX-License-Identifier: Apache-2.0 */
/* The half of a ring pool that the inline calls never look at. */
#ifndef FBY_MEMORY_RING_SLOW_H
#define FBY_MEMORY_RING_SLOW_H

#include "forebay/ring_pool.h"

enum {
    FBY_RING_STRETCHES = 16, /* a power of two; two or three are usual */
    FBY_RING_WINDOW_MIN = 16 << 10,
    FBY_RING_WINDOW_MIN_SHARED = 256 << 10, /* to look at the other thread's lines less often */
    FBY_RING_STEP_MIN = 64 << 10,           /* bytes between two looks, unless there are reasons */
    FBY_RING_BIG_STEP = 16384,              /* granules for each entry of `big` */
    FBY_RING_RELEASED = 1 << 14 /* in a shared pool's mark, with the size: not yet passed */
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
    fby_ring_word_ window;   /* half as much again, bytes */
    fby_ring_word_ faded_at; /* position of the write cursor when `recent` last faded */
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

uint64_t fby_ring_returned_bytes(fby_ring_pool *pool);

#endif
