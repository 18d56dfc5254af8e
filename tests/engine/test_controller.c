/* SPDX-License-Identifier: Apache-2.0 */
/* The controller against machines that are formulas. */
#include "engine/controller.h"

#include "test.h"

static fby_controller made(uint32_t workers, fby_goal aim, uint64_t target_ns)
{
    fby_costs costs;
    fby_costs_guess(21233664, 9216, &costs);
    const fby_control_limits limits = {
        .workers = workers, .tokens = 256, .goal = aim, .target_ns = target_ns};
    fby_controller c;
    fby_controller_init(&c, &limits, &costs);
    return c;
}

static uint64_t now_ns;

/* A batch of 64 tokens that takes `slowness` times what the costs say. */
static void feed(fby_controller *c, uint32_t team, uint32_t at_work, double slowness)
{
    double ns = fby_costs_batch(&c->costs, 64, 4096);
    ns = team > 1 ? ns / fby_costs_gain(&c->costs, team, 64)
                  : ns / fby_costs_pace(&c->costs, at_work);
    ns *= slowness;
    now_ns += (uint64_t)ns;
    const fby_batch_seen seen = {64, team, at_work, 4096, (uint64_t)ns, false};
    fby_controller_batch(c, &seen, now_ns);
}

static void what_costs_as_promised_changes_nothing(void **state)
{
    (void)state;
    fby_rng rng = fby_rng_from_env();
    fby_controller c = made(4, FBY_GOAL_THROUGHPUT, 0);
    for (int i = 0; i < 5000; i++)
        feed(&c, fby_rng_bool(&rng) ? 4 : 1, 1 + (uint32_t)fby_rng_below(&rng, 4),
             0.9 + 0.2 * (double)fby_rng_below(&rng, 100) / 100);
    assert_int_equal(c.decisions, 0);
    assert_int_equal(c.decision.workers, 4);
    assert_int_equal(c.decision.tokens, 256);
}

static void a_machine_that_is_slower_than_it_was_changes_nothing_for_long(void **state)
{
    (void)state;
    fby_controller c = made(2, FBY_GOAL_THROUGHPUT, 0);
    for (int i = 0; i < 2000; i++)
        feed(&c, c.decision.split && i % 2 ? 2 : 1, 1, 2.0);
    assert_true(c.decision.split);
}

/* Half as fast as the costs say, in a crowd and alone: that says nothing of the crowd. */
static void a_crowd_on_a_machine_that_is_slower_is_let_be(void **state)
{
    (void)state;
    fby_controller c = made(2, FBY_GOAL_THROUGHPUT, 0);
    for (int i = 0; i < 100; i++)
        feed(&c, 1, 1, 2.0);
    for (int i = 0; i < 5000; i++)
        feed(&c, 1, 2, 2.0);
    assert_int_equal(c.decisions, 0);
}

/* One that is slow whatever is done about it is asked ever less often. */
static void trials_that_fail_become_rare(void **state)
{
    (void)state;
    fby_controller c = made(2, FBY_GOAL_THROUGHPUT, 0);
    now_ns = 0;
    uint64_t in_trials_ns = 0, before_ns;
    while ((before_ns = now_ns) < 60000000000) {
        const bool fewer = c.decision.workers == 1;
        feed(&c, 1, fewer ? 1 : 2, fewer ? 1.2 : 2.3); /* 0.83 and 0.87 together */
        in_trials_ns += fewer ? now_ns - before_ns : 0;
    }
    assert_true(c.decisions > 8); /* it does ask */
    assert_true(in_trials_ns < now_ns / 20);
}

static void teams_are_left_off_where_they_gain_nothing_and_tried_again(void **state)
{
    (void)state;
    fby_controller c = made(2, FBY_GOAL_THROUGHPUT, 0);
    int batches = 0, in_teams = 0;
    for (; c.decision.split && batches < 1000; batches++)
        feed(&c, 2, 2, 3.0);
    assert_false(c.decision.split);
    assert_in_range(batches, 8, 40);
    for (batches = 0; batches < 3000; batches++) { /* the neighbour stays */
        in_teams += c.decision.split;
        feed(&c, c.decision.split ? 2 : 1, 1, c.decision.split ? 3.0 : 1.0);
    }
    assert_true(in_teams > 0 && in_teams < batches / 10);
    for (batches = 0; batches < 3000; batches++) /* and goes */
        feed(&c, c.decision.split ? 2 : 1, 1, 1.0);
    assert_true(c.decision.split);
}

