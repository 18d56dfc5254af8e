/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/teams.h"

#include <stdlib.h>

#include "base/bits.h"
#include "base/clock.h"

/* The least that any model's tuner has decided holds for all. Read under the lock: the last to read
 * is the last to write. */
static void follow(fby_teams *teams)
{
    uint32_t allowed = teams->workers, tokens = teams->batch_tokens;
    pthread_mutex_lock(&teams->lock);
    for (uint32_t i = 0; i < teams->models; i++) {
        fby_tuner *tuner = &teams->tuners[i];
        fby_team_gauges *gauges = &teams->gauges[i];
        const fby_decision decision = fby_tuner_decision(tuner);
        const bool splits = decision.split && teams->workers > 1 &&
                            tuner->options.parallelism != FBY_PARALLELISM_COARSE;
        allowed = fby_min_u32(allowed, decision.workers);
        tokens = fby_min_u32(tokens, decision.tokens);
        atomic_store_explicit(&gauges->workers, decision.workers, memory_order_relaxed);
        atomic_store_explicit(&gauges->tokens, decision.tokens, memory_order_relaxed);
        atomic_store_explicit(&gauges->splits, splits, memory_order_relaxed);
        atomic_store_explicit(&gauges->decisions, fby_tuner_decisions(tuner), memory_order_relaxed);
    }
    atomic_store_explicit(&teams->tokens, tokens, memory_order_relaxed);
    bool more = allowed > fby_teams_allowed(teams);
    atomic_store_explicit(&teams->allowed, allowed, memory_order_relaxed);
    if (more)
        pthread_cond_broadcast(&teams->changed);
    pthread_mutex_unlock(&teams->lock);
}

fby_status fby_teams_init(fby_teams *teams, const fby_tuner_options *options,
                          const fby_costs *costs, uint32_t models, uint32_t workers,
                          uint32_t batch_tokens)
{
    fby_tuner *tuners = calloc(models, sizeof *tuners);
    fby_team_gauges *gauges = calloc(models, sizeof *gauges);
    if (tuners == NULL || gauges == NULL) {
        free(tuners);
        free(gauges);
        return fby_error(FBY_ENOMEM, "no memory for %u tuners", models);
    }
    fby_tuner_options each = *options;
    each.limits.workers = workers;
    each.limits.tokens = batch_tokens;
    for (uint32_t i = 0; i < models; i++)
        fby_tuner_init(&tuners[i], &each, &costs[i]);
    *teams = (fby_teams){.tuners = tuners,
                         .gauges = gauges,
                         .models = models,
                         .workers = workers,
                         .batch_tokens = batch_tokens};
    pthread_mutex_init(&teams->lock, NULL);
    pthread_cond_init(&teams->changed, NULL);
    atomic_init(&teams->allowed, workers);
    follow(teams);
    return FBY_OK;
}

void fby_teams_destroy(fby_teams *teams)
{
    if (teams->tuners == NULL)
        return;
    for (uint32_t i = 0; i < teams->models; i++)
        fby_tuner_destroy(&teams->tuners[i]);
    free(teams->tuners);
    free(teams->gauges);
    teams->tuners = NULL;
    pthread_cond_destroy(&teams->changed);
    pthread_mutex_destroy(&teams->lock);
}

/* ---- a worker with a batch ---- */

static uint64_t pairs_of(const fby_batch *batch)
{
    uint64_t pairs = 0;
    for (uint32_t i = 0; i < batch->texts; i++) {
        uint64_t tokens = batch->starts[i + 1] - batch->starts[i];
        pairs += tokens * tokens;
    }
    return pairs;
}

/* How many should share the batch: the tuner's choice among those who are there. */
static uint32_t members_wanted(fby_teams *teams, const fby_team_run *run,
                               const fby_batch_seen *seen)
{
    uint32_t idle = atomic_load_explicit(&teams->idle, memory_order_relaxed);
    if (run->alone || idle == 0)
        return 1;
    uint32_t most = 1 + fby_min_u32(idle, FBY_GROUP_NUDGES_MAX);
    uint32_t members = fby_tuner_team(&teams->tuners[run->model], seen, most);
    return seen->tokens <= (uint64_t)members * teams->batch_tokens ? members : 1;
}

