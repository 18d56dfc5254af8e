/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/controller.h"

#include <math.h>

#include "base/bits.h"

enum {
    TEAM_BATCHES = 8,   /* before teams are judged */
    TEAM_AGAIN = 4,     /* the same, where they were left off lately */
    CROWD_BATCHES = 24, /* before a trial */
    CROWD_TRIAL = 8,    /* of one: most fail, and cost what they take */
    CROWD_LEAST = 6,    /* of a trial that ends because its time is over */
    CALLS = 100,        /* of a window: one late call is its p99 */
    FLOOR_CALLS = 64,   /* with the smallest batches, before it is said whether they helped */
    FUTILE_LEAST = 512, /* calls after it was said that they did not, before the next try */
    FUTILE_MOST = 1 << 16,
    TOKENS_LEAST = 16
};

static const uint64_t HOLD_LEAST_NS = 100000000, HOLD_MOST_NS = 800000000;
static const uint64_t FEWER_HOLD_MOST_NS = 6400000000; /* a trial that fails costs what it takes */
static const uint64_t TRIAL_MOST_NS = 1000000000;
static const double GAIN_LEAST = 1.05, SLOW = 1.25, FEWER_WORTH = 1.05, MORE_WORTH = 1.02;
static const double NEAR = 0.6, HELPED = 0.95;
static const double WEIGHT = 1.0 / 16, WEIGHT_AGAIN = 1.0 / 4; /* of a new sample */
static const double DOUBT_MOST = 0.25, FORGET_NS = 5e8;

static void blend(double *mean, double x, double weight)
{
    *mean += (x - *mean) * weight;
}

static uint32_t tokens_of_goal(const fby_control_limits *limits)
{
    if (limits->goal == FBY_GOAL_THROUGHPUT || limits->target_ns != 0)
        return limits->tokens;
    return fby_min_u32(limits->tokens,
                       limits->tokens / 4 > TOKENS_LEAST ? limits->tokens / 4 : TOKENS_LEAST);
}

void fby_controller_init(fby_controller *c, const fby_control_limits *limits,
                         const fby_costs *costs)
{
    *c = (fby_controller){
        .costs = *costs,
        .limits = *limits,
        .decision = {limits->workers, tokens_of_goal(limits), true, 0},
        .alone_slowness = 1.0,
        .team_slowness = 1.0,
        .lone_slowness = 1.0,
        .split_hold_ns = HOLD_LEAST_NS,
        .settled = limits->workers,
        .trial_hold_ns = HOLD_LEAST_NS,
        .futile_hold = FUTILE_LEAST / 2,
    };
}

static void lengthen(uint64_t *hold_ns, uint64_t most_ns)
{
    *hold_ns = fby_min_size(*hold_ns * 2, most_ns);
}

/* ---- splitting ---- */

static void split(fby_controller *c, bool on, uint64_t now_ns)
{
    c->decision.split = on;
    c->decisions++;
    c->team_batches = 0;
    if (!on) {
        c->split_again_ns = now_ns + c->split_hold_ns;
        lengthen(&c->split_hold_ns, HOLD_MOST_NS);
    }
}

static bool left_off_lately(const fby_controller *c)
{
    return c->split_hold_ns > HOLD_LEAST_NS;
}

/* One that was held up for long says nothing of the next. */
static void doubt(fby_controller *c, double lacks, uint64_t now_ns)
{
    blend(&c->decision.doubt, fmin(fmax(lacks, 0), DOUBT_MOST), WEIGHT);
    c->doubted_ns = now_ns;
}

/* By the time that has passed without a team. */
static void forget_doubt(fby_controller *c, uint64_t now_ns)
{
    c->decision.doubt *= fmax(1 - (double)(now_ns - c->doubted_ns) / FORGET_NS, 0);
    c->doubted_ns = now_ns;
}

static void judge_teams(fby_controller *c, double promised, uint64_t now_ns)
{
    if (++c->team_batches < (left_off_lately(c) ? TEAM_AGAIN : TEAM_BATCHES))
        return;
    double gain = promised * c->alone_slowness / c->team_slowness;
    if (gain < GAIN_LEAST)
        split(c, false, now_ns);
    else if (c->team_batches >= 4 * TEAM_BATCHES)
        c->split_hold_ns = HOLD_LEAST_NS; /* proved: the next doubt is a new one */
}

