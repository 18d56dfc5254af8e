/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>

#include "base/clock.h"
#include "serve/metrics_text.h"

static void put_aliases(fby_metrics_out *out, const fby_served *served)
{
    char text[FBY_METRICS_QUOTED];

    fby_metrics_line(out, "\"aliases\":[");
    for (uint32_t i = 0; i < served->alias_count; i++)
        fby_metrics_line(out, "%s\"%s\"", i > 0 ? "," : "",
                         fby_metrics_string(served->aliases[i], text));
    fby_metrics_line(out, "]");
}

static void put_models(fby_metrics_out *out, const fby_api *api)
{
    char text[FBY_METRICS_QUOTED];

    fby_metrics_line(out, "\"models\":[");
    for (uint32_t i = 0; i < api->served_count; i++) {
        const fby_served *served = &api->served[i];
        fby_metrics_line(out, "%s{\"name\":\"%s\",", i > 0 ? "," : "",
                         fby_metrics_string(served->name, text));
        put_aliases(out, served);
        fby_metrics_line(out,
                         ",\"architecture\":\"%s\",\"pooling\":\"%s\",\"dim\":%u,"
                         "\"max_tokens\":%u,\"isa\":\"%s\",\"precision\":\"%s\","
                         "\"fingerprint\":\"%s\"}",
                         served->info.architecture, served->info.pooling, served->info.dim,
                         served->info.max_tokens, served->isa, served->precision,
                         served->info.fingerprint);
    }
    fby_metrics_line(out, "],\n");
}

static void put_number(fby_metrics_out *out, const char *name, uint64_t x)
{
    fby_metrics_line(out, "\"%s\":%" PRIu64 ",\n", name, x);
}

static uint64_t sum_of_counters(const fby_metrics *metrics, size_t offset, int from, int to)
{
    uint64_t sum = 0;
    for (int i = from; i < to; i++)
        sum += fby_metrics_agents(metrics, offset + (size_t)i * sizeof(fby_counter));
    return sum;
}

static uint64_t busy_workers(const fby_metrics *metrics)
{
    return FBY_WORKERS(metrics, busy);
}

/* The durations so far, a count a bucket: the page takes the difference of two. */
static void put_latency(fby_metrics_out *out, const fby_metrics *metrics)
{
    fby_time_counts times = fby_metrics_times(metrics, offsetof(fby_agent_metrics, total));

    fby_metrics_line(out, "\"latency\":{\"bounds_s\":[");
    for (int i = 0; i < FBY_TIME_BUCKETS; i++)
        fby_metrics_line(out, "%s%s", i > 0 ? "," : "", fby_time_bound(i));
    fby_metrics_line(out, "],\"counts\":[");
    for (int i = 0; i <= FBY_TIME_BUCKETS; i++)
        fby_metrics_line(out, "%s%" PRIu64, i > 0 ? "," : "", times.buckets[i]);
    fby_metrics_line(out, "]}}\n");
}

size_t fby_metrics_json(const fby_metrics *metrics, char *text, size_t size)
{
    fby_metrics_out out = {.out = text, .size = size};
    uint64_t now_ns = fby_now_ns();

    fby_metrics_line(&out, "{\"version\":\"%s\",\n", FBY_VERSION);
    put_models(&out, metrics->api);
    put_number(&out, "now_ms", now_ns / 1000000u);
    put_number(&out, "uptime_s", (now_ns - metrics->started_ns) / 1000000000u);
    put_number(&out, "agents", metrics->agent_count);
    put_number(&out, "workers", metrics->worker_count);
    put_number(&out, "busy_workers", busy_workers(metrics));
    put_number(&out, "batches", FBY_WORKERS(metrics, batches));
    put_number(&out, "team_batches", FBY_WORKERS(metrics, team_batches)); /* shared by a team */
    put_number(&out, "requests",
               sum_of_counters(metrics, offsetof(fby_agent_metrics, requests), 0, FBY_COUNT_OTHER));
    put_number(&out, "failures",
               sum_of_counters(metrics, offsetof(fby_agent_metrics, refused), FBY_REFUSED_NOT + 1,
                               FBY_REFUSALS));
    put_number(&out, "texts", FBY_AGENTS(metrics, texts));
    put_number(&out, "tokens", FBY_AGENTS(metrics, tokens));
    put_number(&out, "queued_tokens", FBY_AGENTS(metrics, queued_tokens));
    put_number(&out, "max_queued_tokens",
               atomic_load_explicit(&metrics->max_queued_tokens, memory_order_relaxed));
    put_number(&out, "requests_in_flight", FBY_AGENTS(metrics, requests_in_flight));
    put_number(&out, "open_connections", FBY_AGENTS(metrics, open_connections));
    put_number(&out, "resident_bytes", fby_process_used().resident_bytes);
    put_latency(&out, metrics);
    return out.whole;
}
