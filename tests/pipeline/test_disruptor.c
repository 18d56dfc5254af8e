/* SPDX-License-Identifier: Apache-2.0 */
#include "forebay/disruptor.h"
#include "base/clock.h"
#include "test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>

typedef struct event {
    uint64_t number;
    uint64_t words[6]; /* all equal to the number, to show a torn copy */
    uint64_t last;     /* the disruptor's */
} event;

static fby_disruptor *created(uint32_t capacity, fby_producers producers, fby_wait wait)
{
    fby_disruptor_options options = FBY_DISRUPTOR_OPTIONS_INIT;
    options.capacity = capacity;
    options.producers = producers;
    options.wait = wait;
    fby_disruptor *disruptor;
    assert_int_equal(fby_disruptor_create(&options, &disruptor), FBY_OK);
    return disruptor;
}

static void fill(event *to, uint64_t number)
{
    to->number = number;
    for (int i = 0; i < 6; i++)
        to->words[i] = number;
}

static bool whole(const event *from)
{
    for (int i = 0; i < 6; i++)
        if (from->words[i] != from->number)
            return false;
    return true;
}

static bool publish_one(fby_disruptor *disruptor, uint64_t number)
{
    uint64_t sequence;
    if (fby_disruptor_claim(disruptor, 1, &sequence) != FBY_OK)
        return false;
    fill(fby_disruptor_event(disruptor, sequence), number);
    fby_disruptor_publish(disruptor, sequence, 1);
    return true;
}

/* ---- examples ---- */

static void every_option_out_of_range_is_named(void **state)
{
    (void)state;
    fby_disruptor *disruptor = NULL;
    fby_disruptor_options options = FBY_DISRUPTOR_OPTIONS_INIT;
    options.capacity = 3;
    assert_int_equal(fby_disruptor_create(&options, &disruptor), FBY_EINVAL);
    assert_non_null(strstr(fby_last_error(), "capacity is 3"));
    options = (fby_disruptor_options)FBY_DISRUPTOR_OPTIONS_INIT;
    options.slot_bytes = 32;
    assert_int_equal(fby_disruptor_create(&options, &disruptor), FBY_EINVAL);
    options = (fby_disruptor_options)FBY_DISRUPTOR_OPTIONS_INIT;
    options.struct_size = 1;
    assert_int_equal(fby_disruptor_create(&options, &disruptor), FBY_EINVAL);
    assert_null(disruptor);
}

static void callers_of_other_versions_are_understood(void **state)
{
    (void)state;
    fby_disruptor *disruptor = NULL;
    struct newer {
        fby_disruptor_options known;
        uint64_t unknown;
    } newer = {FBY_DISRUPTOR_OPTIONS_INIT, 0};
    newer.known.struct_size = sizeof newer;
    assert_int_equal(fby_disruptor_create(&newer.known, &disruptor), FBY_OK);
    fby_disruptor_destroy(disruptor);
    disruptor = NULL;
    newer.unknown = 1;
    assert_int_equal(fby_disruptor_create(&newer.known, &disruptor), FBY_EUNSUPPORTED);
    assert_null(disruptor);

    fby_disruptor_options older = {
        .struct_size = offsetof(fby_disruptor_options, capacity), .slot_bytes = 128, .capacity = 3};
    assert_int_equal(fby_disruptor_create(&older, &disruptor), FBY_OK);
    fby_disruptor_destroy(disruptor);
}

static void each_consumer_sees_every_event_in_order(void **state)
{
    (void)state;
    fby_disruptor *disruptor = created(8, FBY_DISRUPTOR_SINGLE, FBY_WAIT_SPIN);
    fby_consumer *two[2];
    assert_int_equal(fby_disruptor_add_consumer(disruptor, NULL, 0, &two[0]), FBY_OK);
    assert_int_equal(fby_disruptor_add_consumer(disruptor, NULL, 0, &two[1]), FBY_OK);
    for (uint64_t i = 0; i < 5; i++)
        assert_true(publish_one(disruptor, i));
    for (int c = 0; c < 2; c++) {
        uint64_t first;
        assert_int_equal(fby_consumer_poll(two[c], &first), 5);
        for (uint64_t i = 0; i < 5; i++)
            assert_int_equal(((event *)fby_disruptor_event(disruptor, first + i))->number, i);
        fby_consumer_release(two[c], 5);
        assert_int_equal(fby_consumer_poll(two[c], &first), 0);
    }
    fby_disruptor_destroy(disruptor);
}

