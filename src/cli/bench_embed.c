/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Throughput and latency of fby_embed() on the lines of a file.
 *
 * Every round runs the same calls: all batches of the file, or, where a round's
 * time does not hold them, an evenly spaced part of them. So what differs
 * between rounds is the machine, and the quartiles tell how much. The core's
 * peak is measured again before each round.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/bits.h"
#include "base/clock.h"
#include "base/cpu.h"
#include "cli/bench_report.h"
#include "cli/bench_texts.h"
#include "cli/commands.h"
#include "cli/model_choice.h"
#include "cli/say.h"
#include "compute/narrow.h"

enum { ROUNDS_MIN = 9, ROUNDS_MAX = 999, CALLS_MAX = 1 << 20 };

struct options {
    fby_model_choice model;
    char *file;
    uint64_t batch, rounds;
    double seconds;
    int format;
};

#define AT(field) .offset = offsetof(struct options, field)

static const fby_cli_option options_table[] = {
    FBY_MODEL_OPTIONS(struct options, model),
    FBY_MODEL_GOAL_OPTIONS(struct options, model),
    {.kind = FBY_CLI_TEXT,
     .name = "file",
     .argument = "FILE",
     .help = "the texts, one a line",
     AT(file)},
    {.kind = FBY_CLI_UINT,
     .name = "batch",
     .argument = "N",
     .help = "texts a call (32)",
     .min = 1,
     .max = 1 << 16,
     AT(batch)},
    {.kind = FBY_CLI_REAL,
     .name = "seconds",
     .argument = "S",
     .help = "how long to measure, all rounds together (10)",
     .max = 86400,
     AT(seconds)},
    {.kind = FBY_CLI_UINT,
     .name = "rounds",
     .argument = "N",
     .help = "repetitions, at least and by default 9",
     .min = ROUNDS_MIN,
     .max = ROUNDS_MAX,
     AT(rounds)},
    FBY_REPORT_OPTIONS(struct options, format),
    {.kind = FBY_CLI_END},
};

/* What is measured, and with what. */
struct bench {
    fby_model *model;
    fby_model_info info;
    fby_isa isa;
    fby_precision precision;
    const fby_bench_texts *texts;
    size_t batch, batches; /* texts a call; calls that the whole file makes */
    size_t calls, passes;  /* a round: `calls` of them, evenly spaced, `passes` times */
    float *vectors;        /* (batch, dim) */
    fby_text_info *infos;
    double *call_ms; /* every call of every round */
    size_t call_count;
};

struct work {
    double seconds, flops;
    uint64_t texts, tokens;
};

/* Call `call` of those that cover the file; adds what it did and took. */
static fby_status run_call(struct bench *bench, size_t call, struct work *work)
{
    size_t first = call * bench->batch;
    size_t count = fby_min_size(bench->batch, bench->texts->count - first);
    uint64_t started = fby_now_ns();
    fby_status status = fby_embed(bench->model, bench->texts->texts + first, count, NULL,
                                  bench->vectors, bench->infos);
    work->seconds += (double)(fby_now_ns() - started) * 1e-9;

    for (size_t i = 0; i < count; i++) {
        double tokens = bench->infos[i].tokens;
        work->tokens += bench->infos[i].tokens;
        work->flops += tokens * ((double)bench->info.flops_per_token +
                                 (double)bench->info.flops_per_token_pair * tokens);
    }
    work->texts += count;
    return status;
}

static size_t spaced(const struct bench *bench, size_t i, size_t of)
{
    return i * bench->batches / of;
}

