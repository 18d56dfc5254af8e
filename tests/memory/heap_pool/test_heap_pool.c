/* SPDX-License-Identifier: Apache-2.0 */
#include "forebay/heap_pool.h"

#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include "memory/heap_pool/pool.h"
#include "test.h"

enum { KIB = 1 << 10, MIB = 1 << 20 };

static char lines[8][512];
static unsigned line_count;

static void keep_line(void *context, const char *line)
{
    (void)context;
    snprintf(lines[line_count++ % 8], sizeof lines[0], "%s", line);
}

static fby_heap_pool_options small(uint32_t heaps, uint64_t bytes)
{
    fby_heap_pool_options options = FBY_HEAP_POOL_OPTIONS_INIT;
    options.num_heaps = heaps;
    options.heap_bytes = bytes;
    options.log = keep_line;
    line_count = 0;
    return options;
}

static fby_heap_pool *made(const fby_heap_pool_options *options)
{
    fby_heap_pool *pool = NULL;
    if (fby_heap_pool_create(options, &pool) != FBY_OK)
        fail_msg("%s", fby_last_error());
    return pool;
}

static fby_heap_block taken(fby_heap_pool *pool, uint64_t bytes)
{
    fby_heap_block block = 0;
    assert_int_equal(fby_heap_acquire(pool, bytes, 0, "test", &block, NULL), FBY_OK);
    assert_int_not_equal(block, 0);
    return block;
}

static fby_heap_pool_stats stats_of(fby_heap_pool *pool)
{
    fby_heap_pool_stats stats = {.struct_size = sizeof stats};
    assert_int_equal(fby_heap_pool_get_stats(pool, &stats), FBY_OK);
    return stats;
}

/* ---- blocks ---- */

static void a_block_is_aligned_and_writable_to_its_last_byte(void **state)
{
    (void)state;
    fby_heap_pool_options options = small(2, MIB);
    fby_heap_pool *pool = made(&options);
    for (uint32_t align = 1; align <= FBY_HEAP_ALIGN_MAX; align *= 2) {
        fby_heap_block block;
        fby_heap_place place;
        assert_int_equal(fby_heap_acquire(pool, 1000 + align, align, "x", &block, &place), FBY_OK);
        assert_int_equal(place.bytes, 1000 + align);
        assert_int_equal((uintptr_t)place.address % (align > 64 ? align : 64), 0);
        memset(place.address, 0x5a, place.bytes);
        fby_heap_release(pool, block);
    }
    assert_int_equal(stats_of(pool).all.active, 0);
    fby_heap_pool_close(pool, NULL);
}

static void refuses_what_makes_no_sense(void **state)
{
    (void)state;
    fby_heap_pool_options options = small(1, MIB);
    fby_heap_pool *pool = made(&options);
    fby_heap_block block = 7;
    assert_int_equal(fby_heap_acquire(pool, 0, 0, NULL, &block, NULL), FBY_EINVAL);
    assert_int_equal(fby_heap_acquire(pool, 1, 3, NULL, &block, NULL), FBY_EINVAL);
    assert_int_equal(fby_heap_acquire(pool, 1, 8192, NULL, &block, NULL), FBY_EINVAL);
    assert_int_equal(fby_heap_acquire(pool, UINT64_MAX, 0, NULL, &block, NULL), FBY_ENOMEM);
    assert_int_equal(block, 7);
    assert_int_equal(stats_of(pool).refused, 1);
    fby_heap_pool_close(pool, NULL);

    options.heap_bytes = 0;
    assert_int_equal(fby_heap_pool_create(&options, &pool), FBY_EINVAL);
    assert_non_null(strstr(fby_last_error(), "heap_bytes"));
    options = small(FBY_HEAP_HEAPS_MAX + 1, MIB);
    assert_int_equal(fby_heap_pool_create(&options, &pool), FBY_EINVAL);
    options = small(4, MIB);
    options.dynamic_growth = true;
    options.max_heaps = 3;
    assert_int_equal(fby_heap_pool_create(&options, &pool), FBY_EINVAL);
    assert_non_null(strstr(fby_last_error(), "max_heaps"));
    options = small(1, MIB);
    options.growth_trigger = 1.5;
    assert_int_equal(fby_heap_pool_create(&options, &pool), FBY_EINVAL);
    options = small(1, MIB);
    options.strategy = (fby_heap_strategy)9;
    assert_int_equal(fby_heap_pool_create(&options, &pool), FBY_EINVAL);
}

