/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which choice of workers is right: every fixed one, the static table and what
 * is chosen by itself, over batches and lengths.
 *
 * In a round each strategy has its turn, the first another one each time. The
 * oracle is the fixed choice that was best in the odd rounds, judged by the even
 * ones; so is everything else.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/bits.h"
#include "base/clock.h"
#include "cli/bench_workers.h"
#include "cli/say.h"
#include "forebay/allocator.h"

enum { STRATEGIES_MAX = 8, CALLS_MAX = 1 << 16, BATCH_MAX = 1024, ROUNDS = 18, ROUNDS_LEAST = 4 };

typedef struct strategy {
    const char *name;
    uint32_t asked, workers; /* threads that were asked for; 0: as many as pay */
    bool fixed;              /* the oracle may choose it */
    fby_model *model;
    double texts_per_s[FBY_WORKERS_ROUNDS_MAX];
    double *call_ms; /* (CALLS_MAX) */
    size_t calls;
    uint64_t all_calls, mallocs;
} strategy;

typedef struct grid {
    const fby_workers_options *options;
    fby_report *report;
    uint32_t rounds;
    strategy strategies[STRATEGIES_MAX];
    uint32_t count, points;
    float *vectors;
    double log_ratio, worst; /* of auto to the oracle */
    uint32_t ahead, behind;  /* of the table, by more than the noise */
} grid;

static fby_status add(grid *g, const char *name, uint32_t threads, fby_parallelism parallelism,
                      fby_strategy how)
{
    strategy *s = &g->strategies[g->count];
    fby_model_info info = {.struct_size = sizeof info};
    *s = (strategy){.name = name, .asked = threads, .fixed = how == FBY_STRATEGY_FIXED};
    s->call_ms = calloc(CALLS_MAX, sizeof *s->call_ms);
    if (s->call_ms == NULL)
        return fby_error(FBY_ENOMEM, "no memory for timings");
    g->count++;
    fby_status status = fby_workers_open(g->options, threads, parallelism, how, &s->model);
    if (status == FBY_OK)
        status = fby_model_get_info(s->model, &info);
    s->workers = info.threads;
    return status;
}

/* 1, N / 2, N and 2 N workers; where there are no more processors than N, 2 N are N, and nothing
 * for the oracle to choose. */
static fby_status open_strategies(grid *g)
{
    fby_status status = add(g, "fixed coarse", 1, FBY_PARALLELISM_COARSE, FBY_STRATEGY_FIXED);
    if (status != FBY_OK)
        return status;
    status = add(g, "auto", (uint32_t)g->options->model.threads,
                 (fby_parallelism)g->options->model.parallelism, FBY_STRATEGY_AUTO);
    uint32_t all = g->strategies[1].workers;
    if (status == FBY_OK && all / 2 > 1)
        status = add(g, "fixed coarse", all / 2, FBY_PARALLELISM_COARSE, FBY_STRATEGY_FIXED);
    if (status == FBY_OK && all > 1)
        status = add(g, "fixed coarse", all, FBY_PARALLELISM_COARSE, FBY_STRATEGY_FIXED);
    if (status == FBY_OK) {
        status = add(g, "fixed coarse", 2 * all, FBY_PARALLELISM_COARSE, FBY_STRATEGY_FIXED);
        g->strategies[g->count - 1].fixed &= g->strategies[g->count - 1].workers > all;
    }
    if (status == FBY_OK && all > 1)
        status = add(g, "fixed fine", all, FBY_PARALLELISM_FINE, FBY_STRATEGY_FIXED);
    if (status == FBY_OK)
        status = add(g, "table", all, FBY_PARALLELISM_COARSE, FBY_STRATEGY_TABLE);
    return status;
}

/* So far; 0 where malloc is not ours. */
static uint64_t mallocs(void)
{
    fby_allocator_stats stats = {.struct_size = sizeof stats};
    return fby_allocator_get_stats(&stats) == FBY_OK ? stats.mallocs : 0;
}

