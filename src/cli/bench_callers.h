/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads that call the asynchronous form, each again as soon as its last call
 * has ended, and how long their calls took.
 *
 *     start --> use(n) --> begin --> (time passes) --> read --> use(m) ... --> end
 *
 * Threads: start, use, begin, read, end by one.
 */
#ifndef FBY_CLI_BENCH_CALLERS_H
#define FBY_CLI_BENCH_CALLERS_H

#include "cli/bench_workers.h"

typedef struct fby_callers fby_callers;

/* Of the calls that ended since fby_callers_begin(). */
typedef struct fby_callers_seen {
    uint64_t calls;
    double texts_per_s, p50_ms, p99_ms; /* NaN where there were none */
    double over;                        /* share of calls that took longer than asked about */
} fby_callers_seen;

/* At most `most` of them; none calls yet. `model` and `texts` outlive them. */
fby_status fby_callers_start(fby_model *model, const fby_workers_texts *texts, uint32_t most,
                             fby_callers **callers);

/* So many call from now on; the others end the call they are in. */
void fby_callers_use(fby_callers *callers, uint32_t count);

void fby_callers_begin(fby_callers *callers);
fby_callers_seen fby_callers_read(fby_callers *callers, double over_ms);

/* The first failure of a call. NULL is fine. */
fby_status fby_callers_end(fby_callers *callers);

#endif
