/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An agent: one thread with one loop, its own ring pool, its own connections.
 *
 *     1 completions   answers that workers finished
 *     2 incoming      sockets
 *     3 flush         admitted requests to the workers, round-robin
 *     4 sleep         in epoll_wait, until a socket, a worker or a deadline
 *
 * It never waits for a worker. Back-pressure has one rule: no room, no
 * admission. What stands in front of a new request at the workers is bounded by
 * `ahead_tokens`, however much other requests have left to publish.
 *
 * Threads: the agent's own, but for what is said of each function.
 */
#ifndef FBY_SERVE_AGENT_H
#define FBY_SERVE_AGENT_H

#include <pthread.h>
#include <semaphore.h>

#include "base/status.h"
#include "forebay/heap_pool.h"
#include "forebay/ring_pool.h"
#include "serve/exchange.h"
#include "serve/plan.h"
#include "serve/worker.h"

typedef struct fby_http fby_http;

struct fby_agent {
    /* Constant. */
    uint8_t index;
    const fby_api *api;
    const fby_serve_config *config; /* the agent's thread; changed by fby_agent_reconfigure() */
    const fby_kernels *kernels;
    fby_crew *crew;
    const fby_metrics *all_metrics; /* for /metrics */
    int listen_fd;                  /* the agent's own */
    const char *cert, *key;         /* PEM; NULL: no TLS */
    const fby_serve_plan *plan;
    uint64_t max_queued;      /* tokens; changed by fby_agent_reconfigure() */
    fby_heap_pool *heap_pool; /* everybody's: what is larger than a slice */
    size_t pool_eighth;       /* larger slices are blocks of their own */

    fby_ring_pool *pool;
    uint32_t *scratch_ids;        /* (FBY_SCRATCH_IDS): where a small request is tokenised */
    fby_text_info *scratch_infos; /* (FBY_SMALL_TEXTS) */
    fby_arena arena;              /* where a small body is parsed */
    fby_disruptor *completions;
    fby_consumer *completed;
    fby_bell bell;
    fby_http *http;
    int epoll;

    /* Changing. */
    fby_exchange *publishing;       /* a ring; its first is next */
    uint64_t queued_tokens;         /* admitted and not done */
    uint64_t out_tokens[FBY_LANES]; /* published and not completed, the long lane apart */
    uint32_t out_events, out_long;
    bool held_up;       /* a lane had no slot, though there should be one: tried again soon */
    uint64_t own_bytes; /* blocks of large requests and moved answers */
    uint32_t admitted;  /* exchanges not ready yet */
    fby_agent_metrics *metrics;

    pthread_t thread;
    bool started;
    sem_t up; /* the thread has all it needs, or has failed */
    fby_status start_status;
    char start_message[FBY_ERROR_SIZE];
    atomic_bool draining; /* any thread: no new connections, no new requests */
    atomic_bool stopping; /* any thread: end the loop when nothing is in flight */
    atomic_bool ended;
    _Atomic(const fby_serve_config *) next_config; /* to be taken at the next turn, or NULL */
    _Atomic(const fby_serve_config *) taken;       /* which the agent has; any thread */
};

enum { FBY_SMALL_TEXTS = 256, FBY_SMALL_BYTES = 64 << 10, FBY_SCRATCH_IDS = 128 << 10 };

/* The struct's constant part is set, pool_eighth apart. */
fby_status fby_agent_init(fby_agent *agent);
void fby_agent_clear(fby_agent *agent);
/* Serves connections on a thread of its own; returns once it does. */
fby_status fby_agent_start(fby_agent *agent);
/* Any thread: see draining, stopping. */
void fby_agent_drain(fby_agent *agent);
void fby_agent_stop(fby_agent *agent);
/* Takes on `config`, which lives as long as the agent, at its next turn. Any thread. */
void fby_agent_reconfigure(fby_agent *agent, const fby_serve_config *config);

/* Memory of a large request's own, counted against plan->large_bytes; NULL: none now. */
void *fby_agent_take_own(fby_agent *agent, size_t size);
/* `size` as it was taken; NULL is fine. */
void fby_agent_give_own(fby_agent *agent, void *block, size_t size);

/* For exchange.c: an exchange is ready; tells its connection. */
void fby_agent_ready(fby_agent *agent, fby_exchange *exchange);

#endif
