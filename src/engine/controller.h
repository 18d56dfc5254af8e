/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Adjusts, while batches run, how many workers are used, how many tokens a
 * batch has and whether texts are split, to what batches are seen to cost.
 *
 *     costs (calibrated) + batches and calls as they end --> decision
 *
 * Splitting    Where teams gain less than 5 % over one worker, seen over 8 of
 *              their batches (a neighbour has a member's processor), they are
 *              left off, and tried again after 100 ms, then 200, … 800 ms.
 *              How much less than the costs promise they gain otherwise (cores
 *              that are far apart now) is what plans are told; forgotten within
 *              a second or so without teams, and seen anew.
 * Workers      Where all are at work and each takes more than a quarter longer
 *              than a lone one has been seen to, against the costs, some fewer
 *              are tried for 8 batches and kept if what all do together grows
 *              by 5 %; likewise up again, 2 %. The next trial waits, twice as
 *              long after each that failed (0.1 to 6.4 s for fewer, 0.8 s for
 *              more; from the start again where the crowd was gone meanwhile);
 *              one that is not over after a second, because the load is, ends.
 *              Where no crowd is seen for 800 ms, or none comes of a trial of
 *              more, all may work again.
 * Tokens       With a target for calls' p99: a quarter fewer when more than 1 %
 *              of the last calls took longer, a quarter more when none took
 *              more than six tenths of it. Where the smallest batches are late as
 *              well, and their calls take no less than with the largest, it is not
 *              batches that calls wait for: back to the largest, for 512 calls,
 *              then twice as many. Without one the goal decides:
 *              throughput takes what fits, latency a quarter of that, so that
 *              a call waits for little that began before it.
 *
 * Pure but for its own state: time comes in as an argument. One thread at a
 * time; the caller locks.
 */
#ifndef FBY_ENGINE_CONTROLLER_H
#define FBY_ENGINE_CONTROLLER_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/costs.h"
#include "forebay/embed.h"

typedef struct fby_control_limits {
    uint32_t workers;  /* at most */
    uint32_t tokens;   /* of a batch, at most */
    bool workers_held; /* always as many */
    fby_goal goal;
    uint64_t target_ns; /* of calls' p99; 0: none */
} fby_control_limits;

typedef struct fby_decision {
    uint32_t workers; /* 1 … limits.workers */
    uint32_t tokens;  /* of a batch */
    bool split;       /* teams may be formed */
    double doubt;     /* of what costs promise of teams: 0 … 1 is not to be had */
} fby_decision;

/* A batch that has been computed. */
typedef struct fby_batch_seen {
    uint32_t tokens, team, at_work; /* at work: workers in all, while it ran */
    uint64_t pairs, ns;
    bool
        unmet; /* members were called and nobody came: computed alone, a team that gained nothing */
} fby_batch_seen;

typedef enum fby_control_trial {
    FBY_TRIAL_NONE = 0,
    FBY_TRIAL_FEWER,
    FBY_TRIAL_MORE
} fby_control_trial;

typedef struct fby_controller {
    fby_costs costs;
    fby_control_limits limits;
    fby_decision decision;
    uint64_t decisions; /* that changed something */

    /* Splitting. Slowness: time over what the costs say. */
    double alone_slowness, team_slowness;
    double lone_slowness; /* of who was the only one at work */
    uint32_t team_batches;
    uint64_t split_hold_ns, split_again_ns, doubted_ns;

    /* Workers. */
    fby_control_trial trial;
    uint32_t settled;                  /* workers, before the trial */
    double settled_rate;               /* what all do together there: workers / slowness */
    double crowd_slowness, crowd_work; /* sums over crowd_batches: slowness, workers at work */
    uint32_t crowd_batches;
    uint64_t trial_hold_ns, trial_again_ns, trial_until_ns, crowd_seen_ns;

    /* Tokens. */
    uint32_t calls, late, near; /* of the window: over the target, over six tenths of it */
    double top_ns, floor_ns;    /* a call's time with the largest batches, and with the smallest */
    uint32_t floor_calls, futile_calls, futile_hold;
} fby_controller;

/* `costs` is copied. */
void fby_controller_init(fby_controller *controller, const fby_control_limits *limits,
                         const fby_costs *costs);

/* `now_ns` never goes back. */
void fby_controller_batch(fby_controller *controller, const fby_batch_seen *seen, uint64_t now_ns);

/* What time alone decides; for who has seen no batch for a while. */
void fby_controller_time(fby_controller *controller, uint64_t now_ns);

/* A call took so long from submission to its last vector. */
void fby_controller_call(fby_controller *controller, uint64_t ns);

#endif
