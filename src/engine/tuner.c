/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/tuner.h"

#include <math.h>

#include "base/bits.h"
#include "base/clock.h"

/* English in WordPiece, and the special tokens; gives way as texts are seen. */
enum { GUESSED_BYTES = 4500, GUESSED_TOKENS = 1000, SPECIAL = 2 };

/* Beyond so many bytes what was seen counts half: texts change. */
enum { SEEN_BYTES_MOST = 1 << 20 };

static uint64_t seen_texts(uint64_t bytes, uint64_t tokens)
{
    return bytes << 32 | tokens;
}

/* Whatever costs are said to be. */
static const double PATIENCE_MOST_NS = 2e6;

void fby_tuner_init(fby_tuner *tuner, const fby_tuner_options *options, const fby_costs *costs)
{
    *tuner = (fby_tuner){.options = *options};
    atomic_init(&tuner->idle, options->limits.workers);
    atomic_init(&tuner->at_work, 0);
    atomic_init(&tuner->workers, options->limits.workers);
    atomic_init(&tuner->texts_seen, seen_texts(GUESSED_BYTES, GUESSED_TOKENS));
    pthread_mutex_init(&tuner->lock, NULL);
    fby_controller_init(&tuner->controller, &options->limits, costs);
}

void fby_tuner_destroy(fby_tuner *tuner)
{
    pthread_mutex_destroy(&tuner->lock);
}

void fby_tuner_set_costs(fby_tuner *tuner, const fby_costs *costs)
{
    pthread_mutex_lock(&tuner->lock);
    fby_controller_init(&tuner->controller, &tuner->options.limits, costs);
    atomic_store_explicit(&tuner->workers, tuner->options.limits.workers, memory_order_relaxed);
    pthread_mutex_unlock(&tuner->lock);
}

fby_decision fby_tuner_decision(fby_tuner *tuner)
{
    pthread_mutex_lock(&tuner->lock);
    fby_decision decision = tuner->controller.decision;
    pthread_mutex_unlock(&tuner->lock);
    return decision;
}

uint64_t fby_tuner_decisions(fby_tuner *tuner)
{
    pthread_mutex_lock(&tuner->lock);
    uint64_t decisions = tuner->controller.decisions;
    pthread_mutex_unlock(&tuner->lock);
    return decisions;
}

bool fby_tuner_splits(fby_tuner *tuner)
{
    return tuner->options.strategy != FBY_STRATEGY_AUTO || fby_tuner_decision(tuner).split;
}

uint32_t fby_tuner_team(fby_tuner *tuner, const fby_batch_seen *batch, uint32_t workers)
{
    const fby_parallelism parallelism = tuner->options.parallelism;
    if (workers == 1 || parallelism == FBY_PARALLELISM_COARSE || !fby_tuner_splits(tuner))
        return 1;
    return parallelism == FBY_PARALLELISM_FINE
               ? workers
               : fby_plan_team(&tuner->controller.costs, batch->tokens, batch->pairs, workers);
}

uint64_t fby_tuner_patience_ns(const fby_tuner *tuner, const fby_batch_seen *batch)
{
    const fby_costs *costs = &tuner->controller.costs;
    return (uint64_t)fmin(3 * costs->wake_ns +
                              fby_costs_batch(costs, batch->tokens, batch->pairs) / 20,
                          PATIENCE_MOST_NS);
}

/* `tokens` gets an estimate for each text; returns their sum. */
static uint64_t estimate(fby_tuner *tuner, const fby_request *request, size_t first, uint32_t texts,
                         uint32_t *tokens)
{
    const uint64_t seen = atomic_load_explicit(&tuner->texts_seen, memory_order_relaxed);
    const double per_byte = (double)(uint32_t)seen / (double)(seen >> 32);
    uint64_t sum = 0;
    for (uint32_t i = 0; i < texts; i++) {
        double bytes = (double)(request->texts[first + i].size + request->prompt_size);
        double guess = bytes * per_byte + SPECIAL;
        tokens[i] = guess < request->limit ? (uint32_t)guess : request->limit;
        sum += tokens[i];
    }
    return sum;
}

/* A call that fills no more than a batch a worker is for those who are idle now; a larger one will
 * still be there when others are. */
