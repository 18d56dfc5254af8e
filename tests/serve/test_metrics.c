/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <math.h>

#include <jansson.h>

#include "serve/health.h"
#include "test.h"

enum { AGENTS = 2, WORKERS = 3 };
static fby_agent_metrics agents[AGENTS];
static fby_worker_metrics workers[WORKERS];
static fby_served served[] = {{
    .name = "a \"quoted\\ name\n",
    .path = "/m",
    .isa = "avx2",
    .precision = "f32",
    .info = {.architecture = "bert",
             .pooling = "mean",
             .fingerprint = "00ff",
             .dim = 384,
             .max_tokens = 256},
}};
static const fby_api api = {.served = served, .served_count = 1};
static fby_metrics metrics = {.api = &api,
                              .max_queued_tokens = 1000,
                              .stall_ms = 2000,
                              .agents = agents,
                              .agent_count = AGENTS,
                              .workers = workers,
                              .worker_count = WORKERS,
                              .started_ns = 1};
static char text[1 << 18];

static int zero(void **state)
{
    (void)state;
    memset(agents, 0, sizeof agents);
    memset(workers, 0, sizeof workers);
    metrics.compat = FBY_METRICS_PLAIN;
    return 0;
}

static const char *written(void)
{
    size_t size = fby_metrics_text(&metrics, text, sizeof text);
    assert_true(size < sizeof text);
    text[size] = '\0';
    return text;
}

static void has(const char *line)
{
    if (strstr(text, line) == NULL)
        fail_msg("\"%s\" is not in:\n%s", line, text);
}

/* ---- the format, as Prometheus' own documentation states it (0.0.4) ---- */

static size_t name_size(const char *at)
{
    size_t size = 0;
    while (isalnum((unsigned char)at[size]) || at[size] == '_' || at[size] == ':')
        size++;
    assert_true(size > 0 && !isdigit((unsigned char)at[0]));
    return size;
}

/* Past "{a=\"b\",c=\"d\"}". */
static const char *skip_labels(const char *at)
{
    if (*at != '{')
        return at;
    do {
        at++;
        at += name_size(at);
        assert_memory_equal(at, "=\"", 2);
        for (at += 2; *at != '"'; at++) {
            assert_true(*at != '\n' && *at != '\0');
            if (*at == '\\') {
                at++;
                assert_true(*at == '\\' || *at == '"' || *at == 'n');
            }
        }
        at++;
    } while (*at == ',');
    assert_true(*at == '}');
    return at + 1;
}

/* A sample of the family `name`, of type `type`; its value. */
static double check_sample(const char *line, const char *name, const char *type)
{
    size_t size = name_size(line), family = strlen(name);
    char *end;

    assert_true(size >= family);
    assert_memory_equal(line, name, family);
    const char *suffix = line + family;
    size_t suffix_size = size - family;
    if (strcmp(type, "histogram") == 0)
        assert_true(strncmp(suffix, "_bucket", suffix_size) == 0 ||
                    strncmp(suffix, "_sum", suffix_size) == 0 ||
                    strncmp(suffix, "_count", suffix_size) == 0);
    else
        assert_int_equal(suffix_size, 0);
    if (strcmp(type, "counter") == 0 && strncmp(name, "forebay_", 8) == 0)
        assert_string_equal(name + family - 6, "_total");
    const char *at = skip_labels(line + size);
    assert_true(*at == ' ');
    double value = strtod(at + 1, &end);
    assert_true(end != at + 1 && *end == '\n' && isfinite(value) && value >= 0);
    return value;
}

/* Buckets never fall, and the last is the count. */
struct histogram {
    double last;
    bool open;
};

static void check_histogram(struct histogram *histogram, const char *line, const char *name,
                            double value)
{
    const char *suffix = line + strlen(name);
    if (strncmp(suffix, "_bucket", 7) == 0) {
        assert_true(!histogram->open || value >= histogram->last);
        histogram->last = value;
        histogram->open =
            strstr(line, "le=\"+Inf\"") == NULL || strstr(line, "le=\"+Inf\"") > strchr(line, '\n');
    } else if (strncmp(suffix, "_count", 6) == 0) {
        assert_false(histogram->open);
        assert_true(value == histogram->last);
    }
}

