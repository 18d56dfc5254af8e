/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the workers follow a load that changes: 1, 32, then 1 threads calling. In
 * a turn each strategy goes through all phases, the first another one each time;
 * what is measured of a phase begins when it has settled.
 */
#include <string.h>

#include "base/clock.h"
#include "cli/bench_callers.h"
#include "cli/say.h"

enum { PHASES = 3, CALLERS_MAX = 32, STRATEGIES = 4, CALL_TEXTS = 4, TURNS = 9, LOOK_MS = 20 };

/* From a change on: what the issue gives the controller, and enough for one that is fixed. */
enum { SETTLE_MS = 2000, SETTLE_FIXED_MS = 300 };

static const struct {
    const char *name;
    uint32_t callers;
} phases[PHASES] = {{"one", 1}, {"many", CALLERS_MAX}, {"one again", 1}};

static const struct {
    const char *name;
    uint32_t threads; /* 0: all */
    fby_parallelism parallelism;
    fby_strategy strategy;
} strategies[STRATEGIES] = {
    {"auto", 0, FBY_PARALLELISM_AUTO, FBY_STRATEGY_AUTO},
    {"fixed coarse", 1, FBY_PARALLELISM_COARSE, FBY_STRATEGY_FIXED},
    {"fixed coarse", 0, FBY_PARALLELISM_COARSE, FBY_STRATEGY_FIXED},
    {"fixed fine", 0, FBY_PARALLELISM_FINE, FBY_STRATEGY_FIXED},
};

typedef struct bench {
    const fby_workers_options *options;
    fby_report *report;
    fby_workers_texts texts;
    fby_model *models[STRATEGIES];
    uint32_t turns;
    double rates[STRATEGIES][PHASES][FBY_WORKERS_ROUNDS_MAX];
} bench;

/* What was done, and what the controller allowed, as seen every LOOK_MS. */
typedef struct seen {
    double split;              /* share of the batches */
    double may_split, workers; /* share of the looks, mean */
    uint64_t decisions;
} seen;

static fby_status watch_phase(fby_model *model, uint64_t ms, seen *out)
{
    fby_model_stats stats = {.struct_size = sizeof stats};
    fby_status status = fby_model_get_stats(model, &stats);
    const fby_model_stats before = stats;
    const uint64_t until_ns = fby_now_ns() + ms * 1000000;
    uint32_t looks = 0, splits = 0, workers = 0;
    while (status == FBY_OK && (looks == 0 || fby_now_ns() < until_ns)) {
        fby_workers_pause(LOOK_MS);
        status = fby_model_get_stats(model, &stats);
        looks++;
        splits += stats.splits;
        workers += stats.workers;
    }
    const uint64_t batches = stats.batches - before.batches;
    *out = (seen){.split = (double)(stats.split_batches - before.split_batches) / (double)batches,
                  .may_split = (double)splits / looks,
                  .workers = (double)workers / looks,
                  .decisions = stats.decisions - before.decisions};
    return status;
}

static void report_phase(bench *b, uint32_t turn, int strategy, int phase, const seen *settling,
                         const seen *settled, const fby_callers_seen *calls)
{
    fby_model_info info = {.struct_size = sizeof info};
    (void)fby_model_get_info(b->models[strategy], &info);
    fby_report_text(b->report, "strategy", strategies[strategy].name);
    fby_report_uint(b->report, "workers", info.threads);
    fby_report_uint(b->report, "turn", turn);
    fby_report_text(b->report, "phase", phases[phase].name);
    fby_report_uint(b->report, "callers", phases[phase].callers);
    fby_report_real(b->report, "texts_per_s", b->rates[strategy][phase][turn]);
    fby_report_real(b->report, "p50_ms", calls->p50_ms);
    fby_report_real(b->report, "p99_ms", calls->p99_ms);
    fby_report_real(b->report, "split_share", settled->split);
    fby_report_real(b->report, "split_allowed", settled->may_split);
    fby_report_real(b->report, "workers_allowed", settled->workers);
    fby_report_uint(b->report, "decisions", settling->decisions + settled->decisions);
    fby_report_row(b->report);
}