/* Warms up for a tenth of the time, at least a call, then fits a round into its share. */
static fby_status plan(struct bench *bench, const struct options *options)
{
    enum { SAMPLE = 64 };
    size_t sample = fby_min_size(SAMPLE, bench->batches), done = 0;
    struct work work = {0};

    while (done == 0 || (done < sample && work.seconds < options->seconds / 10)) {
        fby_status status = run_call(bench, spaced(bench, done++, sample), &work);
        if (status != FBY_OK)
            return status;
    }
    double round = options->seconds / (double)options->rounds;
    double fits = round / (work.seconds / (double)done);
    size_t most = CALLS_MAX / options->rounds;
    size_t calls = fits < (double)most ? (size_t)fits : most;
    bench->calls = calls < 1 ? 1 : fby_min_size(calls, bench->batches);
    bench->passes = calls < bench->calls ? 1 : calls / bench->calls;
    return FBY_OK;
}

static fby_status run_round(struct bench *bench, struct work *work)
{
    for (size_t pass = 0; pass < bench->passes; pass++)
        for (size_t i = 0; i < bench->calls; i++) {
            double before = work->seconds;
            fby_status status = run_call(bench, spaced(bench, i, bench->calls), work);
            if (status != FBY_OK)
                return status;
            bench->call_ms[bench->call_count++] = (work->seconds - before) * 1e3;
        }
    return FBY_OK;
}

static double cpu_seconds(void)
{
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (double)used.tv_sec + (double)used.tv_nsec * 1e-9;
}

static double peak_rss_mb(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_maxrss * 1024 / 1e6;
}

/* What each round gave. */
struct rounds {
    size_t count;
    double texts_per_s[ROUNDS_MAX], tokens_per_s[ROUNDS_MAX], share[ROUNDS_MAX];
    double cores[ROUNDS_MAX]; /* processor time over wall time */
    struct work last;
};

static fby_status measure_round(struct bench *bench, struct rounds *rounds)
{
    double peak = fby_narrow_peak(bench->precision, bench->isa) * bench->info.threads;
    double cpu = cpu_seconds();
    struct work work = {0};
    fby_status status = run_round(bench, &work);
    if (status != FBY_OK)
        return status;

    size_t round = rounds->count++;
    rounds->cores[round] = (cpu_seconds() - cpu) / work.seconds;
    rounds->texts_per_s[round] = (double)work.texts / work.seconds;
    rounds->tokens_per_s[round] = (double)work.tokens / work.seconds;
    rounds->share[round] = work.flops / work.seconds / peak;
    rounds->last = work;
    return FBY_OK;
}

static void report_row(struct bench *bench, fby_report *report, const struct options *options,
                       struct rounds *rounds)
{
    const char *name = strrchr(options->file, '/');
    size_t count = rounds->count;

    fby_sort(bench->call_ms, bench->call_count);
    fby_report_text(report, "file", name != NULL ? name + 1 : options->file);
    fby_report_uint(report, "batch", bench->batch);
    fby_report_uint(report, "threads", bench->info.threads);
    fby_report_text(report, "precision", bench->info.precision);
    FBY_REPORT_SPREAD(report, "texts_per_s", fby_spread_of(rounds->texts_per_s, count));
    FBY_REPORT_SPREAD(report, "tokens_per_s", fby_spread_of(rounds->tokens_per_s, count));
    fby_report_real(report, "p50_ms", fby_quantile(bench->call_ms, bench->call_count, 0.5));
    fby_report_real(report, "p99_ms", fby_quantile(bench->call_ms, bench->call_count, 0.99));
    fby_report_real(report, "peak_rss_mb", peak_rss_mb());
    FBY_REPORT_SPREAD(report, "share_of_peak", fby_spread_of(rounds->share, count));
    fby_report_real(report, "cores_used", fby_spread_of(rounds->cores, count).median);
    fby_report_uint(report, "repetitions", count);
    fby_report_uint(report, "texts_a_round", rounds->last.texts);
    fby_report_uint(report, "tokens_a_round", rounds->last.tokens);
    fby_report_row(report);
}