/* Returns the samples. */
static unsigned check_format(const char *all)
{
    char name[128] = "", type[32] = "", seen[1 << 14] = "";
    struct histogram histogram = {0};
    unsigned samples = 0;

    for (const char *line = all; *line != '\0'; line = strchr(line, '\n') + 1) {
        assert_non_null(strchr(line, '\n'));
        if (strncmp(line, "# HELP ", 7) == 0) {
            assert_int_equal(sscanf(line, "# HELP %127s", name), 1);
            char mark[160];
            snprintf(mark, sizeof mark, " %s ", name);
            assert_null(strstr(seen, mark)); /* a family stands in one place */
            assert_true(strlen(seen) + strlen(mark) < sizeof seen);
            strcat(seen, mark);
        } else if (strncmp(line, "# TYPE ", 7) == 0) {
            char typed[128];
            assert_int_equal(sscanf(line, "# TYPE %127s %31s", typed, type), 2);
            assert_string_equal(typed, name);
            assert_true(strcmp(type, "counter") == 0 || strcmp(type, "gauge") == 0 ||
                        strcmp(type, "histogram") == 0);
            histogram = (struct histogram){0};
        } else {
            double value = check_sample(line, name, type);
            if (strcmp(type, "histogram") == 0)
                check_histogram(&histogram, line, name, value);
            samples++;
        }
    }
    return samples;
}

static void the_text_is_what_prometheus_reads(void **state)
{
    (void)state;
    assert_true(check_format(written()) > 300);
    metrics.compat = FBY_METRICS_TEI;
    assert_true(check_format(written()) > 700);
}

static void every_series_is_there_from_the_start(void **state)
{
    (void)state;
    written();
    has("forebay_requests_total{operation=\"embed\"} 0\n");
    has("forebay_requests_total{operation=\"other\"} 0\n");
    for (int i = FBY_REFUSED_NOT + 1; i < FBY_REFUSALS; i++) {
        char line[128];
        snprintf(line, sizeof line, "forebay_request_failures_total{reason=\"%s\"} 0\n",
                 fby_refusal_name((fby_refusal)i));
        has(line);
    }
    has("forebay_stage_duration_seconds_count{stage=\"parse\"} 0\n");
    has("forebay_stage_duration_seconds_bucket{stage=\"write\",le=\"+Inf\"} 0\n");
    has("forebay_request_duration_seconds_bucket{le=\"1e-05\"} 0\n");
    has("forebay_request_duration_seconds_sum 0.000000000\n");
    has("forebay_pool_in_flight_bytes{agent=\"1\"} 0\n");
    has("forebay_worker_busy{worker=\"2\"} 0\n");
    has("forebay_build_info{version=\"" FBY_VERSION "\",isa=\"avx2\",precision=\"f32\"} 1\n");
    has("forebay_model_info{model=\"a \\\"quoted\\\\ name\\n\",fingerprint=\"00ff\"");
    assert_null(strstr(text, "te_"));
}

static void what_text_embeddings_inference_counts_is_there_when_asked_for(void **state)
{
    static const char *const lines[] = {
        "te_request_count{method=\"single\"} 3\n",
        "te_request_count{method=\"batch\"} 2\n",
        "te_request_success{method=\"single\"} 2\n",
        "te_request_success{method=\"batch\"} 0\n",
        "te_request_failure{err=\"overloaded\"} 7\n",
        "te_request_failure{err=\"tokenization\"} 0\n",
        "te_request_failure{err=\"dropped\"} 0\n",
        "te_embed_count 0\n",
        "te_embed_success 0\n",
        "te_predict_count 0\n",
        "te_queue_size 4\n",
        "te_request_duration_count 1\n",
        "te_embed_inference_duration_count 0\n",
        "te_predict_queue_duration_count 0\n",
        "te_request_input_length_bucket{le=\"524288\"} 0\n",
        "te_batch_next_size_bucket{le=\"4096\"} 0\n",
        "te_batch_next_tokens_bucket{le=\"1048576\"} 0\n",
    };
    (void)state;
    metrics.compat = FBY_METRICS_TEI;
    fby_counter_add(&agents[0].single, 3);
    fby_counter_add(&agents[1].batch, 2);
    fby_counter_add(&agents[0].single_answered, 2);
    fby_counter_add(&agents[0].refused[FBY_REFUSED_OVERLOADED], 5);
    fby_counter_add(&agents[1].refused[FBY_REFUSED_RATE], 2);
    fby_counter_add(&agents[1].requests_in_flight, 4);
    fby_time_observe(&agents[1].total, 5);
    written();
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        has(lines[i]);
    assert_null(strstr(text, "te_batch_next_size_bucket{le=\"8192\"}"));
}

