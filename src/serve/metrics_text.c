/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/metrics_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "memory/heap_pool/series.h"
#include "serve/log.h"

/* A number that all agents, or all workers, have: summed, or one sample each. */
struct series {
    const char *name, *type, *help;
    size_t offset;
    bool each;
};

#define AGENT(field) .offset = offsetof(fby_agent_metrics, field)
static const struct series agent_series[] = {
    {"forebay_texts_total", "counter", "Texts embedded", AGENT(texts)},
    {"forebay_tokens_total", "counter", "Tokens embedded, special ones included", AGENT(tokens)},
    {"forebay_truncated_texts_total", "counter", "Texts cut to the limit", AGENT(truncated_texts)},
    {"forebay_large_requests_total", "counter", "Requests that took memory of their own",
     AGENT(large_requests)},
    {"forebay_hang_ups_total", "counter", "Clients gone before their answer", AGENT(hang_ups)},
    {"forebay_slow_reads_total", "counter", "Connections cut off as they sent or took too slowly",
     AGENT(slow_reads)},
    {"forebay_slow_writes_total", "counter", "Answers moved out of the pool for a slow client",
     AGENT(slow_writes)},
    {"forebay_connections_opened_total", "counter", "Connections accepted",
     AGENT(connections_opened)},
    {"forebay_connections_closed_total", "counter", "Connections ended", AGENT(connections_closed)},
    {"forebay_received_bytes_total", "counter", "Bytes of requests' bodies", AGENT(received_bytes)},
    {"forebay_sent_bytes_total", "counter", "Bytes of answers' bodies", AGENT(sent_bytes)},
    {"forebay_open_connections", "gauge", "Connections open now", AGENT(open_connections)},
    {"forebay_requests_in_flight", "gauge", "Requests admitted and not answered",
     AGENT(requests_in_flight)},
    {"forebay_queued_tokens", "gauge", "Tokens admitted and not computed", AGENT(queued_tokens)},
    {"forebay_agent_loops_total", "counter", "Turns of an agent's loop", AGENT(loops), true},
    {"forebay_agent_sleeps_total", "counter", "Times that an agent had nothing to do",
     AGENT(sleeps), true},
    {"forebay_agent_asleep", "gauge", "1 while an agent has nothing to do", AGENT(asleep), true},
    {"forebay_pool_capacity_bytes", "gauge", "Bytes of an agent's ring pool", AGENT(pool_capacity),
     true},
    {"forebay_pool_in_flight_bytes", "gauge", "Bytes of the pool's slices", AGENT(pool_in_flight),
     true},
    {"forebay_pool_span_bytes", "gauge", "Bytes from the oldest slice to the newest",
     AGENT(pool_span), true},
    {"forebay_pool_peak_span_bytes", "gauge", "The most that the span has been",
     AGENT(pool_peak_span), true},
    {"forebay_pool_window_bytes", "gauge", "Bytes within which the pool wraps", AGENT(pool_window),
     true},
    {"forebay_pool_wraps_total", "counter", "Times that the pool began again at its start",
     AGENT(pool_wraps), true},
    {"forebay_pool_exhausted_total", "counter", "Times that the pool had no room",
     AGENT(pool_exhausted), true},
};

#define WORKER(field) .offset = offsetof(fby_worker_metrics, field), .each = true
static const struct series worker_series[] = {
    {"forebay_worker_batches_total", "counter", "Batches that a worker ran", WORKER(batches)},
    {"forebay_worker_texts_total", "counter", "Texts of those", WORKER(texts)},
    {"forebay_worker_tokens_total", "counter", "Tokens of those", WORKER(tokens)},
    {"forebay_worker_failures_total", "counter", "Texts that a worker could not embed",
     WORKER(failures)},
    {"forebay_worker_team_batches_total", "counter", "Batches that a worker shared with a team",
     WORKER(team_batches)},
    {"forebay_worker_helped_total", "counter", "Batches of another worker that it had a part in",
     WORKER(helped)},
    {"forebay_worker_busy", "gauge", "1 while a worker computes", WORKER(busy)},
};

static const struct {
    const char *stage;
    size_t offset;
} stages[] = {
    {"parse", offsetof(fby_agent_metrics, parse)},
    {"tokenize", offsetof(fby_agent_metrics, tokenize)},
    {"queue", offsetof(fby_agent_metrics, queue)},
    {"compute", offsetof(fby_agent_metrics, compute)},
    {"write", offsetof(fby_agent_metrics, write)},
};

