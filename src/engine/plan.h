/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the texts of a call are computed: which stand together in a batch, and
 * how many workers share one.
 *
 *     coarse   workers with a batch each, side by side        team 1
 *     fine     a batch split over a team's members            team 2 …
 *
 * Batches are cut by expected cost, of which attention's part grows with the
 * square of a text's length; the longest texts come first (Graham 1969: then
 * the last worker is done at most a third later than the best schedule's).
 *
 * Pure functions; any thread. Nothing allocates.
 */
#ifndef FBY_ENGINE_PLAN_H
#define FBY_ENGINE_PLAN_H

#include <stdint.h>

#include "engine/costs.h"
#include "forebay/embed.h"

/* Texts of one plan; a larger call is planned so many at a time. */
enum { FBY_PLAN_TEXTS = 512 };

typedef struct fby_plan_input {
    const uint32_t *tokens; /* (texts), each at least 1; estimates will do */
    uint32_t texts;         /* at most FBY_PLAN_TEXTS */
    uint32_t workers;       /* that could be at it: idle ones and this one, at least 1 */
    uint32_t budget;        /* tokens of a batch, unless one text has more */
    uint32_t texts_max;     /* texts of a batch */
    fby_strategy strategy;
    fby_parallelism parallelism;
    double doubt; /* of the gain of teams by costs, so much is not to be had: 0 … 1 */
} fby_plan_input;

typedef struct fby_plan {
    uint32_t batches;
    uint32_t team;    /* members of each batch */
    uint32_t workers; /* at work in all: team × batches at once; at most the input's */
    double ns;        /* expected, from the call to the last vector */
    /* Batch b: texts order[b > 0 ? ends[b - 1] : 0] … order[ends[b] - 1]. */
    uint16_t order[FBY_PLAN_TEXTS], ends[FBY_PLAN_TEXTS];
} fby_plan;

/* No text: no batch. */
void fby_plan_make(const fby_plan_input *input, const fby_costs *costs, fby_plan *plan);

/* How many of `workers` one batch is best shared by: 1, 2, 4 … or all of them. */
uint32_t fby_plan_team(const fby_costs *costs, uint32_t tokens, uint64_t pairs, uint32_t workers);

/* 1–4 texts → 1; 5–16 → min(b, N/4); 17–32 → min(b, N/2); 33+ → min(b, N); each at least 1. */
uint32_t fby_plan_table_workers(uint32_t texts, uint32_t workers);

#endif
