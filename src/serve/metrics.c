/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/metrics.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/bits.h"
#include "serve/metrics_text.h"

/* ---- counting ---- */

/* 1e-5 × 1.5^n seconds in whole nanoseconds, rounded down: a time of whole nanoseconds is at most
 * the bound exactly where it is at most this. */
static const uint64_t bounds_ns[FBY_TIME_BUCKETS] = {
    10000,     15000,      22500,      33750,      50625,      75937,      113906,
    170859,    256289,     384433,     576650,     864975,     1297463,    1946195,
    2919292,   4378938,    6568408,    9852612,    14778918,   22168378,   33252567,
    49878850,  74818276,   112227414,  168341121,  252511682,  378767524,  568151286,
    852226929, 1278340394, 1917510592, 2876265888, 4314398832, 6471598249, 9707397373,
};
static const char *const bound_labels[FBY_TIME_BUCKETS] = {
    "1e-05",          "1.5e-05",        "2.25e-05",       "3.375e-05",      "5.0625e-05",
    "7.59375e-05",    "0.00011390625",  "0.000170859375", "0.000256289063", "0.000384433594",
    "0.000576650391", "0.000864975586", "0.00129746338",  "0.00194619507",  "0.0029192926",
    "0.0043789389",   "0.00656840836",  "0.00985261253",  "0.0147789188",   "0.0221683782",
    "0.0332525673",   "0.049878851",    "0.0748182764",   "0.112227415",    "0.168341122",
    "0.252511683",    "0.378767524",    "0.568151287",    "0.85222693",     "1.27834039",
    "1.91751059",     "2.87626589",     "4.31439883",     "6.47159825",     "9.70739737",
};

const char *fby_time_bound(int bucket)
{
    return bound_labels[bucket];
}

void fby_time_observe(fby_time_histogram *histogram, uint64_t ns)
{
    int low = 0, high = FBY_TIME_BUCKETS; /* the first bound that is not below ns */

    while (low < high) {
        int middle = (low + high) / 2;
        if (bounds_ns[middle] < ns)
            low = middle + 1;
        else
            high = middle;
    }
    fby_counter_add(&histogram->buckets[low], 1);
    fby_counter_add(&histogram->sum_ns, ns);
}

void fby_size_observe(fby_size_histogram *histogram, uint64_t n)
{
    int bucket = n <= 1 ? 0 : 64 - __builtin_clzll(n - 1);

    fby_counter_add(&histogram->buckets[bucket < FBY_SIZE_BUCKETS ? bucket : FBY_SIZE_BUCKETS], 1);
    fby_counter_add(&histogram->sum, n);
}

/* ---- sums ---- */

/* `offset` bytes into a struct of counters. */
static const fby_counter *counter_at(const void *metrics, size_t offset)
{
    return (const fby_counter *)(const void *)((const char *)metrics + offset);
}

uint64_t fby_metrics_agents(const fby_metrics *metrics, size_t offset)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < metrics->agent_count; i++)
        sum += fby_counter_get(counter_at(&metrics->agents[i], offset));
    return sum;
}

uint64_t fby_metrics_workers(const fby_metrics *metrics, size_t offset)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < metrics->worker_count; i++)
        sum += fby_counter_get(counter_at(&metrics->workers[i], offset));
    return sum;
}

fby_time_counts fby_metrics_times(const fby_metrics *metrics, size_t offset)
{
    fby_time_counts counts = {0};

    for (size_t i = 0; i <= FBY_TIME_BUCKETS; i++) {
        counts.buckets[i] = fby_metrics_agents(
            metrics, offset + offsetof(fby_time_histogram, buckets) + i * sizeof(fby_counter));
        counts.count += counts.buckets[i];
    }
    counts.sum_ns = fby_metrics_agents(metrics, offset + offsetof(fby_time_histogram, sum_ns));
    return counts;
}

typedef uint64_t sum_over(const fby_metrics *metrics, size_t offset);

static fby_size_counts sizes(const fby_metrics *metrics, size_t offset, sum_over *sum)
{
    fby_size_counts counts = {0};

    for (size_t i = 0; i <= FBY_SIZE_BUCKETS; i++) {
        counts.buckets[i] =
            sum(metrics, offset + offsetof(fby_size_histogram, buckets) + i * sizeof(fby_counter));
        counts.count += counts.buckets[i];
    }
    counts.sum = sum(metrics, offset + offsetof(fby_size_histogram, sum));
    return counts;
}

fby_size_counts fby_metrics_agent_sizes(const fby_metrics *metrics, size_t offset)
{
    return sizes(metrics, offset, fby_metrics_agents);
}

fby_size_counts fby_metrics_worker_sizes(const fby_metrics *metrics, size_t offset)
{
    return sizes(metrics, offset, fby_metrics_workers);
}