static uint32_t workers_for(fby_tuner *tuner, uint32_t most, uint64_t tokens, uint32_t budget)
{
    uint32_t idle = atomic_load_explicit(&tuner->idle, memory_order_relaxed);
    bool small = tokens <= (uint64_t)most * budget;
    uint32_t workers = small ? fby_min_u32(idle + 1, most) : most;
    return workers > 0 ? workers : 1;
}

void fby_tuner_plan(fby_tuner *tuner, const fby_request *request, size_t first, uint32_t texts,
                    fby_plan *plan)
{
    uint32_t tokens[FBY_PLAN_TEXTS];
    const fby_tuner_options *options = &tuner->options;
    const bool tuned = options->strategy == FBY_STRATEGY_AUTO;
    const fby_decision decision = fby_tuner_decision(tuner);
    const uint32_t most =
        tuned ? fby_min_u32(request->threads, decision.workers) : request->threads;
    const uint64_t sum = estimate(tuner, request, first, texts, tokens);
    const bool all_there = first == 0 && texts == request->count;
    const fby_plan_input input = {
        .tokens = tokens,
        .texts = texts,
        .workers = tuned && all_there ? workers_for(tuner, most, sum, decision.tokens) : most,
        .budget = decision.tokens,
        .texts_max = options->texts_max,
        .strategy = options->strategy,
        .parallelism = options->parallelism == FBY_PARALLELISM_AUTO && tuned && !decision.split
                           ? FBY_PARALLELISM_COARSE
                           : options->parallelism,
        .doubt = tuned ? decision.doubt : 0,
    };
    fby_plan_make(&input, &tuner->controller.costs, plan);
}

void fby_tuner_text(fby_tuner *tuner, size_t bytes, uint32_t tokens)
{
    if (tokens <= SPECIAL || bytes > SEEN_BYTES_MOST)
        return;
    uint64_t seen = atomic_load_explicit(&tuner->texts_seen, memory_order_relaxed), with;
    do {
        uint64_t all_bytes = (seen >> 32) + bytes, all_tokens = (uint32_t)seen + tokens - SPECIAL;
        int halved = all_bytes > SEEN_BYTES_MOST;
        with = seen_texts(all_bytes >> halved, all_tokens >> halved);
    } while (!atomic_compare_exchange_weak_explicit(&tuner->texts_seen, &seen, with,
                                                    memory_order_relaxed, memory_order_relaxed));
}

bool fby_tuner_batch(fby_tuner *tuner, const fby_batch_seen *seen, uint32_t texts)
{
    const uint64_t now_ns = fby_now_ns();
    pthread_mutex_lock(&tuner->lock);
    tuner->batches++;
    tuner->team_batches += seen->team > 1;
    tuner->texts += texts;
    tuner->tokens += seen->tokens;
    tuner->busy_ns += seen->ns * seen->team;
    if (tuner->options.strategy == FBY_STRATEGY_AUTO)
        fby_controller_batch(&tuner->controller, seen, now_ns);
    const uint32_t workers = tuner->controller.decision.workers;
    const bool more = workers > atomic_load_explicit(&tuner->workers, memory_order_relaxed);
    /* Its readers hold the engine's lock and not this one: who is called looks again. */
    atomic_store_explicit(&tuner->workers, workers, memory_order_relaxed);
    pthread_mutex_unlock(&tuner->lock);
    return more;
}

void fby_tuner_time(fby_tuner *tuner)
{
    if (tuner->options.strategy != FBY_STRATEGY_AUTO)
        return;
    const uint64_t now_ns = fby_now_ns();
    pthread_mutex_lock(&tuner->lock);
    fby_controller_time(&tuner->controller, now_ns);
    atomic_store_explicit(&tuner->workers, tuner->controller.decision.workers,
                          memory_order_relaxed);
    pthread_mutex_unlock(&tuner->lock);
}

void fby_tuner_call(fby_tuner *tuner, uint64_t ns)
{
    if (tuner->options.limits.target_ns == 0)
        return;
    pthread_mutex_lock(&tuner->lock);
    fby_controller_call(&tuner->controller, ns);
    pthread_mutex_unlock(&tuner->lock);
}

void fby_tuner_stall(fby_tuner *tuner)
{
    pthread_mutex_lock(&tuner->lock);
    tuner->stalls++;
    pthread_mutex_unlock(&tuner->lock);
}
