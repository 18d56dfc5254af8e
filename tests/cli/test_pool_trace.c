/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/pool_source.h"
#include "cli/pool_trace.h"
#include "forebay/heap_pool.h"
#include "test.h"

#include <unistd.h>

static fby_pool_trace trace;

static fby_status read_text(const char *text)
{
    return fby_pool_trace_read(text, strlen(text), &trace);
}

static void blocks_are_paired_by_their_handles(void **state)
{
    (void)state;
    assert_int_equal(read_text("forebay-heap-trace 1\n"
                               "+ 5 10 1000 64 context\n"
                               "+ 6 20 500 4096 rows\n"
                               "- 5 30\n"
                               "+ 5 40 700 64 context\n"
                               "- 6 50\n"),
                     FBY_OK);
    assert_int_equal(trace.block_count, 3);
    assert_int_equal(trace.call_count, 5);
    assert_int_equal(trace.label_count, 2);
    assert_int_equal(trace.calls[2], 0 << 1 | 1);
    assert_int_equal(trace.calls[3], 2 << 1);
    assert_int_equal(trace.calls[4], 1 << 1 | 1);
    assert_int_equal(trace.blocks[1].align, 4096);
    assert_string_equal(trace.labels[trace.blocks[2].label], "context");
    assert_int_equal(trace.peak_bytes, 1500);
    assert_int_equal(trace.peak_call, 2);
    fby_pool_trace_clear(&trace);
}

static void a_wrong_line_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *line, *says;
    } faults[] = {
        {"* 5", "line 2: expected + or -"},
        {"+ 5 10 1000 64", "line 2: expected + BLOCK"},
        {"+ 5 10 1000 64 a b", "line 2: a label has"},
        {"+ 5 10 0 64 a", "line 2: no block has such a size"},
        {"+ 5 10 100 63 a", "line 2: no block has such a size"},
        {"+ 5 10 99999999999999999 64 a", "line 2: no block has such a size"},
        {"+ 0 10 100 64 a", "line 2: expected + BLOCK"},
        {"- 5 10", "line 2: this block is not acquired"},
        {"- 5", "line 2: expected - BLOCK NS"},
        {"+ 5 10 1 64 a\n+ 5 10 1 64 a", "line 3: this block is acquired already"},
    };
    char text[256];
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        snprintf(text, sizeof text, "forebay-heap-trace 1\n%s\n", faults[i].line);
        assert_int_equal(read_text(text), FBY_EFORMAT);
        if (strstr(fby_last_error(), faults[i].says) == NULL)
            fail_msg("\"%s\" said \"%s\"", faults[i].line, fby_last_error());
        fby_pool_trace_clear(&trace);
    }
    assert_int_equal(read_text("forebay-heap-trace 2\n"), FBY_EFORMAT);
    fby_pool_trace_clear(&trace);
    assert_int_equal(read_text(""), FBY_EFORMAT);
    fby_pool_trace_clear(&trace);
}

/* Thousands of blocks that come and go: each release finds its own. */
static void what_a_pool_records_is_read_back(void **state)
{
    (void)state;
    enum { LIVE = 3000, STEPS = 20000 };
    static fby_heap_block blocks[LIVE];
    static uint64_t sizes[LIVE];
    char path[] = "/tmp/fby-trace-XXXXXX", *bytes;
    size_t size, acquired = 0;
    uint64_t live_bytes = 0, peak = 0;
    fby_rng rng = fby_rng_from_env();
    fby_heap_pool_options options = FBY_HEAP_POOL_OPTIONS_INIT;
    fby_heap_pool *pool;
    int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    options.heap_bytes = 16 << 20;
    options.num_heaps = 2;
    options.trace_file = path;
    assert_int_equal(fby_heap_pool_create(&options, &pool), FBY_OK);
    for (int i = 0; i < STEPS; i++) {
        size_t at = fby_rng_below(&rng, LIVE);
        if (blocks[at] != 0) {
            fby_heap_release(pool, blocks[at]);
            live_bytes -= sizes[at];
            blocks[at] = 0;
            continue;
        }
        sizes[at] = 1 + fby_rng_below(&rng, 9000);
        assert_int_equal(fby_heap_acquire(pool, sizes[at], 0, at % 2 == 0 ? "even" : "odd one",
                                          &blocks[at], NULL),
                         FBY_OK);
        acquired++;
        live_bytes += sizes[at];
        peak = live_bytes > peak ? live_bytes : peak;
    }
    fby_heap_pool_close(pool, NULL);

    assert_int_equal(fby_pool_read_file(path, 1 << 24, &bytes, &size), FBY_OK);
    unlink(path);
    if (fby_pool_trace_read(bytes, size, &trace) != FBY_OK)
        fail_msg("%s", fby_last_error());
    assert_int_equal(trace.call_count, STEPS);
    assert_int_equal(trace.block_count, acquired);
    assert_int_equal(trace.peak_bytes, peak);
    assert_int_equal(trace.label_count, 2);
    assert_string_equal(trace.labels[trace.blocks[0].label][0] == 'o' ? "odd_one" : "even",
                        trace.labels[trace.blocks[0].label]);
    free(bytes);
    fby_pool_trace_clear(&trace);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_paired_by_their_handles),
        cmocka_unit_test(a_wrong_line_is_named),
        cmocka_unit_test(what_a_pool_records_is_read_back),
    };
    return cmocka_run_group_tests_name("pool_trace", tests, NULL, NULL);
}
