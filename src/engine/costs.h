/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What batches cost on this machine with this model and precision: what plans
 * are made from. Guessed from the model's operations, measured by
 * engine/calibrate.h. Constant once made; any thread. Times in nanoseconds.
 */
#ifndef FBY_ENGINE_COSTS_H
#define FBY_ENGINE_COSTS_H

#include <stdbool.h>
#include <stdint.h>

/* Batches of 4, 8, 16 … 512 tokens; teams and crowds of 1, 2, 4 … 128 workers. */
enum { FBY_COST_SIZES = 8, FBY_COST_SMALLEST = 4, FBY_COST_CROWDS = 8 };

typedef struct fby_costs {
    bool measured;
    uint32_t guessed; /* of what was measured, how much nothing but disturbed: guessed instead */
    double batch_ns[FBY_COST_SIZES]; /* by one worker alone, attention's pairs apart */
    double pair_ns;                  /* a pair (query, key) of a text */
    double wake_ns;                  /* from the call until a sleeping worker takes part */
    /* The time of one worker over that of a team, pairs included. */
    double gain[FBY_COST_CROWDS][FBY_COST_SIZES];
    /* A worker's pace beside so many at work in all, over its pace alone: at most 1. */
    double pace[FBY_COST_CROWDS];
} fby_costs;

/* Before anything is measured; operations as in fby_model_info. */
void fby_costs_guess(uint64_t flops_per_token, uint64_t flops_per_token_pair, fby_costs *costs);

/* One worker alone: `tokens` in all, `pairs` the sum of the texts' squares. */
double fby_costs_batch(const fby_costs *costs, uint32_t tokens, uint64_t pairs);

/* What a team of `members` gains on a batch of `tokens`: 1 and more, at most `members`. */
double fby_costs_gain(const fby_costs *costs, uint32_t members, uint32_t tokens);

double fby_costs_pace(const fby_costs *costs, uint32_t at_work);

/* Makes sense of what was measured: a team gains no less than a smaller one, a crowd does no less
 * in all than a smaller one, a single worker least; nobody gains more than there are members. So no
 * plan expects more of fewer workers than of a crowd that a neighbour slowed down. */
void fby_costs_settle(fby_costs *costs);

/* Whether every number is finite, in its range and in a sensible order: what a file is held to. */
bool fby_costs_valid(const fby_costs *costs);

#endif
