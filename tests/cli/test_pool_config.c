/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/pool_config.h"
#include "test.h"

static fby_pool_config config;

static fby_status read_text(const char *text)
{
    fby_pool_config_init(&config);
    return fby_pool_config_read(text, strlen(text), "pool.yaml", &config);
}

static void every_key_is_read(void **state)
{
    (void)state;
    const char *text = "memory_pool:\n"
                       "  enabled: true\n"
                       "  backend: vulkan            # host | vulkan\n"
                       "  memory: host-visible\n"
                       "  device: 1\n"
                       "  heap_size_mb: 256\n"
                       "  num_heaps: 4\n"
                       "  warmup_sizes: [32, 128, 512]\n"
                       "  track_statistics: false\n"
                       "  log_exhaustion: yes\n"
                       "  allocation_strategy: least-used\n"
                       "  dynamic_growth: true\n"
                       "  max_heaps: 8\n"
                       "  growth_trigger: 0.75\n"
                       "  compaction: { enabled: true, threshold: 0.25, interval_ms: 500 }\n";
    if (read_text(text) != FBY_OK)
        fail_msg("%s", fby_last_error());
    const fby_heap_pool_options *options = fby_pool_config_options(&config);
    assert_false(options->disabled);
    assert_int_equal(options->backend, FBY_HEAP_VULKAN);
    assert_int_equal(options->memory, FBY_HEAP_HOST_VISIBLE);
    assert_int_equal(options->device, 1);
    assert_int_equal(options->heap_bytes, 256 << 20);
    assert_int_equal(options->num_heaps, 4);
    assert_int_equal(options->warmup_count, 3);
    assert_int_equal(options->warmup_bytes[2], 512 << 20);
    assert_true(options->statistics_off && options->log_exhaustion && options->dynamic_growth);
    assert_int_equal(options->strategy, FBY_HEAP_LEAST_USED);
    assert_int_equal(options->max_heaps, 8);
    assert_true(options->growth_trigger == 0.75 && options->compaction_threshold == 0.25);
    assert_true(options->compaction);
    assert_int_equal(options->compaction_interval_ms, 500);
}

static void auto_leaves_it_to_the_pool(void **state)
{
    (void)state;
    assert_int_equal(read_text("memory_pool: {heap_size_mb: auto, num_heaps: auto}"), FBY_OK);
    assert_int_equal(fby_pool_config_options(&config)->heap_bytes, 0);
    assert_int_equal(fby_pool_config_options(&config)->num_heaps, 0);
    assert_int_equal(read_text("memory_pool: {enabled: false}"), FBY_OK);
    assert_true(fby_pool_config_options(&config)->disabled);
}

static void a_fault_names_key_and_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } faults[] = {
        {"", "pool.yaml:1: expected \"memory_pool:\""},
        {"memory_pool:", "pool.yaml:1: memory_pool: expected keys and values"},
        {"memory_pool: 7", "pool.yaml:1: memory_pool: expected keys and values"},
        {"memory_pool:\n  heap_size_mb: -5", "pool.yaml:2: heap_size_mb: \"-5\""},
        {"memory_pool:\n  heap_size_mb: 1.5", "pool.yaml:2: heap_size_mb: \"1.5\""},
        {"memory_pool:\n  heap_size_mb: 99999999999999999999999", "pool.yaml:2: heap_size_mb"},
        {"memory_pool:\n  heap_size_mb: 0", "from 1 to 131072, or auto"},
        {"memory_pool:\n  heap_size_mb: [1]", "pool.yaml:2: heap_size_mb: expected one value"},
        {"memory_pool:\n  num_heaps: many", "pool.yaml:2: num_heaps: \"many\""},
        {"memory_pool:\n  num_heaps: 33", "from 1 to 32"},
        {"memory_pool:\n  max_heaps: auto", "pool.yaml:2: max_heaps: \"auto\""},
        {"memory_pool:\n  enabled: 1", "pool.yaml:2: enabled: \"1\": expected true or false"},
        {"memory_pool:\n  backend: cuda", "expected one of host|vulkan"},
        {"memory_pool:\n  growth_trigger: 90", "above 0 and at most 1"},
        {"memory_pool:\n  growth_trigger: nan", "above 0 and at most 1"},
        {"memory_pool:\n  growth_trigger: -0.5", "above 0 and at most 1"},
        {"memory_pool:\n  warmup_sizes: 32", "pool.yaml:2: warmup_sizes: expected a list"},
        {"memory_pool:\n  warmup_sizes: [32, x]", "pool.yaml:2: warmup_sizes: \"x\""},
        {"memory_pool:\n  warmup_sizes: [1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]", "at most 16 sizes"},
        {"memory_pool:\n  heap_size: 4",
         "there is no key \"heap_size\" here; did you mean heap_size_mb?"},
        {"memory_pool:\n  compaction: {interval: 4}", "did you mean interval_ms?"},
        {"memory_pool:\n  device: 1\n  device: 2", "pool.yaml:3: device: given before, in line 2"},
        {"pool: {}", "pool.yaml:1: there is no key \"pool\""},
        {"memory_pool: {}\nport: 80", "pool.yaml:2: there is no key \"port\""},
        {"memory_pool: {}\n---\nmemory_pool: {}", "a second document"},
        {"memory_pool: &a {}", "anchors, aliases and tags"},
        {"memory_pool: {enabled: !!bool true}", "anchors, aliases and tags"},
        {"memory_pool: {enabled: true", "this is no YAML"},
        {"memory_pool: {\"enab\\x1bled\": true}", "there is no key \"enab?led\""},
        {"memory_pool: {enabled: \"true\\0\"}", "enabled: expected one value"},
        {"memory_pool: {[1]: 2}", "a key is no text"},
    };
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        assert_int_equal(read_text(faults[i].text), FBY_EINVAL);
        if (strstr(fby_last_error(), faults[i].says) == NULL)
            fail_msg("\"%s\" said \"%s\"", faults[i].text, fby_last_error());
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key_is_read),
        cmocka_unit_test(auto_leaves_it_to_the_pool),
        cmocka_unit_test(a_fault_names_key_and_line),
    };
    return cmocka_run_group_tests_name("pool_config", tests, NULL, NULL);
}
