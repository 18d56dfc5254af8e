/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cli/bench_report.h"
#include "cli/commands.h"
#include "cli/pool_config.h"
#include "cli/pool_source.h"
#include "cli/pool_trace.h"
#include "cli/say.h"
#include "memory/heap_pool/series.h"

enum { TRACE_MAX = 1 << 30 };

struct options {
    const char *config, *trace, *stats;
    int format;
};

#define AT(field) .offset = offsetof(struct options, field)
static const fby_cli_option options_table[] = {
    {.kind = FBY_CLI_TEXT,
     .name = "config",
     .argument = "FILE",
     .help = "the pool, in YAML (a pool that just holds the trace)",
     AT(config)},
    {.kind = FBY_CLI_TEXT,
     .name = "trace",
     .argument = "FILE",
     .help = "what is replayed",
     AT(trace)},
    {.kind = FBY_CLI_TEXT,
     .name = "stats",
     .argument = "FILE",
     .help = "write the statistics there too, for `forebay pool advise`",
     AT(stats)},
    FBY_REPORT_OPTIONS(struct options, format),
    {.kind = FBY_CLI_END},
};

struct replay {
    fby_pool_config config;
    fby_pool_trace trace;
    uint64_t *parts; /* what lives at the trace's peak */
    fby_heap_block *blocks;
    fby_heap_pool *pool;
    double ns_per_call;
};

static fby_status read_config(struct replay *replay, const char *path)
{
    char *bytes;
    size_t size;
    fby_pool_config_init(&replay->config);
    if (path == NULL)
        return FBY_OK;
    fby_status status = fby_pool_read_file(path, FBY_POOL_CONFIG_MAX, &bytes, &size);
    if (status != FBY_OK)
        return status;
    status = fby_pool_config_read(bytes, size, path, &replay->config);
    free(bytes);
    return status;
}

static fby_status read_trace(struct replay *replay, const char *path)
{
    char *bytes;
    size_t size;
    fby_status status = fby_pool_read_file(path, TRACE_MAX, &bytes, &size);
    if (status != FBY_OK)
        return status;
    status = fby_pool_trace_read(bytes, size, &replay->trace);
    free(bytes);
    if (status != FBY_OK)
        return fby_error_prefix(status, "%.200s", path);
    if (replay->trace.block_count == 0)
        return fby_error(FBY_EFORMAT, "%.200s: the trace has no block", path);
    return FBY_OK;
}

/* What lives at the peak, for a heap size of auto. */
static void find_parts(struct replay *replay, size_t *count)
{
    const fby_pool_trace *trace = &replay->trace;
    memset(replay->parts, 0, trace->block_count * sizeof *replay->parts);
    for (size_t i = 0; i < trace->peak_call; i++) {
        uint32_t block = trace->calls[i] >> 1;
        replay->parts[block] = (trace->calls[i] & 1) == 0 ? trace->blocks[block].bytes : 0;
    }
    size_t kept = 0;
    for (size_t i = 0; i < trace->block_count; i++)
        if (replay->parts[i] != 0)
            replay->parts[kept++] = replay->parts[i];
    *count = kept;
}

static void say_line(void *context, const char *line)
{
    (void)context;
    fby_say("%s", line);
}

static fby_status make_pool(struct replay *replay)
{
    fby_heap_pool_options options = *fby_pool_config_options(&replay->config);
    options.log = say_line;
    if (options.heap_bytes == 0) {
        find_parts(replay, &options.part_count);
        options.parts = replay->parts;
    }
    return fby_heap_pool_create(&options, &replay->pool);
}

static fby_status replay_calls(struct replay *replay)
{
    const fby_pool_trace *trace = &replay->trace;
    uint64_t started = fby_now_ns();
    for (size_t i = 0; i < trace->call_count; i++) {
        uint32_t at = trace->calls[i] >> 1;
        const fby_pool_trace_block *block = &trace->blocks[at];
        if ((trace->calls[i] & 1) != 0) {
            if (replay->blocks[at] != 0)
                fby_heap_release(replay->pool, replay->blocks[at]);
            continue;
        }
        /* What is refused is counted, and the rest goes on. */
        if (fby_heap_acquire(replay->pool, block->bytes, block->align, trace->labels[block->label],
                             &replay->blocks[at], NULL) != FBY_OK)
            replay->blocks[at] = 0;
    }
    replay->ns_per_call = (double)(fby_now_ns() - started) / (double)trace->call_count;
    return FBY_OK;
}

/* ---- what came of it ---- */

static void report_heap(fby_report *report, const char *name, const fby_heap_stats *heap)
{
    fby_report_text(report, "heap", name);
    fby_report_uint(report, "capacity_bytes", heap->capacity_bytes);
    fby_report_uint(report, "used_bytes", heap->used_bytes);
    fby_report_uint(report, "acquired", heap->acquired);
    fby_report_uint(report, "released", heap->released);
    fby_report_uint(report, "active", heap->active);
    fby_report_uint(report, "largest_bytes", heap->largest_bytes);
    fby_report_uint(report, "largest_free_bytes", heap->largest_free_bytes);
    fby_report_uint(report, "lock_waits", heap->lock_waits);
    fby_report_uint(report, "moved", heap->moved);
    fby_report_row(report);
}

