/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the server counts, and its text for Prometheus (format 0.0.4).
 *
 * Each counter has one writer: an agent's struct its agent, a worker's struct its
 * worker. Writers store, readers load, both relaxed: a counter says how often,
 * nothing else is read through it. Nothing here allocates or locks.
 */
#ifndef FBY_SERVE_METRICS_H
#define FBY_SERVE_METRICS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "forebay/heap_pool.h"
#include "serve/api.h"
#include "serve/config.h"
#include "serve/teams.h"

typedef _Atomic uint64_t fby_counter;

static inline void fby_counter_add(fby_counter *counter, uint64_t n)
{
    /* One writer: no read-modify-write is needed. */
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

static inline uint64_t fby_counter_get(const fby_counter *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* Seconds in 35 buckets of 1e-5 × 1.5^n, as TEI's; sizes in powers of two from 1 to 2^20. */
enum { FBY_TIME_BUCKETS = 35, FBY_SIZE_BUCKETS = 21 };
typedef struct fby_time_histogram {
    fby_counter buckets[FBY_TIME_BUCKETS + 1], sum_ns;
} fby_time_histogram;
typedef struct fby_size_histogram {
    fby_counter buckets[FBY_SIZE_BUCKETS + 1], sum;
} fby_size_histogram;

void fby_time_observe(fby_time_histogram *histogram, uint64_t ns);
void fby_size_observe(fby_size_histogram *histogram, uint64_t n);

/* An agent's. Aligned, so that no other thread's writes share its lines. */
typedef struct fby_agent_metrics {
    fby_counter requests[FBY_COUNT_OPERATIONS];  /* answered, whatever the status */
    fby_counter refused[FBY_REFUSALS];           /* by reason */
    fby_counter single, batch;                   /* embedding requests with one text, with a list */
    fby_counter single_answered, batch_answered; /* of those, with vectors */
    fby_counter texts, tokens, truncated_texts;
    fby_counter hang_ups;        /* clients gone before their answer */
    fby_counter cancelled_texts; /* dropped before a worker took them */
    fby_counter slow_reads;      /* connections cut off as too slow, either way */
    fby_counter slow_writes;     /* answers moved out of the pool */
    fby_counter connections_opened, connections_closed;
    fby_counter received_bytes, sent_bytes; /* bodies */
    fby_counter large_requests;             /* that took memory of their own */
    fby_counter loops;                      /* turns of the agent's loop */
    fby_counter sleeps;
    fby_time_histogram parse, tokenize, queue, compute, write, total;
    fby_size_histogram request_texts, text_tokens;
    /* Gauges. */
    fby_counter queued_tokens, requests_in_flight, open_connections;
    fby_counter pool_capacity, pool_in_flight, pool_span, pool_peak_span, pool_window, pool_wraps,
        pool_exhausted;
    /* For /live: when the loop last turned (monotonic ns), whether it sleeps. */
    fby_counter turned_ns, asleep;
} __attribute__((aligned(64))) fby_agent_metrics;

typedef struct fby_worker_metrics {
    fby_counter batches, texts, tokens, cancelled_texts, failures;
    fby_counter busy_ns;
    fby_size_histogram batch_texts, batch_tokens;
    fby_counter busy;                 /* gauge: 1 while it computes */
    fby_counter lone_batches;         /* texts' batches that it computed alone */
    fby_counter team_batches, helped; /* batches it led a team at; parts of another's */
} __attribute__((aligned(64))) fby_worker_metrics;

typedef struct fby_metrics {
    const fby_api *api;
    fby_metrics_compat compat;
    _Atomic uint64_t max_queued_tokens, stall_ms; /* fby_metrics_reconfigure() */
    const fby_agent_metrics *agents;
    uint32_t agent_count;
    const fby_worker_metrics *workers;
    uint32_t worker_count;
    fby_teams *teams;         /* what their tuners decide; NULL: none yet */
    fby_heap_pool *heap_pool; /* its statistics; NULL: none yet */
    uint64_t started_ns;      /* monotonic */
} fby_metrics;

/* What SIGHUP may change. Any thread. */
static inline void fby_metrics_reconfigure(fby_metrics *metrics, const fby_serve_config *config)
{
    atomic_store_explicit(&metrics->max_queued_tokens, config->max_queued_tokens,
                          memory_order_relaxed);
    atomic_store_explicit(&metrics->stall_ms, config->stall_ms, memory_order_relaxed);
}

/* Writes at most `size` bytes; returns what the whole takes: more than `size`, and it was cut at
 * the end of a line. */
size_t fby_metrics_text(const fby_metrics *metrics, char *out, size_t size);
/* What the page at / shows, as one JSON object; the same contract. */
size_t fby_metrics_json(const fby_metrics *metrics, char *out, size_t size);
typedef size_t fby_metrics_writer(const fby_metrics *metrics, char *out, size_t size);

/* What `write` writes, whole, for the caller to free(); `*size` bytes. NULL: no memory. */
char *fby_metrics_written(const fby_metrics *metrics, fby_metrics_writer *write, size_t *size);

#endif