/* ---- workers ---- */

static uint32_t step_of(uint32_t workers)
{
    return workers / 8 > 0 ? workers / 8 : 1;
}

static void forget_crowd(fby_controller *c)
{
    c->crowd_batches = 0;
    c->crowd_slowness = 0;
    c->crowd_work = 0;
}

static void use(fby_controller *c, uint32_t workers)
{
    c->decision.workers = workers;
    forget_crowd(c);
    c->decisions++;
}

static void begin_trial(fby_controller *c, fby_control_trial trial, double rate, uint64_t now_ns)
{
    c->trial_until_ns = now_ns + TRIAL_MOST_NS;
    c->trial = trial;
    c->settled = c->decision.workers;
    c->settled_rate = rate;
    uint32_t step = step_of(c->settled);
    use(c, trial == FBY_TRIAL_FEWER ? c->settled - step
                                    : fby_min_u32(c->settled + step, c->limits.workers));
}

static void end_trial(fby_controller *c, double rate, uint64_t now_ns)
{
    double worth = c->trial == FBY_TRIAL_FEWER ? FEWER_WORTH : MORE_WORTH;
    if (rate > c->settled_rate * worth) {
        c->trial_hold_ns = HOLD_LEAST_NS;
        c->settled = c->decision.workers;
        forget_crowd(c);
    } else {
        use(c, c->settled);
        lengthen(&c->trial_hold_ns,
                 c->trial == FBY_TRIAL_FEWER ? FEWER_HOLD_MOST_NS : HOLD_MOST_NS);
    }
    c->trial = FBY_TRIAL_NONE;
    c->trial_again_ns = now_ns + c->trial_hold_ns;
}

/* What was found in a crowd that is gone. */
static void forget_findings(fby_controller *c)
{
    c->trial_hold_ns = HOLD_LEAST_NS;
    if (c->decision.workers < c->limits.workers)
        use(c, c->limits.workers);
}

/* What all do together: who is at work, over how slow each is. */
static double rate_of(const fby_controller *c)
{
    return c->crowd_work / c->crowd_slowness;
}

/* Where the load went away meanwhile: too few batches say nothing of fewer, and where more were
 * allowed and no crowd came of it, what was found in one is over: teams, and a crowd that is
 * smaller than all, want whoever is there. */
static void expire_trial(fby_controller *c, uint64_t now_ns)
{
    if (c->trial == FBY_TRIAL_MORE && c->crowd_batches < CROWD_LEAST) {
        c->trial = FBY_TRIAL_NONE;
        forget_findings(c);
        return;
    }
    end_trial(c, c->crowd_batches >= CROWD_LEAST ? rate_of(c) : 0, now_ns);
}

/* Of a trial of fewer, only batches beside which no more than those were at work. */
static bool is_crowd(const fby_controller *c, uint32_t at_work)
{
    return !c->limits.workers_held && at_work >= c->decision.workers &&
           (c->trial != FBY_TRIAL_FEWER || at_work < c->settled);
}

/* A batch that ran while as many were at work as are to be: `slowness` says how the crowd fares. */
static void judge_crowd(fby_controller *c, uint32_t at_work, double slowness, uint64_t now_ns)
{
    c->crowd_seen_ns = now_ns;
    c->crowd_work += at_work;
    c->crowd_slowness += slowness;
    if (++c->crowd_batches < (c->trial != FBY_TRIAL_NONE ? CROWD_TRIAL : CROWD_BATCHES))
        return;
    double mean = c->crowd_slowness / c->crowd_batches;
    double rate = rate_of(c);
    if (c->trial != FBY_TRIAL_NONE) {
        end_trial(c, rate, now_ns);
        return;
    }
    forget_crowd(c);
    if (now_ns < c->trial_again_ns)
        return;
    if (c->decision.workers < c->limits.workers)
        begin_trial(c, FBY_TRIAL_MORE, rate, now_ns);
    else if (c->decision.workers > 1 && mean > SLOW * c->lone_slowness)
        begin_trial(c, FBY_TRIAL_FEWER, rate, now_ns);
}