static void what_teams_lack_is_known_and_forgotten(void **state)
{
    (void)state;
    fby_controller c = made(2, FBY_GOAL_THROUGHPUT, 0);
    for (int i = 0; i < 100; i++)
        feed(&c, 2, 2, 1.0 / 0.85);
    assert_true(c.decision.split);
    assert_true(c.decision.doubt > 0.14 && c.decision.doubt < 0.16);
    for (int i = 0; i < 5; i++) /* it stays a while, */
        feed(&c, 1, 2, 1.0);
    assert_true(c.decision.doubt > 0.1);
    for (int i = 0; i < 1000; i++) /* is forgotten, */
        feed(&c, 1, 2, 1.0);
    assert_true(c.decision.doubt < 0.01);
    for (int i = 0; i < 200; i++) /* and the machine's slowness is not the teams' */
        feed(&c, i % 2 ? 2 : 1, 2, 1.3);
    for (int i = 0; i < 100; i++)
        feed(&c, 2, 2, 1.3);
    assert_true(c.decision.doubt < 0.01);
    feed(&c, 2, 2, 100); /* one that was held up */
    assert_true(c.decision.doubt < 0.05);
}

/* Two processors, one of them taken: what both workers do together is less than one does. */
static double thrashing(uint32_t workers)
{
    return workers == 1 ? 1.0 : 2.6;
}

/* Two thirds of two processors: as a fair scheduler deals a neighbour its part. */
static double fair(uint32_t workers)
{
    return workers == 1 ? 1.0 : 1.5;
}

static uint32_t mostly_used(double (*slowness)(uint32_t), fby_controller *c, int batches)
{
    int alone = 0;
    for (int i = 0; i < batches; i++) {
        alone += c->decision.workers == 1;
        feed(c, 1, c->decision.workers, slowness(c->decision.workers));
    }
    return alone > batches * 8 / 10 ? 1 : alone < batches * 2 / 10 ? 2 : 0;
}

static double as_promised(uint32_t workers)
{
    (void)workers;
    return 1.0;
}

static void workers_are_left_off_where_fewer_do_more_and_taken_back(void **state)
{
    (void)state;
    fby_controller c = made(2, FBY_GOAL_THROUGHPUT, 0);
    assert_int_equal(mostly_used(thrashing, &c, 4000), 1);
    assert_int_equal(mostly_used(as_promised, &c, 4000), 2);
    assert_int_equal(mostly_used(fair, &c, 4000), 2);
}

static void a_trial_whose_load_is_gone_ends(void **state)
{
    (void)state;
    fby_controller c = made(2, FBY_GOAL_THROUGHPUT, 0);
    for (int i = 0; i < 1000 && c.trial == FBY_TRIAL_NONE; i++)
        feed(&c, 1, 2, 2.6);
    assert_int_equal(c.decision.workers, 1);
    const uint64_t begun_ns = now_ns;
    while (c.decision.workers == 1 && now_ns < begun_ns + 2000000000)
        feed(&c, 2, 2, 1.0); /* teams alone: no batch of the trial */
    assert_int_equal(c.decision.workers, 2);
    assert_true(now_ns < begun_ns + 2000000000);
}

static void a_finding_of_a_crowd_that_is_gone_is_forgotten(void **state)
{
    (void)state;
    fby_controller c = made(4, FBY_GOAL_THROUGHPUT, 0);
    for (int i = 0; i < 2000 && (c.decision.workers == 4 || c.trial != FBY_TRIAL_NONE); i++)
        feed(&c, 1, c.decision.workers, c.decision.workers == 4 ? 4.0 : 1.0);
    assert_int_equal(c.decision.workers, 3);
    const uint64_t begun_ns = now_ns;
    while (c.decision.workers < 4 && now_ns < begun_ns + 2000000000)
        feed(&c, 1, 1, 1.0);
    assert_int_equal(c.decision.workers, 4);
}

/* What a single caller's texts are computed by: a team where one may be formed. */
static void feed_single_caller(fby_controller *c)
{
    const uint32_t team = c->decision.split ? c->decision.workers : 1;
    feed(c, team, team, 1.0);
}

/*
 * Beside a neighbour many call, and one worker of two is found to
 * do more; then the neighbour and all callers but one are gone. Every batch of the one caller is
 * then as large a crowd as is allowed, and none of those that two share is one: what was found was
 * held on to for ever, but for a second now and then.
 */
static void one_caller_behind_a_crowd_has_all_workers_again(void **state)
{
    (void)state;
    fby_controller c = made(2, FBY_GOAL_THROUGHPUT, 0);
    assert_int_equal(mostly_used(thrashing, &c, 2000), 1);
    while (c.decision.workers != 1 || c.trial != FBY_TRIAL_NONE)
        feed(&c, 1, c.decision.workers, thrashing(c.decision.workers));
    const uint64_t changed_ns = now_ns;
    while (now_ns < changed_ns + 2000000000)
        feed_single_caller(&c);
    uint64_t by_all_ns = 0, before_ns = now_ns;
    while (now_ns < changed_ns + 8000000000) {
        const bool all = c.decision.workers == 2;
        const uint64_t began_ns = now_ns;
        feed_single_caller(&c);
        by_all_ns += all ? now_ns - began_ns : 0;
    }
    assert_int_equal(by_all_ns, now_ns - before_ns);
}

