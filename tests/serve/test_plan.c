/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/plan.h"

#include "base/bits.h"
#include "test.h"

static const uint64_t mib = 1 << 20;

static fby_serve_config usual(void)
{
    return (fby_serve_config){.agents = 1,
                              .max_connections = 1024,
                              .max_queued_tokens = 4194304,
                              .ring_slots = 1024,
                              .inline_result_vectors = 2};
}

static void workers_and_batch_are_as_told_or_chosen(void **state)
{
    (void)state;
    const fby_serve_machine machine = {8, 16384 * mib};
    fby_serve_config config = usual();
    fby_serve_plan plan = fby_serve_plan_make(&config, &machine, 384);
    assert_int_equal(plan.workers, 8);
    assert_true(plan.batch_tokens > 0);
    assert_int_equal(plan.ahead_tokens, 2 * 8 * plan.batch_tokens);
    config.threads = 3;
    config.max_batch_tokens = 100;
    plan = fby_serve_plan_make(&config, &machine, 384);
    assert_int_equal(plan.workers, 3);
    assert_int_equal(plan.batch_tokens, 100);
    assert_int_equal(plan.ahead_tokens, 600);
}

static void memory_follows_from_what_the_process_may_use(void **state)
{
    (void)state;
    fby_serve_config config = usual();
    fby_serve_plan large = fby_serve_plan_make(&config, &(fby_serve_machine){2, 65536 * mib}, 384);
    assert_int_equal(large.large_bytes, 1024 * mib);
    fby_serve_plan small = fby_serve_plan_make(&config, &(fby_serve_machine){2, 64 * mib}, 384);
    assert_int_equal(small.large_bytes, 16 * mib);
    assert_true(small.pool_bytes <= 8 * mib);
    assert_true(small.pool_bytes <= large.pool_bytes);
    fby_serve_plan tiny = fby_serve_plan_make(&config, &(fby_serve_machine){2, 1}, 384);
    assert_true(tiny.pool_bytes > 0);
}

static void what_the_configuration_says_holds(void **state)
{
    (void)state;
    fby_serve_config config = usual();
    config.pool_bytes = 40 * mib;
    config.large_bytes = 30 * mib;
    fby_serve_plan plan = fby_serve_plan_make(&config, &(fby_serve_machine){2, 64 * mib}, 384);
    assert_int_equal(plan.pool_bytes, 40 * mib);
    assert_int_equal(plan.large_bytes, 30 * mib);
}

/* Any number of agents: none without an event, all together within the lanes. */
static void agents_share_what_there_is(void **state)
{
    (void)state;
    for (uint32_t agents = 1; agents <= 64; agents++) {
        fby_serve_config config = usual();
        config.agents = agents;
        fby_serve_plan plan =
            fby_serve_plan_make(&config, &(fby_serve_machine){4, 4096 * mib}, 768);
        assert_true(fby_is_pow2(plan.max_events));
        assert_true(plan.max_events * agents <= config.ring_slots / 2);
        assert_true(plan.max_long > 0 && plan.max_long * agents <= plan.long_slots);
        assert_true(plan.ahead_tokens > 0);
        assert_true(plan.large_bytes * agents <= 1024 * mib);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(workers_and_batch_are_as_told_or_chosen),
        cmocka_unit_test(memory_follows_from_what_the_process_may_use),
        cmocka_unit_test(what_the_configuration_says_holds),
        cmocka_unit_test(agents_share_what_there_is),
    };
    return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
