/* SPDX-License-Identifier: Apache-2.0 */
/* Threads at the pool's limit: acquiring, moving, handing over, looking on. For TSan above all. */
#include "forebay/heap_pool.h"
#include "test.h"

#include <pthread.h>
#include <stdatomic.h>

#ifndef __has_feature /* clang's */
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__) ||                               \
    __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
enum { ROUNDS = 4000, LITTLE_ROUNDS = 2000 };
#else
enum { ROUNDS = 20000, LITTLE_ROUNDS = 200000 };
#endif
enum { THREADS = 4, HELD = 48, SHELF = 64, MIB = 1 << 20 };

typedef struct held {
    fby_heap_block block;
    uint64_t bytes, seed;
} held;

/* Where blocks lie that their thread has given up and any may take. */
static struct {
    pthread_mutex_t lock;
    held items[SHELF];
    unsigned count;
} shelf = {.lock = PTHREAD_MUTEX_INITIALIZER};

static fby_heap_pool *pool;
static atomic_bool stop;
static atomic_uint failures;

static void write_block(const held *one, const fby_heap_place *place)
{
    unsigned char *at = place->address;
    for (uint64_t i = 0; i < one->bytes; i += 61)
        at[i] = (unsigned char)(one->seed + i);
    at[one->bytes - 1] = (unsigned char)one->seed;
}

static void check_block(const held *one)
{
    fby_heap_place place;
    fby_heap_pin(pool, one->block, &place);
    const unsigned char *at = place.address;
    bool right = place.bytes == one->bytes && at[one->bytes - 1] == (unsigned char)one->seed;
    for (uint64_t i = 0; i + 1 < one->bytes && right; i += 61)
        right = at[i] == (unsigned char)(one->seed + i);
    fby_heap_unpin(pool, one->block);
    if (!right)
        atomic_fetch_add(&failures, 1);
}

/* Puts `mine` there and takes another, or the same. */
static held swap_on_shelf(held mine, uint64_t at)
{
    pthread_mutex_lock(&shelf.lock);
    if (shelf.count < SHELF) {
        shelf.items[shelf.count++] = mine;
        mine = (held){0};
    } else {
        held other = shelf.items[at % SHELF];
        shelf.items[at % SHELF] = mine;
        mine = other;
    }
    pthread_mutex_unlock(&shelf.lock);
    return mine;
}

static void acquire(held *one, fby_rng *rng)
{
    fby_heap_place place;
    one->bytes = 1 + fby_rng_below(rng, fby_rng_below(rng, 16) == 0 ? 100000 : 6000);
    one->seed = fby_rng_next(rng);
    if (fby_heap_acquire(pool, one->bytes, 0, "thread", &one->block, &place) != FBY_OK) {
        atomic_fetch_add(&failures, 1);
        *one = (held){0};
        return;
    }
    write_block(one, &place);
    fby_heap_unpin(pool, one->block);
}

static void *work(void *argument)
{
    fby_rng rng = {*(uint64_t *)argument};
    held mine[HELD] = {{0}};

    for (int i = 0; i < ROUNDS; i++) {
        held *one = &mine[fby_rng_below(&rng, HELD)];
        if (one->block == 0) {
            acquire(one, &rng);
        } else if (fby_rng_below(&rng, 4) == 0) {
            *one = swap_on_shelf(*one, fby_rng_next(&rng));
        } else {
            check_block(one);
            if (fby_rng_bool(&rng)) {
                fby_heap_release(pool, one->block);
                one->block = 0;
            }
        }
    }
    for (int i = 0; i < HELD; i++)
        if (mine[i].block != 0) {
            check_block(&mine[i]);
            fby_heap_release(pool, mine[i].block);
        }
    return NULL;
}

static void *look_on(void *unused)
{
    (void)unused;
    fby_heap_pool_stats *stats = calloc(1, sizeof *stats);
    stats->struct_size = sizeof *stats;
    for (unsigned i = 0; !atomic_load(&stop); i++) {
        if (fby_heap_pool_get_stats(pool, stats) != FBY_OK)
            atomic_fetch_add(&failures, 1);
        for (uint32_t heap = 0; heap < stats->max_heaps; heap++)
            if (stats->heaps[heap].used_bytes < stats->heaps[heap].active_bytes ||
                stats->heaps[heap].used_bytes > stats->heaps[heap].capacity_bytes)
                atomic_fetch_add(&failures, 1);
        if (i % 7 == 0)
            (void)fby_heap_pool_compact(pool);
        if (i % 50 == 0)
            fby_heap_pool_reset_stats(pool);
    }
    free(stats);
    return NULL;
}