static void a_full_ring_says_so_until_the_slowest_lets_go(void **state)
{
    (void)state;
    fby_disruptor *disruptor = created(4, FBY_DISRUPTOR_SINGLE, FBY_WAIT_SPIN);
    fby_consumer *fast, *slow;
    fby_disruptor_add_consumer(disruptor, NULL, 0, &fast);
    fby_disruptor_add_consumer(disruptor, NULL, 0, &slow);
    uint64_t first;
    for (uint64_t i = 0; i < 4; i++)
        assert_true(publish_one(disruptor, i));
    assert_false(publish_one(disruptor, 4));
    assert_int_equal(fby_consumer_poll(fast, &first), 4);
    fby_consumer_release(fast, 4);
    assert_false(publish_one(disruptor, 4));
    assert_int_equal(fby_consumer_poll(slow, &first), 4);
    fby_consumer_release(slow, 1);
    assert_true(publish_one(disruptor, 4));
    assert_false(publish_one(disruptor, 5));
    assert_int_equal(fby_disruptor_claim(disruptor, 2, &first), FBY_EAGAIN);
    fby_disruptor_destroy(disruptor);
}

static void a_chain_sees_an_event_after_those_before_it(void **state)
{
    (void)state;
    fby_disruptor *disruptor = created(8, FBY_DISRUPTOR_SINGLE, FBY_WAIT_SPIN);
    fby_consumer *before[2], *last;
    fby_disruptor_add_consumer(disruptor, NULL, 0, &before[0]);
    fby_disruptor_add_consumer(disruptor, NULL, 0, &before[1]);
    assert_int_equal(fby_disruptor_add_consumer(disruptor, before, 2, &last), FBY_OK);
    uint64_t first;
    publish_one(disruptor, 0);
    publish_one(disruptor, 1);
    assert_int_equal(fby_consumer_poll(last, &first), 0);
    assert_int_equal(fby_consumer_poll(before[0], &first), 2);
    fby_consumer_release(before[0], 2);
    assert_int_equal(fby_consumer_poll(last, &first), 0);
    assert_int_equal(fby_consumer_poll(before[1], &first), 2);
    fby_consumer_release(before[1], 1);
    assert_int_equal(fby_consumer_poll(last, &first), 1);
    fby_disruptor_destroy(disruptor);
}

static void a_member_takes_what_its_budget_allows_and_the_slots_are_free(void **state)
{
    (void)state;
    fby_disruptor *disruptor = created(4, FBY_DISRUPTOR_SINGLE, FBY_WAIT_SPIN);
    fby_group *group;
    assert_int_equal(fby_disruptor_add_group(disruptor, &group), FBY_OK);
    const uint32_t costs[] = {50, 30, 40, 500};
    for (uint64_t i = 0; i < 4; i++) {
        uint64_t sequence;
        assert_int_equal(fby_disruptor_claim(disruptor, 1, &sequence), FBY_OK);
        fill(fby_disruptor_event(disruptor, sequence), i);
        fby_disruptor_publish_cost(disruptor, sequence, costs[i]);
    }
    event taken[4];
    assert_false(publish_one(disruptor, 4));
    assert_int_equal(fby_group_claim(group, 100, taken, 4), 2); /* 50 + 30 */
    assert_int_equal(taken[1].number, 1);
    assert_true(publish_one(disruptor, 4));
    assert_true(publish_one(disruptor, 5));
    assert_int_equal(fby_group_claim(group, 100, taken, 4), 1); /* 40; not the 500 */
    assert_int_equal(fby_group_claim(group, 100, taken, 4), 1); /* 500, alone */
    assert_int_equal(taken[0].number, 3);
    assert_int_equal(fby_group_claim(group, 1000, taken, 1), 1);
    assert_int_equal(fby_group_claim(group, 1000, taken, 4), 1);
    assert_int_equal(taken[0].number, 5);
    assert_int_equal(fby_group_claim(group, 1000, taken, 4), 0);
    fby_disruptor_destroy(disruptor);
}

