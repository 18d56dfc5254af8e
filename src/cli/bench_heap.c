/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The heap pool's calls by size, threads, strategy and backend; beside the raw path;
 * and what that is worth to embedding. What is compared runs in turn, round by round,
 * so that each ratio is of neighbours in time.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cli/bench_report.h"
#include "cli/commands.h"
#include "cli/heap_calls.h"
#include "cli/heap_embed.h"
#include "cli/model_choice.h"
#include "cli/say.h"

enum { ROUNDS_MIN = 9, ROUNDS_MAX = 999, HEAPS = 4, LIVE = 2000, MIXED_SAMPLES = 4000 };
#define MIB ((uint64_t)1 << 20)

struct options {
    fby_model_choice model;
    bool mixed, calls, raw, embed;
    char *file;
    const char *record;
    uint64_t rounds, requests;
    int backend, format;
};

#define AT(field) .offset = offsetof(struct options, field)
static const fby_cli_option options_table[] = {
    {.kind = FBY_CLI_FLAG,
     .name = "mixed",
     .help = "2,000 live blocks of 64 bytes to 256 KiB, one thread, statistics on and off",
     AT(mixed)},
    {.kind = FBY_CLI_FLAG,
     .name = "calls",
     .help = "64 KiB, 1 MiB and 32 MiB; 1, 2 and 4 threads; each strategy",
     AT(calls)},
    {.kind = FBY_CLI_FLAG,
     .name = "raw",
     .help = "those sizes beside mapping, touching and unmapping, and with the caller's fill",
     AT(raw)},
    {.kind = FBY_CLI_FLAG,
     .name = "embed",
     .help = "embedding the lines of --file, each with memory of its own from a pool, from a pool "
             "without statistics, from the system",
     AT(embed)},
    {.kind = FBY_CLI_CHOICE,
     .name = "backend",
     .argument = "B",
     .help = "of --calls and --raw: host, or vulkan's device or host-visible memory (host)",
     .choices = "host|device|host-visible",
     AT(backend)},
    FBY_MODEL_OPTION(struct options, model),
    {.kind = FBY_CLI_TEXT,
     .name = "file",
     .argument = "FILE",
     .help = "texts, one a line",
     AT(file)},
    {.kind = FBY_CLI_UINT,
     .name = "requests",
     .argument = "N",
     .help = "a round of --embed (100)",
     .min = 1,
     .max = 1 << 20,
     AT(requests)},
    {.kind = FBY_CLI_UINT,
     .name = "rounds",
     .argument = "N",
     .help = "repetitions, at least and by default 9",
     .min = ROUNDS_MIN,
     .max = ROUNDS_MAX,
     AT(rounds)},
    {.kind = FBY_CLI_TEXT,
     .name = "record",
     .argument = "FILE",
     .help =
         "write a trace of --mixed's calls, for `forebay pool run`; its figures then mean nothing",
     AT(record)},
    FBY_REPORT_OPTIONS(struct options, format),
    {.kind = FBY_CLI_END},
};

static const uint64_t sizes[] = {64 << 10, 1 << 20, 32 << 20};
static const char *const strategies[] = {"round-robin", "best-fit", "least-used"};
static const char *const backends[] = {"host", "vulkan device", "vulkan host-visible"};
enum { SIZES = 3, STRATEGIES = 3 };

struct bench {
    const struct options *options;
    fby_report *report;
};

static fby_heap_pool_options pool_options(const struct bench *bench, uint64_t heap_bytes)
{
    fby_heap_pool_options options = FBY_HEAP_POOL_OPTIONS_INIT;
    options.num_heaps = HEAPS;
    options.heap_bytes = heap_bytes;
    if (bench->options->backend != 0) {
        options.backend = FBY_HEAP_VULKAN;
        options.memory = bench->options->backend == 1 ? FBY_HEAP_DEVICE : FBY_HEAP_HOST_VISIBLE;
    }
    return options;
}

/* Blocks that `pool` took from the system. */
static uint64_t fallbacks_of(fby_heap_pool *pool)
{
    fby_heap_pool_stats stats = {.struct_size = sizeof stats};
    return fby_heap_pool_get_stats(pool, &stats) == FBY_OK ? stats.fallback : UINT64_MAX;
}

/* A pool's figure that is partly the system's is none. */
static fby_status check_fallbacks(uint64_t count)
{
    return count == 0
               ? FBY_OK
               : fby_error(FBY_ENOMEM, "%llu blocks of a row were the system's, not the pool's",
                           (unsigned long long)count);
}

