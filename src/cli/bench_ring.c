/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ring pool's cost by slice size, by pool size and under a load like an
 * agent's, each time beside bare cursors in the same memory and, by pool size,
 * beside the same pool of 64 KiB; round by round in turn, so that a ratio is of
 * neighbours in time.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bits.h"
#include "cli/bench_report.h"
#include "cli/commands.h"
#include "cli/ring_loops.h"
#include "cli/ring_trace.h"
#include "cli/say.h"

enum {
    ROUNDS_MIN = 9,
    ROUNDS_USUAL = 21,
    ROUNDS_MAX = 999,
    VECTOR = FBY_FEATURE_DIM * sizeof(float)
};
#define KIB ((uint64_t)1 << 10)
#define GIB ((uint64_t)1 << 30)

struct options {
    bool alloc_sizes, pool_sizes, trace;
    uint64_t profile, rounds, largest, in_flight;
    int kind, window, write, format;
};

#define AT(field) .offset = offsetof(struct options, field)

static const fby_cli_option options_table[] = {
    {.kind = FBY_CLI_FLAG,
     .name = "alloc-sizes",
     .help = "1 to 64 vectors of 512 bytes a slice, in a pool of --largest (2G)",
     AT(alloc_sizes)},
    {.kind = FBY_CLI_FLAG,
     .name = "pool-sizes",
     .help = "one vector a slice, in pools of 16K to --largest (1G)",
     AT(pool_sizes)},
    {.kind = FBY_CLI_FLAG,
     .name = "trace",
     .help = "requests of 1 to 64 vectors, mostly 1 to 8, 64 in flight, each answer drawn from the "
             "oldest 8: a pool of --largest (1G) beside one of 1 MiB",
     AT(trace)},
    {.kind = FBY_CLI_UINT_OR,
     .name = "profile",
     .argument = "N",
     .help = "a plain loop of N pairs (100000000), for a profiler",
     .value = 100000000,
     .min = 1,
     AT(profile)},
    {.kind = FBY_CLI_CHOICE,
     .name = "kind",
     .argument = "KIND",
     .help = "only this one",
     .choices = "all|local|local-unordered|shared",
     AT(kind)},
    {.kind = FBY_CLI_CHOICE,
     .name = "window",
     .argument = "W",
     .help = "only with the elastic window, or only without",
     .choices = "both|on|off",
     AT(window)},
    {.kind = FBY_CLI_CHOICE,
     .name = "write",
     .argument = "W",
     .help = "only a slice's first line is written, or only all its bytes",
     .choices = "both|first|all",
     AT(write)},
    {.kind = FBY_CLI_UINT,
     .name = "in-flight",
     .argument = "N",
     .help = "only so many slices at once (1, 64, 1024 and 16384, where the pool holds them)",
     .min = 1,
     .max = FBY_RING_HELD_MAX,
     AT(in_flight)},
    {.kind = FBY_CLI_SIZE,
     .name = "largest",
     .argument = "SIZE",
     .help = "of the pools",
     .min = 4 << 20,
     .max = (uint64_t)1 << 40,
     AT(largest)},
    {.kind = FBY_CLI_UINT,
     .name = "rounds",
     .argument = "N",
     .help = "repetitions, at least 9 (21)",
     .min = ROUNDS_MIN,
     .max = ROUNDS_MAX,
     AT(rounds)},
    FBY_REPORT_OPTIONS(struct options, format),
    {.kind = FBY_CLI_END},
};

static const char *const kind_names[] = {"local", "local-unordered", "shared"};

static fby_status make_pool(fby_ring_kind kind, uint64_t bytes, bool window, fby_ring_pool **pool)
{
    fby_ring_pool_options options = FBY_RING_POOL_OPTIONS_INIT;
    options.kind = kind;
    options.capacity_bytes = bytes;
    options.window_off = !window;
    return fby_ring_pool_create(&options, pool);
}

/* ---- one point ---- */

struct point {
    fby_ring_load load;
    uint64_t pool_bytes;
    bool window;
    fby_ring_pool *small;  /* to compare with, or NULL */
    unsigned char *region; /* where the pool's memory begins */
};

struct samples {
    double ns[ROUNDS_MAX], bare_ns[ROUNDS_MAX], ratio[ROUNDS_MAX], growth[ROUNDS_MAX];
    uint64_t page_faults, refused;
};

/* As many as take a fraction of a millisecond, so that neighbours in time are near; a pool without
 * a window is gone through once. */
