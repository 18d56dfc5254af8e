/* SPDX-License-Identifier: Apache-2.0 */
/* Workers that share a batch, and workers that park: without a server around them. */
#include "serve/served.h"
#include "serve/worker.h"

#include <pthread.h>
#include <sched.h>

#include "base/bits.h"

enum { WORKERS = 2, TOKENS = 6, BUDGET = 16, ROUNDS = 300 };

static const uint32_t ids[TOKENS] = {2, 5, 6, 7, 8, 3}, starts[3] = {0, 4, TOKENS};

typedef struct crew {
    fby_teams teams;
    fby_disruptor *lane;
    const fby_encoder *encoder;
    void *scratch[WORKERS];
    fby_gathering gathering;
    _Atomic uint32_t helped;
} crew;

static void start(crew *c, fby_parallelism parallelism)
{
    const fby_tuner_options options = {.parallelism = parallelism, .texts_max = 8};
    fby_disruptor_options lane = FBY_DISRUPTOR_OPTIONS_INIT;
    fby_costs costs;
    fby_group *group;
    fby_costs_guess(1000000, 100, &costs);
    assert_int_equal(fby_disruptor_create(&lane, &c->lane), FBY_OK);
    assert_int_equal(fby_disruptor_add_group(c->lane, &group), FBY_OK);
    assert_int_equal(fby_teams_init(&c->teams, &options, &costs, 1, WORKERS, BUDGET), FBY_OK);
    c->teams.waiting = group;
    c->encoder = served_models[0].encoder;
    for (int i = 0; i < WORKERS; i++)
        c->scratch[i] =
            aligned_alloc(64, fby_align_up(fby_encoder_scratch(c->encoder, BUDGET), 64));
    fby_gather_init(&c->gathering);
    atomic_init(&c->helped, 0);
}

static void end(crew *c)
{
    for (int i = 0; i < WORKERS; i++)
        free(c->scratch[i]);
    fby_teams_destroy(&c->teams);
    fby_disruptor_destroy(c->lane);
}

/* Two texts, as one batch. */
static uint32_t run(crew *c, float *const vectors[2], bool alone)
{
    const fby_batch batch = {c->encoder, ids, starts, 2, c->scratch[0]};
    const fby_team_run how = {.tokens = TOKENS, .alone = alone, .vectors = vectors};
    uint32_t members = 0;
    assert_int_equal(fby_teams_run(&c->teams, &c->gathering, &batch, &how, &members), FBY_OK);
    return members;
}

static void *idle_worker(void *arg)
{
    crew *c = arg;
    unsigned char events[64];
    fby_seat seat;
    while (!fby_disruptor_is_alerted(c->lane)) {
        fby_teams_idle(&c->teams, true);
        assert_int_equal(fby_group_wait(c->teams.waiting, 1, events, 1, UINT64_MAX), 0);
        fby_teams_idle(&c->teams, false);
        if (fby_teams_join(&c->teams, &seat)) {
            fby_teams_help(&c->teams, &seat, c->scratch[1]);
            atomic_fetch_add(&c->helped, 1);
        }
    }
    return NULL;
}

static void a_team_computes_the_bits_of_one(void **state)
{
    (void)state;
    float expected[2][SERVED_DIM], seen[2][SERVED_DIM];
    float *const expected_rows[2] = {expected[0], expected[1]};
    float *const rows[2] = {seen[0], seen[1]};
    uint32_t by_teams = 0;
    pthread_t helper;
    crew c;
    start(&c, FBY_PARALLELISM_FINE);
    assert_int_equal(run(&c, expected_rows, false), 1); /* nobody is idle */
    assert_int_equal(pthread_create(&helper, NULL, idle_worker, &c), 0);
    for (int i = 0; i < ROUNDS || by_teams == 0; i++) {
        memset(seen, 0, sizeof seen);
        uint32_t members = run(&c, rows, i % 5 == 4);
        assert_true(members == 1 || (members == 2 && i % 5 != 4));
        assert_memory_equal(seen, expected, sizeof seen);
        by_teams += members > 1;
    }
    fby_disruptor_alert(c.lane);
    pthread_join(helper, NULL);
    assert_int_equal(atomic_load(&c.helped), by_teams);
    end(&c);
}

