/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `forebay bench ring` puts its clock on: loops over a ring pool, and
 * beside each the same loop over nothing but cursors.
 *
 * All of them keep `in_flight` slices, hold their addresses in an array, and do
 * a release, an allocation and a write in each turn; the compiler is told that
 * memory may have changed between two turns, as it has in a program that does
 * something there.
 *
 * The bare loop knows neither marks nor checks nor a window: two cursors in
 * memory, each set to 0 at the region's end.
 */
#ifndef FBY_CLI_RING_LOOPS_H
#define FBY_CLI_RING_LOOPS_H

#include "forebay/ring_pool.h"

enum {
    FBY_RING_TURNS = 65536,   /* of a schedule */
    FBY_RING_HELD_MAX = 16384 /* slices in flight */
};

/* In which order slots are released: turn after turn, then again from the start once the slots have
 * been renamed by `rename`, so that their ages fit. */
typedef struct fby_ring_schedule {
    uint32_t in_flight;
    uint16_t slots[FBY_RING_TURNS];
    uint16_t rename[FBY_RING_HELD_MAX];
} fby_ring_schedule;

/* The oldest first, or one drawn from the oldest 8. A slot that others were preferred to `patience`
 * times comes next; 0: that does not happen. */
void fby_ring_schedule_fifo(fby_ring_schedule *schedule, uint32_t in_flight);
void fby_ring_schedule_draw(fby_ring_schedule *schedule, uint32_t in_flight, uint32_t patience);

typedef struct fby_ring_load {
    fby_ring_pool *pool;
    fby_ring_kind kind;
    const fby_ring_schedule *schedule;
    const uint32_t *sizes; /* of FBY_RING_TURNS slices, bytes; NULL: all of slice_bytes */
    size_t slice_bytes;
    bool all;       /* write every byte, else a line of 64 */
    uint64_t pairs; /* to measure */
} fby_ring_load;

/* Nanoseconds for a pair of allocation and release: the thread's own time where there is one; where
 * there are two, the clock's for the median segment of 1,024 slices. The pool is empty before and
 * after. */
typedef struct fby_ring_time {
    double ns_per_pair;
    uint64_t page_faults;
    uint64_t refused; /* allocations that found no room at first */
} fby_ring_time;

fby_ring_time fby_ring_run_local(const fby_ring_load *load);
/* Two threads, addresses handed over 16 at a time. */
fby_ring_time fby_ring_run_shared(const fby_ring_load *load);

/* The same with cursors only, through `bytes` bytes at `region`, a multiple of slice_bytes. */
fby_ring_time fby_ring_run_bare(const fby_ring_load *load, unsigned char *region, size_t bytes);
fby_ring_time fby_ring_run_bare_shared(const fby_ring_load *load, unsigned char *region,
                                       size_t bytes);

#endif