static const char *const operations[FBY_COUNT_OPERATIONS] = {
    [FBY_COUNT_EMBED] = "embed",           [FBY_COUNT_EMBED_ALL] = "embed_all",
    [FBY_COUNT_SIMILARITY] = "similarity", [FBY_COUNT_TOKENIZE] = "tokenize",
    [FBY_COUNT_OTHER] = "other",
};

static uint64_t at(const void *metrics, size_t offset)
{
    return fby_counter_get((const fby_counter *)(const void *)((const char *)metrics + offset));
}

static void put_number(fby_metrics_out *out, const char *name, const char *type, const char *help,
                       uint64_t x)
{
    fby_metrics_head(out, name, type, help);
    fby_metrics_line(out, "%s %" PRIu64 "\n", name, x);
}

/* `us` microseconds, as seconds. */
static void put_seconds(fby_metrics_out *out, const char *name, const char *labels, uint64_t us)
{
    fby_metrics_line(out, "%s%s %" PRIu64 ".%06" PRIu64 "\n", name, labels, us / 1000000u,
                     us % 1000000u);
}

static void put_agents(const fby_metrics *metrics, fby_metrics_out *out)
{
    for (size_t i = 0; i < sizeof agent_series / sizeof agent_series[0]; i++) {
        const struct series *series = &agent_series[i];
        fby_metrics_head(out, series->name, series->type, series->help);
        if (!series->each)
            fby_metrics_line(out, "%s %" PRIu64 "\n", series->name,
                             fby_metrics_agents(metrics, series->offset));
        for (uint32_t j = 0; series->each && j < metrics->agent_count; j++)
            fby_metrics_line(out, "%s{agent=\"%u\"} %" PRIu64 "\n", series->name, j,
                             at(&metrics->agents[j], series->offset));
    }
}

static void put_workers(const fby_metrics *metrics, fby_metrics_out *out)
{
    static const char busy[] = "forebay_worker_busy_seconds_total";
    char label[32];

    for (size_t i = 0; i < sizeof worker_series / sizeof worker_series[0]; i++) {
        const struct series *series = &worker_series[i];
        fby_metrics_head(out, series->name, series->type, series->help);
        for (uint32_t j = 0; j < metrics->worker_count; j++)
            fby_metrics_line(out, "%s{worker=\"%u\"} %" PRIu64 "\n", series->name, j,
                             at(&metrics->workers[j], series->offset));
    }
    fby_metrics_head(out, busy, "counter", "Time that a worker computed");
    for (uint32_t j = 0; j < metrics->worker_count; j++) {
        snprintf(label, sizeof label, "{worker=\"%u\"}", j);
        put_seconds(out, busy, label, fby_counter_get(&metrics->workers[j].busy_ns) / 1000);
    }
    put_number(out, "forebay_cancelled_texts_total", "counter",
               "Texts dropped before a worker began, their client gone or too late",
               FBY_AGENTS(metrics, cancelled_texts) + FBY_WORKERS(metrics, cancelled_texts));
}

/* What each model's controller has decided. */
static void put_controllers(const fby_metrics *metrics, fby_metrics_out *out)
{
    enum { WORKERS, TOKENS, SPLITS, DECISIONS, SERIES };
    static const struct {
        const char *name, *type, *help;
    } series[SERIES] = {
        [WORKERS] = {"forebay_controller_workers", "gauge", "Workers that may work at once"},
        [TOKENS] = {"forebay_controller_batch_tokens", "gauge", "Tokens of a batch, at most"},
        [SPLITS] = {"forebay_controller_splits", "gauge", "1 while idle workers may share a batch"},
        [DECISIONS] = {"forebay_controller_decisions_total", "counter",
                       "Times that one of these was changed"},
    };
    char name[FBY_METRICS_QUOTED];

    for (int i = 0; i < SERIES; i++) {
        fby_metrics_head(out, series[i].name, series[i].type, series[i].help);
        for (uint32_t model = 0; metrics->teams != NULL && model < metrics->teams->models;
             model++) {
            const fby_team_gauges *gauges = &metrics->teams->gauges[model];
            const uint64_t values[SERIES] = {
                [WORKERS] = atomic_load_explicit(&gauges->workers, memory_order_relaxed),
                [TOKENS] = atomic_load_explicit(&gauges->tokens, memory_order_relaxed),
                [SPLITS] = atomic_load_explicit(&gauges->splits, memory_order_relaxed),
                [DECISIONS] = atomic_load_explicit(&gauges->decisions, memory_order_relaxed),
            };
            fby_metrics_line(out, "%s{model=\"%s\"} %" PRIu64 "\n", series[i].name,
                             fby_metrics_label(metrics->api->served[model].name, name), values[i]);
        }
    }
    fby_metrics_head(out, "forebay_batches_total", "counter",
                     "Batches by mode: coarse by one worker, fine by a team");
    fby_metrics_line(out, "forebay_batches_total{mode=\"coarse\"} %" PRIu64 "\n",
                     FBY_WORKERS(metrics, lone_batches));
    fby_metrics_line(out, "forebay_batches_total{mode=\"fine\"} %" PRIu64 "\n",
                     FBY_WORKERS(metrics, team_batches));
}