static fby_status follow(bench *b, int strategy, uint32_t turn)
{
    const bool fixed = strategies[strategy].strategy == FBY_STRATEGY_FIXED;
    fby_model *model = b->models[strategy];
    fby_callers *callers = NULL;
    fby_status status = fby_callers_start(model, &b->texts, CALLERS_MAX, &callers);
    for (int phase = 0; status == FBY_OK && phase < PHASES; phase++) {
        seen settling, settled;
        fby_callers_use(callers, phases[phase].callers);
        status = watch_phase(model, fixed ? SETTLE_FIXED_MS : SETTLE_MS, &settling);
        fby_callers_begin(callers);
        if (status == FBY_OK)
            status = watch_phase(model, b->options->phase_ms, &settled);
        const fby_callers_seen calls = fby_callers_read(callers, 0);
        b->rates[strategy][phase][turn] = calls.texts_per_s;
        if (status == FBY_OK)
            report_phase(b, turn, strategy, phase, &settling, &settled, &calls);
    }
    fby_status ended = fby_callers_end(callers);
    return status == FBY_OK ? ended : status;
}

static fby_spread of_turns(const double *rates, uint32_t turns)
{
    double copy[FBY_WORKERS_ROUNDS_MAX];
    memcpy(copy, rates, turns * sizeof *copy);
    return fby_spread_of(copy, turns);
}

/* Auto beside the fixed choice that was best of all turns, turn by turn. */
static void judge(bench *b, int phase)
{
    int best = 1;
    for (int i = 2; i < STRATEGIES; i++)
        if (of_turns(b->rates[i][phase], b->turns).median >
            of_turns(b->rates[best][phase], b->turns).median)
            best = i;
    double ratios[FBY_WORKERS_ROUNDS_MAX];
    for (uint32_t turn = 0; turn < b->turns; turn++)
        ratios[turn] = b->rates[0][phase][turn] / b->rates[best][phase][turn];
    const fby_spread ratio = fby_spread_of(ratios, b->turns);
    fby_model_info info = {.struct_size = sizeof info};
    (void)fby_model_get_info(b->models[best], &info);
    fby_report_text(b->report, "phase", phases[phase].name);
    fby_report_uint(b->report, "callers", phases[phase].callers);
    FBY_REPORT_SPREAD(b->report, "auto_texts_per_s", of_turns(b->rates[0][phase], b->turns));
    fby_report_text(b->report, "best", strategies[best].name);
    fby_report_uint(b->report, "best_workers", info.threads);
    FBY_REPORT_SPREAD(b->report, "best_texts_per_s", of_turns(b->rates[best][phase], b->turns));
    FBY_REPORT_SPREAD(b->report, "auto_to_best", ratio);
    fby_report_uint(b->report, "turns", b->turns);
    fby_report_row(b->report);
    fby_say("%u calling%s: from 2 s after the change auto is at %.3f (%.3f to %.3f) of the best "
            "fixed choice, %s of %u",
            phases[phase].callers, phase == 2 ? " again" : "", ratio.median, ratio.q1, ratio.q3,
            strategies[best].name, info.threads);
}

fby_status fby_workers_load(const fby_workers_options *options, fby_report *report)
{
    static bench b;
    b = (bench){.options = options, .report = report, .turns = fby_workers_rounds(options, TURNS)};
    fby_status status = fby_workers_texts_make(CALL_TEXTS, 0, &b.texts);
    for (int i = 0; status == FBY_OK && i < STRATEGIES; i++)
        status = fby_workers_open(options, strategies[i].threads, strategies[i].parallelism,
                                  strategies[i].strategy, &b.models[i]);
    const uint64_t turn_ms =
        PHASES * (SETTLE_MS + 3 * SETTLE_FIXED_MS + STRATEGIES * options->phase_ms);
    for (uint32_t turn = 0; status == FBY_OK && turn < b.turns; turn++) {
        fby_say("turn %u of %u, %.0f s more", turn + 1, b.turns,
                (double)(b.turns - turn) * (double)turn_ms / 1e3);
        for (uint32_t i = 0; status == FBY_OK && i < STRATEGIES; i++)
            status = follow(&b, (int)((turn + i) % STRATEGIES), turn);
    }
    for (int phase = 0; status == FBY_OK && phase < PHASES; phase++)
        judge(&b, phase);
    for (int i = 0; i < STRATEGIES; i++)
        fby_model_close(b.models[i]);
    fby_workers_texts_clear(&b.texts);
    return status;
}