static void a_heap_gives_its_last_byte_and_no_more(void **state)
{
    (void)state;
    fby_heap_pool_options options = small(1, MIB);
    fby_heap_pool *pool = made(&options);
    fby_heap_block whole = taken(pool, MIB);
    assert_int_equal(stats_of(pool).fallback, 0);
    fby_heap_block other = taken(pool, 64);
    fby_heap_pool_stats stats = stats_of(pool);
    assert_int_equal(stats.fallback, 1);
    assert_true(stats.utilisation == 1.0);
    fby_heap_release(pool, whole);
    fby_heap_release(pool, other);
    fby_heap_pool_close(pool, NULL);
}

/* ---- strategies ---- */

static void round_robin_goes_from_heap_to_heap(void **state)
{
    (void)state;
    fby_heap_pool_options options = small(3, MIB);
    fby_heap_pool *pool = made(&options);
    for (int i = 0; i < 6; i++)
        (void)taken(pool, 64);
    fby_heap_pool_stats stats = stats_of(pool);
    for (int i = 0; i < 3; i++)
        assert_int_equal(stats.heaps[i].acquired, 2);
    fby_heap_pool_close(pool, NULL);
}

static void least_used_takes_the_emptiest(void **state)
{
    (void)state;
    fby_heap_pool_options options = small(3, MIB);
    options.strategy = FBY_HEAP_LEAST_USED;
    fby_heap_pool *pool = made(&options);
    (void)taken(pool, 100 * KIB);
    (void)taken(pool, 50 * KIB);
    (void)taken(pool, 10 * KIB);
    (void)taken(pool, 10 * KIB); /* beside the smallest */
    fby_heap_pool_stats stats = stats_of(pool);
    assert_int_equal(stats.heaps[2].acquired, 2);
    fby_heap_pool_close(pool, NULL);
}

static void best_fit_takes_the_smallest_piece_that_holds_it(void **state)
{
    (void)state;
    fby_heap_pool_options options = small(2, MIB);
    options.strategy = FBY_HEAP_BEST_FIT;
    fby_heap_pool *pool = made(&options);
    (void)taken(pool, 900 * KIB); /* the first heap has 124 KiB left, the second 1 MiB */
    (void)taken(pool, 100 * KIB);
    (void)taken(pool, 100 * KIB);
    fby_heap_pool_stats stats = stats_of(pool);
    assert_int_equal(stats.heaps[0].acquired, 2);
    assert_int_equal(stats.heaps[1].acquired, 1);
    fby_heap_pool_close(pool, NULL);
}

/* ---- exhaustion ---- */

static void exhaustion_falls_back_is_counted_and_told_of_once(void **state)
{
    (void)state;
    fby_heap_pool_options options = small(2, MIB);
    options.log_exhaustion = true;
    fby_heap_pool *pool = made(&options);
    fby_heap_block blocks[4];
    for (int i = 0; i < 4; i++) {
        fby_heap_place place;
        assert_int_equal(fby_heap_acquire(pool, 700 * KIB, 0, "rows", &blocks[i], &place), FBY_OK);
        memset(place.address, i, place.bytes);
    }
    fby_heap_pool_stats stats = stats_of(pool);
    assert_int_equal(stats.all.acquired, 4);
    assert_int_equal(stats.fallback, 2);
    assert_int_equal(stats.fallback_active_bytes, 2 * 700 * KIB);
    assert_true(stats.hit_rate == 0.5 && stats.fallback_rate == 0.5);
    assert_int_equal(line_count, 1);
    assert_non_null(strstr(lines[0], "716800 bytes (rows)"));
    assert_non_null(strstr(lines[0], "raise num_heaps"));
    for (int i = 0; i < 4; i++)
        fby_heap_release(pool, blocks[i]);
    stats = stats_of(pool);
    assert_int_equal(stats.all.released, 4);
    assert_int_equal(stats.all.active, 0);
    assert_int_equal(stats.fallback_active, 0);
    fby_heap_pool_close(pool, NULL);
}