/* ---- calls ---- */

struct samples {
    double acquire[ROUNDS_MAX], acquire_p99[ROUNDS_MAX], acquire_p999[ROUNDS_MAX];
    double release[ROUNDS_MAX], release_p99[ROUNDS_MAX], release_p999[ROUNDS_MAX];
};

static void keep(struct samples *samples, uint64_t round, const fby_heap_times *times)
{
    samples->acquire[round] = times->acquire_p50;
    samples->acquire_p99[round] = times->acquire_p99;
    samples->acquire_p999[round] = times->acquire_p999;
    samples->release[round] = times->release_p50;
    samples->release_p99[round] = times->release_p99;
    samples->release_p999[round] = times->release_p999;
}

static void report_samples(fby_report *report, struct samples *samples, uint64_t rounds,
                           uint64_t fallbacks)
{
    FBY_REPORT_SPREAD(report, "acquire_p50_ns", fby_spread_of(samples->acquire, rounds));
    FBY_REPORT_SPREAD(report, "acquire_p99_ns", fby_spread_of(samples->acquire_p99, rounds));
    fby_report_real(report, "acquire_p999_ns", fby_spread_of(samples->acquire_p999, rounds).median);
    FBY_REPORT_SPREAD(report, "release_p50_ns", fby_spread_of(samples->release, rounds));
    FBY_REPORT_SPREAD(report, "release_p99_ns", fby_spread_of(samples->release_p99, rounds));
    fby_report_real(report, "release_p999_ns", fby_spread_of(samples->release_p999, rounds).median);
    fby_report_uint(report, "fallbacks", fallbacks);
    fby_report_uint(report, "rounds", rounds);
    fby_report_row(report);
}

/* Blocks that a thread can hold without exhausting the pool. */
static uint32_t batch_of(uint64_t capacity, uint64_t bytes, uint32_t threads)
{
    uint64_t fits = capacity / 2 / bytes / threads;
    return fits < 1 ? 1 : fits < FBY_HEAP_BATCH ? (uint32_t)fits : FBY_HEAP_BATCH;
}

static fby_status run_calls_of(const struct bench *bench, int strategy, uint64_t bytes,
                               uint32_t threads)
{
    static struct samples samples;
    fby_heap_pool_options options = pool_options(bench, bytes < 32 * MIB ? 64 * MIB : 128 * MIB);
    fby_heap_pool *pool;
    fby_heap_times times;
    options.strategy = (fby_heap_strategy)strategy;
    fby_status status = fby_heap_pool_create(&options, &pool);
    if (status != FBY_OK)
        return status;
    const fby_heap_load load = {
        .pool = pool,
        .bytes = bytes,
        .threads = threads,
        .samples = 2000,
        .batch = batch_of(HEAPS * options.heap_bytes, bytes, threads),
    };
    for (uint64_t round = 0; status == FBY_OK && round <= bench->options->rounds; round++) {
        status = fby_heap_time(&load, &times);
        if (status == FBY_OK && round > 0) /* the first warms up */
            keep(&samples, round - 1, &times);
    }
    if (status == FBY_OK) {
        fby_report_text(bench->report, "backend", backends[bench->options->backend]);
        fby_report_text(bench->report, "strategy", strategies[strategy]);
        fby_report_uint(bench->report, "block_bytes", bytes);
        fby_report_uint(bench->report, "threads", threads);
        fby_report_uint(bench->report, "batch", load.batch);
        uint64_t fallbacks = fallbacks_of(pool);
        report_samples(bench->report, &samples, bench->options->rounds, fallbacks);
        status = check_fallbacks(fallbacks);
    }
    fby_heap_pool_close(pool, NULL);
    return status;
}

static fby_status run_calls(const struct bench *bench)
{
    fby_status status = FBY_OK;
    for (int strategy = 0; strategy < STRATEGIES; strategy++)
        for (int size = 0; size < SIZES; size++)
            for (uint32_t threads = 1; threads <= 4 && status == FBY_OK; threads *= 2)
                status = run_calls_of(bench, strategy, sizes[size], threads);
    return status;
}

/* ---- mixed sizes ---- */