static uint64_t pairs_of(const struct point *point)
{
    const fby_ring_load *load = &point->load;
    uint64_t pairs = 2 * FBY_RING_TURNS;
    uint64_t lap = point->pool_bytes / load->slice_bytes;

    if (load->all)
        pairs = ((uint64_t)32 << 20) / load->slice_bytes;
    if (!point->window && lap > pairs)
        pairs = lap;
    uint64_t step = load->schedule->in_flight < 16 ? 16 : load->schedule->in_flight;
    return pairs / step * step;
}

static fby_ring_time run_pool(const fby_ring_load *load)
{
    return load->kind == FBY_RING_SHARED ? fby_ring_run_shared(load) : fby_ring_run_local(load);
}

/* Bare cursors go through the same bytes as the pool: where memory lies decides as much as what is
 * done there. The pool is empty, and nothing else uses it meanwhile. */
static fby_ring_time run_bare(const struct point *point)
{
    const fby_ring_load *load = &point->load;
    fby_ring_pool_stats stats = {.struct_size = sizeof stats};

    fby_ring_pool_get_stats(load->pool, &stats);
    return load->kind == FBY_RING_SHARED
               ? fby_ring_run_bare_shared(load, point->region, stats.window_bytes)
               : fby_ring_run_bare(load, point->region, stats.window_bytes);
}

static void measure(const struct point *point, uint64_t rounds, struct samples *samples)
{
    fby_ring_load small = point->load;
    small.pool = point->small;
    samples->page_faults = samples->refused = 0;
    for (uint64_t i = 0; i <= rounds; i++) {
        uint64_t at = i == 0 ? 0 : i - 1; /* the first time only warms up */
        fby_ring_time pool = run_pool(&point->load), bare = run_bare(point);
        samples->ns[at] = pool.ns_per_pair;
        samples->bare_ns[at] = bare.ns_per_pair;
        samples->ratio[at] = pool.ns_per_pair / bare.ns_per_pair;
        samples->growth[at] = NAN;
        if (point->small != NULL)
            samples->growth[at] = pool.ns_per_pair / run_pool(&small).ns_per_pair;
        if (i > 0) {
            samples->page_faults += pool.page_faults;
            samples->refused += pool.refused;
        }
    }
}

static void report_point(fby_report *report, const struct point *point, uint64_t rounds,
                         struct samples *samples)
{
    const fby_ring_load *load = &point->load;
    fby_ring_pool_stats stats = {.struct_size = sizeof stats};

    fby_ring_pool_get_stats(load->pool, &stats);
    fby_report_text(report, "kind", kind_names[load->kind]);
    fby_report_uint(report, "pool_bytes", point->pool_bytes);
    fby_report_uint(report, "slice_bytes", load->slice_bytes);
    fby_report_uint(report, "in_flight", load->schedule->in_flight);
    fby_report_bool(report, "window", point->window);
    fby_report_text(report, "write", load->all ? "all" : "first");
    FBY_REPORT_SPREAD(report, "ns_per_pair", fby_spread_of(samples->ns, rounds));
    FBY_REPORT_SPREAD(report, "bare_ns", fby_spread_of(samples->bare_ns, rounds));
    FBY_REPORT_SPREAD(report, "ratio_to_bare", fby_spread_of(samples->ratio, rounds));
    fby_spread growth = {NAN, NAN, NAN};
    if (point->small != NULL)
        growth = fby_spread_of(samples->growth, rounds);
    FBY_REPORT_SPREAD(report, "ratio_to_64k", growth);
    fby_report_uint(report, "window_bytes", stats.window_bytes);
    fby_report_uint(report, "page_faults", samples->page_faults);
    fby_report_uint(report, "refused", samples->refused);
    fby_report_uint(report, "rounds", rounds);
    fby_report_row(report);
}

/* ---- the points of a bench ---- */

struct bench {
    const struct options *options;
    fby_ring_pool *small; /* 64 KiB, of the same kind; or NULL */
    fby_report *report;
    struct samples *samples;
    fby_ring_schedule *schedule;
};

/* Slices whose turn is put off 32 times come next: what is in flight then fits in a pool of twice
 * its size. */
enum { PATIENCE = 32 };

static bool fits(const struct point *point, uint32_t in_flight)
{
    uint64_t bytes = point->load.slice_bytes;
    if (point->load.kind == FBY_RING_LOCAL)
        return 2 * in_flight * bytes <= point->pool_bytes;
    if (point->load.kind == FBY_RING_SHARED)
        return in_flight >= 64 && fby_is_pow2(in_flight) &&
               3 * in_flight * bytes <= point->pool_bytes;
    return 4 * (in_flight + PATIENCE) * bytes <= 3 * point->pool_bytes;
}

