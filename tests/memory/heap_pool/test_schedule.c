/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every step of a random schedule of acquisitions, releases, pins, compactions and
 * growth against a list of what lives. FBY_TEST_STEPS makes it longer: 10,000,000
 * take a minute.
 */
#include "forebay/heap_pool.h"
#include "test.h"

enum { KIB = 1 << 10, LIVE_MAX = 4000, HEAP = 4 << 20, HEAPS = 2, HEAPS_MAX = 6 };

typedef struct live {
    fby_heap_block block;
    uint64_t bytes, seed;
    unsigned char *pinned; /* where, while it is */
    uint32_t align;
} live;

static live all[LIVE_MAX];
static unsigned count;
static uint64_t steps_wanted = 60000;

/* The first and the last words, and one in 64, say whose block it is. */
static void write_content(const live *one, unsigned char *at)
{
    for (uint64_t i = 0; i + 8 <= one->bytes; i += i < 64 || i + 64 > one->bytes ? 8 : 64) {
        uint64_t word = one->seed ^ i;
        memcpy(at + i, &word, 8);
    }
}

static void check_content(const live *one, const unsigned char *at)
{
    for (uint64_t i = 0; i + 8 <= one->bytes; i += i < 64 || i + 64 > one->bytes ? 8 : 64) {
        uint64_t word;
        memcpy(&word, at + i, 8);
        if (word != (one->seed ^ i))
            fail_msg("byte %llu of a block of %llu was changed", (unsigned long long)i,
                     (unsigned long long)one->bytes);
    }
}

static uint64_t random_size(fby_rng *rng)
{
    switch (fby_rng_below(rng, 16)) {
    case 0:
        return 1 + fby_rng_below(rng, 512 * KIB);
    case 1:
    case 2:
        return 1 + fby_rng_below(rng, 32 * KIB);
    default:
        return 1 + fby_rng_below(rng, 3 * KIB);
    }
}

static void acquire(fby_heap_pool *pool, fby_rng *rng)
{
    live one = {.bytes = random_size(rng), .seed = fby_rng_next(rng)};
    fby_heap_place place;
    one.align = 64u << (fby_rng_below(rng, 8) == 0 ? fby_rng_below(rng, 7) : 0);
    assert_int_equal(fby_heap_acquire(pool, one.bytes, one.align, "step", &one.block, &place),
                     FBY_OK);
    assert_int_equal((uintptr_t)place.address % one.align, 0);
    assert_int_equal(place.bytes, one.bytes);
    write_content(&one, place.address);
    one.pinned = place.address;
    if (fby_rng_below(rng, 8) != 0) {
        fby_heap_unpin(pool, one.block);
        one.pinned = NULL;
    }
    all[count++] = one;
}

static void look_at(fby_heap_pool *pool, live *one)
{
    fby_heap_place place;
    fby_heap_pin(pool, one->block, &place);
    if (one->pinned != NULL)
        assert_ptr_equal(place.address, one->pinned);
    assert_int_equal((uintptr_t)place.address % one->align, 0);
    check_content(one, place.address);
    fby_heap_unpin(pool, one->block);
}

static void release(fby_heap_pool *pool, unsigned at)
{
    look_at(pool, &all[at]);
    fby_heap_release(pool, all[at].block);
    all[at] = all[--count];
}

static void toggle_pin(fby_heap_pool *pool, live *one)
{
    fby_heap_place place;
    if (one->pinned != NULL) {
        fby_heap_unpin(pool, one->block);
        one->pinned = NULL;
        return;
    }
    fby_heap_pin(pool, one->block, &place);
    check_content(one, place.address);
    one->pinned = place.address;
}

static int by_address(const void *a, const void *b)
{
    const unsigned char *x = *(unsigned char *const *)a, *y = *(unsigned char *const *)b;
    return (x > y) - (x < y);
}