static void put_requests(const fby_metrics *metrics, fby_metrics_out *out)
{
    fby_metrics_head(out, "forebay_requests_total", "counter", "Requests answered, of any status");
    for (int i = 0; i < FBY_COUNT_OPERATIONS; i++)
        fby_metrics_line(out, "forebay_requests_total{operation=\"%s\"} %" PRIu64 "\n",
                         operations[i],
                         fby_metrics_agents(metrics, offsetof(fby_agent_metrics, requests) +
                                                         (size_t)i * sizeof(fby_counter)));
    fby_metrics_head(out, "forebay_embed_requests_total", "counter",
                     "Requests for vectors: of one text, or of a list");
    fby_metrics_line(out, "forebay_embed_requests_total{kind=\"single\"} %" PRIu64 "\n",
                     FBY_AGENTS(metrics, single));
    fby_metrics_line(out, "forebay_embed_requests_total{kind=\"batch\"} %" PRIu64 "\n",
                     FBY_AGENTS(metrics, batch));
    fby_metrics_head(out, "forebay_request_failures_total", "counter", "Requests refused, and why");
    for (int i = FBY_REFUSED_NOT + 1; i < FBY_REFUSALS; i++)
        fby_metrics_line(out, "forebay_request_failures_total{reason=\"%s\"} %" PRIu64 "\n",
                         fby_refusal_name((fby_refusal)i),
                         fby_metrics_agents(metrics, offsetof(fby_agent_metrics, refused) +
                                                         (size_t)i * sizeof(fby_counter)));
}

static void put_histograms(const fby_metrics *metrics, fby_metrics_out *out)
{
    static const char duration[] = "forebay_request_duration_seconds";
    static const char stage[] = "forebay_stage_duration_seconds";
    char label[32];

    fby_time_counts times = fby_metrics_times(metrics, offsetof(fby_agent_metrics, total));
    fby_metrics_head(out, duration, "histogram",
                     "From a request's last byte to its answer's last byte");
    fby_metrics_put_times(out, duration, "", &times);
    fby_metrics_head(out, stage, "histogram", "Of which each stage");
    for (size_t i = 0; i < sizeof stages / sizeof stages[0]; i++) {
        times = fby_metrics_times(metrics, stages[i].offset);
        snprintf(label, sizeof label, "stage=\"%s\",", stages[i].stage);
        fby_metrics_put_times(out, stage, label, &times);
    }

    fby_size_counts sizes =
        fby_metrics_agent_sizes(metrics, offsetof(fby_agent_metrics, request_texts));
    fby_metrics_head(out, "forebay_request_texts", "histogram", "Texts of a request");
    fby_metrics_put_sizes(out, "forebay_request_texts", &sizes, FBY_SIZE_BUCKETS);
    sizes = fby_metrics_agent_sizes(metrics, offsetof(fby_agent_metrics, text_tokens));
    fby_metrics_head(out, "forebay_text_tokens", "histogram", "Tokens of a text");
    fby_metrics_put_sizes(out, "forebay_text_tokens", &sizes, FBY_SIZE_BUCKETS);
    sizes = fby_metrics_worker_sizes(metrics, offsetof(fby_worker_metrics, batch_texts));
    fby_metrics_head(out, "forebay_batch_texts", "histogram", "Texts of a batch");
    fby_metrics_put_sizes(out, "forebay_batch_texts", &sizes, FBY_SIZE_BUCKETS);
    sizes = fby_metrics_worker_sizes(metrics, offsetof(fby_worker_metrics, batch_tokens));
    fby_metrics_head(out, "forebay_batch_tokens", "histogram", "Tokens of a batch");
    fby_metrics_put_sizes(out, "forebay_batch_tokens", &sizes, FBY_SIZE_BUCKETS);
}