static void readers_come_before_the_first_event_and_not_without_end(void **state)
{
    (void)state;
    fby_disruptor *disruptor = created(4, FBY_DISRUPTOR_SINGLE, FBY_WAIT_SPIN);
    fby_disruptor *other = created(4, FBY_DISRUPTOR_SINGLE, FBY_WAIT_SPIN);
    fby_consumer *consumer, *foreign;
    fby_group *group;
    assert_int_equal(fby_disruptor_add_consumer(other, NULL, 0, &foreign), FBY_OK);
    assert_int_equal(fby_disruptor_add_consumer(disruptor, NULL, 0, &consumer), FBY_OK);
    assert_int_equal(fby_disruptor_add_consumer(disruptor, &foreign, 1, &consumer), FBY_EINVAL);
    for (int i = 1; i < FBY_DISRUPTOR_READERS_MAX; i++)
        assert_int_equal(fby_disruptor_add_group(disruptor, &group), FBY_OK);
    assert_int_equal(fby_disruptor_add_group(disruptor, &group), FBY_EINVAL);
    publish_one(other, 0);
    assert_int_equal(fby_disruptor_add_consumer(other, NULL, 0, &foreign), FBY_EINVAL);
    fby_disruptor_destroy(disruptor);
    fby_disruptor_destroy(other);
    fby_disruptor_destroy(NULL);
}

static void a_wait_ends_with_its_time_or_an_alert(void **state)
{
    (void)state;
    for (int wait = FBY_WAIT_ADAPTIVE; wait <= FBY_WAIT_SLEEP; wait++) {
        fby_disruptor *disruptor = created(4, FBY_DISRUPTOR_SINGLE, (fby_wait)wait);
        fby_consumer *consumer;
        fby_group *group;
        event taken[4];
        uint64_t first;
        fby_disruptor_add_consumer(disruptor, NULL, 0, &consumer);
        fby_disruptor_add_group(disruptor, &group);
        assert_int_equal(fby_consumer_wait(consumer, 1000000, &first), 0);
        assert_int_equal(fby_group_wait(group, 1, taken, 4, 1000000), 0);
        fby_disruptor_alert(disruptor);
        assert_int_equal(fby_consumer_wait(consumer, UINT64_MAX, &first), 0);
        assert_int_equal(fby_group_wait(group, 1, taken, 4, UINT64_MAX), 0);
        publish_one(disruptor, 7);
        assert_int_equal(fby_consumer_wait(consumer, UINT64_MAX, &first), 1);
        assert_int_equal(fby_group_wait(group, 1, taken, 4, UINT64_MAX), 1);
        fby_disruptor_destroy(disruptor);
    }
}

static void nudged_waits_return_without_events(void **state)
{
    (void)state;
    for (int wait = FBY_WAIT_ADAPTIVE; wait <= FBY_WAIT_SLEEP; wait++) {
        fby_disruptor *disruptor = created(4, FBY_DISRUPTOR_SINGLE, (fby_wait)wait);
        fby_group *group;
        event taken[4];
        fby_disruptor_add_group(disruptor, &group);
        fby_group_nudge(group, 2);
        publish_one(disruptor, 7);
        assert_int_equal(fby_group_wait(group, 1, taken, 4, UINT64_MAX), 1); /* events first */
        assert_int_equal(fby_group_wait(group, 1, taken, 4, UINT64_MAX), 0);
        assert_int_equal(fby_group_wait(group, 1, taken, 4, UINT64_MAX), 0);
        assert_false(fby_disruptor_is_alerted(disruptor));

        fby_group_nudge(group, UINT32_MAX);
        fby_group_nudge(group, 1);
        for (int i = 0; i < FBY_GROUP_NUDGES_MAX; i++)
            assert_int_equal(fby_group_wait(group, 1, taken, 4, UINT64_MAX), 0);
        uint64_t began_ns = fby_now_ns();
        assert_int_equal(fby_group_wait(group, 1, taken, 4, 1000000), 0);
        assert_true(fby_now_ns() - began_ns >= 1000000); /* none was left */
        fby_disruptor_destroy(disruptor);
    }
}

