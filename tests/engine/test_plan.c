/* SPDX-License-Identifier: Apache-2.0 */
/* Plans by example, and what holds for each of many random ones. */
#include "engine/plan.h"

#include "test.h"

enum { BUDGET = 256, MANY = 4000 };

/* MiniLM's operations. */
static fby_costs guessed(void)
{
    fby_costs costs;
    fby_costs_guess(21233664, 9216, &costs);
    return costs;
}

static fby_plan planned(const uint32_t *tokens, uint32_t texts, uint32_t workers,
                        fby_parallelism split)
{
    const fby_costs costs = guessed();
    const fby_plan_input input = {.tokens = tokens,
                                  .texts = texts,
                                  .workers = workers,
                                  .budget = BUDGET,
                                  .texts_max = BUDGET / 2,
                                  .parallelism = split};
    fby_plan plan;
    fby_plan_make(&input, &costs, &plan);
    return plan;
}

static void a_single_text_is_split_where_that_pays(void **state)
{
    (void)state;
    const uint32_t long_text[] = {256}, short_text[] = {8};
    fby_plan plan = planned(long_text, 1, 2, FBY_PARALLELISM_AUTO);
    assert_int_equal(plan.team, 2);
    assert_int_equal(plan.workers, 2);
    plan = planned(long_text, 1, 1, FBY_PARALLELISM_AUTO);
    assert_int_equal(plan.team, 1);
    plan = planned(long_text, 1, 2, FBY_PARALLELISM_COARSE);
    assert_int_equal(plan.team, 1);
    assert_int_equal(plan.workers, 1); /* never more than texts */
    assert_int_equal(planned(short_text, 1, 2, FBY_PARALLELISM_FINE).team, 2);

    fby_costs costs = guessed();
    costs.wake_ns = 2e6; /* longer than the text takes */
    fby_plan_input input = {
        .tokens = short_text, .texts = 1, .workers = 2, .budget = BUDGET, .texts_max = 8};
    fby_plan_make(&input, &costs, &plan);
    assert_int_equal(plan.workers, 1);
}

/* Apart they take a tenth longer than a team that does as costs promise. */
static void texts_are_computed_apart_where_teams_are_in_doubt(void **state)
{
    (void)state;
    static const uint32_t tokens[] = {12, 4, 30, 8};
    const fby_costs costs = guessed();
    fby_plan_input input = {
        .tokens = tokens, .texts = 4, .workers = 2, .budget = BUDGET, .texts_max = 8};
    fby_plan plan;
    fby_plan_make(&input, &costs, &plan);
    assert_int_equal(plan.team, 2);
    input.doubt = 0.2;
    fby_plan_make(&input, &costs, &plan);
    assert_int_equal(plan.team, 1);
    assert_int_equal(plan.workers, 2);
    input.texts = 1; /* nothing else can be done with two */
    fby_plan_make(&input, &costs, &plan);
    assert_int_equal(plan.team, 2);
}

static void equal_texts_are_dealt_out_evenly(void **state)
{
    (void)state;
    uint32_t tokens[128];
    for (int i = 0; i < 128; i++)
        tokens[i] = 64;
    fby_plan plan = planned(tokens, 128, 2, FBY_PARALLELISM_AUTO);
    assert_int_equal(plan.batches, 32);
    assert_int_equal(plan.team, 1);
    assert_int_equal(plan.workers, 2);
    for (uint32_t b = 0; b < plan.batches; b++)
        assert_int_equal(plan.ends[b], 4 * (b + 1));
    assert_int_equal(planned(tokens, 4, 2, FBY_PARALLELISM_COARSE).batches, 2); /* two and two */
    assert_int_equal(planned(tokens, 4, 4, FBY_PARALLELISM_COARSE).batches, 4);
}

static void long_texts_come_first_and_the_short_fill_what_is_left(void **state)
{
    (void)state;
    const uint32_t tokens[] = {8, 250, 8, 100, 8, 8};
    fby_plan plan = planned(tokens, 6, 2, FBY_PARALLELISM_COARSE);
    assert_int_equal(plan.order[0], 1);
    assert_int_equal(plan.order[1], 3);
    assert_int_equal(plan.batches, 2);
    assert_int_equal(plan.ends[0], 1);
}