static void agents_and_workers_are_summed_or_named(void **state)
{
    (void)state;
    fby_counter_add(&agents[0].texts, 3);
    fby_counter_add(&agents[1].texts, 4);
    fby_counter_add(&agents[1].pool_wraps, 9);
    fby_counter_add(&workers[2].busy_ns, 1500000000);
    fby_counter_add(&workers[0].cancelled_texts, 1);
    fby_counter_add(&agents[0].cancelled_texts, 1);
    fby_size_observe(&workers[0].batch_tokens, 100);
    fby_size_observe(&workers[1].batch_tokens, 200);
    written();
    has("forebay_texts_total 7\n");
    has("forebay_pool_wraps_total{agent=\"0\"} 0\nforebay_pool_wraps_total{agent=\"1\"} 9\n");
    has("forebay_worker_busy_seconds_total{worker=\"2\"} 1.500000\n");
    has("forebay_cancelled_texts_total 2\n");
    has("forebay_batch_tokens_bucket{le=\"64\"} 0\nforebay_batch_tokens_bucket{le=\"128\"} 1\n"
        "forebay_batch_tokens_bucket{le=\"256\"} 2\n");
    has("forebay_batch_tokens_sum 300\nforebay_batch_tokens_count 2\n");
}

/* ---- histograms ---- */

static int bucket_of_time(uint64_t ns)
{
    static fby_time_histogram histogram;
    memset(&histogram, 0, sizeof histogram);
    fby_time_observe(&histogram, ns);
    for (int i = 0; i <= FBY_TIME_BUCKETS; i++)
        if (fby_counter_get(&histogram.buckets[i]) == 1)
            return i;
    fail();
    return -1;
}

static void a_time_is_in_the_first_bucket_whose_bound_it_does_not_exceed(void **state)
{
    (void)state;
    assert_int_equal(bucket_of_time(0), 0);
    assert_int_equal(bucket_of_time(UINT64_MAX), FBY_TIME_BUCKETS);
    for (int i = 0; i < FBY_TIME_BUCKETS; i++) {
        double bound = 1e4 * pow(1.5, i);
        uint64_t below = (uint64_t)floor(bound);
        assert_int_equal(bucket_of_time(below), i);
        assert_int_equal(bucket_of_time(below + 1), i + 1);
    }
}

static void a_size_is_in_the_bucket_of_its_power_of_two(void **state)
{
    (void)state;
    for (uint64_t n = 0; n < 3000000; n += n < 5000 ? 1 : 997) {
        fby_size_histogram histogram = {0};
        fby_size_observe(&histogram, n);
        int wanted = 0;
        while (wanted < FBY_SIZE_BUCKETS && n > (uint64_t)1 << wanted)
            wanted++;
        assert_int_equal(fby_counter_get(&histogram.buckets[wanted]), 1);
        assert_int_equal(fby_counter_get(&histogram.sum), n);
    }
}

/* ---- bounds ---- */

/* Numbers of the process differ between two calls. */
static size_t same_lines(const char *a, const char *b, size_t size)
{
    size_t i = 0;
    while (i < size && a[i] == b[i])
        i++;
    return i;
}

static void what_does_not_fit_is_cut_at_the_end_of_a_line(void **state)
{
    static char cut[sizeof text];
    (void)state;
    written();
    size_t fixed = (size_t)(strstr(text, "# HELP forebay_resident_bytes") - text);
    for (size_t size = 0; size < fixed; size += size < 2000 ? 1 : 613) {
        memset(cut, '~', size + 64);
        size_t whole = fby_metrics_text(&metrics, cut, size);
        assert_true(whole > size);
        for (size_t i = size; i < size + 64; i++)
            assert_true(cut[i] == '~');
        size_t used = same_lines(cut, text, size);
        assert_true(used == 0 || cut[used - 1] == '\n');
        assert_true(used == size || cut[used] == '~');
    }
}

static void what_controllers_decide_is_told_by_model(void **state)
{
    (void)state;
    const fby_tuner_options options = {.texts_max = 8, .limits = {.goal = FBY_GOAL_LATENCY}};
    fby_costs costs;
    fby_teams teams;
    fby_costs_guess(1000000, 100, &costs);
    assert_int_equal(fby_teams_init(&teams, &options, &costs, 1, 3, 256), FBY_OK);
    atomic_store(&teams.gauges[0].decisions, 7);
    fby_counter_add(&workers[0].lone_batches, 3);
    fby_counter_add(&workers[0].team_batches, 2);
    fby_counter_add(&workers[1].lone_batches, 4);
    metrics.teams = &teams;
    written();
    metrics.teams = NULL;
    fby_teams_destroy(&teams);
    char line[128];
    static const struct {
        const char *name;
        int value;
    } samples[] = {{"workers", 3}, {"batch_tokens", 64}, {"splits", 1}, {"decisions_total", 7}};
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        snprintf(line, sizeof line, "forebay_controller_%s{model=\"%s\"} %d\n", samples[i].name,
                 "a \\\"quoted\\\\ name\\n", samples[i].value);
        has(line);
    }
    has("forebay_batches_total{mode=\"coarse\"} 7\n");
    has("forebay_batches_total{mode=\"fine\"} 2\n");
}

