/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The allocator's workloads in this process: fby_malloc beside libc's malloc
 * (or whatever is preloaded in its place), round by round in turn. The command's
 * own malloc is fby_malloc, so libc's is asked for by name. For figures about
 * memory, and beside other allocators, bench/alloc_workload runs each in a process
 * of its own.
 *
 * --design instead compares three ways to lock the same simple allocator.
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "alloc_core.h"
#include "base/bits.h"
#include "cli/bench_alloc_designs.h"
#include "cli/bench_report.h"
#include "cli/commands.h"
#include "cli/say.h"
#include "forebay/allocator.h"

enum { THREAD_COUNTS_MAX = 16, ROUNDS_MAX = 1000, DESIGN_OPS = 2000000, TABLES_MAX = 3 };

struct options {
    const char *workload, *trace;
    uint64_t threads, ops, seed, rounds;
    int design, format;
    bool latency;
};

#define AT(field) .offset = offsetof(struct options, field)

enum { DESIGN_NONE = 0, DESIGN_ALL = 4 };

static const fby_cli_option options_table[] = {
    {.kind = FBY_CLI_TEXT,
     .name = "workload",
     .argument = "NAME",
     .help = "only this one (all)",
     AT(workload)},
    {.kind = FBY_CLI_UINT,
     .name = "threads",
     .argument = "N",
     .help = "threads that allocate (BENCH_THREADS, or 1, then 2)",
     .min = 1,
     .max = ALLOC_THREADS_MAX,
     AT(threads)},
    {.kind = FBY_CLI_UINT,
     .name = "ops",
     .argument = "N",
     .help = "operations of each thread, a malloc or a free each (BENCH_OPS, or by workload)",
     .min = 1000,
     .max = (uint64_t)1 << 40,
     AT(ops)},
    {.kind = FBY_CLI_UINT,
     .name = "seed",
     .argument = "N",
     .help = "of the generator (BENCH_SEED, or 1)",
     .max = UINT64_MAX,
     AT(seed)},
    {.kind = FBY_CLI_UINT,
     .name = "rounds",
     .argument = "N",
     .help = "repetitions (9)",
     .min = 1,
     .max = ROUNDS_MAX,
     AT(rounds)},
    {.kind = FBY_CLI_TEXT,
     .name = "trace",
     .argument = "FILE",
     .help = "what the workload `recorded` replays",
     AT(trace)},
    {.kind = FBY_CLI_FLAG,
     .name = "latency",
     .help = "percentiles of 64 calls and of single ones",
     AT(latency)},
    {.kind = FBY_CLI_CHOICE,
     .name = "design",
     .argument = "WHICH",
     .help = "a simple allocator under one lock, a lock a class, or none: 1 to 8 threads",
     .choices = "none|global|sharded|thread|all",
     AT(design)},
    FBY_REPORT_OPTIONS(struct options, format),
    {.kind = FBY_CLI_END},
};

static size_t usable_by_forebay(void *block)
{
    return fby_usable_size(block);
}

typedef struct named_table {
    const char *name;
    alloc_table table;
} named_table;

/* What runs against each other, and what its rounds gave. */
typedef struct bench_contest {
    const named_table *tables;
    size_t count;
    double mops[TABLES_MAX][ROUNDS_MAX];
    alloc_result last[TABLES_MAX];
} bench_contest;

static fby_status run_rounds(bench_contest *contest, alloc_run run, size_t rounds)
{
    for (size_t round = 0; round < rounds; round++) {
        for (size_t i = 0; i < contest->count; i++) {
            run.table = &contest->tables[i].table;
            if (!alloc_run_workload(&run, &contest->last[i]))
                return fby_error(FBY_EIO, "the workload %s could not be run", run.workload->name);
            contest->mops[i][round] = contest->last[i].mops_per_s;
        }
        run.seed++;
    }
    return FBY_OK;
}

static void report_latency(fby_report *report, const alloc_result *r)
{
    fby_report_real(report, "timer_step_ns", r->timer_step_ns);
    fby_report_real(report, "alloc_p50_ns", r->alloc_batch.p50_ns);
    fby_report_real(report, "alloc_p99_ns", r->alloc_batch.p99_ns);
    fby_report_real(report, "alloc_p999_ns", r->alloc_batch.p999_ns);
    fby_report_real(report, "free_p50_ns", r->free_batch.p50_ns);
    fby_report_real(report, "free_p99_ns", r->free_batch.p99_ns);
    fby_report_real(report, "free_p999_ns", r->free_batch.p999_ns);
    fby_report_real(report, "alloc_single_p99_ns", r->alloc_single.p99_ns);
    fby_report_real(report, "alloc_single_p999_ns", r->alloc_single.p999_ns);
    fby_report_real(report, "free_single_p99_ns", r->free_single.p99_ns);
    fby_report_real(report, "free_single_p999_ns", r->free_single.p999_ns);
}

static void report_contest(fby_report *report, bench_contest *contest, const alloc_run *run,
                           size_t rounds)
{
    double first = 0;
    for (size_t i = 0; i < contest->count; i++) {
        fby_spread spread = fby_spread_of(contest->mops[i], rounds);
        const alloc_result *last = &contest->last[i];
        if (i == 0)
            first = spread.median;
        fby_report_text(report, "workload", run->workload->name);
        fby_report_text(report, "allocator", contest->tables[i].name);
        fby_report_uint(report, "threads", last->threads);
        fby_report_uint(report, "rounds", rounds);
        FBY_REPORT_SPREAD(report, "mops_per_s", spread);
        fby_report_real(report, "ratio", first / spread.median);
        fby_report_real(report, "usable_per_requested", last->usable_per_requested);
        fby_report_uint(report, "peak_live_bytes", last->peak_live_bytes);
        if (run->latency)
            report_latency(report, last);
        fby_report_row(report);
    }
}