static fby_status run_mixed(const struct bench *bench)
{
    static struct samples samples[2 * STRATEGIES];
    static double cost[STRATEGIES][ROUNDS_MAX]; /* of statistics, ns a pair */
    fby_heap_pool *pools[2 * STRATEGIES] = {NULL};
    const uint64_t rounds = bench->options->rounds;
    fby_status status = FBY_OK;

    for (int i = 0; i < 2 * STRATEGIES && status == FBY_OK; i++) {
        fby_heap_pool_options options = pool_options(bench, 64 * MIB);
        options.strategy = (fby_heap_strategy)(i / 2);
        options.statistics_off = i % 2 == 1;
        options.trace_file = i == 0 ? bench->options->record : NULL;
        status = fby_heap_pool_create(&options, &pools[i]);
    }
    for (uint64_t round = 0; round <= rounds && status == FBY_OK; round++) {
        fby_heap_times times[2 * STRATEGIES];
        for (int i = 0; i < 2 * STRATEGIES && status == FBY_OK; i++)
            status = fby_heap_time_mixed(pools[i], LIVE, MIXED_SAMPLES, &times[i]);
        if (status != FBY_OK)
            break;
        for (int i = 0; i < 2 * STRATEGIES && round > 0; i++)
            keep(&samples[i], round - 1, &times[i]);
        for (int i = 0; i < STRATEGIES && round > 0; i++)
            cost[i][round - 1] = times[2 * i].pair - times[2 * i + 1].pair;
    }
    for (int i = 0; i < 2 * STRATEGIES && status == FBY_OK; i++) {
        fby_report_text(bench->report, "backend", backends[bench->options->backend]);
        fby_report_text(bench->report, "strategy", strategies[i / 2]);
        fby_report_uint(bench->report, "live_blocks", LIVE);
        fby_report_bool(bench->report, "statistics", i % 2 == 0);
        FBY_REPORT_SPREAD(bench->report, "statistics_ns_per_pair",
                          fby_spread_of(cost[i / 2], rounds));
        uint64_t fallbacks = fallbacks_of(pools[i]);
        report_samples(bench->report, &samples[i], rounds, fallbacks);
        status = check_fallbacks(fallbacks);
    }
    for (int i = 0; i < 2 * STRATEGIES; i++)
        fby_heap_pool_close(pools[i], NULL);
    return status;
}

/* ---- beside the raw path ---- */

/* The raw path of a device is its backend's: a pool without heaps. */
static fby_status open_raw(const struct bench *bench, fby_heap_pool **pool)
{
    fby_heap_pool_options options = pool_options(bench, 0);
    options.disabled = true;
    *pool = NULL;
    return bench->options->backend != 0 ? fby_heap_pool_create(&options, pool) : FBY_OK;
}

static fby_status run_raw_of(const struct bench *bench, fby_heap_pool *pool, fby_heap_pool *raw,
                             uint64_t bytes, bool fill)
{
    static double pool_ns[ROUNDS_MAX], raw_ns[ROUNDS_MAX], ratio[ROUNDS_MAX];
    const uint64_t rounds = bench->options->rounds;
    const fby_heap_load from_pool = {.pool = pool,
                                     .bytes = bytes,
                                     .threads = 1,
                                     .samples = fill ? 40 : 2000,
                                     .batch = 1,
                                     .fill = fill};
    const fby_heap_load from_system = {.pool = raw,
                                       .bytes = bytes,
                                       .threads = 1,
                                       .samples = bytes < 32 * MIB ? 40 : 4,
                                       .batch = 1,
                                       .touch = true,
                                       .fill = fill};
    fby_status status = FBY_OK;
    for (uint64_t round = 0; round <= rounds && status == FBY_OK; round++) {
        fby_heap_times a = {0}, b = {0};
        uint64_t at = round > 0 ? round - 1 : 0;
        status = fby_heap_time(&from_pool, &a);
        if (status == FBY_OK)
            status = fby_heap_time(&from_system, &b);
        if (status != FBY_OK)
            return status;
        pool_ns[at] = a.pair;
        raw_ns[at] = b.pair;
        ratio[at] = b.pair / a.pair;
    }
    fby_report_text(bench->report, "backend", backends[bench->options->backend]);
    fby_report_uint(bench->report, "block_bytes", bytes);
    fby_report_bool(bench->report, "fill", fill);
    FBY_REPORT_SPREAD(bench->report, "pool_ns_per_pair", fby_spread_of(pool_ns, rounds));
    FBY_REPORT_SPREAD(bench->report, "raw_ns_per_pair", fby_spread_of(raw_ns, rounds));
    FBY_REPORT_SPREAD(bench->report, "ratio_to_pool", fby_spread_of(ratio, rounds));
    fby_report_uint(bench->report, "fallbacks", fallbacks_of(pool));
    fby_report_uint(bench->report, "rounds", rounds);
    fby_report_row(bench->report);
    return check_fallbacks(fallbacks_of(pool));
}

