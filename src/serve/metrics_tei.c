/* SPDX-License-Identifier: Apache-2.0 */
/* What text-embeddings-inference 1.9 calls the same numbers (router/src/lib.rs and
 * core/src/infer.rs there), for dashboards that were made for it. What it counts for models of
 * other kinds is 0. */
#include <inttypes.h>

#include "serve/metrics_text.h"

enum { INPUT_LENGTH_BUCKETS = 20, BATCH_SIZE_BUCKETS = 13 };

/* Its words for why a request failed. */
static const struct {
    const char *err;
    fby_refusal reasons[6]; /* ends with FBY_REFUSED_NOT */
} failures[] = {
    {"overloaded", {FBY_REFUSED_OVERLOADED, FBY_REFUSED_RATE}},
    {"validation",
     {FBY_REFUSED_BAD_JSON, FBY_REFUSED_BAD_FIELD, FBY_REFUSED_TOKEN_IDS, FBY_REFUSED_TOO_LONG,
      FBY_REFUSED_BODY_TOO_LARGE}},
    {"tokenization", {FBY_REFUSED_NOT}},
    {"batch_size", {FBY_REFUSED_TOO_MANY}},
    {"model_type", {FBY_REFUSED_NO_HEAD}},
    {"inference", {FBY_REFUSED_INTERNAL, FBY_REFUSED_SLOW}},
    {"missing_values", {FBY_REFUSED_EMPTY}},
    {"dropped", {FBY_REFUSED_DRAINING}},
};

static uint64_t failed(const fby_metrics *metrics, const fby_refusal *reasons)
{
    uint64_t sum = 0;
    for (; *reasons != FBY_REFUSED_NOT; reasons++)
        sum += fby_metrics_agents(metrics, offsetof(fby_agent_metrics, refused) +
                                               (size_t)*reasons * sizeof(fby_counter));
    return sum;
}

static void put_counter(fby_metrics_out *out, const char *name, uint64_t x)
{
    fby_metrics_head(out, name, "counter", "As in text-embeddings-inference");
    fby_metrics_line(out, "%s %" PRIu64 "\n", name, x);
}

static void put_methods(fby_metrics_out *out, const char *name, uint64_t single, uint64_t batch)
{
    fby_metrics_head(out, name, "counter", "As in text-embeddings-inference");
    fby_metrics_line(out, "%s{method=\"single\"} %" PRIu64 "\n%s{method=\"batch\"} %" PRIu64 "\n",
                     name, single, name, batch);
}

static void put_times(const fby_metrics *metrics, fby_metrics_out *out, const char *name,
                      size_t offset)
{
    fby_time_counts times = fby_metrics_times(metrics, offset);
    fby_metrics_head(out, name, "histogram", "Seconds, as in text-embeddings-inference");
    fby_metrics_put_times(out, name, "", &times);
}

static void put_sizes(fby_metrics_out *out, const char *name, fby_size_counts counts, int buckets)
{
    fby_metrics_head(out, name, "histogram", "As in text-embeddings-inference");
    fby_metrics_put_sizes(out, name, &counts, buckets);
}

static void put_durations(const fby_metrics *metrics, fby_metrics_out *out)
{
    static const char *const predict[] = {"te_predict_duration", "te_predict_tokenization_duration",
                                          "te_predict_queue_duration",
                                          "te_predict_inference_duration"};
    const fby_time_counts none = {0};

    put_times(metrics, out, "te_request_duration", offsetof(fby_agent_metrics, total));
    put_times(metrics, out, "te_request_tokenization_duration",
              offsetof(fby_agent_metrics, tokenize));
    put_times(metrics, out, "te_request_queue_duration", offsetof(fby_agent_metrics, queue));
    put_times(metrics, out, "te_request_inference_duration", offsetof(fby_agent_metrics, compute));
    put_times(metrics, out, "te_embed_duration", offsetof(fby_agent_metrics, total));
    put_times(metrics, out, "te_embed_tokenization_duration",
              offsetof(fby_agent_metrics, tokenize));
    put_times(metrics, out, "te_embed_queue_duration", offsetof(fby_agent_metrics, queue));
    put_times(metrics, out, "te_embed_inference_duration", offsetof(fby_agent_metrics, compute));
    for (size_t i = 0; i < sizeof predict / sizeof predict[0]; i++) {
        fby_metrics_head(out, predict[i], "histogram", "Seconds, as in text-embeddings-inference");
        fby_metrics_put_times(out, predict[i], "", &none);
    }
}

void fby_metrics_tei(const fby_metrics *metrics, fby_metrics_out *out)
{
    uint64_t texts = FBY_AGENTS(metrics, texts);
    uint64_t dropped = FBY_AGENTS(metrics, cancelled_texts) + FBY_WORKERS(metrics, cancelled_texts);

    put_methods(out, "te_request_count", FBY_AGENTS(metrics, single), FBY_AGENTS(metrics, batch));
    put_methods(out, "te_request_success", FBY_AGENTS(metrics, single_answered),
                FBY_AGENTS(metrics, batch_answered));
    fby_metrics_head(out, "te_request_failure", "counter", "As in text-embeddings-inference");
    for (size_t i = 0; i < sizeof failures / sizeof failures[0]; i++)
        fby_metrics_line(out, "te_request_failure{err=\"%s\"} %" PRIu64 "\n", failures[i].err,
                         failed(metrics, failures[i].reasons));
    put_counter(out, "te_embed_count", texts + dropped + FBY_WORKERS(metrics, failures));
    put_counter(out, "te_embed_success", texts);
    put_counter(out, "te_predict_count", 0);
    put_counter(out, "te_predict_success", 0);
    fby_metrics_head(out, "te_queue_size", "gauge",
                     "Requests that wait, as in text-embeddings-inference");
    fby_metrics_line(out, "te_queue_size %" PRIu64 "\n", FBY_AGENTS(metrics, requests_in_flight));
    put_durations(metrics, out);
    put_sizes(out, "te_request_input_length",
              fby_metrics_agent_sizes(metrics, offsetof(fby_agent_metrics, text_tokens)),
              INPUT_LENGTH_BUCKETS);
    put_sizes(out, "te_batch_next_size",
              fby_metrics_worker_sizes(metrics, offsetof(fby_worker_metrics, batch_texts)),
              BATCH_SIZE_BUCKETS);
    put_sizes(out, "te_batch_next_tokens",
              fby_metrics_worker_sizes(metrics, offsetof(fby_worker_metrics, batch_tokens)),
              FBY_SIZE_BUCKETS);
}
