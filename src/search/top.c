/* SPDX-License-Identifier: Apache-2.0 */
#include "search/top.h"

#include <math.h>
#include <stdlib.h>

bool fby_hit_is_better(fby_hit a, fby_hit b)
{
    return a.score > b.score || (a.score == b.score && a.row < b.row);
}

static void rise(fby_hit *hits, size_t at)
{
    fby_hit hit = hits[at];
    for (; at > 0 && fby_hit_is_better(hits[(at - 1) / 2], hit); at = (at - 1) / 2)
        hits[at] = hits[(at - 1) / 2];
    hits[at] = hit;
}

static void sink(fby_hit *hits, size_t count)
{
    fby_hit hit = hits[0];
    size_t at = 0;
    for (size_t child = 1; child < count; child = 2 * at + 1) {
        if (child + 1 < count && fby_hit_is_better(hits[child], hits[child + 1]))
            child++;
        if (!fby_hit_is_better(hit, hits[child]))
            break;
        hits[at] = hits[child];
        at = child;
    }
    hits[at] = hit;
}

void fby_top_offer(fby_top *top, fby_hit hit)
{
    if (isnan(hit.score))
        hit.score = -INFINITY;
    if (top->count < top->room) {
        top->hits[top->count] = hit;
        rise(top->hits, top->count++);
    } else if (top->room > 0 && fby_hit_is_better(hit, top->hits[0])) {
        top->hits[0] = hit;
        sink(top->hits, top->count);
    }
}

double fby_top_threshold(const fby_top *top)
{
    return top->count == top->room && top->room > 0 ? top->hits[0].score : -INFINITY;
}

static int by_rank(const void *a, const void *b)
{
    const fby_hit *x = a, *y = b;
    return fby_hit_is_better(*y, *x) - fby_hit_is_better(*x, *y);
}

void fby_top_sort(fby_top *top)
{
    if (top->count > 1)
        qsort(top->hits, top->count, sizeof *top->hits, by_rank);
}
