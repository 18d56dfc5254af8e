/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chooses for an engine: from a call's texts, who is idle, what is measured and
 * what the controller has decided, to a plan. Counts what was chosen.
 *
 *     texts' bytes --estimate--> tokens --fby_plan_make--> plan --> batches, as they end
 *                       ^                     ^                          |
 *                       +---- learned --------+------ controller <-------+
 *
 * Tokens are estimated from bytes, by what texts have had so far: a text is
 * tokenised by the worker that has claimed it, not before.
 *
 * Threads: any, but for init and destroy.
 */
#ifndef FBY_ENGINE_TUNER_H
#define FBY_ENGINE_TUNER_H

#include <pthread.h>
#include <stdatomic.h>

#include "engine/controller.h"
#include "engine/plan.h"
#include "engine/request.h"

typedef struct fby_tuner_options {
    fby_strategy strategy;
    fby_parallelism parallelism;
    uint32_t texts_max; /* of a batch */
    fby_control_limits limits;
} fby_tuner_options;

typedef struct fby_tuner {
    fby_tuner_options options; /* constant */

    /* Who could join, and who is at it. The engine's to keep; read as a hint. */
    _Atomic uint32_t idle, at_work;

    _Atomic uint32_t workers; /* that are to be at work at most: as the controller has decided */

    /* What texts have had of late, for estimates: bytes above, tokens in the lower half. */
    _Atomic uint64_t texts_seen;

    pthread_mutex_t lock;
    fby_controller controller; /* under it, and the counts */
    uint64_t batches, team_batches, texts, tokens, busy_ns, stalls;
} fby_tuner;

void fby_tuner_init(fby_tuner *tuner, const fby_tuner_options *options, const fby_costs *costs);
void fby_tuner_destroy(fby_tuner *tuner);

/* Texts first … first + texts - 1 of `request`, at most FBY_PLAN_TEXTS. */
void fby_tuner_plan(fby_tuner *tuner, const fby_request *request, size_t first, uint32_t texts,
                    fby_plan *plan);

/* Whether a batch that is planned for a team is still to have one. */
bool fby_tuner_splits(fby_tuner *tuner);

/* How many of `workers` are to share a batch that nobody has planned for. */
uint32_t fby_tuner_team(fby_tuner *tuner, const fby_batch_seen *batch, uint32_t workers);

/* How long a leader of such a batch waits for the members it has called: some wake-ups, and a
 * twentieth of what the batch takes alone: it gains more. At most 2 ms. */
uint64_t fby_tuner_patience_ns(const fby_tuner *tuner, const fby_batch_seen *batch);

/* A text had so many. */
void fby_tuner_text(fby_tuner *tuner, size_t bytes, uint32_t tokens);

/* The controller's, as it stands, and how often it has changed. */
fby_decision fby_tuner_decision(fby_tuner *tuner);
uint64_t fby_tuner_decisions(fby_tuner *tuner);

/* Whether more workers may be at work from now on than before: somebody is to be called. */
bool fby_tuner_batch(fby_tuner *tuner, const fby_batch_seen *seen, uint32_t texts);
/* Time has passed, with other work than batches or none. */
void fby_tuner_time(fby_tuner *tuner);
void fby_tuner_call(fby_tuner *tuner, uint64_t ns);
void fby_tuner_stall(fby_tuner *tuner);

/* Takes the place of what is known, while no call runs; the controller begins anew. */
void fby_tuner_set_costs(fby_tuner *tuner, const fby_costs *costs);

#endif
