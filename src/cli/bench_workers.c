/* SPDX-License-Identifier: Apache-2.0 */
/* How many workers, apart or sharing a batch: what is measured of it, by parts. */
#include "cli/bench_workers.h"
#include "cli/commands.h"
#include "cli/say.h"
#include "forebay/allocator.h"

enum { PART_GRID, PART_PAIRS, PART_LOAD, PART_LATENCY, PART_CURVE, PART_CANCELLATION };

static const fby_cli_option options_table[] = {
    FBY_MODEL_OPTIONS(fby_workers_options, model),
    FBY_MODEL_GOAL_OPTIONS(fby_workers_options, model),
    {.kind = FBY_CLI_LIST,
     .name = "batch",
     .argument = "N",
     .help = "texts a call, may stand several times (1, 2, 4 ... 128)",
     .offset = offsetof(fby_workers_options, batches)},
    {.kind = FBY_CLI_LIST,
     .name = "length",
     .argument = "TOKENS",
     .help = "3 and more of a text, or 0 for mixed, may stand several times (4, 64, 256, 0)",
     .offset = offsetof(fby_workers_options, lengths)},
    {.kind = FBY_CLI_UINT,
     .name = "rounds",
     .argument = "N",
     .help = "repetitions, interleaved (the grid 18, half of them to judge by; else 9)",
     .offset = offsetof(fby_workers_options, rounds),
     .min = 1,
     .max = FBY_WORKERS_ROUNDS_MAX},
    {.kind = FBY_CLI_REAL,
     .name = "sample-ms",
     .argument = "MS",
     .help = "calls are repeated for so long in a round, at least once (5)",
     .offset = offsetof(fby_workers_options, sample_ms),
     .max = 10000},
    {.kind = FBY_CLI_UINT,
     .name = "phase-ms",
     .argument = "MS",
     .help = "what is measured of each phase of a load, once it has settled (1000)",
     .offset = offsetof(fby_workers_options, phase_ms),
     .min = 50,
     .max = 60000},
    {.kind = FBY_CLI_SET,
     .name = "pairs",
     .help = "instead: all workers against one, in pairs, beside a bare FMA loop; one text shared "
             "and as chosen against one worker",
     .offset = offsetof(fby_workers_options, part),
     .value = PART_PAIRS},
    {.kind = FBY_CLI_SET,
     .name = "load",
     .help = "instead: 1, 32, then 1 threads calling the asynchronous form",
     .offset = offsetof(fby_workers_options, part),
     .value = PART_LOAD},
    {.kind = FBY_CLI_SET,
     .name = "latency",
     .help = "instead: short calls beside long ones, by goal and by a target for their p99 (that "
             "of --latency-target-ms, else what can be met here)",
     .offset = offsetof(fby_workers_options, part),
     .value = PART_LATENCY},
    {.kind = FBY_CLI_SET,
     .name = "curve",
     .help = "instead: throughput over latency, 1 to 32 threads calling",
     .offset = offsetof(fby_workers_options, part),
     .value = PART_CURVE},
    {.kind = FBY_CLI_SET,
     .name = "cancellation",
     .help = "instead: what being able to stop costs, and how long a stop takes",
     .offset = offsetof(fby_workers_options, part),
     .value = PART_CANCELLATION},
    {.kind = FBY_CLI_UINT,
     .name = "simulate",
     .argument = "N",
     .help = "instead: plans for up to N workers by the costs measured here; nothing is run",
     .offset = offsetof(fby_workers_options, simulate),
     .min = 1,
     .max = 256},
    FBY_REPORT_OPTIONS(fby_workers_options, format),
    {.kind = FBY_CLI_END},
};

static fby_status run_part(const fby_workers_options *options, fby_report *report)
{
    static fby_status (*const parts[])(const fby_workers_options *, fby_report *) = {
        [PART_GRID] = fby_workers_grid,   [PART_PAIRS] = fby_workers_pairs,
        [PART_LOAD] = fby_workers_load,   [PART_LATENCY] = fby_workers_latency,
        [PART_CURVE] = fby_workers_curve, [PART_CANCELLATION] = fby_workers_cancellation,
    };
    if (options->simulate != 0)
        return fby_workers_simulate(options, report);
    return parts[options->part](options, report);
}

static int run(const fby_cli_command *self, int argc, char **argv)
{
    fby_workers_options options = {.sample_ms = 5, .phase_ms = 1000};
    int code;
    if (!fby_cli_parse(self, argc, argv, &options, NULL, &code))
        return code;
    fby_allocator_count_calls(true); /* before there are workers */
    fby_report report;
    fby_report_begin(&report, stdout, (fby_report_format)options.format, "workers", NULL);
    fby_status status = run_part(&options, &report);
    if (status == FBY_OK)
        status = fby_report_end(&report);
    if (status != FBY_OK)
        fby_say("%s", fby_last_error());
    return fby_cli_exit(status);
}

const fby_cli_command fby_bench_workers = {
    .name = "forebay bench workers",
    .summary = "how many workers, apart or sharing a batch: every choice, and ours",
    .options = options_table,
    .details = "Strategies: fixed (coarse: each worker texts of its own; fine: all share each\n"
               "batch), the table by the number of texts, auto, and the oracle: the fixed choice\n"
               "that was best in the odd rounds. All are judged by the even rounds. asked is\n"
               "the number of threads that was asked for, workers what works: never more than\n"
               "processors. length 0 is mixed, 4 to 192 tokens. efficiency is of a worker:\n"
               "texts/s over those of one worker, over the number of workers. A simulation has\n"
               "no p99: a plan has one expected time. Run `forebay tune` before.\n"
               "\n"
               "Examples:\n"
               "  forebay bench workers --batch 1 --batch 8 --length 64 --json\n"
               "  forebay bench workers --pairs\n"
               "  forebay bench workers --load --rounds 3\n"
               "  forebay bench workers --simulate 64\n",
    .run = run,
};