/* The second number of /proc/self/statm: pages in RAM. */
static uint64_t resident_bytes(void)
{
    char text[128];
    unsigned long long pages = 0;
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t size = read(fd, text, sizeof text - 1);
    close(fd);
    if (size <= 0)
        return 0;
    text[size] = '\0';
    if (sscanf(text, "%*u %llu", &pages) != 1)
        return 0;
    return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t microseconds(struct timeval time)
{
    return (uint64_t)time.tv_sec * 1000000u + (uint64_t)time.tv_usec;
}

fby_process_use fby_process_used(void)
{
    struct rusage usage = {0};

    (void)getrusage(RUSAGE_SELF, &usage);
    return (fby_process_use){
        .resident_bytes = resident_bytes(),
        .peak_resident_bytes = (uint64_t)usage.ru_maxrss * 1024,
        .cpu_us = microseconds(usage.ru_utime) + microseconds(usage.ru_stime),
        .minor_faults = (uint64_t)usage.ru_minflt,
        .major_faults = (uint64_t)usage.ru_majflt,
    };
}

/* ---- lines ---- */

void fby_metrics_line(fby_metrics_out *out, const char *fmt, ...)
{
    char line[1024];
    va_list args;

    va_start(args, fmt);
    int wanted = vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    size_t size = fby_min_size(wanted > 0 ? (size_t)wanted : 0, sizeof line - 1);
    /* Nothing more once something did not fit: what follows would not belong to it. */
    if (out->used == out->whole && size <= out->size - out->used) {
        memcpy(out->out + out->used, line, size);
        out->used += size;
    }
    out->whole += size;
}

void fby_metrics_head(fby_metrics_out *out, const char *name, const char *type, const char *help)
{
    fby_metrics_line(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

const char *fby_metrics_label(const char *text, char out[FBY_METRICS_QUOTED])
{
    size_t used = 0;
    for (; *text != '\0' && used + 2 < FBY_METRICS_QUOTED; text++) {
        if (*text == '\\' || *text == '"' || *text == '\n')
            out[used++] = '\\';
        out[used++] = *text == '\n' ? 'n' : *text;
    }
    out[used] = '\0';
    return out;
}

const char *fby_metrics_string(const char *text, char out[FBY_METRICS_QUOTED])
{
    size_t used = 0;
    for (; *text != '\0' && used + 6 < FBY_METRICS_QUOTED; text++) {
        unsigned char c = (unsigned char)*text;
        if (c < ' ')
            used += (size_t)snprintf(out + used, 7, "\\u%04x", c);
        else {
            if (c == '"' || c == '\\')
                out[used++] = '\\';
            out[used++] = (char)c;
        }
    }
    out[used] = '\0';
    return out;
}

/* "{a="b",} " is "{a="b"}", and nothing at all without a label. */
static void put_sample(fby_metrics_out *out, const char *name, const char *suffix,
                       const char *labels, const char *value)
{
    if (labels[0] == '\0')
        fby_metrics_line(out, "%s%s %s\n", name, suffix, value);
    else
        fby_metrics_line(out, "%s%s{%.*s} %s\n", name, suffix, (int)strlen(labels) - 1, labels,
                         value);
}

void fby_metrics_put_times(fby_metrics_out *out, const char *name, const char *labels,
                           const fby_time_counts *counts)
{
    uint64_t below = 0;
    char value[64];

    for (int i = 0; i < FBY_TIME_BUCKETS; i++) {
        below += counts->buckets[i];
        fby_metrics_line(out, "%s_bucket{%sle=\"%s\"} %" PRIu64 "\n", name, labels, bound_labels[i],
                         below);
    }
    fby_metrics_line(out, "%s_bucket{%sle=\"+Inf\"} %" PRIu64 "\n", name, labels, counts->count);
    snprintf(value, sizeof value, "%" PRIu64 ".%09" PRIu64, counts->sum_ns / 1000000000u,
             counts->sum_ns % 1000000000u);
    put_sample(out, name, "_sum", labels, value);
    snprintf(value, sizeof value, "%" PRIu64, counts->count);
    put_sample(out, name, "_count", labels, value);
}

void fby_metrics_put_sizes(fby_metrics_out *out, const char *name, const fby_size_counts *counts,
                           int buckets)
{
    uint64_t below = 0;

    for (int i = 0; i < buckets; i++) {
        below += counts->buckets[i];
        fby_metrics_line(out, "%s_bucket{le=\"%u\"} %" PRIu64 "\n", name, 1u << i, below);
    }
    fby_metrics_line(
        out, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n%s_sum %" PRIu64 "\n%s_count %" PRIu64 "\n", name,
        counts->count, name, counts->sum, name, counts->count);
}

/* Numbers grow while they are written: a little more room than they took. */
char *fby_metrics_written(const fby_metrics *metrics, fby_metrics_writer *write, size_t *size)
{
    size_t room = write(metrics, NULL, 0) + 1024;
    char *text = malloc(room);
    size_t used = text != NULL ? write(metrics, text, room) : 0;
    if (used > room) {
        free(text);
        return NULL;
    }
    *size = used;
    return text;
}
