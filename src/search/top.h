/* SPDX-License-Identifier: Apache-2.0 */
/* The best `room` of many hits: a heap with the worst kept on top. One thread. */
#ifndef FBY_SEARCH_TOP_H
#define FBY_SEARCH_TOP_H

#include <stdbool.h>
#include <stddef.h>

typedef struct fby_hit {
    double score; /* not NaN: that counts as -infinity */
    size_t row;
} fby_hit;

typedef struct fby_top {
    fby_hit *hits; /* (room) */
    size_t room, count;
} fby_top;

/* Higher scores first, then lower rows. */
bool fby_hit_is_better(fby_hit a, fby_hit b);

/* Keeps `hit` if it is among the best so far. */
void fby_top_offer(fby_top *top, fby_hit hit);

/* The worst kept once the heap is full; -infinity before: what a hit must reach. */
double fby_top_threshold(const fby_top *top);

/* Best first; the heap is one no longer. */
void fby_top_sort(fby_top *top);

#endif
