/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Best fit over runs of equal pieces (units of 64 KiB): free runs
 * indexed by length, those of one length ordered by address, neighbours merged
 * as they are freed. What is known of a piece lies out of band, in an array of
 * nodes; nothing is written into the memory itself.
 *
 *     node:   [head ......... tail][head == tail][head ..... tail]
 *     state:   DIRTY         DIRTY  USED          CLEAN     CLEAN
 *
 * A run is named by the number of its first piece; number 0 stands for none, so
 * piece 0 is never part of a run. Free runs of one length form a pairing heap
 * (Fredman, Sedgewick, Sleator, Tarjan 1986): O(1) to insert, O(log n) amortised
 * to remove. Dirty runs are also in a list, oldest first, for who purges.
 *
 * Threads: the caller's lock protects a set and the nodes of its runs.
 */
#ifndef FBY_MEMORY_ALLOCATOR_RUNS_H
#define FBY_MEMORY_ALLOCATOR_RUNS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum fby_run_state {
    FBY_RUN_USED = 0,  /* or the inside of any run */
    FBY_RUN_CLEAN = 1, /* free; reads as zeros, no memory behind it */
    FBY_RUN_DIRTY = 2  /* free; holds memory */
};

typedef struct fby_run {
    uint32_t child, next, prev; /* in a pairing heap */
    uint32_t length;            /* pieces; at the head, of a free run at the tail too */
    uint32_t older, newer;      /* among the dirty runs */
    uint32_t since_ms;          /* when it was freed, modulo 2^32 */
    uint8_t state;              /* at head and tail */
    _Atomic uint8_t live;       /* the owner's: a block begins here */
    uint8_t reserved[2];
} fby_run;
_Static_assert(sizeof(fby_run) == 32, "a piece's node is half a cache line");

enum { FBY_RUN_BINS = 512 }; /* lengths with a bin of their own */

typedef struct fby_run_set {
    char *nodes;     /* node i is at nodes + i * stride */
    uint32_t stride; /* bytes */
    uint32_t oldest, newest;
    uint64_t dirty;       /* pieces in dirty runs */
    uint64_t free_pieces; /* in all runs */
    uint64_t occupied[FBY_RUN_BINS / 64 + 1];
    uint32_t bin[FBY_RUN_BINS + 1]; /* [0]: all longer ones */
} fby_run_set;

static inline fby_run *fby_run_at(const fby_run_set *set, uint32_t at)
{
    return (fby_run *)(void *)(set->nodes + (size_t)at * set->stride);
}

/* Pairing heaps of nodes, lowest number at the root; 0 is the empty heap. */
uint32_t fby_order_insert(const fby_run_set *set, uint32_t root, uint32_t at);
uint32_t fby_order_remove(const fby_run_set *set, uint32_t root, uint32_t at);

/* Adds [at, at + length) as a free run, merged with its free neighbours inside [low, high), which
 * the run is part of; as old as the longest dirty part. Returns the merged run. */
uint32_t fby_runs_free(fby_run_set *set, uint32_t at, uint32_t length, enum fby_run_state state,
                       uint32_t low, uint32_t high, uint32_t now_ms);

/* Takes `length` pieces from the shortest run that has them, the lowest of those; a multiple of
 * `align`, a power of two. 0 if there is none. `*state` says what the memory is like. */
uint32_t fby_runs_take(fby_run_set *set, uint32_t length, uint32_t align,
                       enum fby_run_state *state);

/* Takes the first `length` pieces of the free run that begins at `at`, if it begins there and is
 * long enough: growth in place. */
bool fby_runs_take_at(fby_run_set *set, uint32_t at, uint32_t length);

/* Takes [from, from + length) out of the free run that ends before `end`, if it is free. */
bool fby_runs_take_last(fby_run_set *set, uint32_t end, uint32_t from, uint32_t length,
                        enum fby_run_state *state);

/* Takes the whole of the oldest dirty run if it is older than `decay_ms`; 0 if there is none. */
uint32_t fby_runs_take_oldest(fby_run_set *set, uint32_t now_ms, uint32_t decay_ms,
                              uint32_t *length);

#endif