/* Contents would tell of an overlap once something was written there; addresses tell at once. */
static void check_all(fby_heap_pool *pool)
{
    static struct {
        unsigned char *at;
        uint64_t bytes;
    } places[LIVE_MAX];
    uint64_t bytes = 0;
    for (unsigned i = 0; i < count; i++) {
        fby_heap_place place;
        look_at(pool, &all[i]);
        fby_heap_pin(pool, all[i].block, &place);
        places[i].at = place.address;
        places[i].bytes = place.bytes;
        bytes += place.bytes;
    }
    qsort(places, count, sizeof places[0], by_address);
    for (unsigned i = 1; i < count; i++)
        assert_true(places[i - 1].at + places[i - 1].bytes <= places[i].at);
    for (unsigned i = 0; i < count; i++)
        fby_heap_unpin(pool, all[i].block);

    fby_heap_pool_stats stats = {.struct_size = sizeof stats};
    assert_int_equal(fby_heap_pool_get_stats(pool, &stats), FBY_OK);
    assert_int_equal(stats.all.active, count);
    assert_int_equal(stats.all.active_bytes, bytes);
    assert_int_equal(stats.all.acquired - stats.all.released, count);
}

static void step(fby_heap_pool *pool, fby_rng *rng, unsigned wanted)
{
    uint64_t what = fby_rng_below(rng, 64);
    bool more = fby_rng_below(rng, 2 * wanted) >= count;
    if (what < 56 && more && count < LIVE_MAX)
        acquire(pool, rng);
    else if (what < 56 && count > 0)
        release(pool, (unsigned)fby_rng_below(rng, count));
    else if (what < 63 && count > 0)
        toggle_pin(pool, &all[fby_rng_below(rng, count)]);
    else if (fby_rng_below(rng, 64) == 0)
        (void)fby_heap_pool_compact(pool);
}

static void run(fby_heap_strategy strategy, fby_rng *rng)
{
    fby_heap_pool_options options = FBY_HEAP_POOL_OPTIONS_INIT;
    fby_heap_pool *pool;
    fby_heap_closing closing = {.struct_size = sizeof closing};
    options.num_heaps = HEAPS;
    options.heap_bytes = HEAP;
    options.strategy = strategy;
    options.dynamic_growth = true;
    options.max_heaps = HEAPS_MAX;
    options.growth_trigger = 0.6;
    options.compaction = true;
    options.compaction_threshold = 0.05;
    options.compaction_interval_ms = 5;
    if (fby_heap_pool_create(&options, &pool) != FBY_OK)
        fail_msg("%s", fby_last_error());

    uint64_t moved = 0, grown = 0, shrunk = 0, fallback = 0;
    for (uint64_t i = 0; i < steps_wanted; i++) {
        /* Between a nearly empty pool and one that overflows its largest size. */
        unsigned wanted = i / 20000 % 3 == 0 ? 1600 : i / 20000 % 3 == 1 ? 300 : 30;
        step(pool, rng, wanted);
        if (i % 20000 == 19999) {
            check_all(pool);
            fby_heap_pool_stats stats = {.struct_size = sizeof stats};
            assert_int_equal(fby_heap_pool_get_stats(pool, &stats), FBY_OK);
            moved = stats.all.moved;
            grown = stats.grown;
            shrunk = stats.shrunk;
            fallback = stats.fallback;
        }
    }
    printf("%llu moved, %llu heaps added, %llu given back, %llu blocks of the system\n",
           (unsigned long long)moved, (unsigned long long)grown, (unsigned long long)shrunk,
           (unsigned long long)fallback);
    assert_true(moved > 0 && grown > 0);
    check_all(pool);
    while (count > 0)
        release(pool, count - 1);
    fby_heap_pool_close(pool, &closing);
    assert_int_equal(closing.acquired, closing.released);
    assert_int_equal(closing.leaked, 0);
}

static void a_random_schedule_matches_its_model(void **state)
{
    (void)state;
    fby_rng rng = fby_rng_from_env();
    for (int strategy = 0; strategy < 3; strategy++)
        run((fby_heap_strategy)strategy, &rng);
}

int main(void)
{
    const char *steps = getenv("FBY_TEST_STEPS");
    if (steps != NULL)
        steps_wanted = strtoull(steps, NULL, 10) / 3 + 20000;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_random_schedule_matches_its_model),
    };
    return cmocka_run_group_tests_name("heap_schedule", tests, NULL, NULL);
}