static void a_batch_that_would_keep_all_busy_for_long_is_not_shared(void **state)
{
    (void)state;
    float vectors[2][SERVED_DIM];
    float *const rows[2] = {vectors[0], vectors[1]};
    pthread_t helper;
    crew c;
    start(&c, FBY_PARALLELISM_FINE);
    c.teams.batch_tokens = TOKENS / 2 - 1; /* two members would have more than that each */
    assert_int_equal(pthread_create(&helper, NULL, idle_worker, &c), 0);
    while (atomic_load(&c.teams.idle) == 0)
        sched_yield();
    for (int i = 0; i < ROUNDS; i++)
        assert_int_equal(run(&c, rows, false), 1);
    fby_disruptor_alert(c.lane);
    pthread_join(helper, NULL);
    end(&c);
}

/* Batches that took a thousand times as long as they should, until so many workers may work. */
static void feed_until_allowed(crew *c, uint32_t at_work, uint32_t allowed)
{
    float vectors[2][SERVED_DIM];
    float *const rows[2] = {vectors[0], vectors[1]};
    fby_batch_seen seen = {.tokens = 8, .team = 1, .at_work = at_work, .pairs = 64};
    seen.ns = (uint64_t)(1000 * fby_costs_batch(&c->teams.tuners[0].controller.costs, 8, 64));
    while (fby_teams_allowed(&c->teams) != allowed) {
        fby_tuner_batch(&c->teams.tuners[0], &seen, 1);
        run(c, rows, false);
    }
}

static void *park(void *arg)
{
    crew *c = arg;
    return fby_teams_park(&c->teams, 1) ? c : NULL;
}

static void who_parks_hands_on_its_wake_up_and_comes_back(void **state)
{
    (void)state;
    pthread_t parked;
    unsigned char events[64];
    void *goes_on;
    crew c;
    start(&c, FBY_PARALLELISM_AUTO);
    feed_until_allowed(&c, 2, 1);
    assert_int_equal(pthread_create(&parked, NULL, park, &c), 0);
    assert_int_equal(fby_group_wait(c.teams.waiting, 1, events, 1, UINT64_MAX), 0); /* the nudge */
    feed_until_allowed(&c, 1, 2);
    pthread_join(parked, &goes_on);
    assert_non_null(goes_on);

    feed_until_allowed(&c, 2, 1);
    assert_int_equal(pthread_create(&parked, NULL, park, &c), 0);
    fby_teams_apart(&c.teams, true); /* whoever is at a long text makes room for it */
    pthread_join(parked, &goes_on);
    assert_non_null(goes_on);
    fby_teams_apart(&c.teams, false);

    assert_int_equal(pthread_create(&parked, NULL, park, &c), 0);
    fby_teams_end(&c.teams);
    pthread_join(parked, &goes_on);
    assert_null(goes_on);
    end(&c);
}

static fby_heap_pool *pool_for(const fby_crew *served)
{
    fby_heap_pool_options options = FBY_HEAP_POOL_OPTIONS_INIT;
    uint64_t parts[3];
    fby_heap_pool *pool;
    for (uint32_t i = 0; i < served->threads; i++)
        parts[i] = fby_crew_worker_bytes(served);
    options.parts = parts;
    options.part_count = served->threads;
    assert_int_equal(fby_heap_pool_create(&options, &pool), FBY_OK);
    return pool;
}

/* One that was not let go would hang here. */
static void a_crew_ends_with_workers_parked(void **state)
{
    (void)state;
    fby_costs costs;
    fby_heap_closing closing = {.struct_size = sizeof closing};
    fby_costs_guess(1000000, 100, &costs);
    fby_crew served = {.served = served_models,
                       .served_count = 1,
                       .costs = &costs,
                       .tuner = {.texts_max = 8},
                       .threads = 3,
                       .batch_tokens = BUDGET,
                       .lane_slots = 16,
                       .long_slots = 16};
    served.heap_pool = pool_for(&served);
    assert_int_equal(fby_crew_start(&served), FBY_OK);
    atomic_store(&served.teams.allowed, 1);
    while (atomic_load(&served.teams.idle) != 1) { /* the others are parked, or on the way */
        fby_group_nudge(served.groups[FBY_LANE_MAIN], 1);
        sched_yield();
    }
    fby_crew_stop(&served);
    fby_heap_pool_close(served.heap_pool, &closing);
    assert_int_equal(closing.leaked, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_team_computes_the_bits_of_one),
        cmocka_unit_test(a_batch_that_would_keep_all_busy_for_long_is_not_shared),
        cmocka_unit_test(who_parks_hands_on_its_wake_up_and_comes_back),
        cmocka_unit_test(a_crew_ends_with_workers_parked),
    };
    return cmocka_run_group_tests(tests, served_setup, served_teardown);
}