static void a_block_larger_than_a_heap_names_the_heap_size(void **state)
{
    (void)state;
    fby_heap_pool_options options = small(2, MIB);
    options.log_exhaustion = true;
    fby_heap_pool *pool = made(&options);
    fby_heap_release(pool, taken(pool, 2 * MIB));
    assert_int_equal(line_count, 1);
    assert_non_null(strstr(lines[0], "raise heap_size_mb"));
    fby_heap_pool_close(pool, NULL);
}

static void a_disabled_pool_asks_the_system_each_time(void **state)
{
    (void)state;
    fby_heap_pool_options options = FBY_HEAP_POOL_OPTIONS_INIT;
    options.disabled = true;
    options.log_exhaustion = true;
    options.log = keep_line;
    line_count = 0;
    fby_heap_pool *pool = made(&options);
    fby_heap_release(pool, taken(pool, 5 * KIB));
    fby_heap_pool_stats stats = stats_of(pool);
    assert_int_equal(stats.fallback, 1);
    assert_int_equal(stats.all.capacity_bytes, 0);
    assert_int_equal(line_count, 0);
    fby_heap_pool_close(pool, NULL);
}

static void blocks_max_is_named_where_records_are_short(void **state)
{
    (void)state;
    fby_heap_pool_options options = small(1, MIB);
    options.log_exhaustion = true;
    options.blocks_max = 16;
    fby_heap_pool *pool = made(&options);
    for (int i = 0; i < 15; i++)
        (void)taken(pool, 64);
    assert_int_equal(stats_of(pool).fallback, 0);
    (void)taken(pool, 64);
    fby_heap_pool_stats stats = stats_of(pool);
    assert_int_equal(stats.fallback, 1);
    assert_int_equal(stats.crowded, 1);
    assert_int_equal(line_count, 1);
    assert_non_null(strstr(lines[0], "no record"));
    assert_non_null(strstr(lines[0], "raise blocks_max"));
    (void)taken(pool, 2 * MIB);
    assert_int_equal(stats_of(pool).crowded, 1);
    fby_heap_pool_reset_stats(pool);
    assert_int_equal(stats_of(pool).crowded, 0);
    fby_heap_pool_close(pool, NULL);
}

/* ---- growth ---- */

static bool is_wanted(fby_heap_pool *pool)
{
    return atomic_load(&pool->upkeep.wanted) || stats_of(pool).grown > 0;
}

static fby_heap_pool_options growing(void)
{
    fby_heap_pool_options options = small(1, MIB);
    options.dynamic_growth = true;
    options.max_heaps = 4;
    return options;
}

static void a_block_larger_than_a_heap_adds_none(void **state)
{
    (void)state;
    fby_heap_pool_options options = growing();
    fby_heap_pool *pool = made(&options);
    (void)taken(pool, 2 * MIB);
    assert_false(is_wanted(pool));
    (void)taken(pool, 512 * KIB);
    assert_false(is_wanted(pool));
    (void)taken(pool, 513 * KIB);
    assert_true(is_wanted(pool));
    while (stats_of(pool).grown == 0)
        sched_yield();
    fby_heap_pool_close(pool, NULL);
}

static void no_heap_is_added_when_there_is_room_again(void **state)
{
    (void)state;
    fby_heap_pool_options options = growing();
    fby_heap_pool *pool = made(&options);
    pthread_mutex_lock(&pool->upkeep.turn);
    fby_heap_block half = taken(pool, 512 * KIB);
    (void)taken(pool, 513 * KIB);
    fby_heap_release(pool, half);
    pthread_mutex_unlock(&pool->upkeep.turn);
    while (atomic_load(&pool->upkeep.wanted))
        sched_yield();
    assert_int_equal(stats_of(pool).grown, 0);
    fby_heap_pool_close(pool, NULL);
}

/* The share of all counts, also where the heap that serves is less used. */
static void growth_begins_at_the_share_of_all_heaps(void **state)
{
    (void)state;
    fby_heap_pool_options options = growing();
    options.num_heaps = 2;
    fby_heap_pool *pool = made(&options);
    (void)taken(pool, MIB);
    (void)taken(pool, 800 * KIB); /* 89 % */
    assert_false(is_wanted(pool));
    (void)taken(pool, 32 * KIB); /* 90.6 %, of this heap 81 */
    assert_true(is_wanted(pool));
    fby_heap_pool_close(pool, NULL);
}

