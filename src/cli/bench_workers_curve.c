/* SPDX-License-Identifier: Apache-2.0 */
/* Throughput over latency: 1, 2, 4 ... 32 threads call with a few texts each; every strategy has
 * its turn at each number of them. */
#include <stdlib.h>

#include "cli/bench_callers.h"
#include "cli/say.h"

enum { CALLERS_MAX = 32, STRATEGIES = 3, TURNS = 9, SETTLE_MS = 100 };

static const struct {
    const char *name;
    fby_parallelism parallelism;
    fby_strategy strategy;
} strategies[STRATEGIES] = {
    {"auto", FBY_PARALLELISM_AUTO, FBY_STRATEGY_AUTO},
    {"fixed coarse", FBY_PARALLELISM_COARSE, FBY_STRATEGY_FIXED},
    {"fixed fine", FBY_PARALLELISM_FINE, FBY_STRATEGY_FIXED},
};

typedef struct point {
    double texts_per_s[FBY_WORKERS_ROUNDS_MAX], p50_ms[FBY_WORKERS_ROUNDS_MAX],
        p99_ms[FBY_WORKERS_ROUNDS_MAX];
    uint64_t calls;
} point;

typedef struct bench {
    const fby_workers_options *options;
    fby_report *report;
    fby_workers_texts texts;
    uint32_t length, turns;
    fby_model *models[STRATEGIES];
    fby_callers *callers[STRATEGIES];
} bench;

static fby_status measure(bench *b, int strategy, uint32_t callers, point *p, uint32_t turn)
{
    fby_callers *all = b->callers[strategy];
    fby_callers_use(all, callers);
    fby_workers_pause(SETTLE_MS);
    fby_callers_begin(all);
    fby_workers_pause(b->options->phase_ms);
    const fby_callers_seen seen = fby_callers_read(all, 0);
    fby_callers_use(all, 0);
    fby_workers_pause(SETTLE_MS); /* until the last calls have ended */
    if (seen.calls == 0)
        return fby_error(FBY_EINVAL, "--phase-ms: no call of %u texts ended within it",
                         b->texts.count);
    p->texts_per_s[turn] = seen.texts_per_s;
    p->p50_ms[turn] = seen.p50_ms;
    p->p99_ms[turn] = seen.p99_ms;
    p->calls += seen.calls;
    return FBY_OK;
}

static void report_point(bench *b, int strategy, uint32_t callers, point *p)
{
    fby_model_info info = {.struct_size = sizeof info};
    (void)fby_model_get_info(b->models[strategy], &info);
    fby_report_text(b->report, "strategy", strategies[strategy].name);
    fby_report_uint(b->report, "workers", info.threads);
    fby_report_uint(b->report, "callers", callers);
    fby_report_uint(b->report, "batch", b->texts.count);
    fby_report_uint(b->report, "length", b->length);
    FBY_REPORT_SPREAD(b->report, "texts_per_s", fby_spread_of(p->texts_per_s, b->turns));
    FBY_REPORT_SPREAD(b->report, "p50_ms", fby_spread_of(p->p50_ms, b->turns));
    FBY_REPORT_SPREAD(b->report, "p99_ms", fby_spread_of(p->p99_ms, b->turns));
    fby_report_uint(b->report, "calls", p->calls);
    fby_report_uint(b->report, "repetitions", b->turns);
    fby_report_row(b->report);
}

static fby_status measure_point(bench *b, uint32_t callers)
{
    static point points[STRATEGIES];
    fby_status status = FBY_OK;
    for (int i = 0; i < STRATEGIES; i++)
        points[i] = (point){0};
    for (uint32_t turn = 0; status == FBY_OK && turn < b->turns; turn++)
        for (uint32_t i = 0; status == FBY_OK && i < STRATEGIES; i++) {
            const int strategy = (int)((turn + i) % STRATEGIES);
            status = measure(b, strategy, callers, &points[strategy], turn);
        }
    for (int i = 0; status == FBY_OK && i < STRATEGIES; i++)
        report_point(b, i, callers, &points[i]);
    return status;
}

static uint32_t first(const fby_cli_list *list, uint32_t usual)
{
    return list->count > 0 ? (uint32_t)strtoul(list->items[0], NULL, 10) : usual;
}

fby_status fby_workers_curve(const fby_workers_options *options, fby_report *report)
{
    bench b = {.options = options,
               .report = report,
               .length = first(&options->lengths, 0),
               .turns = fby_workers_rounds(options, TURNS)};
    const uint32_t batch = first(&options->batches, 4);
    fby_status status =
        batch >= 1 && batch <= 1024
            ? fby_workers_texts_make(batch, b.length, &b.texts)
            : fby_error(FBY_EINVAL, "--batch %s: expected 1 to 1024", options->batches.items[0]);
    for (int i = 0; status == FBY_OK && i < STRATEGIES; i++) {
        status = fby_workers_open(options, (uint32_t)options->model.threads,
                                  strategies[i].parallelism, strategies[i].strategy, &b.models[i]);
        if (status == FBY_OK)
            status = fby_callers_start(b.models[i], &b.texts, CALLERS_MAX, &b.callers[i]);
    }
    for (uint32_t callers = 1; status == FBY_OK && callers <= CALLERS_MAX; callers *= 2) {
        fby_say("%u calling", callers);
        status = measure_point(&b, callers);
    }
    for (int i = 0; i < STRATEGIES; i++) {
        fby_status ended = fby_callers_end(b.callers[i]);
        status = status == FBY_OK ? ended : status;
        fby_model_close(b.models[i]);
    }
    fby_workers_texts_clear(&b.texts);
    return status;
}