static fby_status sample(grid *g, strategy *s, const fby_workers_texts *texts, uint64_t round)
{
    const uint64_t mallocs_before = mallocs();
    uint64_t began_ns = fby_now_ns(), now_ns = began_ns;
    uint32_t calls = 0;
    do {
        fby_status status = fby_embed(s->model, texts->texts, texts->count, NULL, g->vectors, NULL);
        if (status != FBY_OK)
            return status;
        uint64_t before_ns = now_ns;
        now_ns = fby_now_ns();
        calls++;
        if (s->calls < CALLS_MAX)
            s->call_ms[s->calls++] = (double)(now_ns - before_ns) / 1e6;
    } while ((double)(now_ns - began_ns) < g->options->sample_ms * 1e6);
    s->mallocs += mallocs() - mallocs_before;
    s->all_calls += calls;
    s->texts_per_s[round] = (double)calls * texts->count * 1e9 / (double)(now_ns - began_ns);
    return FBY_OK;
}

/* Of every second round from `first`. */
static fby_spread spread_of(const strategy *s, uint64_t first, uint64_t rounds)
{
    double picked[FBY_WORKERS_ROUNDS_MAX];
    size_t count = 0;
    for (uint64_t round = first; round < rounds; round += 2)
        picked[count++] = s->texts_per_s[round];
    return fby_spread_of(picked, count);
}

static void report_strategy(grid *g, strategy *s, const char *name, uint32_t length,
                            const fby_workers_texts *texts, double alone)
{
    fby_spread spread = spread_of(s, 1, g->rounds);
    double per_text = (double)texts->tokens / texts->count, mean = 0, squares = 0;
    for (size_t i = 0; i < s->calls; i++)
        mean += s->call_ms[i] / (double)s->calls;
    for (size_t i = 0; i < s->calls; i++)
        squares += (s->call_ms[i] - mean) * (s->call_ms[i] - mean) / (double)s->calls;
    fby_sort(s->call_ms, s->calls);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    fby_report_text(g->report, "strategy", name);
    fby_report_uint(g->report, "asked", s->asked);
    fby_report_uint(g->report, "workers", s->workers);
    fby_report_uint(g->report, "batch", texts->count);
    fby_report_uint(g->report, "length", length);
    FBY_REPORT_SPREAD(g->report, "texts_per_s", spread);
    fby_report_real(g->report, "tokens_per_s", spread.median * per_text);
    fby_report_real(g->report, "p50_ms", fby_quantile(s->call_ms, s->calls, 0.5));
    fby_report_real(g->report, "p99_ms", fby_quantile(s->call_ms, s->calls, 0.99));
    fby_report_real(g->report, "deviation_ms", sqrt(squares));
    fby_report_real(g->report, "efficiency", spread.median / alone / s->workers);
    fby_report_real(g->report, "allocations_per_call",
                    mallocs() > 0 ? (double)s->mallocs / (double)s->all_calls : NAN);
    fby_report_real(g->report, "peak_rss_mb", (double)usage.ru_maxrss * 1024 / 1e6);
    fby_report_uint(g->report, "repetitions", g->rounds / 2);
    fby_report_row(g->report);
}

static const strategy *named(const grid *g, const char *name)
{
    for (uint32_t i = 0; i < g->count; i++)
        if (strcmp(g->strategies[i].name, name) == 0)
            return &g->strategies[i];
    return NULL;
}

/* Auto beside the oracle, and beside the table where they differ by more than the noise. */
static void judge(grid *g, const strategy *oracle)
{
    const uint64_t rounds = g->rounds;
    double best = spread_of(oracle, 1, rounds).median;
    fby_spread automatic = spread_of(named(g, "auto"), 1, rounds);
    fby_spread table = spread_of(named(g, "table"), 1, rounds);
    double ratio = automatic.median / best;
    g->log_ratio += log(ratio);
    g->worst = g->points == 0 || ratio < g->worst ? ratio : g->worst;
    g->ahead += automatic.q1 > table.q3;
    g->behind += automatic.q3 < table.q1;
    g->points++;
}

static fby_status measure_point(grid *g, uint32_t batch, uint32_t length)
{
    fby_workers_texts texts;
    fby_status status = fby_workers_texts_make(batch, length, &texts);
    if (status != FBY_OK)
        return status;
    for (uint32_t i = 0; i < g->count; i++) { /* once outside the clock */
        status = fby_embed(g->strategies[i].model, texts.texts, batch, NULL, g->vectors, NULL);
        if (status != FBY_OK)
            break;
        g->strategies[i].calls = 0;
        g->strategies[i].all_calls = g->strategies[i].mallocs = 0;
    }
    for (uint64_t round = 0; status == FBY_OK && round < g->rounds; round++)
        for (uint32_t i = 0; status == FBY_OK && i < g->count; i++)
            status = sample(g, &g->strategies[(round + i) % g->count], &texts, round);
    if (status == FBY_OK) {
        strategy *oracle = NULL;
        double best = 0, alone = spread_of(&g->strategies[0], 1, g->rounds).median;
        for (uint32_t i = 0; i < g->count; i++) {
            strategy *s = &g->strategies[i];
            double here = spread_of(s, 0, g->rounds).median;
            if (s->fixed && here > best) {
                best = here;
                oracle = s;
            }
        }
        judge(g, oracle);
        for (uint32_t i = 0; i < g->count; i++)
            report_strategy(g, &g->strategies[i], g->strategies[i].name, length, &texts, alone);
        report_strategy(g, oracle, "oracle", length, &texts, alone);
    }
    fby_workers_texts_clear(&texts);
    return status;
}