static void a_held_number_of_workers_is_held(void **state)
{
    (void)state;
    fby_controller c = made(2, FBY_GOAL_THROUGHPUT, 0);
    c.limits.workers_held = true;
    assert_int_equal(mostly_used(thrashing, &c, 4000), 2);
    assert_int_equal(c.decisions, 0);
}

/* A call waits for a batch of so many tokens. */
static uint64_t call_ns(const fby_controller *c)
{
    return (uint64_t)c->decision.tokens * 200000;
}

static void tokens_shrink_until_calls_are_in_time_and_grow_back(void **state)
{
    (void)state;
    fby_controller c = made(2, FBY_GOAL_LATENCY, 20000000);
    for (int i = 0; i < 5000; i++)
        fby_controller_call(&c, call_ns(&c));
    assert_in_range(c.decision.tokens, 50, 100); /* 200 µs a token, 20 ms */
    uint64_t decisions = c.decisions;
    for (int i = 0; i < 5000; i++)
        fby_controller_call(&c, call_ns(&c));
    assert_int_equal(c.decisions, decisions); /* it does not swing */
    for (int i = 0; i < 5000; i++)
        fby_controller_call(&c, 1000000);
    assert_int_equal(c.decision.tokens, 256);
}

/* Calls that wait for something else than a batch: smaller ones would only cost. */
static void a_target_that_smaller_batches_do_not_meet_leaves_them_large(void **state)
{
    (void)state;
    fby_controller c = made(2, FBY_GOAL_THROUGHPUT, 20000000);
    fby_rng rng = fby_rng_from_env();
    int small = 0, tried = 0;
    for (int i = 0; i < 100000; i++) {
        uint32_t before = c.decision.tokens;
        fby_controller_call(&c, 30000000 + fby_rng_below(&rng, 4000000));
        small += c.decision.tokens < 256;
        tried += before == 256 && c.decision.tokens < 256;
    }
    assert_true(tried > 3);
    assert_true(small < 100000 / 20);
    for (int i = 0; i < 100000 && c.decision.tokens > 100; i++) /* the load is another now */
        fby_controller_call(&c, call_ns(&c));
    assert_in_range(c.decision.tokens, 50, 100);
}

static void the_goal_of_latency_takes_smaller_batches(void **state)
{
    (void)state;
    assert_int_equal(made(2, FBY_GOAL_LATENCY, 0).decision.tokens, 64);
    assert_int_equal(made(2, FBY_GOAL_THROUGHPUT, 0).decision.tokens, 256);
}

static void decisions_stay_within_their_limits_whatever_is_seen(void **state)
{
    (void)state;
    fby_rng rng = fby_rng_from_env();
    for (int round = 0; round < 40; round++) {
        fby_controller c = made(1 + (uint32_t)fby_rng_below(&rng, 130), FBY_GOAL_LATENCY,
                                fby_rng_below(&rng, 2) * 1000000);
        for (int i = 0; i < 1000; i++) {
            const fby_batch_seen seen = {
                (uint32_t)fby_rng_below(&rng, 600) + 1, 1 + (uint32_t)fby_rng_below(&rng, 3),
                1 + (uint32_t)fby_rng_below(&rng, 130), fby_rng_below(&rng, 100000),
                fby_rng_below(&rng, 1u << 30),          fby_rng_bool(&rng)};
            fby_controller_batch(&c, &seen, now_ns += fby_rng_below(&rng, 1u << 25));
            fby_controller_call(&c, fby_rng_below(&rng, 4000000));
            assert_in_range(c.decision.workers, 1, c.limits.workers);
            assert_in_range(c.decision.tokens, 16, 256);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_costs_as_promised_changes_nothing),
        cmocka_unit_test(a_machine_that_is_slower_than_it_was_changes_nothing_for_long),
        cmocka_unit_test(a_crowd_on_a_machine_that_is_slower_is_let_be),
        cmocka_unit_test(trials_that_fail_become_rare),
        cmocka_unit_test(teams_are_left_off_where_they_gain_nothing_and_tried_again),
        cmocka_unit_test(what_teams_lack_is_known_and_forgotten),
        cmocka_unit_test(workers_are_left_off_where_fewer_do_more_and_taken_back),
        cmocka_unit_test(a_trial_whose_load_is_gone_ends),
        cmocka_unit_test(a_finding_of_a_crowd_that_is_gone_is_forgotten),
        cmocka_unit_test(one_caller_behind_a_crowd_has_all_workers_again),
        cmocka_unit_test(a_held_number_of_workers_is_held),
        cmocka_unit_test(tokens_shrink_until_calls_are_in_time_and_grow_back),
        cmocka_unit_test(a_target_that_smaller_batches_do_not_meet_leaves_them_large),
        cmocka_unit_test(the_goal_of_latency_takes_smaller_batches),
        cmocka_unit_test(decisions_stay_within_their_limits_whatever_is_seen),
    };
    return cmocka_run_group_tests_name("controller", tests, NULL, NULL);
}
