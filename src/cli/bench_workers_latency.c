/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Short calls beside long ones: how long the short take by goal, and whether a
 * target for the p99 of calls is met. Each setting is opened anew in each turn,
 * and what is measured begins 2 s after the load.
 *
 * So few calls are long (less than one in a hundred) that the p99 of all is that
 * of the short ones.
 */
#include <math.h>

#include "cli/bench_callers.h"
#include "cli/say.h"

enum { SHORT_CALLERS = 4, SHORT_TOKENS = 16, LONG_TEXTS = 128, SETTLE_MS = 2000, TURNS = 9 };
enum { SETTINGS = 4 };

/* Over the p99 that the goal alone gives: a target that can be met. */
static const double CAN_BE_MET = 1.5;

typedef struct setting {
    fby_goal goal;
    uint32_t target_ms; /* 0: none */
    double p50_ms[FBY_WORKERS_ROUNDS_MAX], p99_ms[FBY_WORKERS_ROUNDS_MAX];
    double over[FBY_WORKERS_ROUNDS_MAX], short_per_s[FBY_WORKERS_ROUNDS_MAX];
    double long_per_s[FBY_WORKERS_ROUNDS_MAX];
    uint32_t batch_tokens; /* that the controller came to, in the last turn */
    uint64_t calls;
} setting;

typedef struct bench {
    const fby_workers_options *options;
    fby_workers_texts short_texts, long_texts;
    uint32_t target_ms;
} bench;

static fby_status load(bench *b, fby_model *model, setting *s, uint32_t turn)
{
    fby_callers *few = NULL, *many = NULL;
    fby_model_stats stats = {.struct_size = sizeof stats};
    fby_status status = fby_callers_start(model, &b->long_texts, 1, &few);
    if (status == FBY_OK)
        status = fby_callers_start(model, &b->short_texts, SHORT_CALLERS, &many);
    if (status == FBY_OK) {
        fby_callers_use(few, 1);
        fby_callers_use(many, SHORT_CALLERS);
        fby_workers_pause(SETTLE_MS);
        fby_callers_begin(few);
        fby_callers_begin(many);
        fby_workers_pause(b->options->phase_ms);
        const fby_callers_seen seen = fby_callers_read(many, b->target_ms);
        s->p50_ms[turn] = seen.p50_ms;
        s->p99_ms[turn] = seen.p99_ms;
        s->over[turn] = seen.over;
        s->short_per_s[turn] = seen.texts_per_s;
        s->long_per_s[turn] = fby_callers_read(few, 0).texts_per_s;
        s->calls += seen.calls;
        if (seen.calls == 0)
            status = fby_error(FBY_EINVAL, "--phase-ms: no short call ended within it");
        else
            status = fby_model_get_stats(model, &stats);
        s->batch_tokens = stats.batch_tokens;
    }
    fby_status ended = fby_callers_end(many);
    status = status == FBY_OK ? ended : status;
    ended = fby_callers_end(few);
    return status == FBY_OK ? ended : status;
}

static fby_status measure(bench *b, setting *s, uint32_t turn)
{
    fby_workers_options with = *b->options;
    fby_model *model = NULL;
    with.model.goal = (int)s->goal;
    with.model.latency_target_ms = s->target_ms;
    fby_status status =
        fby_workers_open(&with, (uint32_t)with.model.threads,
                         (fby_parallelism)with.model.parallelism, FBY_STRATEGY_AUTO, &model);
    if (status == FBY_OK)
        status = load(b, model, s, turn);
    fby_model_close(model);
    return status;
}

static void report(fby_report *out, setting *s, uint32_t target_ms, uint32_t turns)
{
    const fby_spread p99 = fby_spread_of(s->p99_ms, turns), p50 = fby_spread_of(s->p50_ms, turns);
    const char *goal = s->goal == FBY_GOAL_LATENCY ? "latency" : "throughput";
    fby_report_text(out, "goal", goal);
    fby_report_real(out, "target_ms", s->target_ms != 0 ? (double)s->target_ms : NAN);
    FBY_REPORT_SPREAD(out, "p50_ms", p50);
    FBY_REPORT_SPREAD(out, "p99_ms", p99);
    FBY_REPORT_SPREAD(out, "share_over_target", fby_spread_of(s->over, turns));
    FBY_REPORT_SPREAD(out, "short_texts_per_s", fby_spread_of(s->short_per_s, turns));
    FBY_REPORT_SPREAD(out, "long_texts_per_s", fby_spread_of(s->long_per_s, turns));
    fby_report_uint(out, "batch_tokens", s->batch_tokens);
    fby_report_uint(out, "calls", s->calls);
    fby_report_uint(out, "repetitions", turns);
    fby_report_bool(out, "met", p99.median <= target_ms);
    fby_report_row(out);
    if (s->target_ms != 0)
        fby_say("goal %s, target %u ms: from 2 s after the start p99 is %.1f ms (%.1f to %.1f)",
                goal, s->target_ms, p99.median, p99.q1, p99.q3);
    else
        fby_say("goal %s: p99 is %.1f ms (%.1f to %.1f)", goal, p99.median, p99.q1, p99.q3);
}

fby_status fby_workers_latency(const fby_workers_options *options, fby_report *out)
{
    static setting settings[SETTINGS], probe;
    const uint32_t turns = fby_workers_rounds(options, TURNS);
    bench b = {.options = options, .target_ms = (uint32_t)options->model.latency_target_ms};
    fby_status status = fby_workers_texts_make(1, SHORT_TOKENS, &b.short_texts);
    if (status == FBY_OK)
        status = fby_workers_texts_make(LONG_TEXTS, 0, &b.long_texts);
    if (status == FBY_OK && b.target_ms == 0) {
        probe = (setting){.goal = FBY_GOAL_LATENCY};
        status = measure(&b, &probe, 0);
        b.target_ms = (uint32_t)ceil(CAN_BE_MET * probe.p99_ms[0]);
    }
    settings[0] = (setting){.goal = FBY_GOAL_THROUGHPUT};
    settings[1] = (setting){.goal = FBY_GOAL_LATENCY};
    settings[2] = (setting){.goal = FBY_GOAL_THROUGHPUT, .target_ms = b.target_ms};
    settings[3] = (setting){.goal = FBY_GOAL_LATENCY, .target_ms = b.target_ms};
    for (uint32_t turn = 0; status == FBY_OK && turn < turns; turn++) {
        fby_say("turn %u of %u, %.0f s more", turn + 1, turns,
                (double)(turns - turn) * SETTINGS * (SETTLE_MS + (double)options->phase_ms) / 1e3);
        for (uint32_t i = 0; status == FBY_OK && i < SETTINGS; i++)
            status = measure(&b, &settings[(turn + i) % SETTINGS], turn);
    }
    for (int i = 0; status == FBY_OK && i < SETTINGS; i++)
        report(out, &settings[i], b.target_ms, turns);
    fby_workers_texts_clear(&b.short_texts);
    fby_workers_texts_clear(&b.long_texts);
    return status;
}