static uint32_t item(const fby_cli_list *list, const char *const *usual, uint32_t i)
{
    return (uint32_t)strtoul(list->count > 0 ? list->items[i] : usual[i], NULL, 10);
}

/* Whether each is a number of `least` to `most`; says what is not. */
static fby_status check_list(const fby_cli_list *list, const char *name, unsigned long least,
                             unsigned long most)
{
    for (uint32_t i = 0; i < list->count; i++) {
        const char *text = list->items[i];
        char *end;
        unsigned long x = strtoul(text, &end, 10);
        if (text[0] < '0' || text[0] > '9' || *end != '\0' || x < least || x > most)
            return fby_error(FBY_EINVAL, "--%s %s: expected %lu to %lu", name, text, least, most);
    }
    return FBY_OK;
}

/* A longer text would be cut, and not be what its row says. */
static fby_status check_lengths(const fby_workers_options *options, const fby_model *model)
{
    fby_model_info info = {.struct_size = sizeof info};
    fby_status status = fby_model_get_info(model, &info);
    unsigned long most = fby_min_u32(info.max_tokens, FBY_WORKERS_LONGEST);
    for (uint32_t i = 0; status == FBY_OK && i < options->lengths.count; i++)
        if (strtoul(options->lengths.items[i], NULL, 10) > most)
            status = fby_error(FBY_EINVAL, "--length %s: the model takes %lu tokens",
                               options->lengths.items[i], most);
    return status;
}

fby_status fby_workers_grid(const fby_workers_options *options, fby_report *report)
{
    static const char *const batches[] = {"1", "2", "4", "8", "16", "32", "64", "128"};
    static const char *const lengths[] = {"4", "64", "256", "0"};
    const uint32_t batch_count = options->batches.count > 0 ? options->batches.count : 8;
    const uint32_t length_count = options->lengths.count > 0 ? options->lengths.count : 4;
    static grid g;
    g = (grid){.options = options, .report = report, .rounds = fby_workers_rounds(options, ROUNDS)};
    if (g.rounds < ROUNDS_LEAST)
        return fby_error(FBY_EINVAL, "--rounds %u: the grid wants %d at least", g.rounds,
                         ROUNDS_LEAST);
    fby_status status = check_list(&options->batches, "batch", 1, BATCH_MAX);
    if (status == FBY_OK)
        status = check_list(&options->lengths, "length", 0, FBY_WORKERS_LONGEST);
    if (status == FBY_OK)
        status = open_strategies(&g);
    if (status == FBY_OK)
        status = check_lengths(options, g.strategies[0].model);
    if (status == FBY_OK) {
        g.vectors =
            calloc((size_t)BATCH_MAX * fby_model_dim(g.strategies[0].model), sizeof *g.vectors);
        if (g.vectors == NULL)
            status = fby_error(FBY_ENOMEM, "no memory for vectors");
    }
    for (uint32_t i = 0; status == FBY_OK && i < batch_count; i++)
        for (uint32_t j = 0; status == FBY_OK && j < length_count; j++) {
            uint32_t batch = item(&options->batches, batches, i);
            status = measure_point(&g, batch, item(&options->lengths, lengths, j));
        }
    if (status == FBY_OK)
        fby_say("auto is at %.3f of the best fixed choice (geometric mean of %u points), %.3f at "
                "the worst; ahead of the table on %u points, behind on %u, beyond the quartiles",
                exp(g.log_ratio / g.points), g.points, g.worst, g.ahead, g.behind);
    for (uint32_t i = 0; i < g.count; i++) {
        fby_model_close(g.strategies[i].model);
        free(g.strategies[i].call_ms);
    }
    free(g.vectors);
    return status;
}
