/* SPDX-License-Identifier: Apache-2.0 */
/* What was measured, made sense of; and that no plan by it is worse than one worker. */
#include "engine/costs.h"
#include "engine/plan.h"
#include "test.h"

#include <math.h>

static double any(fby_rng *rng, double least, double most)
{
    return least + (most - least) * (double)fby_rng_below(rng, 10001) / 10000;
}

/* As on a machine whose neighbours come and go while it is measured. */
static fby_costs disturbed(fby_rng *rng)
{
    fby_costs costs;
    fby_costs_guess(21233664, 9216, &costs);
    for (int crowd = 0; crowd < FBY_COST_CROWDS; crowd++) {
        costs.pace[crowd] = any(rng, 0.01, 3);
        for (int size = 0; size < FBY_COST_SIZES; size++)
            costs.gain[crowd][size] = any(rng, 0.01, 200);
    }
    fby_costs_settle(&costs);
    return costs;
}

static void more_workers_never_do_less(void **state)
{
    (void)state;
    fby_rng rng = fby_rng_from_env();
    for (int round = 0; round < 2000; round++) {
        fby_costs costs = disturbed(&rng);
        assert_true(fby_costs_valid(&costs));
        for (uint32_t workers = 2; workers <= 128; workers *= 2) {
            const double before = workers / 2 * fby_costs_pace(&costs, workers / 2);
            assert_true(workers * fby_costs_pace(&costs, workers) >= before * (1 - 1e-9));
            for (uint32_t tokens = 1; tokens < 600; tokens += 37)
                assert_true(fby_costs_gain(&costs, workers, tokens) >=
                            fby_costs_gain(&costs, workers - 1, tokens) * (1 - 1e-9));
        }
    }
}

static void what_makes_sense_stays(void **state)
{
    (void)state;
    fby_costs guess, settled;
    fby_costs_guess(21233664, 9216, &guess);
    settled = guess;
    fby_costs_settle(&settled);
    assert_memory_equal(&settled, &guess, sizeof guess);
}

static void what_is_chosen_is_expected_to_take_no_longer_than_one_worker(void **state)
{
    (void)state;
    fby_rng rng = fby_rng_from_env();
    static fby_plan alone, chosen;
    for (int round = 0; round < 3000; round++) {
        fby_costs costs = disturbed(&rng);
        uint32_t tokens[200];
        fby_plan_input input = {.tokens = tokens,
                                .texts = 1 + (uint32_t)fby_rng_below(&rng, 200),
                                .workers = 1,
                                .budget = 256,
                                .texts_max = 128};
        for (uint32_t i = 0; i < input.texts; i++)
            tokens[i] = 1 + (uint32_t)fby_rng_below(&rng, 256);
        fby_plan_make(&input, &costs, &alone);
        input.workers = 1 + (uint32_t)fby_rng_below(&rng, 16);
        fby_plan_make(&input, &costs, &chosen);
        assert_true(chosen.ns <= alone.ns);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(more_workers_never_do_less),
        cmocka_unit_test(what_makes_sense_stays),
        cmocka_unit_test(what_is_chosen_is_expected_to_take_no_longer_than_one_worker),
    };
    return cmocka_run_group_tests_name("costs", tests, NULL, NULL);
}