void fby_controller_batch(fby_controller *c, const fby_batch_seen *seen, uint64_t now_ns)
{
    const double alone = fby_costs_batch(&c->costs, seen->tokens, seen->pairs);
    const uint32_t team = seen->unmet ? 2 : seen->team; /* what the least of teams had promised */
    if (team > 1) {
        double promised = fby_costs_gain(&c->costs, team, seen->tokens);
        double slowness = (double)seen->ns * promised / alone;
        blend(&c->team_slowness, slowness, left_off_lately(c) ? WEIGHT_AGAIN : WEIGHT);
        if (!seen->unmet)
            doubt(c, 1 - c->alone_slowness / fmax(slowness, 1e-3), now_ns);
        if (c->decision.split)
            judge_teams(c, promised, now_ns);
    } else {
        double pace = fby_costs_pace(&c->costs, seen->at_work);
        blend(&c->alone_slowness, (double)seen->ns * pace / alone, WEIGHT);
        forget_doubt(c, now_ns);
        if (seen->at_work == 1)
            blend(&c->lone_slowness, (double)seen->ns / alone, WEIGHT);
        if (is_crowd(c, seen->at_work))
            judge_crowd(c, seen->at_work, fmax((double)seen->ns, 1) / alone, now_ns);
    }
    fby_controller_time(c, now_ns);
}

void fby_controller_time(fby_controller *c, uint64_t now_ns)
{
    if (c->trial != FBY_TRIAL_NONE && now_ns >= c->trial_until_ns)
        expire_trial(c, now_ns);
    else if (c->trial == FBY_TRIAL_NONE && now_ns >= c->crowd_seen_ns + HOLD_MOST_NS)
        forget_findings(c);
    if (!c->decision.split && now_ns >= c->split_again_ns) {
        c->team_slowness = c->alone_slowness;
        split(c, true, now_ns);
    }
}

/* ---- tokens ---- */

static void use_tokens(fby_controller *c, uint32_t tokens)
{
    c->decisions += tokens != c->decision.tokens;
    c->decision.tokens = tokens;
    c->calls = c->late = c->near = 0;
    c->floor_calls = 0;
}

/* How long calls take with the largest and with the smallest batches. Where those are late, too,
 * and no sooner, it is not the batches that they wait for: all is as it was. True if so. */
static bool is_futile(fby_controller *c, uint64_t ns)
{
    if (c->decision.tokens == c->limits.tokens) {
        blend(&c->top_ns, (double)ns, c->top_ns == 0 ? 1 : WEIGHT);
        c->futile_calls -= c->futile_calls > 0;
        return false;
    }
    if (c->decision.tokens > TOKENS_LEAST)
        return false;
    blend(&c->floor_ns, (double)ns, c->floor_calls == 0 ? 1 : WEIGHT);
    if (++c->floor_calls < FLOOR_CALLS || c->late <= CALLS / 100)
        return false;
    if (c->floor_ns < HELPED * c->top_ns)
        return false;
    c->futile_hold = fby_min_u32(c->futile_hold * 2, FUTILE_MOST);
    c->futile_calls = c->futile_hold;
    return true;
}

void fby_controller_call(fby_controller *c, uint64_t ns)
{
    if (c->limits.target_ns == 0)
        return;
    c->calls++;
    c->late += ns > c->limits.target_ns;
    c->near += (double)ns > NEAR * (double)c->limits.target_ns;
    if (is_futile(c, ns)) {
        use_tokens(c, c->limits.tokens);
        return;
    }
    uint32_t tokens = c->decision.tokens;
    const bool too_late = c->late > CALLS / 100;
    if (c->calls < CALLS && (!too_late || tokens == TOKENS_LEAST))
        return;
    if (too_late && c->futile_calls == 0)
        tokens = tokens * 3 / 4 > TOKENS_LEAST ? tokens * 3 / 4 : TOKENS_LEAST;
    else if (c->near == 0)
        tokens = fby_min_u32(tokens * 5 / 4 + 1, c->limits.tokens);
    if (tokens != c->decision.tokens && !too_late)
        c->futile_hold = FUTILE_LEAST / 2; /* they were in time */
    use_tokens(c, fby_min_u32(tokens, c->limits.tokens));
}
