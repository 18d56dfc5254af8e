/* SPDX-License-Identifier: Apache-2.0 */
/* The Nth mapping, or the Nth thread, is refused. */
#include "forebay/heap_pool.h"
#include "test.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MIB = 1 << 20 };

/* Of those of at least `refuse_least` bytes: from the `refuse_from`th on, `refuse_count`. */
static atomic_int maps, refuse_from = -1, refuse_count;
static atomic_size_t refuse_least;
static _Atomic int64_t mapped;

void *__real_mmap64(void *at, size_t size, int protection, int flags, int file, off_t offset);
void *__wrap_mmap64(void *at, size_t size, int protection, int flags, int file, off_t offset);
int __real_munmap(void *at, size_t size);
int __wrap_munmap(void *at, size_t size);

void *__wrap_mmap64(void *at, size_t size, int protection, int flags, int file, off_t offset)
{
    int n = size >= atomic_load(&refuse_least) ? atomic_fetch_add(&maps, 1) : -1;
    int from = atomic_load(&refuse_from);
    if (from >= 0 && n >= from && n < from + atomic_load(&refuse_count)) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    atomic_fetch_add(&mapped, (int64_t)size);
    return __real_mmap64(at, size, protection, flags, file, offset);
}

int __wrap_munmap(void *at, size_t size)
{
    atomic_fetch_sub(&mapped, (int64_t)size);
    return __real_munmap(at, size);
}

static atomic_int threads_left = INT32_MAX;
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*body)(void *), void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*body)(void *), void *argument);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*body)(void *), void *argument)
{
    if (atomic_fetch_sub(&threads_left, 1) <= 0)
        return EAGAIN;
    return __real_pthread_create(thread, attributes, body, argument);
}

static void refuse(int from, int count)
{
    atomic_store(&maps, 0);
    atomic_store(&refuse_from, from);
    atomic_store(&refuse_count, count);
}

static fby_heap_pool_options of_four(void)
{
    fby_heap_pool_options options = FBY_HEAP_POOL_OPTIONS_INIT;
    options.num_heaps = 4;
    options.heap_bytes = 4 * MIB;
    return options;
}

static void a_start_without_the_nth_mapping_leaves_nothing_behind(void **state)
{
    (void)state;
    fby_heap_pool_options options = of_four();
    fby_heap_pool *pool = NULL;
    int n = 0;
    for (;; n++) {
        int64_t before = atomic_load(&mapped);
        refuse(n, 1);
        fby_status status = fby_heap_pool_create(&options, &pool);
        if (status == FBY_OK)
            break;
        assert_int_equal(status, FBY_ENOMEM);
        assert_null(pool);
        assert_int_equal(atomic_load(&mapped), before);
        assert_non_null(strstr(fby_last_error(), " of 4: 4 MiB asked for, the system has "));
        assert_non_null(strstr(fby_last_error(), "heap_size_mb: "));
        assert_non_null(strstr(fby_last_error(), "would fit"));
    }
    refuse(-1, 0);
    assert_int_equal(n, 8); /* a region and its records a heap */
    fby_heap_pool_close(pool, NULL);
}

static void what_the_system_cannot_have_is_refused_before_it_is_touched(void **state)
{
    (void)state;
    fby_heap_pool_options options = of_four();
    fby_heap_pool *pool;
    options.heap_bytes = (uint64_t)128 << 30;
    options.num_heaps = 32; /* 4 TiB */
    refuse(-1, 0);
    assert_int_equal(fby_heap_pool_create(&options, &pool), FBY_ENOMEM);
    assert_int_equal(atomic_load(&maps), 0);
    assert_non_null(strstr(fby_last_error(), "131072 MiB asked for"));
}