/* The members that have come beside the leader. */
static uint32_t gather(fby_teams *teams, fby_gathering *own, uint32_t seats, uint64_t patience_ns,
                       const atomic_bool *cancel)
{
    pthread_mutex_lock(&teams->lock);
    fby_gather_open(&teams->open, own, seats);
    atomic_fetch_add_explicit(&teams->wanted, 1, memory_order_relaxed);
    pthread_mutex_unlock(&teams->lock);
    fby_group_nudge(teams->waiting, seats); /* `wanted` is seen by who takes it */

    fby_gather_wait(own, seats, &teams->idle, cancel, patience_ns);

    pthread_mutex_lock(&teams->lock);
    uint32_t joined = fby_gather_close(&teams->open, own);
    atomic_fetch_sub_explicit(&teams->wanted, 1, memory_order_relaxed);
    pthread_mutex_unlock(&teams->lock);
    return joined;
}

fby_status fby_teams_run(fby_teams *teams, fby_gathering *own, const fby_batch *batch,
                         const fby_team_run *run, uint32_t *members)
{
    fby_tuner *tuner = &teams->tuners[run->model];
    fby_batch_seen seen = {.tokens = run->tokens, .pairs = pairs_of(batch), .team = 1};
    const uint64_t began_ns = fby_now_ns();
    const uint32_t wanted = members_wanted(teams, run, &seen);
    if (wanted > 1) {
        uint32_t joined =
            gather(teams, own, wanted - 1, fby_tuner_patience_ns(tuner, &seen), run->cancel);
        fby_gather_call(own, batch);
        seen.team = 1 + joined;
        seen.unmet = joined == 0;
    }
    const uint32_t others =
        atomic_fetch_add_explicit(&teams->at_work, seen.team, memory_order_relaxed);
    fby_status status =
        seen.team > 1 ? fby_gather_lead(own, run->vectors, run->cancel)
                      : fby_encoder_run(batch->encoder, batch->ids, batch->starts, batch->texts,
                                        batch->scratch, run->vectors, run->cancel);
    atomic_fetch_sub_explicit(&teams->at_work, seen.team, memory_order_relaxed);
    seen.at_work = others + seen.team;
    seen.ns = fby_now_ns() - began_ns;
    if (status == FBY_OK && !run->alone) {
        fby_tuner_batch(tuner, &seen, batch->texts);
        follow(teams);
    }
    *members = seen.team;
    return status;
}

/* ---- a worker without one ---- */

void fby_teams_time(fby_teams *teams)
{
    if (fby_teams_allowed(teams) == teams->workers) /* nothing that time would undo */
        return;
    for (uint32_t i = 0; i < teams->models; i++)
        fby_tuner_time(&teams->tuners[i]);
    follow(teams);
}

bool fby_teams_join(fby_teams *teams, fby_seat *seat)
{
    if (atomic_load_explicit(&teams->wanted, memory_order_relaxed) == 0)
        return false;
    pthread_mutex_lock(&teams->lock);
    bool found = teams->open != NULL;
    if (found)
        *seat = fby_gather_take_seat(&teams->open);
    pthread_mutex_unlock(&teams->lock);
    return found;
}

void fby_teams_help(fby_teams *teams, const fby_seat *seat, void *scratch)
{
    fby_gather_take_part(seat, scratch);
    pthread_mutex_lock(&teams->lock);
    (void)fby_gather_leave(seat);
    pthread_mutex_unlock(&teams->lock);
}

/* ---- how many may work ---- */

void fby_teams_apart(fby_teams *teams, bool apart)
{
    pthread_mutex_lock(&teams->lock);
    atomic_fetch_add_explicit(&teams->apart, apart ? 1 : (uint32_t)-1, memory_order_relaxed);
    if (apart)
        pthread_cond_broadcast(&teams->changed);
    pthread_mutex_unlock(&teams->lock);
}

bool fby_teams_park(fby_teams *teams, uint32_t index)
{
    fby_group_nudge(teams->waiting, 1);
    pthread_mutex_lock(&teams->lock);
    while (fby_teams_is_above(teams, index) && !teams->ending)
        pthread_cond_wait(&teams->changed, &teams->lock);
    bool ending = teams->ending;
    pthread_mutex_unlock(&teams->lock);
    return !ending;
}

void fby_teams_end(fby_teams *teams)
{
    pthread_mutex_lock(&teams->lock);
    teams->ending = true;
    pthread_cond_broadcast(&teams->changed);
    pthread_mutex_unlock(&teams->lock);
}
