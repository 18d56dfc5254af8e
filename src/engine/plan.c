/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/plan.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/assert.h"
#include "base/bits.h"

/* A plan with more workers, or with larger teams, must promise this much: what is within the noise
 * is not worth waking anybody for, nor meeting. */
static const double WORTH = 0.98;

/* As many batches as this for each worker: then they nearly even out by themselves, and the more
 * workers the better, if together they do so much more than one; no search. */
enum { PLENTY = 4, GROUPS_MAX = 256 };
static const double PLENTY_GAIN = 1.1;

uint32_t fby_plan_table_workers(uint32_t texts, uint32_t workers)
{
    uint32_t most = texts <= 4    ? 1
                    : texts <= 16 ? workers / 4
                    : texts <= 32 ? workers / 2
                                  : workers;
    uint32_t wanted = fby_min_u32(texts, most);
    return wanted > 0 ? wanted : 1;
}

static uint64_t pairs_of(uint32_t tokens)
{
    return (uint64_t)tokens * tokens;
}

/* Longest first, equals in their order: Shell's sort with Ciura's gaps (2001), on keys that hold
 * the place too. */
static void sort_longest_first(const fby_plan_input *input, uint16_t *order)
{
    static const uint16_t gaps[] = {301, 132, 57, 23, 10, 4, 1};
    uint64_t keys[FBY_PLAN_TEXTS];
    for (uint32_t i = 0; i < input->texts; i++)
        order[i] = (uint16_t)i;
    if (input->workers == 1) /* nothing to even out */
        return;
    for (uint32_t i = 0; i < input->texts; i++)
        keys[i] = (uint64_t)(UINT32_MAX - input->tokens[i]) << 16 | i;
    for (size_t g = 0; g < sizeof gaps / sizeof *gaps; g++)
        for (uint32_t i = gaps[g]; i < input->texts; i++) {
            uint64_t key = keys[i];
            uint32_t j = i;
            for (; j >= gaps[g] && keys[j - gaps[g]] > key; j -= gaps[g])
                keys[j] = keys[j - gaps[g]];
            keys[j] = key;
        }
    for (uint32_t i = 0; i < input->texts; i++)
        order[i] = (uint16_t)(keys[i] & 0xffff);
}

/* A way to run the texts, before it is known what it costs. */
typedef struct way {
    uint32_t groups, team; /* batches at once, members of each */
} way;

/* Cuts `order` into batches of about the same cost, a multiple of `groups` of them. */
static void cut(const fby_plan_input *input, const fby_costs *costs, way w, fby_plan *plan)
{
    uint64_t tokens = 0, pairs = 0;
    for (uint32_t i = 0; i < input->texts; i++) {
        tokens += input->tokens[i];
        pairs += pairs_of(input->tokens[i]);
    }
    const uint64_t turn = (uint64_t)w.groups * input->budget;
    const double count = (double)((tokens + turn - 1) / turn * w.groups);
    const double token_ns =
        costs->batch_ns[FBY_COST_SIZES - 1] / (FBY_COST_SMALLEST << (FBY_COST_SIZES - 1));
    const double target = (token_ns * (double)tokens + costs->pair_ns * (double)pairs) / count;

    uint32_t used = 0, texts = 0;
    double cost = 0;
    plan->batches = 0;
    for (uint32_t i = 0; i < input->texts; i++) {
        const uint32_t next = input->tokens[plan->order[i]];
        const double more = token_ns * next + costs->pair_ns * (double)pairs_of(next);
        if (texts > 0 && (used + next > input->budget || texts == input->texts_max ||
                          cost + more / 2 > target)) {
            plan->ends[plan->batches++] = (uint16_t)i;
            used = texts = 0;
            cost = 0;
        }
        used += next;
        cost += more;
        texts++;
    }
    plan->ends[plan->batches++] = (uint16_t)input->texts;
}

/* A batch's time with `team` members, of whom all but the leader are to be woken. */
static double team_ns(const fby_costs *costs, uint32_t tokens, uint64_t pairs, uint32_t team,
                      double doubt)
{
    /* The gain was measured with all members at work: their pace is in it. */
    double gain = fmax(fby_costs_gain(costs, team, tokens) * (1 - doubt), 1);
    return fby_costs_batch(costs, tokens, pairs) / gain + costs->wake_ns;
}

/* The next team to try: 1, 2, 4 … and `last`. */
static uint32_t larger_team(uint32_t team, uint32_t last)
{
    return team < last ? fby_min_u32(2 * team, last) : team + 1;
}