static void without_threads_the_caller_makes_the_heaps(void **state)
{
    (void)state;
    fby_heap_pool_options options = of_four();
    fby_heap_pool *pool;
    fby_heap_pool_stats stats = {.struct_size = sizeof stats};
    atomic_store(&threads_left, 0);
    assert_int_equal(fby_heap_pool_create(&options, &pool), FBY_OK);
    assert_int_equal(fby_heap_pool_get_stats(pool, &stats), FBY_OK);
    assert_int_equal(stats.heap_count, 4);
    fby_heap_pool_close(pool, NULL);

    int64_t before = atomic_load(&mapped);
    options.compaction = true; /* a thread that it cannot do without */
    assert_int_equal(fby_heap_pool_create(&options, &pool), FBY_ENOMEM);
    assert_int_equal(atomic_load(&mapped), before);
    atomic_store(&threads_left, INT32_MAX);
}

static void a_block_that_nobody_has_is_refused_and_the_pool_goes_on(void **state)
{
    (void)state;
    fby_heap_pool_options options = of_four();
    fby_heap_pool *pool;
    fby_heap_block block = 1, kept;
    fby_heap_place place;
    fby_heap_pool_stats stats = {.struct_size = sizeof stats};
    assert_int_equal(fby_heap_pool_create(&options, &pool), FBY_OK);
    assert_int_equal(fby_heap_acquire(pool, 100, 0, "kept", &kept, NULL), FBY_OK);
    refuse(0, 1000);
    assert_int_equal(fby_heap_acquire(pool, 5 * MIB, 0, "large", &block, &place), FBY_ENOMEM);
    assert_int_equal(block, 1);
    refuse(-1, 0);
    assert_int_equal(fby_heap_acquire(pool, 5 * MIB, 0, "large", &block, &place), FBY_OK);
    memset(place.address, 1, 5 * MIB);
    fby_heap_release(pool, block);
    assert_int_equal(fby_heap_pool_get_stats(pool, &stats), FBY_OK);
    assert_int_equal(stats.refused, 1);
    assert_int_equal(stats.fallback, 1);
    fby_heap_release(pool, kept);
    fby_heap_pool_close(pool, NULL);
}

static void keep(void *context, const char *line)
{
    (void)context, (void)line;
}

static void growth_that_fails_is_counted_and_tried_again(void **state)
{
    (void)state;
    fby_heap_pool_options options = of_four();
    fby_heap_pool *pool;
    fby_heap_block blocks[4], block;
    fby_heap_pool_stats stats = {.struct_size = sizeof stats};
    options.dynamic_growth = true;
    options.max_heaps = 5;
    options.log = keep;
    assert_int_equal(fby_heap_pool_create(&options, &pool), FBY_OK);
    atomic_store(&refuse_least, 4 * MIB); /* heaps, not blocks of the system */
    refuse(0, 1);
    for (int i = 0; i < 4; i++)
        assert_int_equal(fby_heap_acquire(pool, 4 * MIB, 0, "all", &blocks[i], NULL), FBY_OK);
    do { /* each finds no room and asks for a heap, until there is one */
        usleep(1000);
        assert_int_equal(fby_heap_acquire(pool, 64, 0, "more", &block, NULL), FBY_OK);
        fby_heap_release(pool, block);
        assert_int_equal(fby_heap_pool_get_stats(pool, &stats), FBY_OK);
    } while (stats.grown == 0);
    refuse(-1, 0);
    atomic_store(&refuse_least, 0);
    assert_int_equal(stats.growth_failures, 1);
    assert_int_equal(stats.heap_count, 5);
    for (int i = 0; i < 4; i++)
        fby_heap_release(pool, blocks[i]);
    (void)fby_heap_pool_compact(pool);
    assert_int_equal(fby_heap_pool_get_stats(pool, &stats), FBY_OK);
    assert_int_equal(stats.heap_count, 4);
    assert_int_equal(stats.shrunk, 1);
    fby_heap_pool_close(pool, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_start_without_the_nth_mapping_leaves_nothing_behind),
        cmocka_unit_test(what_the_system_cannot_have_is_refused_before_it_is_touched),
        cmocka_unit_test(without_threads_the_caller_makes_the_heaps),
        cmocka_unit_test(a_block_that_nobody_has_is_refused_and_the_pool_goes_on),
        cmocka_unit_test(growth_that_fails_is_counted_and_tried_again),
    };
    return cmocka_run_group_tests_name("heap_faults", tests, NULL, NULL);
}
