/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/costs_file.h"

#include "test.h"

static fby_costs made(void)
{
    fby_costs costs;
    fby_costs_guess(21233664, 9216, &costs);
    return costs;
}

static void what_was_printed_is_read_back(void **state)
{
    (void)state;
    char text[FBY_COSTS_TEXT];
    fby_costs costs = made(), found;
    size_t size = fby_costs_print(&costs, "a processor", 8, text);
    assert_int_equal(size, strlen(text));
    assert_true(fby_costs_parse(text, "a processor", 8, &found));
    assert_true(found.measured);
    for (int i = 0; i < FBY_COST_SIZES; i++)
        assert_true(found.batch_ns[i] > costs.batch_ns[i] * 0.999999 &&
                    found.batch_ns[i] < costs.batch_ns[i] * 1.000001);
    assert_false(fby_costs_parse(text, "another", 8, &found));
    assert_false(fby_costs_parse(text, "a processor", 4, &found));
}

/* A byte changed, a file cut short: it reads as valid costs or not at all. */
static void a_file_that_was_harmed_is_none_or_valid(void **state)
{
    (void)state;
    fby_rng rng = fby_rng_from_env();
    char text[FBY_COSTS_TEXT], harmed[FBY_COSTS_TEXT];
    fby_costs costs = made(), found;
    size_t size = fby_costs_print(&costs, "cpu", 2, text);
    for (int i = 0; i < 20000; i++) {
        memcpy(harmed, text, size + 1);
        if (i % 4 == 0)
            harmed[fby_rng_below(&rng, size)] = '\0';
        else
            harmed[fby_rng_below(&rng, size)] = (char)fby_rng_below(&rng, 256);
        memset(&found, 0, sizeof found);
        if (fby_costs_parse(harmed, "cpu", 2, &found))
            assert_true(fby_costs_valid(&found));
        else
            assert_false(found.measured); /* untouched */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_printed_is_read_back),
        cmocka_unit_test(a_file_that_was_harmed_is_none_or_valid),
    };
    return cmocka_run_group_tests_name("costs_file", tests, NULL, NULL);
}
