/* SPDX-License-Identifier: Apache-2.0 */
/* A shared ring pool between two threads, and a third that reads its statistics: what
 * ThreadSanitizer is to look at. */
#include "forebay/ring_pool.h"
#include "test.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "base/platform.h"

enum { SLICES = 200000, QUEUE = 64, HELD = 24 };

/* Others may need the processor for what is waited for. */
static void relax(void)
{
    static _Thread_local unsigned turns;
    fby_relax();
    if (++turns % 1024 == 0)
        sched_yield();
}

/* How addresses travel from the allocating thread to the releasing one. */
static struct {
    fby_ring_pool *pool;
    _Atomic(uint64_t *) cells[QUEUE]; /* NULL: empty; filled with release, emptied with acquire */
    atomic_bool over;
    fby_rng rng;
} shared;

static void *allocate(void *context)
{
    fby_rng *rng = context;
    for (uint64_t i = 0; i < SLICES; i++) {
        size_t words = 1 + fby_rng_below(rng, i % 5000 < 500 ? 256 : 16);
        void *memory;
        while (fby_ring_alloc_shared(shared.pool, words * sizeof(uint64_t), &memory) != FBY_OK)
            relax();
        uint64_t *slice = memory;
        slice[0] = words;
        for (size_t k = 1; k < words; k++)
            slice[k] = i + k;
        while (atomic_load_explicit(&shared.cells[i % QUEUE], memory_order_acquire) != NULL)
            relax();
        atomic_store_explicit(&shared.cells[i % QUEUE], slice, memory_order_release);
    }
    return NULL;
}

static bool spoil(uint64_t *slice)
{
    uint64_t words = slice[0];
    bool whole = words >= 1 && words <= 256;
    for (size_t k = 1; whole && k < words; k++)
        whole = slice[k] - slice[1] == k - 1;
    for (size_t k = 0; whole && k < words; k++)
        slice[k] = UINT64_MAX;
    return whole;
}

static void *release(void *context)
{
    uint64_t *held[HELD];
    size_t count = 0, *wrong = context;
    for (uint64_t next = 0; next < SLICES || count > 0;) {
        uint64_t *slice = NULL;
        if (next < SLICES && count < HELD)
            slice = atomic_load_explicit(&shared.cells[next % QUEUE], memory_order_acquire);
        if (slice != NULL) {
            held[count++] = slice;
            atomic_store_explicit(&shared.cells[next++ % QUEUE], NULL, memory_order_release);
        }
        if (count == HELD || (count > 0 && (slice == NULL || fby_rng_bool(&shared.rng)))) {
            size_t i = fby_rng_below(&shared.rng, count);
            *wrong += !spoil(held[i]);
            fby_ring_release_shared(shared.pool, held[i]);
            held[i] = held[--count];
        }
    }
    return NULL;
}

static void *watch(void *context)
{
    size_t *wrong = context;
    while (!atomic_load_explicit(&shared.over, memory_order_relaxed)) {
        fby_ring_pool_stats stats = {.struct_size = sizeof stats};
        fby_ring_pool_get_stats(shared.pool, &stats);
        *wrong += stats.in_flight_bytes > INT64_MAX || stats.span_bytes > INT64_MAX;
    }
    return NULL;
}

static void two_threads_share_a_pool_and_a_third_watches(void **state)
{
    (void)state;
    shared.rng = fby_rng_from_env();
    fby_rng rng = {fby_rng_next(&shared.rng)};
    fby_ring_pool_options options = FBY_RING_POOL_OPTIONS_INIT;
    options.kind = FBY_RING_SHARED;
    options.capacity_bytes = 32 << 10;
    assert_int_equal(fby_ring_pool_create(&options, &shared.pool), FBY_OK);

    size_t torn = 0, negative = 0;
    pthread_t allocator, releaser, watcher;
    assert_int_equal(pthread_create(&watcher, NULL, watch, &negative), 0);
    assert_int_equal(pthread_create(&releaser, NULL, release, &torn), 0);
    assert_int_equal(pthread_create(&allocator, NULL, allocate, &rng), 0);
    pthread_join(allocator, NULL);
    pthread_join(releaser, NULL);
    atomic_store_explicit(&shared.over, true, memory_order_relaxed);
    pthread_join(watcher, NULL);
    assert_int_equal(torn, 0);
    assert_int_equal(negative, 0);

    fby_ring_pool_stats stats = {.struct_size = sizeof stats};
    assert_int_equal(fby_ring_pool_get_stats(shared.pool, &stats), FBY_OK);
    assert_int_equal(stats.in_flight_bytes, 0);
    assert_true(stats.wraps > 100);
    fby_ring_pool_destroy(shared.pool);
}