static void make_schedule(fby_ring_schedule *schedule, fby_ring_kind kind, uint32_t in_flight)
{
    if (kind == FBY_RING_LOCAL_UNORDERED)
        fby_ring_schedule_draw(schedule, in_flight, PATIENCE);
    else
        fby_ring_schedule_fifo(schedule, in_flight);
}

static void run_point(struct bench *bench, struct point *point, uint32_t in_flight)
{
    struct point small = *point;
    small.pool_bytes = 64 * KIB;
    if (!fits(point, in_flight))
        return;
    make_schedule(bench->schedule, point->load.kind, in_flight);
    point->small = fits(&small, in_flight) ? bench->small : NULL;
    point->load.schedule = bench->schedule;
    point->load.pairs = pairs_of(point);
    measure(point, bench->options->rounds, bench->samples);
    report_point(bench->report, point, bench->options->rounds, bench->samples);
}

static void run_depths(struct bench *bench, struct point *point)
{
    static const uint32_t depths[] = {1, 64, 1024, 16384};
    if (bench->options->in_flight != 0)
        run_point(bench, point, (uint32_t)bench->options->in_flight);
    else
        for (size_t i = 0; i < sizeof depths / sizeof depths[0]; i++)
            run_point(bench, point, depths[i]);
}

static bool chosen(int choice, int option)
{
    return option == 0 || option == choice + 1;
}

/* Every way to write, for slices of point->load.slice_bytes; all bytes for one thread only. */
static void run_writes(struct bench *bench, struct point *point)
{
    for (int all = 0; all < 2; all++) {
        point->load.all = all;
        if (chosen(all, bench->options->write) && !(all && point->load.kind == FBY_RING_SHARED))
            run_depths(bench, point);
    }
}

static unsigned char *first_slice(fby_ring_pool *pool)
{
    void *slice = NULL;
    fby_status status = fby_ring_alloc(pool, 1, &slice);
    fby_assert(status == FBY_OK); /* of a new pool */
    fby_ring_release(pool, slice);
    return slice;
}

/* One pool, slices of 1 to `vectors` vectors. */
static fby_status run_pool_of(struct bench *bench, fby_ring_kind kind, bool window,
                              uint64_t pool_bytes, uint32_t vectors)
{
    struct point point = {.load = {.kind = kind}, .pool_bytes = pool_bytes, .window = window};

    bench->small = NULL;
    fby_status status = make_pool(kind, pool_bytes, window, &point.load.pool);
    if (status != FBY_OK)
        return status;
    point.region = first_slice(point.load.pool);
    if (vectors == 1 && pool_bytes > 64 * KIB)
        status = make_pool(kind, 64 * KIB, window, &bench->small);
    for (uint32_t n = 1; status == FBY_OK && n <= vectors; n *= 2) {
        point.load.slice_bytes = (size_t)n * VECTOR;
        run_writes(bench, &point);
    }
    fby_ring_pool_destroy(bench->small);
    fby_ring_pool_destroy(point.load.pool);
    return status;
}

static fby_status run_kinds(struct bench *bench, uint64_t pool_bytes, uint32_t vectors)
{
    for (int kind = 0; kind <= FBY_RING_SHARED; kind++)
        for (int off = 0; off < 2; off++) {
            if (!chosen(kind, bench->options->kind) || !chosen(off, bench->options->window))
                continue;
            fby_status status = run_pool_of(bench, (fby_ring_kind)kind, !off, pool_bytes, vectors);
            if (status != FBY_OK)
                return status;
        }
    return FBY_OK;
}

static uint64_t largest_of(const struct options *options, uint64_t otherwise)
{
    return options->largest != 0 ? options->largest : otherwise;
}

static fby_status run_benches(struct bench *bench)
{
    const struct options *options = bench->options;
    fby_status status = FBY_OK;

    if (options->alloc_sizes)
        status = run_kinds(bench, largest_of(options, 2 * GIB), FBY_RING_VECTORS_MAX);
    if (options->pool_sizes)
        for (uint64_t bytes = 16 * KIB; status == FBY_OK && bytes <= largest_of(options, GIB);
             bytes *= 4)
            status = run_kinds(bench, bytes, 1);
    if (status == FBY_OK && options->trace)
        status = fby_ring_trace(bench->report, largest_of(options, GIB), options->rounds);
    return status;
}

/* ---- for a profiler ---- */