static fby_status run_one(fby_report *report, bench_contest *contest, const char *name,
                          const struct options *options, uint32_t threads)
{
    alloc_workload storage;
    alloc_run run = {
        .workload = alloc_workload_find(name, &storage),
        .trace = options->trace,
        .ops = options->ops,
        .seed = options->seed,
        .threads = threads,
        .latency = options->latency,
    };
    if (run.workload == NULL)
        return fby_error(FBY_EINVAL, "there is no workload \"%s\"", name);
    if (run.workload->kind == ALLOC_CROSS && threads == 1)
        return FBY_OK; /* it takes two */
    fby_status status = run_rounds(contest, run, options->rounds);
    if (status == FBY_OK)
        report_contest(report, contest, &run, options->rounds);
    return status;
}

/* How many threads each workload runs on, one after the other: --threads, else the numbers in
 * BENCH_THREADS, else 1 and 2. */
static size_t thread_counts(const struct options *options, uint32_t *threads)
{
    const char *text = getenv("BENCH_THREADS");
    size_t count = 0;
    if (options->threads != 0) {
        threads[0] = (uint32_t)options->threads;
        return 1;
    }
    while (text != NULL && count < THREAD_COUNTS_MAX) {
        char *end;
        unsigned long value = strtoul(text, &end, 10);
        if (end == text || value == 0 || value > ALLOC_THREADS_MAX)
            break;
        threads[count++] = (uint32_t)value;
        text = end;
    }
    if (count != 0)
        return count;
    threads[0] = 1;
    threads[1] = 2;
    return 2;
}

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    char *end;
    uint64_t value = text != NULL ? strtoull(text, &end, 10) : 0;
    return text != NULL && end != text ? value : otherwise;
}

static fby_status run_workloads(fby_report *report, bench_contest *contest,
                                const struct options *options)
{
    bool all = strcmp(options->workload, "all") == 0;
    uint32_t threads[THREAD_COUNTS_MAX];
    size_t counts = thread_counts(options, threads);
    for (const char *const *name = alloc_workload_names(); *name != NULL; name++) {
        if (all ? strcmp(*name, "recorded") == 0 && options->trace == NULL
                : strcmp(*name, options->workload) != 0)
            continue;
        for (size_t i = 0; i < counts; i++) {
            fby_status status = run_one(report, contest, *name, options, threads[i]);
            if (status != FBY_OK)
                return status;
        }
    }
    return FBY_OK;
}

static fby_status run_designs(fby_report *report, bench_contest *contest, struct options options)
{
    uint32_t most = options.threads != 0 ? (uint32_t)options.threads : 8;
    if (strcmp(options.workload, "all") == 0)
        options.workload = "rl_small";
    for (uint32_t threads = 1; threads <= most; threads *= 2) {
        /* Two million operations in all, however many threads share them. */
        options.ops = (options.ops != 0 ? options.ops : DESIGN_OPS) / threads;
        fby_status status = run_one(report, contest, options.workload, &options, threads);
        if (status != FBY_OK)
            return status;
        options.ops *= threads;
    }
    return FBY_OK;
}

/* The function of that name behind this program's own into the pointer at `function`. */
static void find_next(const char *name, void *function)
{
    void *found = dlsym(RTLD_NEXT, name);
    memcpy(function, &found, sizeof found);
}

static alloc_table libc_table(void)
{
    alloc_table table;
    find_next("malloc", &table.malloc);
    find_next("aligned_alloc", &table.aligned_alloc);
    find_next("realloc", &table.realloc);
    find_next("free", &table.free);
    find_next("malloc_usable_size", &table.usable_size);
    return table;
}

static int run_bench(const fby_cli_command *self, int argc, char **argv)
{
    const named_table both[] = {
        {"forebay", {fby_malloc, fby_aligned_alloc, fby_realloc, fby_free, usable_by_forebay}},
        {"libc", libc_table()},
    };
    static const named_table designs[] = {
        {"global", FBY_DESIGN_TABLE(global)},
        {"sharded", FBY_DESIGN_TABLE(sharded)},
        {"thread", FBY_DESIGN_TABLE(thread)},
    };
    static bench_contest state;
    struct options options = {
        .workload = "all",
        .ops = from_environment("BENCH_OPS", 0),
        .seed = from_environment("BENCH_SEED", 1),
        .rounds = 9,
    };
    int operands, exit_code;
    if (!fby_cli_parse(self, argc, argv, &options, &operands, &exit_code))
        return exit_code;

    fby_report report;
    fby_status status;
    fby_report_begin(&report, stdout, (fby_report_format)options.format, "alloc", NULL);
    if (options.design == DESIGN_NONE) {
        state.tables = both;
        state.count = 2;
        status = run_workloads(&report, &state, &options);
    } else {
        bool all = options.design == DESIGN_ALL;
        state.tables = all ? designs : &designs[options.design - 1];
        state.count = all ? 3 : 1;
        status = run_designs(&report, &state, options);
    }
    if (status == FBY_OK)
        status = fby_report_end(&report);
    if (status == FBY_OK)
        return FBY_EXIT_OK;
    fby_say("%s", fby_last_error());
    return FBY_EXIT_FAILED;
}

const fby_cli_command fby_bench_alloc = {
    .name = "forebay bench alloc",
    .summary = "fby_malloc beside libc's malloc, or three ways to lock one",
    .options = options_table,
    .details = "An operation is one malloc or one free; `ratio` is the first allocator's rate to\n"
               "that of the row. Preload another malloc to compare with it. bench/alloc_workload\n"
               "runs the same in a process of its own, for figures about memory.\n",
    .run = run_bench,
};