static void json_is_json_of_what_the_page_shows(void **state)
{
    json_error_t error;
    (void)state;
    fby_counter_add(&agents[0].tokens, 11);
    fby_counter_add(&agents[1].requests[FBY_COUNT_EMBED], 2);
    fby_counter_add(&agents[1].requests[FBY_COUNT_OTHER], 5);
    fby_counter_add(&workers[1].busy, 1);
    fby_counter_add(&workers[0].team_batches, 2);
    fby_time_observe(&agents[0].total, 1000);
    size_t size = fby_metrics_json(&metrics, text, sizeof text);
    assert_true(size < sizeof text);
    json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    if (root == NULL)
        fail_msg("%s in %.*s", error.text, (int)size, text);
    assert_int_equal(json_integer_value(json_object_get(root, "tokens")), 11);
    assert_int_equal(json_integer_value(json_object_get(root, "requests")), 2);
    assert_int_equal(json_integer_value(json_object_get(root, "busy_workers")), 1);
    assert_int_equal(json_integer_value(json_object_get(root, "team_batches")), 2);
    json_t *latency = json_object_get(root, "latency");
    assert_int_equal(json_array_size(json_object_get(latency, "bounds_s")), FBY_TIME_BUCKETS);
    json_t *counts = json_object_get(latency, "counts");
    assert_int_equal(json_array_size(counts), FBY_TIME_BUCKETS + 1);
    assert_int_equal(json_integer_value(json_array_get(counts, 0)), 1);
    json_t *model = json_array_get(json_object_get(root, "models"), 0);
    assert_string_equal(json_string_value(json_object_get(model, "name")), served[0].name);
    json_decref(root);
}

/* ---- health ---- */

static const uint64_t second = 1000000000;

static void an_agent_that_does_not_turn_is_stuck_unless_it_sleeps(void **state)
{
    (void)state;
    assert_int_equal(fby_live(&metrics, 100 * second).status, 200); /* none has begun */
    atomic_store(&agents[0].turned_ns, 99 * second);
    atomic_store(&agents[1].turned_ns, 90 * second);
    fby_health health = fby_live(&metrics, 100 * second);
    assert_int_equal(health.status, 503);
    assert_non_null(strstr(health.body, "agent 1 has not turned for 10000 ms"));
    assert_int_equal(fby_live(&metrics, 92 * second).status, 200);
    assert_int_equal(fby_live(&metrics, 92 * second + 1000000).status, 503);
    atomic_store(&agents[1].asleep, 1);
    assert_int_equal(fby_live(&metrics, 100 * second).status, 200);
    /* It turned after the caller looked at the clock. */
    atomic_store(&agents[0].turned_ns, 101 * second);
    assert_int_equal(fby_live(&metrics, 100 * second).status, 200);
}

static void it_is_ready_between_starting_and_draining(void **state)
{
    (void)state;
    fby_health health = fby_ready(&metrics, FBY_SERVER_READY, second);
    assert_int_equal(health.status, 200);
    assert_string_equal(health.body, "{\"status\":\"ok\"}");
    health = fby_ready(&metrics, FBY_SERVER_STARTING, second);
    assert_int_equal(health.status, 503);
    assert_non_null(strstr(health.body, "\"reason\":"));
    health = fby_ready(&metrics, FBY_SERVER_DRAINING, second);
    assert_int_equal(health.status, 503);
    assert_non_null(strstr(health.body, "draining"));
    atomic_store(&agents[1].turned_ns, 1);
    assert_int_equal(fby_ready(&metrics, FBY_SERVER_READY, 100 * second).status, 503);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_text_is_what_prometheus_reads, zero),
        cmocka_unit_test_setup(every_series_is_there_from_the_start, zero),
        cmocka_unit_test_setup(what_text_embeddings_inference_counts_is_there_when_asked_for, zero),
        cmocka_unit_test_setup(agents_and_workers_are_summed_or_named, zero),
        cmocka_unit_test_setup(a_time_is_in_the_first_bucket_whose_bound_it_does_not_exceed, zero),
        cmocka_unit_test_setup(a_size_is_in_the_bucket_of_its_power_of_two, zero),
        cmocka_unit_test_setup(what_does_not_fit_is_cut_at_the_end_of_a_line, zero),
        cmocka_unit_test_setup(what_controllers_decide_is_told_by_model, zero),
        cmocka_unit_test_setup(json_is_json_of_what_the_page_shows, zero),
        cmocka_unit_test_setup(an_agent_that_does_not_turn_is_stuck_unless_it_sleeps, zero),
        cmocka_unit_test_setup(it_is_ready_between_starting_and_draining, zero),
    };
    return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