static void report_all(fby_report *report, const struct replay *replay,
                       const fby_heap_pool_stats *stats)
{
    char name[16];
    for (uint32_t i = 0; i < stats->max_heaps; i++)
        if (stats->heaps[i].present) {
            snprintf(name, sizeof name, "%u", i);
            report_heap(report, name, &stats->heaps[i]);
        }
    report_heap(report, "all", &stats->all);
    fby_report_text(report, "heap", "all");
    fby_report_uint(report, "blocks", replay->trace.block_count);
    fby_report_uint(report, "peak_bytes", replay->trace.peak_bytes);
    fby_report_uint(report, "fallback", stats->fallback);
    fby_report_uint(report, "refused", stats->refused);
    fby_report_real(report, "hit_rate", stats->hit_rate);
    fby_report_real(report, "utilisation", stats->utilisation);
    fby_report_real(report, "fragmentation", stats->fragmentation);
    fby_report_real(report, "average_bytes", stats->average_bytes);
    fby_report_real(report, "ns_per_call", replay->ns_per_call);
    fby_report_row(report);
}

static void put_sample(void *context, const fby_heap_sample *sample)
{
    if (sample->first)
        fprintf(context, "# HELP %s %s\n# TYPE %s %s\n", sample->name, sample->help, sample->name,
                sample->type);
    fprintf(context, "%s%s%s%s %s\n", sample->name, sample->label[0] != '\0' ? "{" : "",
            sample->label, sample->label[0] != '\0' ? "}" : "", sample->value);
}

static fby_status write_stats(const char *path, const fby_heap_pool_stats *stats)
{
    FILE *file = fopen(path, "we");
    if (file == NULL)
        return fby_error_errno(FBY_EIO, errno, "%.200s", path);
    fby_heap_series_each(stats, put_sample, file);
    bool failed = ferror(file) != 0;
    failed = fclose(file) != 0 || failed;
    return failed ? fby_error(FBY_EIO, "%.200s: not all could be written", path) : FBY_OK;
}

static void say_leak(void *context, const fby_heap_leak *leak)
{
    unsigned *said = context;
    if ((*said)++ < 8)
        fby_say("not released: %llu bytes (%s)", (unsigned long long)leak->bytes, leak->label);
}

static fby_status tell(struct replay *replay, const struct options *options)
{
    static fby_heap_pool_stats stats;
    fby_report report;
    stats.struct_size = sizeof stats;
    fby_status status = fby_heap_pool_get_stats(replay->pool, &stats);
    if (status == FBY_OK && options->stats != NULL)
        status = write_stats(options->stats, &stats);
    if (status != FBY_OK)
        return status;
    fby_report_begin(&report, stdout, (fby_report_format)options->format, "pool", NULL);
    report_all(&report, replay, &stats);
    return fby_report_end(&report);
}

static fby_status run_all(struct replay *replay, const struct options *options)
{
    fby_status status = read_config(replay, options->config);
    if (status == FBY_OK)
        status = read_trace(replay, options->trace);
    if (status != FBY_OK)
        return status;
    replay->parts = calloc(replay->trace.block_count, sizeof *replay->parts);
    replay->blocks = calloc(replay->trace.block_count, sizeof *replay->blocks);
    if (replay->parts == NULL || replay->blocks == NULL)
        return fby_error(FBY_ENOMEM, "no memory for a trace of this length");
    status = make_pool(replay);
    if (status == FBY_OK)
        status = replay_calls(replay);
    if (status == FBY_OK)
        status = tell(replay, options);
    unsigned said = 0;
    fby_heap_closing closing = {.struct_size = sizeof closing, .leak = say_leak, .context = &said};
    fby_heap_pool_close(replay->pool, &closing);
    if (status == FBY_OK && said > 0)
        fby_say("%llu blocks of %llu bytes were not released", (unsigned long long)closing.leaked,
                (unsigned long long)closing.leaked_bytes);
    return status;
}

static int run(const fby_cli_command *self, int argc, char **argv)
{
    struct options options = {0};
    struct replay replay = {0};
    int operands, exit_code;

    if (!fby_cli_parse(self, argc, argv, &options, &operands, &exit_code))
        return exit_code;
    if (options.trace == NULL) {
        fby_say("--trace FILE is wanted");
        return FBY_EXIT_USAGE;
    }
    fby_status status = run_all(&replay, &options);
    fby_pool_trace_clear(&replay.trace);
    free(replay.parts);
    free(replay.blocks);
    if (status != FBY_OK)
        fby_say("%s", fby_last_error());
    return fby_cli_exit(status);
}

const fby_cli_command fby_pool_run = {
    .name = "forebay pool run",
    .summary = "replay a recorded trace on a heap pool",
    .options = options_table,
    .details = "A trace is what a pool writes to its trace_file; FBY_HEAP_TRACE=FILE records\n"
               "the engine's, `forebay bench heap --record FILE` a bench's. Blocks are\n"
               "acquired and released in the trace's order as fast as it goes; their bytes are\n"
               "not written. A heap size of auto holds what lives at the trace's peak, in\n"
               "whatever order it comes; what was released before may have left holes.\n"
               "\n"
               "Examples:\n"
               "  forebay pool run --config pool.yaml --trace pool.trace --stats pool.stats\n"
               "  forebay pool advise pool.stats\n",
    .run = run,
};