/* ---- sizes, warm-up ---- */

static void auto_size_holds_the_parts_in_any_order(void **state)
{
    (void)state;
    static const uint64_t parts[] = {3 * MIB, 4 * MIB, 3 * MIB, 6 * MIB};
    fby_rng rng = fby_rng_from_env();
    for (int round = 0; round < 200; round++) {
        fby_heap_pool_options options = FBY_HEAP_POOL_OPTIONS_INIT;
        uint64_t random[12], sum = 0, largest = 0;
        size_t count = 1 + fby_rng_below(&rng, 12);
        for (size_t i = 0; i < count; i++)
            random[i] = 1 + fby_rng_below(&rng, fby_rng_bool(&rng) ? MIB : 20 * KIB);
        options.num_heaps = round == 0 ? 2 : 1 + (uint32_t)fby_rng_below(&rng, 5);
        options.parts = round == 0 ? parts : random;
        options.part_count = round == 0 ? 4 : count;
        options.strategy = (fby_heap_strategy)(round % 3);
        fby_heap_pool *pool = made(&options);
        for (size_t i = 0; i < options.part_count; i++) {
            uint64_t bytes = options.parts[i];
            fby_heap_block block;
            assert_int_equal(fby_heap_acquire(pool, bytes, 0, "part", &block, NULL), FBY_OK);
            sum += bytes;
            largest = bytes > largest ? bytes : largest;
        }
        fby_heap_pool_stats stats = stats_of(pool);
        assert_int_equal(stats.fallback, 0);
        assert_true(stats.heaps[0].capacity_bytes <=
                    sum / options.num_heaps + largest + 12 * 4 * KIB + 64 * KIB);
        fby_heap_pool_close(pool, NULL);
    }
}

static void one_heap_of_auto_size_is_the_parts_sum(void **state)
{
    (void)state;
    static const uint64_t parts[] = {300 * KIB, 100 * KIB, 200 * KIB, 100 * KIB, 100 * KIB};
    fby_heap_pool_options options = FBY_HEAP_POOL_OPTIONS_INIT;
    options.num_heaps = 1;
    options.parts = parts;
    options.part_count = 5;
    fby_heap_pool *pool = made(&options);
    assert_in_range(stats_of(pool).all.capacity_bytes, 800 * KIB, 832 * KIB);
    fby_heap_pool_close(pool, NULL);
}

static void warm_up_sizes_are_counted_and_one_too_large_is_told_of(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {512 * KIB, 2 * MIB, 4 * KIB};
    fby_heap_pool_options options = small(2, MIB);
    options.warmup_bytes = sizes;
    options.warmup_count = 3;
    fby_heap_pool *pool = made(&options);
    assert_int_equal(line_count, 1);
    assert_non_null(strstr(lines[0], "2097152"));
    assert_non_null(strstr(lines[0], "1048576"));
    fby_heap_pool_stats stats = stats_of(pool);
    assert_int_equal(stats.all.acquired, 0);
    assert_int_equal(stats.warmup_count, 3);
    assert_int_equal(stats.warmup_bytes[0], 4 * KIB); /* ascending */
    (void)taken(pool, 4 * KIB);
    (void)taken(pool, 4 * KIB + 1);
    (void)taken(pool, 64);
    (void)taken(pool, 3 * MIB);
    stats = stats_of(pool);
    assert_int_equal(stats.all.by_warmup[0], 2);
    assert_int_equal(stats.all.by_warmup[1], 1);
    assert_int_equal(stats.all.by_warmup[2], 0);
    assert_int_equal(stats.all.by_warmup[3], 1);
    fby_heap_pool_close(pool, NULL);
}

/* ---- statistics ---- */

