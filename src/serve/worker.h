/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Workers: threads that run the models on the batches they claim.
 *
 *     main lane  ──claim by token budget──► worker ──► vectors, where each event says
 *     bulk lane  ──half a batch, in turn──►   │
 *     long lane  ──one text at a time─────►   └──► a completion an event, to its agent; a bell
 *     a team that wants members ──────────► worker, for one batch of another's
 *
 * A worker claims its share of what waits in the main lane, then half a batch from the
 * bulk lane, in turn: a single text waits for the batch that runs, never for the
 * list behind it, and a list always has half of the time. Before it sleeps, which
 * it does in the main lane, it looks at the bulk lane; an agent that puts texts
 * there sees to it that somebody looks (lanes.h).
 *
 * How many tokens a batch has, how many workers work, and whether those who have
 * nothing to do help with a batch is decided while they run (teams.h).
 *
 * Texts above `long_tokens` stand in a lane of their own; of the workers that may work all but one
 * may be at it, or one, and short texts always find another (an only one serves the
 * main lane between two long texts). An agent that
 * puts a text there has somebody look as well. Whoever comes becomes a long worker if there is
 * room for one, and stays it until the lane is empty or fewer may work; it then gives the role up
 * and looks once more, for a text whose nudge was ignored meanwhile: who ignores
 * one and who gives up both replace `long_running`, so the second of the two
 * knows what the first knew. tests/spin/lanes.pml is this as a model.
 *
 * All memory is taken by fby_crew_start(); running allocates nothing.
 */
#ifndef FBY_SERVE_WORKER_H
#define FBY_SERVE_WORKER_H

#include <pthread.h>
#include <stdatomic.h>

#include "forebay/disruptor.h"
#include "forebay/heap_pool.h"
#include "serve/api.h"
#include "serve/bell.h"
#include "serve/event.h"
#include "serve/metrics.h"
#include "serve/teams.h"

typedef struct fby_inbox { /* an agent's, where workers tell what is done */
    fby_disruptor *completions;
    fby_bell *bell;
} fby_inbox;

typedef struct fby_worker fby_worker;

typedef struct fby_crew {
    /* Set by the caller before fby_crew_start(). */
    const fby_served *served; /* (served_count) */
    uint32_t served_count;
    const fby_kernels *kernels;
    const fby_costs *costs;  /* (served_count) what batches of each cost */
    fby_tuner_options tuner; /* as fby_teams_init() takes them */
    uint32_t threads;
    uint32_t batch_tokens; /* claimed at once, at most */
    uint32_t lane_slots;   /* events in the main lane, a power of two */
    uint32_t long_slots;   /* in the long one */
    bool many_agents;
    fby_wait wait;
    fby_inbox *inboxes;       /* (agents) */
    fby_heap_pool *heap_pool; /* where the workers' memory comes from */

    /* The lanes; agents publish. */
    fby_disruptor *lanes[FBY_LANES];
    fby_group *groups[FBY_LANES];
    _Alignas(FBY_CACHELINE) _Atomic int64_t waiting_tokens; /* in the main lane */

    /* The workers' own. */
    fby_teams teams;
    _Alignas(FBY_CACHELINE) _Atomic uint32_t long_running;
    _Atomic int32_t long_waiting; /* texts in the long lane; below 0 between a text and its count */
    _Atomic uint32_t warm;        /* workers that have run a first batch; read by any thread */
    fby_worker *workers;
    fby_worker_metrics *metrics; /* (threads) */
    uint32_t started;
} fby_crew;

/* Takes all memory, makes the lanes, starts the threads. FBY_ENOMEM. */
fby_status fby_crew_start(fby_crew *crew);
/* Bytes that a worker's batches lie in; before the start, too. */
size_t fby_crew_worker_bytes(const fby_crew *crew);
/* Whether every worker has run its first batch. Any thread. */
static inline bool fby_crew_is_warm(const fby_crew *crew)
{
    return atomic_load_explicit(&crew->warm, memory_order_relaxed) >= crew->threads;
}

/* Ends them; every event has been answered. Fine after a failed start. */
void fby_crew_stop(fby_crew *crew);

#endif