static void run(fby_heap_strategy strategy, bool growth, fby_rng *rng)
{
    fby_heap_pool_options options = FBY_HEAP_POOL_OPTIONS_INIT;
    fby_heap_closing closing = {.struct_size = sizeof closing};
    pthread_t threads[THREADS], looker;
    uint64_t seeds[THREADS];
    options.num_heaps = 2;
    options.heap_bytes = MIB / 2; /* less than the threads hold */
    options.strategy = strategy;
    options.dynamic_growth = growth;
    options.max_heaps = 4;
    options.growth_trigger = 0.7;
    options.compaction = true;
    options.compaction_threshold = 0.01;
    options.compaction_interval_ms = 1;
    if (fby_heap_pool_create(&options, &pool) != FBY_OK)
        fail_msg("%s", fby_last_error());

    atomic_store(&stop, false);
    assert_int_equal(pthread_create(&looker, NULL, look_on, NULL), 0);
    for (int i = 0; i < THREADS; i++) {
        seeds[i] = fby_rng_next(rng);
        assert_int_equal(pthread_create(&threads[i], NULL, work, &seeds[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    atomic_store(&stop, true);
    pthread_join(looker, NULL);
    while (shelf.count > 0) {
        held *last = &shelf.items[--shelf.count];
        check_block(last);
        fby_heap_release(pool, last->block);
    }
    fby_heap_pool_close(pool, &closing);
    assert_int_equal(atomic_load(&failures), 0);
    assert_int_equal(closing.leaked, 0);
    assert_int_equal(closing.acquired, closing.released);
    assert_true(closing.acquired > 0);
}

static void blocks_survive_four_threads_at_exhaustion(void **state)
{
    (void)state;
    fby_rng rng = fby_rng_from_env();
    for (int strategy = 0; strategy < 3; strategy++)
        run((fby_heap_strategy)strategy, false, &rng);
}

static void and_growth_meanwhile(void **state)
{
    (void)state;
    fby_rng rng = fby_rng_from_env();
    run(FBY_HEAP_ROUND_ROBIN, true, &rng);
}

/* ---- a pool with room ---- */

enum { FEW = 4 };

static void *use_little(void *argument)
{
    fby_rng rng = {*(uint64_t *)argument};
    fby_heap_block mine[FEW] = {0};
    for (int i = 0; i < LITTLE_ROUNDS; i++) {
        fby_heap_block *one = &mine[fby_rng_below(&rng, FEW)];
        if (*one != 0)
            fby_heap_release(pool, *one);
        uint64_t bytes = 1 + fby_rng_below(&rng, 6000);
        if (fby_heap_acquire(pool, bytes, 0, "little", one, NULL) != FBY_OK) {
            atomic_fetch_add(&failures, 1);
            *one = 0;
        }
    }
    for (int i = 0; i < FEW; i++)
        if (mine[i] != 0)
            fby_heap_release(pool, mine[i]);
    return NULL;
}

/* One heap, so that its free block is in no list whenever a thread is in the middle of a call. */
static void run_little(fby_heap_strategy strategy, fby_rng *rng)
{
    fby_heap_pool_options options = FBY_HEAP_POOL_OPTIONS_INIT;
    fby_heap_pool_stats stats = {.struct_size = sizeof stats};
    pthread_t threads[THREADS];
    uint64_t seeds[THREADS];
    options.num_heaps = 1;
    options.heap_bytes = MIB; /* a tenth of it is used */
    options.strategy = strategy;
    options.dynamic_growth = true;
    options.max_heaps = 2;
    if (fby_heap_pool_create(&options, &pool) != FBY_OK)
        fail_msg("%s", fby_last_error());
    for (int i = 0; i < THREADS; i++) {
        seeds[i] = fby_rng_next(rng);
        assert_int_equal(pthread_create(&threads[i], NULL, use_little, &seeds[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(fby_heap_pool_get_stats(pool, &stats), FBY_OK);
    fby_heap_pool_close(pool, NULL);
    assert_int_equal(atomic_load(&failures), 0);
    assert_int_equal(stats.all.acquired, THREADS * LITTLE_ROUNDS);
    assert_int_equal(stats.fallback, 0);
    assert_int_equal(stats.grown, 0);
}

static void a_heap_with_room_never_seems_full(void **state)
{
    (void)state;
    fby_rng rng = fby_rng_from_env();
    for (int strategy = 0; strategy < 3; strategy++)
        run_little((fby_heap_strategy)strategy, &rng);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_survive_four_threads_at_exhaustion),
        cmocka_unit_test(and_growth_meanwhile),
        cmocka_unit_test(a_heap_with_room_never_seems_full),
    };
    return cmocka_run_group_tests_name("heap_threads", tests, NULL, NULL);
}