static void statistics_add_up_and_begin_again(void **state)
{
    (void)state;
    fby_heap_pool_options options = small(2, MIB);
    fby_heap_pool *pool = made(&options);
    fby_heap_block a = taken(pool, 1000), b = taken(pool, 3000);
    fby_heap_release(pool, a);
    fby_heap_pool_stats stats = stats_of(pool);
    assert_int_equal(stats.all.acquired, 2);
    assert_int_equal(stats.all.released, 1);
    assert_int_equal(stats.all.active, 1);
    assert_int_equal(stats.all.active_bytes, 3000);
    assert_int_equal(stats.all.used_bytes, 3008);
    assert_int_equal(stats.all.largest_bytes, 3000);
    assert_true(stats.average_bytes == 2000.0);
    assert_true(stats.hit_rate == 1.0 && stats.fallback_rate == 0.0);
    assert_int_equal(stats.all.capacity_bytes, 2 * MIB);
    assert_int_equal(stats.heap_count, 2);
    assert_int_equal(stats.active_heaps, 1);
    assert_true(stats.fragmentation == 0.0);

    fby_heap_pool_reset_stats(pool);
    stats = stats_of(pool);
    assert_int_equal(stats.all.acquired, 0);
    assert_int_equal(stats.all.released, 0);
    assert_int_equal(stats.all.largest_bytes, 0);
    assert_int_equal(stats.all.active, 1);
    assert_int_equal(stats.all.active_bytes, 3000);
    fby_heap_release(pool, b);
    fby_heap_closing closing = {.struct_size = sizeof closing};
    fby_heap_pool_close(pool, &closing);
    assert_int_equal(closing.acquired, 2);
    assert_int_equal(closing.released, 2);
    assert_int_equal(closing.leaked, 0);
}

static void without_statistics_only_blocks_are_counted(void **state)
{
    (void)state;
    fby_heap_pool_options options = small(1, MIB);
    options.statistics_off = true;
    fby_heap_pool *pool = made(&options);
    (void)taken(pool, 5000);
    fby_heap_pool_stats stats = stats_of(pool);
    assert_false(stats.counting);
    assert_int_equal(stats.all.acquired, 1);
    assert_int_equal(stats.all.active_bytes, 5000);
    assert_int_equal(stats.all.largest_bytes, 0);
    assert_int_equal(stats.all.acquired_bytes, 0);
    fby_heap_pool_close(pool, NULL);
}

static void fragmentation_is_what_the_largest_piece_lacks(void **state)
{
    (void)state;
    fby_heap_pool_options options = small(1, MIB);
    fby_heap_pool *pool = made(&options);
    fby_heap_block blocks[4];
    for (int i = 0; i < 4; i++)
        blocks[i] = taken(pool, 256 * KIB);
    fby_heap_release(pool, blocks[0]);
    fby_heap_release(pool, blocks[2]);
    fby_heap_pool_stats stats = stats_of(pool);
    assert_true(stats.fragmentation == 0.5);
    assert_int_equal(stats.all.largest_free_bytes, 256 * KIB);
    fby_heap_pool_close(pool, NULL);
}

static void an_older_callers_statistics_end_where_they_did(void **state)
{
    (void)state;
    fby_heap_pool_options options = small(1, MIB);
    fby_heap_pool *pool = made(&options);
    (void)taken(pool, 1000);
    fby_heap_pool_stats stats = {.struct_size = offsetof(fby_heap_pool_stats, crowded),
                                 .crowded = 77};
    assert_int_equal(fby_heap_pool_get_stats(pool, &stats), FBY_OK);
    assert_int_equal(stats.heaps[0].acquired, 1);
    assert_int_equal(stats.struct_size, offsetof(fby_heap_pool_stats, crowded));
    assert_int_equal(stats.crowded, 77);
    struct {
        fby_heap_pool_stats stats;
        uint64_t later;
    } newer = {.stats.struct_size = sizeof newer, .later = 5};
    assert_int_equal(fby_heap_pool_get_stats(pool, &newer.stats), FBY_OK);
    assert_int_equal(newer.stats.all.acquired, 1);
    assert_int_equal(newer.later, 0);
    stats.struct_size = 4;
    assert_int_equal(fby_heap_pool_get_stats(pool, &stats), FBY_EINVAL);

    fby_heap_closing closing = {.struct_size = offsetof(fby_heap_closing, leaked), .leaked = 77};
    fby_heap_pool_close(pool, &closing);
    assert_int_equal(closing.acquired, 1);
    assert_int_equal(closing.leaked, 77);
}