uint32_t fby_plan_team(const fby_costs *costs, uint32_t tokens, uint64_t pairs, uint32_t workers)
{
    uint32_t best = 1;
    double best_ns = fby_costs_batch(costs, tokens, pairs);
    for (uint32_t team = 2; team <= workers; team = larger_team(team, workers)) {
        double ns = team_ns(costs, tokens, pairs, team, 0); /* there is nothing better to do */
        if (ns < best_ns * WORTH) {
            best = team;
            best_ns = ns;
        }
    }
    return best;
}

/* When the last batch is done if each goes to the group that is free first. */
static double expected_ns(const fby_plan_input *input, const fby_costs *costs, way w,
                          const fby_plan *plan)
{
    double free_at[GROUPS_MAX] = {0}, last = 0;
    const uint32_t groups = fby_min_u32(w.groups, plan->batches);
    const double pace = fby_costs_pace(costs, groups * w.team);
    for (uint32_t group = 1; group < groups; group++)
        free_at[group] = costs->wake_ns;
    for (uint32_t b = 0, i = 0; b < plan->batches; b++) {
        uint32_t tokens = 0, first = 0;
        uint64_t pairs = 0;
        for (; i < plan->ends[b]; i++) {
            tokens += input->tokens[plan->order[i]];
            pairs += pairs_of(input->tokens[plan->order[i]]);
        }
        for (uint32_t group = 1; group < groups; group++)
            if (free_at[group] < free_at[first])
                first = group;
        free_at[first] += w.team > 1 ? team_ns(costs, tokens, pairs, w.team, input->doubt)
                                     : fby_costs_batch(costs, tokens, pairs) / pace;
        last = free_at[first] > last ? free_at[first] : last;
    }
    return last;
}

static void take(const fby_plan_input *input, const fby_costs *costs, way w, fby_plan *plan)
{
    cut(input, costs, w, plan);
    plan->team = w.team;
    plan->workers = w.team * fby_min_u32(w.groups, plan->batches);
    plan->ns = expected_ns(input, costs, w, plan);
}

static uint32_t groups_most(const fby_plan_input *input, uint32_t workers)
{
    return fby_min_u32(fby_min_u32(workers, input->texts), GROUPS_MAX);
}

/* Tries teams of 1, 2, 4 … and all, with as many groups as there are workers for, and (where some
 * may be left asleep) half as many, a quarter …; what promises the most without waking more than
 * need be is taken. */
static void search(const fby_plan_input *input, const fby_costs *costs, fby_plan *plan)
{
    const bool held = input->strategy == FBY_STRATEGY_FIXED;
    way best = {held ? groups_most(input, input->workers) : 1, 1};
    take(input, costs, best, plan);
    double best_ns = plan->ns;
    uint32_t last_team = input->parallelism == FBY_PARALLELISM_COARSE ? 1 : input->workers;
    for (uint32_t team = 1; team <= last_team; team = larger_team(team, last_team))
        for (uint32_t groups = groups_most(input, input->workers / team); groups > 0;
             groups = held ? 0 : groups / 2) {
            way w = {groups, team};
            take(input, costs, w, plan);
            bool more = plan->workers > best.groups * best.team || w.team > best.team;
            if (plan->ns < best_ns * (more ? WORTH : 1.0)) {
                best = w;
                best_ns = plan->ns;
            }
        }
    take(input, costs, best, plan);
}

void fby_plan_make(const fby_plan_input *input, const fby_costs *costs, fby_plan *plan)
{
    fby_assert(input->texts <= FBY_PLAN_TEXTS && input->workers > 0 && input->budget > 0 &&
               input->texts_max > 0);
    plan->batches = plan->team = plan->workers = 0;
    plan->ns = 0;
    if (input->texts == 0)
        return;
    sort_longest_first(input, plan->order);

    uint64_t tokens = 0;
    for (uint32_t i = 0; i < input->texts; i++)
        tokens += input->tokens[i];
    const uint32_t all = groups_most(input, input->workers);
    const bool plenty = tokens >= (uint64_t)PLENTY * input->workers * input->budget &&
                        all * fby_costs_pace(costs, all) >= PLENTY_GAIN;
    if (input->strategy == FBY_STRATEGY_TABLE)
        take(input, costs,
             (way){groups_most(input, fby_plan_table_workers(input->texts, input->workers)), 1},
             plan);
    else if (input->parallelism == FBY_PARALLELISM_FINE)
        take(input, costs, (way){1, input->workers}, plan);
    else if (input->workers == 1 || (plenty && input->texts > input->workers) ||
             (input->strategy == FBY_STRATEGY_FIXED &&
              input->parallelism == FBY_PARALLELISM_COARSE))
        take(input, costs, (way){all, 1}, plan);
    else
        search(input, costs, plan);
}