static void put_models(const fby_metrics *metrics, fby_metrics_out *out)
{
    const fby_api *api = metrics->api;
    char name[FBY_METRICS_QUOTED];

    fby_metrics_head(out, "forebay_build_info", "gauge", "1; what runs");
    fby_metrics_line(out, "forebay_build_info{version=\"%s\",isa=\"%s\",precision=\"%s\"} 1\n",
                     FBY_VERSION, api->served_count > 0 ? api->served[0].isa : "",
                     api->served_count > 0 ? api->served[0].precision : "");
    fby_metrics_head(out, "forebay_model_info", "gauge",
                     "1; what is served: equal fingerprints give equal vectors");
    for (uint32_t i = 0; i < api->served_count; i++) {
        const fby_served *served = &api->served[i];
        fby_metrics_line(out,
                         "forebay_model_info{model=\"%s\",fingerprint=\"%s\",architecture=\"%s\","
                         "pooling=\"%s\",dim=\"%u\",max_tokens=\"%u\"} 1\n",
                         fby_metrics_label(served->name, name), served->info.fingerprint,
                         served->info.architecture, served->info.pooling, served->info.dim,
                         served->info.max_tokens);
    }
}

static void put_process(const fby_metrics *metrics, fby_metrics_out *out)
{
    fby_process_use use = fby_process_used();

    put_number(out, "forebay_agents", "gauge", "Threads that speak HTTP", metrics->agent_count);
    put_number(out, "forebay_workers", "gauge", "Threads that compute", metrics->worker_count);
    put_number(out, "forebay_max_queued_tokens", "gauge", "Tokens above which requests are refused",
               atomic_load_explicit(&metrics->max_queued_tokens, memory_order_relaxed));
    put_number(out, "forebay_resident_bytes", "gauge", "Memory of the process that is in RAM",
               use.resident_bytes);
    put_number(out, "forebay_peak_resident_bytes", "gauge", "The most that it has been",
               use.peak_resident_bytes);
    fby_metrics_head(out, "forebay_page_faults_total", "counter", "Page faults of the process");
    fby_metrics_line(out, "forebay_page_faults_total{kind=\"minor\"} %" PRIu64 "\n",
                     use.minor_faults);
    fby_metrics_line(out, "forebay_page_faults_total{kind=\"major\"} %" PRIu64 "\n",
                     use.major_faults);
    fby_metrics_head(out, "forebay_cpu_seconds_total", "counter", "Processor time of the process");
    put_seconds(out, "forebay_cpu_seconds_total", "", use.cpu_us);
    fby_metrics_head(out, "forebay_uptime_seconds", "gauge", "Since the server was started");
    put_seconds(out, "forebay_uptime_seconds", "", (fby_now_ns() - metrics->started_ns) / 1000);
    put_number(out, "forebay_log_lines_dropped_total", "counter",
               "Log lines that could not be written", fby_log_dropped());
}

static void put_heap_sample(void *context, const fby_heap_sample *sample)
{
    fby_metrics_out *out = context;
    bool labelled = sample->label[0] != '\0';
    if (sample->first)
        fby_metrics_head(out, sample->name, sample->type, sample->help);
    fby_metrics_line(out, "%s%s%s%s %s\n", sample->name, labelled ? "{" : "", sample->label,
                     labelled ? "}" : "", sample->value);
}

static void put_heap_pool(const fby_metrics *metrics, fby_metrics_out *out)
{
    fby_heap_pool_stats stats = {.struct_size = sizeof stats};
    if (metrics->heap_pool != NULL && fby_heap_pool_get_stats(metrics->heap_pool, &stats) == FBY_OK)
        fby_heap_series_each(&stats, put_heap_sample, out);
}

size_t fby_metrics_text(const fby_metrics *metrics, char *text, size_t size)
{
    fby_metrics_out out = {.out = text, .size = size};

    put_models(metrics, &out);
    put_requests(metrics, &out);
    put_agents(metrics, &out);
    put_workers(metrics, &out);
    put_controllers(metrics, &out);
    put_histograms(metrics, &out);
    put_process(metrics, &out);
    put_heap_pool(metrics, &out);
    if (metrics->compat == FBY_METRICS_TEI)
        fby_metrics_tei(metrics, &out);
    return out.whole;
}