/* ---- leaks ---- */

struct leaks {
    unsigned count;
    uint64_t bytes;
    char text[256];
};

static void keep_leak(void *context, const fby_heap_leak *leak)
{
    struct leaks *leaks = context;
    leaks->count++;
    leaks->bytes += leak->bytes;
    snprintf(leaks->text, sizeof leaks->text, "%s at %s", leak->label,
             leak->site != NULL ? leak->site : "?");
}

static void closing_names_what_was_not_released(void **state)
{
    (void)state;
    fby_heap_pool_options options = small(1, MIB);
    fby_heap_pool *pool = made(&options);
    struct leaks leaks = {0};
    fby_heap_closing closing = {
        .struct_size = sizeof closing, .leak = keep_leak, .context = &leaks};
    fby_heap_block block;
    fby_heap_release(pool, taken(pool, 100));
    assert_int_equal(fby_heap_acquire(pool, 2 * MIB, 0, "huge", &block, NULL), FBY_OK);
    assert_int_equal(fby_heap_acquire(pool, 77, 0, "forgotten", &block, NULL), FBY_OK);
    fby_heap_release(pool, taken(pool, 100));
    fby_heap_pool_close(pool, &closing);
    assert_int_equal(closing.acquired, 4);
    assert_int_equal(closing.released, 2);
    assert_int_equal(closing.leaked, 2);
    assert_int_equal(closing.leaked_bytes, 2 * MIB + 77);
    assert_int_equal(leaks.count, 2);
    assert_int_equal(leaks.bytes, closing.leaked_bytes);
    assert_non_null(strstr(leaks.text, "huge"));
#ifndef NDEBUG
    assert_non_null(strstr(leaks.text, "test_heap_pool.c:"));
#endif
}

/* ---- traces ---- */