static fby_status profile(const struct options *options, fby_report *report,
                          fby_ring_schedule *schedule)
{
    uint64_t bytes = largest_of(options, GIB);
    int kind = options->kind == 0 ? FBY_RING_LOCAL : options->kind - 1;
    uint32_t in_flight = options->in_flight == 0 ? 64 : (uint32_t)options->in_flight;
    fby_ring_load load = {.kind = (fby_ring_kind)kind, .schedule = schedule, .slice_bytes = VECTOR};

    if (!fits(&(struct point){.load = load, .pool_bytes = bytes}, in_flight))
        return fby_error(FBY_EINVAL,
                         "%u slices in flight: too many for the pool, or with --kind shared "
                         "not a power of two of at least 64",
                         in_flight);
    fby_status status = make_pool(load.kind, bytes, options->window != 2, &load.pool);
    if (status != FBY_OK)
        return status;
    make_schedule(schedule, load.kind, in_flight);
    load.all = options->write == 2;
    uint64_t step = fby_max_size(in_flight, load.kind == FBY_RING_SHARED ? 1024 : 1);
    load.pairs = options->profile < step ? step : options->profile / step * step;
    fby_ring_time time = run_pool(&load);
    fby_report_text(report, "kind", kind_names[kind]);
    fby_report_uint(report, "pool_bytes", bytes);
    fby_report_uint(report, "slice_bytes", load.slice_bytes);
    fby_report_uint(report, "in_flight", in_flight);
    fby_report_bool(report, "window", options->window != 2);
    fby_report_text(report, "write", load.all ? "all" : "first");
    fby_report_uint(report, "pairs", load.pairs);
    fby_report_real(report, "ns_per_pair", time.ns_per_pair);
    fby_report_uint(report, "page_faults", time.page_faults);
    fby_report_row(report);
    fby_ring_pool_destroy(load.pool);
    return FBY_OK;
}

/* ---- the command ---- */

static fby_status run_all(const struct options *options, fby_report *report)
{
    struct bench bench = {.options = options, .report = report};
    fby_status status = FBY_OK;

    bench.samples = malloc(sizeof *bench.samples);
    bench.schedule = malloc(sizeof *bench.schedule);
    if (bench.samples == NULL || bench.schedule == NULL)
        status = fby_error(FBY_ENOMEM, "no memory for the samples");
    else if (options->profile != 0)
        status = profile(options, report, bench.schedule);
    else
        status = run_benches(&bench);
    free(bench.schedule);
    free(bench.samples);
    return status;
}

static int run(const fby_cli_command *self, int argc, char **argv)
{
    struct options options = {.rounds = ROUNDS_USUAL};
    fby_report report;
    int operands, exit_code;

    if (!fby_cli_parse(self, argc, argv, &options, &operands, &exit_code))
        return exit_code;
    if (!options.alloc_sizes && !options.pool_sizes && !options.trace && options.profile == 0) {
        fby_say("one of --alloc-sizes, --pool-sizes, --trace and --profile is wanted");
        return FBY_EXIT_USAGE;
    }
    fby_report_begin(&report, stdout, (fby_report_format)options.format, "ring", NULL);
    fby_status status = run_all(&options, &report);
    fby_status written = fby_report_end(&report);
    if (status != FBY_OK || written != FBY_OK)
        fby_say("%s", fby_last_error());
    return status == FBY_OK && written == FBY_OK ? FBY_EXIT_OK : FBY_EXIT_FAILED;
}

const fby_cli_command fby_bench_ring = {
    .name = "forebay bench ring",
    .summary = "what a slice of a ring pool costs, by its size and the pool's",
    .options = options_table,
    .details = "A pair is one allocation, a write and one release. bare_ns is the same loop over\n"
               "bare cursors: no marks, no checks, no window; the shared kind's is a queue alone.\n"
               "ratio_to_bare and ratio_to_64k (the same pool of 64 KiB) are medians of ratios of\n"
               "neighbouring runs. Out of order: drawn from the oldest 8, at the latest after 32\n"
               "others. local and local-unordered run on one thread, shared on two.\n"
               "The bare loops go through the bytes that the pool used. `make bench-ring` takes\n"
               "medians over several processes and draws pictures.\n"
               "\n"
               "Examples:\n"
               "  forebay bench ring --pool-sizes --kind local --in-flight 64\n"
               "  forebay bench ring --alloc-sizes --largest 256M --csv > alloc.csv\n"
               "  perf record -g forebay bench ring --profile\n",
    .run = run,
};
