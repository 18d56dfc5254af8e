/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the workers of a server work together: which batches are shared by a team,
 * and how many workers work at all. Chosen by the engine's tuner, one a model,
 * which sees what every batch costs (engine/tuner.h).
 *
 *     worker with a batch ──others idle, it pays──► opens a team, nudges ──► leads it
 *     worker without work ──nudged──► takes a seat ──► member ──► looks for work again
 *     worker above the number that may work ──nudges another──► parks until it may
 *
 * Who is at a long text does not count: it is apart, and while it is, one more of the
 * others may work. So there is always one for short texts, if there is more than
 * one at all.
 *
 * A batch is shared only by who is idle when it begins, and only if it then takes no
 * longer than a full batch takes alone: what comes meanwhile waits no longer than it would
 * without teams. Long texts and rows of tokens are computed alone.
 *
 * What holds for all is the least that any model's controller has decided: one that
 * sees no batches comes back to all workers within a second.
 *
 * A nudge may be taken by a worker that finds the team closed, or another may come
 * first: that costs a look. Who is nudged counts as idle until it has its seat, so that
 * no leader closes its team meanwhile. tests/spin/bulk.pml is how workers park, as a model;
 * workers.pml how the engine's gather, in the same steps.
 *
 * Threads: the workers', but for init, end and the gauges (any).
 */
#ifndef FBY_SERVE_TEAMS_H
#define FBY_SERVE_TEAMS_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/platform.h"
#include "engine/gather.h"
#include "engine/tuner.h"
#include "forebay/disruptor.h"

/* What a model's controller has decided, for who only wants to tell. */
typedef struct fby_team_gauges {
    _Atomic uint32_t workers, tokens, splits;
    _Atomic uint64_t decisions;
} fby_team_gauges;

typedef struct fby_teams {
    fby_tuner *tuners;       /* (models) */
    fby_team_gauges *gauges; /* (models) */
    uint32_t models, workers;
    uint32_t batch_tokens; /* of a full batch */
    fby_group *waiting;    /* where idle workers wait */

    pthread_mutex_t lock;
    pthread_cond_t changed;
    fby_gathering *open; /* under it: teams that want members */
    bool ending;         /* under it */

    _Alignas(FBY_CACHELINE) _Atomic uint32_t wanted; /* teams that want members: a hint to look */
    _Atomic uint32_t idle;                           /* workers that wait */
    _Atomic uint32_t at_work;
    _Atomic uint32_t allowed; /* workers that may work, beside */
    _Atomic uint32_t apart;   /* those that are at long texts */
    _Atomic uint32_t tokens;  /* of a batch */
} fby_teams;

/* `options` of each model's tuner, but for the limits on workers and tokens, which are these;
 * costs[i] of model i. FBY_ENOMEM. */
fby_status fby_teams_init(fby_teams *teams, const fby_tuner_options *options,
                          const fby_costs *costs, uint32_t models, uint32_t workers,
                          uint32_t batch_tokens);
void fby_teams_destroy(fby_teams *teams); /* fine if zero */

/* ---- a worker with a batch ---- */

typedef struct fby_team_run {
    uint32_t model;  /* whose tuner is asked and told */
    uint32_t tokens; /* of the batch */
    bool alone;      /* not to be shared, and nothing to judge others by */
    float *const *vectors;
    const atomic_bool *cancel; /* NULL: runs to its end */
} fby_team_run;

/* As fby_encoder_run() of `batch`, alone or by a team, whose number of members is `*members`. */
fby_status fby_teams_run(fby_teams *teams, fby_gathering *own, const fby_batch *batch,
                         const fby_team_run *run, uint32_t *members);

/* A text of model `model` was answered so long after it was published. */
static inline void fby_teams_answered(fby_teams *teams, uint32_t model, uint64_t ns)
{
    fby_tuner_call(&teams->tuners[model], ns);
}

/* Tokens of a batch, as decided. */
static inline uint32_t fby_teams_tokens(const fby_teams *teams)
{
    return atomic_load_explicit(&teams->tokens, memory_order_relaxed);
}

/* ---- a worker without one ---- */

/* Whether there is a team to take a seat in; it is taken then. */
bool fby_teams_join(fby_teams *teams, fby_seat *seat);
/* Computes its part. `scratch` as large as every worker's. */
void fby_teams_help(fby_teams *teams, const fby_seat *seat, void *scratch);

/* Work that is none of fby_teams_run(): time has passed. */
void fby_teams_time(fby_teams *teams);

/* Around a wait in teams->waiting, and taking a seat after it. */
static inline void fby_teams_idle(fby_teams *teams, bool idle)
{
    atomic_fetch_add_explicit(&teams->idle, idle ? 1 : (uint32_t)-1, memory_order_relaxed);
}

/* ---- how many may work ---- */

static inline uint32_t fby_teams_allowed(const fby_teams *teams)
{
    return atomic_load_explicit(&teams->allowed, memory_order_relaxed);
}

/* A worker begins or ends a long text. */
void fby_teams_apart(fby_teams *teams, bool apart);

/* Whether worker `index` is to park. */
static inline bool fby_teams_is_above(const fby_teams *teams, uint32_t index)
{
    return index >=
           fby_teams_allowed(teams) + atomic_load_explicit(&teams->apart, memory_order_relaxed);
}

/* Until worker `index` may go on; false at the end. Somebody else looks at what it was woken for.
 */
bool fby_teams_park(fby_teams *teams, uint32_t index);

/* Nobody parks any more. */
void fby_teams_end(fby_teams *teams);

#endif
