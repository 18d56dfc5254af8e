/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pool's statistics as named numbers: how /metrics, files and the advisor speak of
 * them. One table for writing and reading.
 *
 *     forebay_heap_pool_fallback_total 3
 *     forebay_heap_pool_heap_used_bytes{heap="0"} 4096
 *     forebay_heap_pool_acquired_by_warmup_total{bytes="33554432"} 12
 *
 * Threads: any.
 */
#ifndef FBY_MEMORY_HEAP_POOL_SERIES_H
#define FBY_MEMORY_HEAP_POOL_SERIES_H

#include "forebay/heap_pool.h"

/* One sample. `first`: of its name; `label` "" or `heap="0"`. */
typedef struct fby_heap_sample {
    const char *name, *type, *help;
    bool first;
    char label[40];
    char value[32];
} fby_heap_sample;

/* All of them, those of a name together. */
void fby_heap_series_each(const fby_heap_pool_stats *stats,
                          void (*call)(void *context, const fby_heap_sample *sample),
                          void *context);

/*
 * Reads them out of lines "name{label} value"; others are passed over, those of a
 * heap or warm-up size that no pool can have as well. FBY_EFORMAT when no number of a
 * heap pool is there, or one is no number.
 */
fby_status fby_heap_series_read(const char *text, size_t size, fby_heap_pool_stats *stats);

/* Rates from counts. */
void fby_heap_stats_derive(fby_heap_pool_stats *stats);

#endif