static void pools_of_one_trace_file_have_one_each(void **state)
{
    (void)state;
    char path[128], second[136];
    snprintf(path, sizeof path, "%s/fby-trace-XXXXXX",
             getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(unlink(path), 0);
    snprintf(second, sizeof second, "%s.2", path);

    fby_heap_pool_options options = small(4, (uint64_t)128 << 30);
    fby_heap_pool *pool, *other;
    options.trace_file = path;
    options.num_heaps = FBY_HEAP_HEAPS_MAX;
    if (fby_heap_pool_create(&options, &pool) == FBY_OK)
        skip(); /* a machine of more than 4 TiB */
    assert_int_not_equal(access(path, F_OK), 0);

    options = small(1, MIB);
    options.trace_file = path;
    pool = made(&options);
    other = made(&options);
    fby_heap_release(pool, taken(pool, 1000));
    fby_heap_release(other, taken(other, 1000));
    fby_heap_release(other, taken(other, 1000));
    fby_heap_pool_close(pool, NULL);
    fby_heap_pool_close(other, NULL);
    static const int lines_of[] = {3, 5};
    for (int i = 0; i < 2; i++) {
        int found = 0;
        FILE *file = fopen(i == 0 ? path : second, "r");
        assert_non_null(file);
        for (int byte; (byte = getc(file)) != EOF;)
            found += byte == '\n';
        fclose(file);
        assert_int_equal(found, lines_of[i]);
    }
    assert_int_equal(unlink(path), 0);
    assert_int_equal(unlink(second), 0);
}

/* ---- pins, compaction ---- */

static void fill_pattern(fby_heap_pool *pool, fby_heap_block block, unsigned char pattern)
{
    fby_heap_place place;
    fby_heap_pin(pool, block, &place);
    memset(place.address, pattern, place.bytes);
    fby_heap_unpin(pool, block);
}

static void *check_pattern(fby_heap_pool *pool, fby_heap_block block, unsigned char pattern)
{
    fby_heap_place place;
    fby_heap_pin(pool, block, &place);
    for (uint64_t i = 0; i < place.bytes; i++)
        assert_int_equal(((unsigned char *)place.address)[i], pattern);
    fby_heap_unpin(pool, block);
    return place.address;
}

static void compaction_moves_all_but_what_is_pinned(void **state)
{
    (void)state;
    fby_heap_pool_options options = small(1, MIB);
    options.compaction_threshold = 0.01;
    fby_heap_pool *pool = made(&options);
    fby_heap_block blocks[8];
    fby_heap_place pinned;
    for (int i = 0; i < 8; i++) {
        blocks[i] = taken(pool, 100 * KIB);
        fill_pattern(pool, blocks[i], (unsigned char)i);
    }
    for (int i = 0; i < 8; i += 2)
        fby_heap_release(pool, blocks[i]);
    fby_heap_pin(pool, blocks[3], &pinned);
    assert_int_equal(fby_heap_pool_compact(pool), 3); /* 1 before the pinned one; 5 and 7 after */
    assert_ptr_equal(check_pattern(pool, blocks[3], 3), pinned.address);
    fby_heap_unpin(pool, blocks[3]);
    assert_int_equal(fby_heap_pool_compact(pool), 3); /* 3, and those after it */
    for (int i = 1; i < 8; i += 2)
        (void)check_pattern(pool, blocks[i], (unsigned char)i);
    fby_heap_pool_stats stats = stats_of(pool);
    assert_true(stats.fragmentation == 0.0);
    assert_int_equal(stats.all.moved, 6);
    assert_int_equal(stats.all.moved_bytes, 6 * 100 * KIB);
    fby_heap_pool_close(pool, NULL);
}

static void compaction_keeps_alignment(void **state)
{
    (void)state;
    fby_heap_pool_options options = small(1, MIB);
    options.compaction_threshold = 0.0001;
    fby_heap_pool *pool = made(&options);
    fby_heap_block first = taken(pool, 64), hole = taken(pool, 10000), block;
    assert_int_equal(fby_heap_acquire(pool, 5000, 4096, "aligned", &block, NULL), FBY_OK);
    fill_pattern(pool, block, 9);
    fby_heap_release(pool, hole);
    assert_int_equal(fby_heap_pool_compact(pool), 1);
    assert_int_equal((uintptr_t)check_pattern(pool, block, 9) % 4096, 0);
    fby_heap_release(pool, first);
    fby_heap_release(pool, block);
    assert_true(stats_of(pool).fragmentation == 0.0);
    fby_heap_pool_close(pool, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_block_is_aligned_and_writable_to_its_last_byte),
        cmocka_unit_test(refuses_what_makes_no_sense),
        cmocka_unit_test(a_heap_gives_its_last_byte_and_no_more),
        cmocka_unit_test(round_robin_goes_from_heap_to_heap),
        cmocka_unit_test(least_used_takes_the_emptiest),
        cmocka_unit_test(best_fit_takes_the_smallest_piece_that_holds_it),
        cmocka_unit_test(exhaustion_falls_back_is_counted_and_told_of_once),
        cmocka_unit_test(a_block_larger_than_a_heap_names_the_heap_size),
        cmocka_unit_test(a_disabled_pool_asks_the_system_each_time),
        cmocka_unit_test(blocks_max_is_named_where_records_are_short),
        cmocka_unit_test(a_block_larger_than_a_heap_adds_none),
        cmocka_unit_test(no_heap_is_added_when_there_is_room_again),
        cmocka_unit_test(growth_begins_at_the_share_of_all_heaps),
        cmocka_unit_test(auto_size_holds_the_parts_in_any_order),
        cmocka_unit_test(one_heap_of_auto_size_is_the_parts_sum),
        cmocka_unit_test(warm_up_sizes_are_counted_and_one_too_large_is_told_of),
        cmocka_unit_test(statistics_add_up_and_begin_again),
        cmocka_unit_test(without_statistics_only_blocks_are_counted),
        cmocka_unit_test(fragmentation_is_what_the_largest_piece_lacks),
        cmocka_unit_test(an_older_callers_statistics_end_where_they_did),
        cmocka_unit_test(closing_names_what_was_not_released),
        cmocka_unit_test(pools_of_one_trace_file_have_one_each),
        cmocka_unit_test(compaction_moves_all_but_what_is_pinned),
        cmocka_unit_test(compaction_keeps_alignment),
    };
    return cmocka_run_group_tests_name("heap_pool", tests, NULL, NULL);
}