static void work_that_cannot_be_dealt_out_is_split(void **state)
{
    (void)state;
    const uint32_t tokens[] = {256, 8, 8};
    assert_int_equal(planned(tokens, 3, 2, FBY_PARALLELISM_AUTO).team, 2);
    const uint32_t even[] = {256, 256};
    assert_int_equal(planned(even, 2, 2, FBY_PARALLELISM_AUTO).team, 1);
}

static void the_table_is_the_one_of_the_issue(void **state)
{
    (void)state;
    static const uint32_t rows[][3] = {
        {1, 8, 1},    {4, 8, 1},  {5, 8, 2},    {16, 8, 2},   {17, 8, 4},    {32, 8, 4},
        {33, 8, 8},   {64, 8, 8}, {16, 2, 1},   {32, 2, 1},   {33, 2, 2},    {5, 64, 5},
        {16, 64, 16}, {17, 1, 1}, {33, 64, 33}, {20, 64, 20}, {128, 64, 64},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(fby_plan_table_workers(rows[i][0], rows[i][1]), rows[i][2]);
}

static void no_text_is_no_batch(void **state)
{
    (void)state;
    assert_int_equal(planned(NULL, 0, 4, FBY_PARALLELISM_AUTO).batches, 0);
}

static uint32_t tokens_of_batch(const fby_plan_input *input, const fby_plan *plan, uint32_t b,
                                uint32_t *texts)
{
    uint32_t first = b > 0 ? plan->ends[b - 1] : 0, tokens = 0;
    assert_true(plan->ends[b] > first);
    *texts = plan->ends[b] - first;
    for (uint32_t i = first; i < plan->ends[b]; i++)
        tokens += input->tokens[plan->order[i]];
    return tokens;
}

static void check(const fby_plan_input *input, const fby_plan *plan)
{
    static bool seen[FBY_PLAN_TEXTS];
    memset(seen, 0, sizeof seen);
    assert_true(plan->batches > 0 && plan->ends[plan->batches - 1] == input->texts);
    for (uint32_t i = 0; i < input->texts; i++) {
        assert_true(plan->order[i] < input->texts && !seen[plan->order[i]]);
        seen[plan->order[i]] = true;
        if (i > 0 && input->workers > 1)
            assert_true(input->tokens[plan->order[i]] <= input->tokens[plan->order[i - 1]]);
    }
    for (uint32_t b = 0; b < plan->batches; b++) {
        uint32_t texts, tokens = tokens_of_batch(input, plan, b, &texts);
        assert_true(tokens <= input->budget || texts == 1);
        assert_true(texts <= input->texts_max);
    }
    assert_true(plan->workers >= 1 && plan->workers <= input->workers);
    assert_true(plan->team >= 1 && plan->workers % plan->team == 0);
    if (plan->team == 1)
        assert_true(plan->workers <= input->texts);
    assert_true(plan->ns > 0);
}

static fby_plan_input random_input(fby_rng *rng, uint32_t *tokens)
{
    const uint32_t longest = 1u << fby_rng_below(rng, 10);
    fby_plan_input input = {
        .tokens = tokens,
        .texts = 1 + (uint32_t)fby_rng_below(rng, fby_rng_bool(rng) ? 8 : FBY_PLAN_TEXTS),
        .workers = 1 + (uint32_t)fby_rng_below(rng, fby_rng_bool(rng) ? 4 : 200),
        .budget = 1 + (uint32_t)fby_rng_below(rng, 600),
        .texts_max = 1 + (uint32_t)fby_rng_below(rng, 128),
        .strategy = (fby_strategy)fby_rng_below(rng, 3),
        .parallelism = (fby_parallelism)fby_rng_below(rng, 3),
    };
    for (uint32_t i = 0; i < input.texts; i++)
        tokens[i] = 1 + (uint32_t)fby_rng_below(rng, longest);
    return input;
}

static void every_text_is_in_one_batch_and_no_limit_is_passed(void **state)
{
    (void)state;
    fby_rng rng = fby_rng_from_env();
    const fby_costs costs = guessed();
    static uint32_t tokens[FBY_PLAN_TEXTS];
    static fby_plan plan;
    for (int i = 0; i < MANY / 4; i++) {
        const fby_plan_input input = random_input(&rng, tokens);
        fby_plan_make(&input, &costs, &plan);
        check(&input, &plan);
    }
}

static void auto_promises_no_less_than_any_fixed_choice(void **state)
{
    (void)state;
    fby_rng rng = fby_rng_from_env();
    const fby_costs costs = guessed();
    static uint32_t tokens[FBY_PLAN_TEXTS];
    static fby_plan plan;
    for (int i = 0; i < MANY / 4; i++) {
        fby_plan_input input = random_input(&rng, tokens);
        input.texts = 1 + input.texts % 64;
        input.budget = BUDGET;
        input.strategy = FBY_STRATEGY_AUTO;
        input.parallelism = FBY_PARALLELISM_AUTO;
        fby_plan_make(&input, &costs, &plan);
        const double best = plan.ns;
        const uint32_t workers = input.workers;
        for (uint32_t used = 1; used <= workers; used *= 2)
            for (int split = FBY_PARALLELISM_COARSE; split <= FBY_PARALLELISM_FINE; split++) {
                input.workers = used;
                input.strategy = FBY_STRATEGY_FIXED;
                input.parallelism = (fby_parallelism)split;
                fby_plan_make(&input, &costs, &plan);
                /* Some per cent are left for those who sleep on, and where there is so much to do
                 * that nothing is searched. */
                if (best > plan.ns * 1.1)
                    fail_msg("%u texts, %u workers: %g ns, but %u %s take %g", input.texts, workers,
                             best, used, split == FBY_PARALLELISM_FINE ? "as a team" : "apart",
                             plan.ns);
            }
    }
}

/* Graham's bound for list scheduling: the mean of the workers' work and one batch. */
static void no_worker_waits_longer_than_a_batch_takes(void **state)
{
    (void)state;
    fby_rng rng = fby_rng_from_env();
    fby_costs costs = guessed();
    costs.wake_ns = 0;
    static uint32_t tokens[FBY_PLAN_TEXTS];
    static fby_plan plan;
    for (int i = 0; i < MANY / 4; i++) {
        fby_plan_input input = random_input(&rng, tokens);
        input.strategy = FBY_STRATEGY_FIXED;
        input.parallelism = FBY_PARALLELISM_COARSE;
        fby_plan_make(&input, &costs, &plan);
        double all = 0, largest = 0;
        for (uint32_t b = 0, at = 0; b < plan.batches; b++) {
            uint32_t sum = 0;
            uint64_t pairs = 0;
            for (; at < plan.ends[b]; at++) {
                uint32_t text = tokens[plan.order[at]];
                sum += text;
                pairs += (uint64_t)text * text;
            }
            double ns = fby_costs_batch(&costs, sum, pairs);
            all += ns;
            largest = ns > largest ? ns : largest;
        }
        assert_true(plan.ns <= (all / plan.workers + largest) * (1 + 1e-9));
    }
}

static void costs_grow_with_tokens_and_gains_stay_within_the_team(void **state)
{
    (void)state;
    const fby_costs costs = guessed();
    assert_true(fby_costs_valid(&costs));
    for (uint32_t tokens = 1; tokens < 3000; tokens++) {
        assert_true(fby_costs_batch(&costs, tokens + 1, 0) >= fby_costs_batch(&costs, tokens, 0));
        assert_true(fby_costs_batch(&costs, tokens, 100) > fby_costs_batch(&costs, tokens, 0));
        for (uint32_t members = 1; members < 300; members += 37) {
            double gain = fby_costs_gain(&costs, members, tokens);
            assert_true(gain >= 1 && gain <= members);
        }
    }
    fby_costs wrong = costs;
    wrong.batch_ns[3] = wrong.batch_ns[2] / 2;
    assert_false(fby_costs_valid(&wrong));
    wrong = costs;
    wrong.gain[1][0] = 0.0 / 0.0;
    assert_false(fby_costs_valid(&wrong));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_single_text_is_split_where_that_pays),
        cmocka_unit_test(texts_are_computed_apart_where_teams_are_in_doubt),
        cmocka_unit_test(equal_texts_are_dealt_out_evenly),
        cmocka_unit_test(long_texts_come_first_and_the_short_fill_what_is_left),
        cmocka_unit_test(work_that_cannot_be_dealt_out_is_split),
        cmocka_unit_test(the_table_is_the_one_of_the_issue),
        cmocka_unit_test(no_text_is_no_batch),
        cmocka_unit_test(every_text_is_in_one_batch_and_no_limit_is_passed),
        cmocka_unit_test(auto_promises_no_less_than_any_fixed_choice),
        cmocka_unit_test(no_worker_waits_longer_than_a_batch_takes),
        cmocka_unit_test(costs_grow_with_tokens_and_gains_stay_within_the_team),
    };
    return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