static fby_status run_raw(const struct bench *bench)
{
    fby_heap_pool_options options = pool_options(bench, 64 * MIB);
    fby_heap_pool *pool, *raw;
    fby_status status = fby_heap_pool_create(&options, &pool);
    if (status != FBY_OK)
        return status;
    status = open_raw(bench, &raw);
    for (int i = 0; i < 2 * SIZES && status == FBY_OK; i++)
        if (i < SIZES || bench->options->backend != 1) /* a device's memory is not ours to fill */
            status = run_raw_of(bench, pool, raw, sizes[i % SIZES], i >= SIZES);
    fby_heap_pool_close(raw, NULL);
    fby_heap_pool_close(pool, NULL);
    return status;
}

/* ---- embedding ---- */

enum { WAYS = 3 };
static const char *const ways[WAYS] = {"pool", "pool, statistics off", "system"};

struct embedding {
    fby_encoder *encoder;
    fby_bench_texts texts;
    double texts_per_s[WAYS][ROUNDS_MAX], alloc_us[WAYS][ROUNDS_MAX], ratio[WAYS][ROUNDS_MAX];
    double first_ms[WAYS][ROUNDS_MAX], warm_ms[WAYS][ROUNDS_MAX];
};

static fby_status open_way(int way, uint64_t bytes, fby_heap_pool **pool)
{
    fby_heap_pool_options options = FBY_HEAP_POOL_OPTIONS_INIT;
    options.num_heaps = 1;
    options.parts = &bytes;
    options.part_count = 1;
    options.statistics_off = way == 1;
    options.disabled = way == 2;
    return fby_heap_pool_create(&options, pool);
}

/* The first request of a pool just made, and the tenth. */
static fby_status time_first(const fby_heap_embed *embed, struct embedding *all, int way,
                             uint64_t round)
{
    fby_heap_pool *pool;
    fby_heap_embed_times first = {0}, warm = {0};
    fby_status status = open_way(way, embed->bytes, &pool);
    if (status != FBY_OK)
        return status;
    status = fby_heap_embed_run(embed, pool, 0, 1, &first);
    for (int i = 0; i < 9 && status == FBY_OK; i++)
        status = fby_heap_embed_run(embed, pool, 0, 1, &warm);
    if (status == FBY_OK) {
        all->first_ms[way][round] = 1e3 / first.texts_per_s;
        all->warm_ms[way][round] = 1e3 / warm.texts_per_s;
    }
    if (status == FBY_OK && way != 2)
        status = check_fallbacks(fallbacks_of(pool));
    fby_heap_pool_close(pool, NULL);
    return status;
}

static fby_status run_ways(const struct bench *bench, struct embedding *all,
                           fby_heap_pool *const pools[WAYS])
{
    const fby_heap_embed embed = {all->encoder, &all->texts, fby_heap_embed_bytes(all->encoder)};
    const uint64_t rounds = bench->options->rounds, requests = bench->options->requests;
    fby_status status = FBY_OK;
    for (uint64_t round = 0; round <= rounds && status == FBY_OK; round++) {
        uint64_t at = round > 0 ? round - 1 : 0; /* the first warms up */
        for (int i = 0; i < WAYS && status == FBY_OK; i++) {
            int way = (int)((round + (uint64_t)i) % WAYS); /* none is always first */
            fby_heap_embed_times times = {0};
            status = fby_heap_embed_run(&embed, pools[way], at * requests, requests, &times);
            if (status != FBY_OK)
                break;
            all->texts_per_s[way][at] = times.texts_per_s;
            all->alloc_us[way][at] = times.alloc_us;
            status = time_first(&embed, all, way, at);
        }
        for (int way = 0; way < WAYS && status == FBY_OK; way++)
            all->ratio[way][at] = all->texts_per_s[way][at] / all->texts_per_s[2][at];
    }
    return status;
}