static fby_status measure(struct bench *bench, const struct options *options)
{
    static struct rounds rounds;
    fby_report report;

    fby_status status = plan(bench, options);
    if (status != FBY_OK)
        return status;
    size_t calls = options->rounds * bench->calls * bench->passes;
    bench->call_ms = calloc(calls, sizeof *bench->call_ms);
    if (bench->call_ms == NULL)
        return fby_error(FBY_ENOMEM, "no memory for %zu timings", calls);

    fby_report_begin(&report, stdout, (fby_report_format)options->format, "embed", bench->info.isa);
    while (rounds.count < options->rounds) {
        status = measure_round(bench, &rounds);
        if (status != FBY_OK)
            return status;
    }
    report_row(bench, &report, options, &rounds);
    return fby_report_end(&report);
}

static fby_status isa_named(const char *name, fby_isa *isa)
{
    for (int i = 0; i < FBY_ISA_COUNT; i++)
        if (strcmp(fby_isa_name((fby_isa)i), name) == 0) {
            *isa = (fby_isa)i;
            return FBY_OK;
        }
    return fby_error(FBY_EUNSUPPORTED, "kernels of an unknown instruction set, %s", name);
}

static fby_status set_up(struct bench *bench, const struct options *options)
{
    fby_status status = fby_model_choice_open(&options->model, &bench->model);
    if (status == FBY_OK)
        status = fby_model_get_info(bench->model, &bench->info);
    if (status == FBY_OK)
        status = isa_named(bench->info.isa, &bench->isa);
    bench->precision = (fby_precision)options->model.precision;
    if (status != FBY_OK)
        return status;

    bench->batch = fby_min_size(options->batch, bench->texts->count);
    bench->batches = (bench->texts->count + bench->batch - 1) / bench->batch;
    bench->vectors = calloc(bench->batch * bench->info.dim, sizeof *bench->vectors);
    bench->infos = calloc(bench->batch, sizeof *bench->infos);
    if (bench->vectors == NULL || bench->infos == NULL)
        return fby_error(FBY_ENOMEM, "no memory for %zu vectors", bench->batch);
    return FBY_OK;
}

static int run(const fby_cli_command *self, int argc, char **argv)
{
    struct options options = {.batch = 32, .seconds = 10, .rounds = ROUNDS_MIN};
    int code;
    if (!fby_cli_parse(self, argc, argv, &options, NULL, &code))
        return code;
    if (options.file == NULL) {
        fby_say("--file FILE is wanted: the texts to measure with, one a line");
        return FBY_EXIT_USAGE;
    }

    fby_bench_texts texts = {0};
    struct bench bench = {.info.struct_size = sizeof bench.info, .texts = &texts};
    fby_status status = fby_bench_texts_load(options.file, &texts);
    if (status == FBY_OK)
        status = set_up(&bench, &options);
    if (status == FBY_OK)
        status = measure(&bench, &options);
    if (status != FBY_OK)
        fby_say("%s", fby_last_error());

    free(bench.call_ms);
    free(bench.infos);
    free(bench.vectors);
    fby_model_close(bench.model);
    fby_bench_texts_clear(&texts);
    return fby_cli_exit(status);
}

const fby_cli_command fby_bench_embed = {
    .name = "forebay bench embed",
    .summary = "texts/s and tokens/s, latency, share of the core's peak",
    .options = options_table,
    .details = "Tokenising is in the clock; special tokens count. p50_ms and p99_ms are of one\n"
               "call with --batch texts. peak_rss_mb is the process's, in 10^6 bytes.\n"
               "share_of_peak: a text of L tokens is L x (flops_per_token +\n"
               "flops_per_token_pair x L) operations (see forebay info); the peak is what one\n"
               "core reaches with the same instruction set, measured before each round, times\n"
               "--threads. cores_used below --threads: others had the processors meanwhile.\n"
               "\n"
               "Example:\n"
               "  forebay bench embed --file bench/texts/mixed.txt --threads 1 --json\n",
    .run = run,
};
