/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One allocator workload over plain malloc, so that any allocator can be
 * preloaded under it:
 *
 *     LD_PRELOAD=libforebay-malloc.so alloc_workload rl_small
 *
 * Prints one flat JSON object. BENCH_THREADS, BENCH_OPS (of each thread) and
 * BENCH_SEED in the environment; BENCH_LATENCY=1 takes latencies too,
 * BENCH_SETTLE_MS waits before the last RSS, BENCH_TRACE names the trace that
 * `recorded` replays.
 */
#include "alloc_core.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t from_env(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text != NULL && *text != '\0' ? strtoull(text, NULL, 0) : otherwise;
}

static void print_percentiles(const char *name, const alloc_percentiles *p)
{
    printf(",\"%s_p50_ns\":%.3f,\"%s_p99_ns\":%.3f,\"%s_p999_ns\":%.3f", name, p->p50_ns, name,
           p->p99_ns, name, p->p999_ns);
}

static void print_result(const alloc_run *run, const alloc_result *r)
{
    printf("{\"workload\":\"%s\",\"threads\":%u,\"ops\":%llu,\"seed\":%llu,\"mops_per_s\":%.3f,"
           "\"mops_per_cpu_s\":%.3f,\"ns_per_op\":%.4f",
           run->workload->name, r->threads, (unsigned long long)r->ops,
           (unsigned long long)run->seed, r->mops_per_s, r->mops_per_cpu_s, r->ns_per_op);
    printf(",\"usable_per_requested\":%.4f,\"peak_live_bytes\":%llu,\"rss_before_bytes\":%llu,"
           "\"rss_peak_bytes\":%llu,\"rss_after_bytes\":%llu,\"timer_step_ns\":%.0f",
           r->usable_per_requested, (unsigned long long)r->peak_live_bytes,
           (unsigned long long)r->rss_before_bytes, (unsigned long long)r->rss_peak_bytes,
           (unsigned long long)r->rss_after_bytes, r->timer_step_ns);
    if (run->latency && run->workload->kind == ALLOC_MIX) {
        print_percentiles("alloc_batch", &r->alloc_batch);
        print_percentiles("free_batch", &r->free_batch);
        print_percentiles("alloc_single", &r->alloc_single);
        print_percentiles("free_single", &r->free_single);
        for (uint32_t s = 0; s < r->size_count && run->workload->percent[s] <= 100; s++) {
            char name[32];
            snprintf(name, sizeof name, "alloc_%u", r->size_bytes[s]);
            print_percentiles(name, &r->alloc_size[s]);
            snprintf(name, sizeof name, "free_%u", r->size_bytes[s]);
            print_percentiles(name, &r->free_size[s]);
        }
    }
    printf("}\n");
}

int main(int argc, char **argv)
{
    alloc_workload storage;
    const alloc_workload *workload = argc == 2 ? alloc_workload_find(argv[1], &storage) : NULL;
    if (workload == NULL) {
        fprintf(stderr, "usage: alloc_workload WORKLOAD\nworkloads:");
        for (const char *const *name = alloc_workload_names(); *name != NULL; name++)
            fprintf(stderr, " %s", *name);
        fprintf(stderr, "\n");
        return 2;
    }
    static const alloc_table table = {malloc, aligned_alloc, realloc, free, malloc_usable_size};
    alloc_run run = {
        .workload = workload,
        .table = &table,
        .trace = getenv("BENCH_TRACE"),
        .ops = from_env("BENCH_OPS", 0),
        .seed = from_env("BENCH_SEED", 1),
        .threads = (uint32_t)from_env("BENCH_THREADS", 1),
        .latency = from_env("BENCH_LATENCY", 0) != 0,
        .settle_ms = (uint32_t)from_env("BENCH_SETTLE_MS", 0),
    };
    alloc_result result;
    if (!alloc_run_workload(&run, &result))
        return 1;
    print_result(&run, &result);
    return 0;
}