/* More than the queue of returned slices holds, while nothing is allocated: the releasing thread
 * then leaves its word in the pool's marks. The counters that say when are relaxed, so only the
 * pool itself orders what one thread did with a slice before what the other does. */
enum { ROUND = 6000, ROUNDS = 20 };

static struct {
    fby_ring_pool *pool;
    uint64_t *slices[ROUND];
    atomic_int allocated;
    atomic_int released;
} rounds;

static void *release_rounds(void *context)
{
    size_t *wrong = context;
    for (int round = 1; round <= ROUNDS; round++) {
        while (atomic_load_explicit(&rounds.allocated, memory_order_acquire) < round)
            relax();
        for (size_t i = 0; i < ROUND; i++) {
            uint64_t *slice = rounds.slices[(i * 7) % ROUND];
            *wrong += *slice != (uint64_t)round;
            *slice = 0;
            fby_ring_release_shared(rounds.pool, slice);
        }
        atomic_store_explicit(&rounds.released, round, memory_order_relaxed);
    }
    return NULL;
}

static void a_shared_pool_orders_what_overflows_its_queue(void **state)
{
    (void)state;
    fby_ring_pool_options options = FBY_RING_POOL_OPTIONS_INIT;
    options.kind = FBY_RING_SHARED;
    options.capacity_bytes = (size_t)ROUND * 64;
    assert_int_equal(fby_ring_pool_create(&options, &rounds.pool), FBY_OK);

    size_t wrong = 0;
    pthread_t releaser;
    assert_int_equal(pthread_create(&releaser, NULL, release_rounds, &wrong), 0);
    for (int round = 1; round <= ROUNDS; round++) {
        while (atomic_load_explicit(&rounds.released, memory_order_relaxed) < round - 1)
            relax();
        for (size_t i = 0; i < ROUND; i++) {
            void *slice = NULL;
            while (fby_ring_alloc(rounds.pool, 64, &slice) != FBY_OK)
                relax(); /* what was released may take a moment to be seen */
            *(uint64_t *)slice = (uint64_t)round;
            rounds.slices[i] = slice;
        }
        atomic_store_explicit(&rounds.allocated, round, memory_order_release);
    }
    pthread_join(releaser, NULL);
    assert_int_equal(wrong, 0);
    fby_ring_pool_destroy(rounds.pool);
}

static void *watch_local(void *context)
{
    fby_ring_pool *pool = context;
    size_t wrong = 0;
    while (!atomic_load_explicit(&shared.over, memory_order_relaxed)) {
        fby_ring_pool_stats stats = {.struct_size = sizeof stats};
        fby_ring_pool_get_stats(pool, &stats);
        wrong += stats.in_flight_bytes > INT64_MAX || stats.span_bytes > INT64_MAX;
    }
    return (void *)(uintptr_t)wrong;
}

static void another_thread_reads_the_statistics_of_a_local_pool(void **state)
{
    (void)state;
    for (fby_ring_kind kind = FBY_RING_LOCAL; kind <= FBY_RING_LOCAL_UNORDERED; kind++) {
        fby_ring_pool *pool;
        fby_ring_pool_options options = FBY_RING_POOL_OPTIONS_INIT;
        options.kind = kind;
        options.capacity_bytes = 64 << 10;
        assert_int_equal(fby_ring_pool_create(&options, &pool), FBY_OK);
        atomic_store_explicit(&shared.over, false, memory_order_relaxed);
        pthread_t watcher;
        assert_int_equal(pthread_create(&watcher, NULL, watch_local, pool), 0);
        void *held[16] = {NULL};
        for (size_t i = 0; i < SLICES; i++) {
            if (held[i % 16] != NULL)
                fby_ring_release(pool, held[i % 16]);
            assert_int_equal(fby_ring_alloc(pool, 64 + i % 2000, &held[i % 16]), FBY_OK);
        }
        atomic_store_explicit(&shared.over, true, memory_order_relaxed);
        void *wrong;
        pthread_join(watcher, &wrong);
        assert_null(wrong);
        fby_ring_pool_destroy(pool);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_threads_share_a_pool_and_a_third_watches),
        cmocka_unit_test(a_shared_pool_orders_what_overflows_its_queue),
        cmocka_unit_test(another_thread_reads_the_statistics_of_a_local_pool),
    };
    return cmocka_run_group_tests_name("ring_stress", tests, NULL, NULL);
}