/* A word that is written before a nudge, and how often a nudge was answered. */
typedef struct nudged {
    fby_disruptor *disruptor;
    fby_group *group;
    uint64_t written; /* plain: what a nudge has to make visible */
    _Atomic uint64_t answered;
    bool failed;
} nudged;

static void *answer_nudges(void *arg)
{
    nudged *n = arg;
    event taken[4];
    uint64_t last = 0;
    while (fby_group_wait(n->group, 1, taken, 4, UINT64_MAX) == 0 &&
           !fby_disruptor_is_alerted(n->disruptor)) {
        n->failed |= n->written != last + 1;
        last = n->written;
        atomic_fetch_add(&n->answered, 1);
    }
    return NULL;
}

static void a_nudge_wakes_and_shows_what_was_written_before(void **state)
{
    (void)state;
    enum { NUDGES = 2000 };
    for (int wait = FBY_WAIT_ADAPTIVE; wait <= FBY_WAIT_SLEEP; wait++) {
        nudged n = {.disruptor = created(4, FBY_DISRUPTOR_SINGLE, (fby_wait)wait)};
        pthread_t thread;
        fby_disruptor_add_group(n.disruptor, &n.group);
        assert_int_equal(pthread_create(&thread, NULL, answer_nudges, &n), 0);
        for (uint64_t i = 1; i <= NUDGES; i++) {
            n.written = i;
            fby_group_nudge(n.group, 1);
            while (atomic_load(&n.answered) != i) /* one that is lost: the test never ends */
                sched_yield();
        }
        fby_disruptor_alert(n.disruptor);
        pthread_join(thread, NULL);
        assert_false(n.failed);
        fby_disruptor_destroy(n.disruptor);
    }
}

/* ---- against a plain model ---- */

static void matches_its_model(void **state)
{
    (void)state;
    fby_rng rng = fby_rng_from_env();
    for (int producers = 0; producers < 2; producers++) {
        enum { CAPACITY = 16 };
        fby_disruptor *disruptor = created(CAPACITY, (fby_producers)producers, FBY_WAIT_SPIN);
        fby_consumer *consumer, *after;
        fby_group *group;
        fby_disruptor_add_consumer(disruptor, NULL, 0, &consumer);
        fby_disruptor_add_consumer(disruptor, &consumer, 1, &after);
        fby_disruptor_add_group(disruptor, &group);
        uint64_t published = 0, seen = 0, seen_after = 0, shared = 0;

        for (int step = 0; step < 20000; step++) {
            uint64_t slowest = seen_after < shared ? seen_after : shared;
            uint64_t first;
            switch (fby_rng_below(&rng, 4)) {
            case 0: {
                uint32_t count = 1 + (uint32_t)fby_rng_below(&rng, 5);
                fby_status status = fby_disruptor_claim(disruptor, count, &first);
                assert_int_equal(status == FBY_OK, published + count - slowest <= CAPACITY);
                if (status != FBY_OK)
                    break;
                assert_int_equal(first, published);
                for (uint32_t i = 0; i < count; i++)
                    fill(fby_disruptor_event(disruptor, first + i), published++);
                fby_disruptor_publish(disruptor, first, count);
                break;
            }
            case 1: {
                uint32_t ready = fby_consumer_poll(consumer, &first);
                assert_int_equal(first, seen);
                assert_true(ready <= published - seen);
                assert_int_equal(ready == 0, published == seen);
                for (uint32_t i = 0; i < ready; i++)
                    assert_int_equal(((event *)fby_disruptor_event(disruptor, seen++))->number,
                                     first + i);
                fby_consumer_release(consumer, ready);
                break;
            }
            case 2: {
                uint32_t ready = fby_consumer_poll(after, &first);
                assert_true(ready <= seen - seen_after);
                assert_int_equal(ready == 0, seen == seen_after);
                fby_consumer_release(after, ready);
                seen_after += ready;
                break;
            }
            default: {
                event taken[3];
                uint32_t count = fby_group_claim(group, 2, taken, 3);
                uint64_t there = published - shared;
                assert_int_equal(count, there < 2 ? there : 2);
                for (uint32_t i = 0; i < count; i++)
                    assert_int_equal(taken[i].number, shared++);
            }
            }
        }
        assert_true(published > 1000);
        fby_disruptor_destroy(disruptor);
    }
}