static fby_status report_ways(const struct bench *bench, struct embedding *all,
                              fby_heap_pool *const pools[WAYS])
{
    fby_status status = FBY_OK;
    const uint64_t rounds = bench->options->rounds;
    static double cost[ROUNDS_MAX];
    for (uint64_t i = 0; i < rounds; i++)
        cost[i] = 100 * (1 - all->texts_per_s[0][i] / all->texts_per_s[1][i]);
    fby_spread statistics = fby_spread_of(cost, rounds);
    for (int way = 0; way < WAYS; way++) {
        fby_report_text(bench->report, "memory", ways[way]);
        fby_report_uint(bench->report, "request_bytes", fby_heap_embed_bytes(all->encoder));
        FBY_REPORT_SPREAD(bench->report, "texts_per_s",
                          fby_spread_of(all->texts_per_s[way], rounds));
        FBY_REPORT_SPREAD(bench->report, "ratio_to_system", fby_spread_of(all->ratio[way], rounds));
        FBY_REPORT_SPREAD(bench->report, "alloc_us", fby_spread_of(all->alloc_us[way], rounds));
        FBY_REPORT_SPREAD(bench->report, "first_ms", fby_spread_of(all->first_ms[way], rounds));
        FBY_REPORT_SPREAD(bench->report, "warm_ms", fby_spread_of(all->warm_ms[way], rounds));
        FBY_REPORT_SPREAD(bench->report, "statistics_percent", statistics);
        uint64_t fallbacks = fallbacks_of(pools[way]);
        fby_report_uint(bench->report, "fallbacks", fallbacks);
        fby_report_uint(bench->report, "requests", bench->options->requests);
        fby_report_uint(bench->report, "rounds", rounds);
        fby_report_row(bench->report);
        if (status == FBY_OK && way != 2)
            status = check_fallbacks(fallbacks);
    }
    return status;
}

static fby_status run_embed(const struct bench *bench)
{
    static struct embedding all;
    fby_heap_pool *pools[WAYS] = {NULL};
    char dir[PATH_MAX];
    fby_isa isa;

    if (bench->options->file == NULL)
        return fby_error(FBY_EINVAL, "--embed wants --file");
    fby_status status = fby_bench_texts_load(bench->options->file, &all.texts);
    if (status == FBY_OK)
        status = fby_model_choice_dir(&bench->options->model, dir);
    if (status == FBY_OK)
        status = fby_isa_select(&isa);
    if (status == FBY_OK)
        status = fby_encoder_open(dir, isa, FBY_PRECISION_F32, NULL, &all.encoder);
    for (int i = 0; i < WAYS && status == FBY_OK; i++)
        status = open_way(i, fby_heap_embed_bytes(all.encoder), &pools[i]);
    if (status == FBY_OK)
        status = run_ways(bench, &all, pools);
    if (status == FBY_OK)
        status = report_ways(bench, &all, pools);
    for (int i = 0; i < WAYS; i++)
        fby_heap_pool_close(pools[i], NULL);
    fby_encoder_close(all.encoder);
    fby_bench_texts_clear(&all.texts);
    return status;
}

static int run(const fby_cli_command *self, int argc, char **argv)
{
    struct options options = {.rounds = ROUNDS_MIN, .requests = 100};
    fby_report report;
    int operands, exit_code;

    if (!fby_cli_parse(self, argc, argv, &options, &operands, &exit_code))
        return exit_code;
    if (!options.mixed && !options.calls && !options.raw && !options.embed) {
        fby_say("one of --mixed, --calls, --raw and --embed is wanted");
        return FBY_EXIT_USAGE;
    }
    fby_report_begin(&report, stdout, (fby_report_format)options.format, "heap", NULL);
    const struct bench bench = {&options, &report};
    fby_status status = options.mixed ? run_mixed(&bench) : FBY_OK;
    if (status == FBY_OK && options.calls)
        status = run_calls(&bench);
    if (status == FBY_OK && options.raw)
        status = run_raw(&bench);
    if (status == FBY_OK && options.embed)
        status = run_embed(&bench);
    fby_status written = fby_report_end(&report);
    if (status != FBY_OK || written != FBY_OK)
        fby_say("%s", fby_last_error());
    return fby_cli_exit(status != FBY_OK ? status : written);
}

const fby_cli_command fby_bench_heap = {
    .name = "forebay bench heap",
    .summary = "what a block of a heap pool costs, beside the system's",
    .options = options_table,
    .details = "A call's time is a mean over a batch of calls (64, where so many blocks fit);\n"
               "percentiles are of those means, over a round, and their medians over rounds.\n"
               "\n"
               "Examples:\n"
               "  forebay bench heap --mixed\n"
               "  forebay bench heap --raw --backend device --json > before.json\n"
               "  forebay bench heap --embed --file bench/texts/short.txt\n",
    .run = run,
};