/* ---- threads ---- */

enum { EVENTS = 30000, MEMBERS = 3, PRODUCERS = 3 };

typedef struct stage {
    pthread_t thread;
    fby_disruptor *disruptor;
    fby_consumer *consumer;
    fby_group *group;
    _Atomic uint8_t *times_taken; /* an event */
    uint64_t first, step;         /* a producer's numbers: first, first + step, … */
    uint64_t total;               /* events in all */
    bool failed;
} stage;

static void *produce(void *argument)
{
    stage *self = argument;
    fby_rng rng = {self->first};
    for (uint64_t number = self->first; number < self->total;) {
        uint64_t sequence;
        uint32_t count = 1 + (uint32_t)fby_rng_below(&rng, 3);
        if (fby_disruptor_claim(self->disruptor, count, &sequence) != FBY_OK) {
            sched_yield();
            continue;
        }
        for (uint32_t i = 0; i < count; i++) {
            fill(fby_disruptor_event(self->disruptor, sequence + i),
                 number < self->total ? number : UINT64_MAX);
            number += self->step;
        }
        fby_disruptor_publish(self->disruptor, sequence, count);
        if (fby_rng_below(&rng, 64) == 0)
            sched_yield();
    }
    return NULL;
}

static void *consume(void *argument)
{
    stage *self = argument;
    uint64_t seen = 0, first;
    while (seen < self->total) {
        uint32_t ready = fby_consumer_wait(self->consumer, UINT64_MAX, &first);
        for (uint32_t i = 0; i < ready; i++) {
            const event *at = fby_disruptor_event(self->disruptor, first + i);
            self->failed |= !whole(at);
            seen += at->number != UINT64_MAX;
        }
        fby_consumer_release(self->consumer, ready);
    }
    return NULL;
}

static void *share(void *argument)
{
    stage *self = argument;
    event taken[8];
    uint32_t count;
    while ((count = fby_group_wait(self->group, 5, taken, 8, UINT64_MAX)) != 0)
        for (uint32_t i = 0; i < count; i++) {
            self->failed |= !whole(&taken[i]);
            if (taken[i].number < self->total)
                atomic_fetch_add_explicit(&self->times_taken[taken[i].number], 1,
                                          memory_order_relaxed);
        }
    return NULL;
}

static void run_threads(fby_producers producers, fby_wait wait, uint32_t capacity)
{
    uint32_t producer_count = producers == FBY_DISRUPTOR_MULTI ? PRODUCERS : 1;
    fby_disruptor *disruptor = created(capacity, producers, wait);
    _Atomic uint8_t *times = calloc(EVENTS, sizeof *times);
    stage stages[PRODUCERS + 2 + MEMBERS] = {{0}};
    stage *makers = stages, *readers = stages + PRODUCERS, *members = readers + 2;
    fby_group *group;

    for (size_t i = 0; i < sizeof stages / sizeof *stages; i++)
        stages[i] = (stage){.disruptor = disruptor, .times_taken = times, .total = EVENTS};
    fby_disruptor_add_consumer(disruptor, NULL, 0, &readers[0].consumer);
    fby_disruptor_add_consumer(disruptor, &readers[0].consumer, 1, &readers[1].consumer);
    fby_disruptor_add_group(disruptor, &group);

    for (int i = 0; i < 2; i++)
        pthread_create(&readers[i].thread, NULL, consume, &readers[i]);
    for (int i = 0; i < MEMBERS; i++) {
        members[i].group = group;
        pthread_create(&members[i].thread, NULL, share, &members[i]);
    }
    for (uint32_t i = 0; i < producer_count; i++) {
        makers[i].first = i;
        makers[i].step = producer_count;
        pthread_create(&makers[i].thread, NULL, produce, &makers[i]);
    }
    for (uint32_t i = 0; i < producer_count; i++)
        pthread_join(makers[i].thread, NULL);
    for (int i = 0; i < 2; i++)
        pthread_join(readers[i].thread, NULL);
    fby_disruptor_alert(disruptor); /* members leave when nothing is left */
    for (int i = 0; i < MEMBERS; i++)
        pthread_join(members[i].thread, NULL);

    for (size_t i = 0; i < sizeof stages / sizeof *stages; i++)
        assert_false(stages[i].failed);
    for (uint64_t i = 0; i < EVENTS; i++)
        assert_int_equal(times[i], 1);
    free(times);
    fby_disruptor_destroy(disruptor);
}

static void threads_lose_and_repeat_nothing_with_one_producer(void **state)
{
    (void)state;
    run_threads(FBY_DISRUPTOR_SINGLE, FBY_WAIT_ADAPTIVE, 64);
    run_threads(FBY_DISRUPTOR_SINGLE, FBY_WAIT_SLEEP, 8);
    run_threads(FBY_DISRUPTOR_SINGLE, FBY_WAIT_YIELD, 1024);
}

static void threads_lose_and_repeat_nothing_with_several_producers(void **state)
{
    (void)state;
    run_threads(FBY_DISRUPTOR_MULTI, FBY_WAIT_ADAPTIVE, 64);
    run_threads(FBY_DISRUPTOR_MULTI, FBY_WAIT_SLEEP, 8);
    run_threads(FBY_DISRUPTOR_MULTI, FBY_WAIT_YIELD, 1024);
}

/* ---- faults ---- */

static int maps_until_failure = -1; /* negative: none fails */

void *__real_mmap64(void *address, size_t size, int protection, int flags, int file, off_t at);
void *__wrap_mmap64(void *address, size_t size, int protection, int flags, int file, off_t at);

void *__wrap_mmap64(void *address, size_t size, int protection, int flags, int file, off_t at)
{
    if (maps_until_failure == 0)
        return MAP_FAILED;
    if (maps_until_failure > 0)
        maps_until_failure--;
    return __real_mmap64(address, size, protection, flags, file, at);
}

static void says_when_the_system_has_no_memory(void **state)
{
    (void)state;
    fby_disruptor_options options = FBY_DISRUPTOR_OPTIONS_INIT;
    fby_disruptor *disruptor = NULL;
    maps_until_failure = 0;
    assert_int_equal(fby_disruptor_create(&options, &disruptor), FBY_ENOMEM);
    assert_null(disruptor);
    maps_until_failure = 1;
    fby_group *group = NULL;
    assert_int_equal(fby_disruptor_create(&options, &disruptor), FBY_OK);
    assert_int_equal(fby_disruptor_add_group(disruptor, &group), FBY_ENOMEM);
    assert_null(group);
    maps_until_failure = -1;
    assert_int_equal(fby_disruptor_add_group(disruptor, &group), FBY_OK);
    fby_disruptor_destroy(disruptor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_option_out_of_range_is_named),
        cmocka_unit_test(callers_of_other_versions_are_understood),
        cmocka_unit_test(each_consumer_sees_every_event_in_order),
        cmocka_unit_test(a_full_ring_says_so_until_the_slowest_lets_go),
        cmocka_unit_test(a_chain_sees_an_event_after_those_before_it),
        cmocka_unit_test(a_member_takes_what_its_budget_allows_and_the_slots_are_free),
        cmocka_unit_test(readers_come_before_the_first_event_and_not_without_end),
        cmocka_unit_test(a_wait_ends_with_its_time_or_an_alert),
        cmocka_unit_test(nudged_waits_return_without_events),
        cmocka_unit_test(a_nudge_wakes_and_shows_what_was_written_before),
        cmocka_unit_test(matches_its_model),
        cmocka_unit_test(threads_lose_and_repeat_nothing_with_one_producer),
        cmocka_unit_test(threads_lose_and_repeat_nothing_with_several_producers),
        cmocka_unit_test(says_when_the_system_has_no_memory),
    };
    return cmocka_run_group_tests_name("disruptor", tests, NULL, NULL);
}
