/* SPDX-License-Identifier: Apache-2.0 */
/* Little address space, few mappings. Each case runs in a child, whose allocator has not started.
 */
#include "forebay/allocator.h"
#include "memory/allocator/cache.h" /* FBY_TSAN */
#include "test.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static void succeeds(void (*body)(void))
{
    if (FBY_ASAN || FBY_TSAN)
        skip(); /* these need more themselves */
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        body();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void must(bool so, int otherwise)
{
    if (!so)
        _exit(otherwise);
}

static size_t mapped_bytes(void)
{
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    must(file != NULL && fscanf(file, "%lu", &pages) == 1, 2);
    fclose(file);
    return pages * 4096;
}

static void in_28_mib(void)
{
    struct rlimit limit;
    must(getrlimit(RLIMIT_AS, &limit) == 0, 2);
    limit.rlim_cur = mapped_bytes() + (28 << 20);
    must(setrlimit(RLIMIT_AS, &limit) == 0, 2);
    for (size_t size = 1; size <= 1 << 20; size *= 2) {
        char *block = fby_malloc(size);
        must(block != NULL, 3);
        memset(block, 1, size);
        fby_free(block);
    }
}

static void little_address_space_is_enough_for_little(void **state)
{
    (void)state;
    succeeds(in_28_mib);
}

enum { THREADS = 60 };
static pthread_barrier_t turn;

static void *hold_one(void *nothing)
{
    void *block = fby_malloc(40000);
    must(block != NULL, 4);
    pthread_barrier_wait(&turn);
    fby_free(block);
    return nothing;
}

static void in_a_region_of_64_mib(void)
{
    pthread_t threads[THREADS];
    setenv("FBY_MALLOC_REGION_MIB", "64", 1);
    must(pthread_barrier_init(&turn, NULL, THREADS) == 0, 2);
    for (int i = 0; i < THREADS; i++)
        must(pthread_create(&threads[i], NULL, hold_one, NULL) == 0, 2);
    for (int i = 0; i < THREADS; i++)
        must(pthread_join(threads[i], NULL) == 0, 2);
    fby_allocator_purge();
    void *block = fby_malloc(50 << 20);
    must(block != NULL, 5);
    fby_free(block);
}

static void a_thread_with_one_large_block_takes_little_and_leaves_it_to_others(void **state)
{
    (void)state;
    succeeds(in_a_region_of_64_mib);
}

static void behind_what_is_free(void)
{
    setenv("FBY_MALLOC_REGION_MIB", "64", 1);
    void *block = fby_malloc(30 << 20);
    must(block != NULL, 3);
    fby_free(block);
    block = fby_malloc(60 << 20);
    must(block != NULL, 4);
    memset(block, 1, 60 << 20);
    fby_free(block);
}

static void what_is_free_at_the_end_counts_for_a_block_that_needs_more(void **state)
{
    (void)state;
    succeeds(behind_what_is_free);
}

static void with_larger_blocks_than_arenas(void)
{
    enum { COUNT = 40 };
    setenv("FBY_MALLOC_REGION_MIB", "64", 1);
    void *block[COUNT];
    /* 2.5 MiB of 64 at a time: no room for a chunk as large as all before it. */
    for (int i = 0; i < COUNT; i++) {
        block[i] = fby_malloc(1500000);
        must(block[i] != NULL, 3);
    }
    for (int i = 0; i < COUNT; i++)
        fby_free(block[i]);
}

static void where_there_is_no_room_for_a_chunk_a_block_stands_alone(void **state)
{
    (void)state;
    succeeds(with_larger_blocks_than_arenas);
}

static long number_in(const char *path)
{
    long number = 0;
    FILE *file = fopen(path, "r");
    if (file != NULL && fscanf(file, "%ld", &number) != 1)
        number = 0;
    if (file != NULL)
        fclose(file);
    return number;
}

static long mappings(void)
{
    FILE *file = fopen("/proc/self/maps", "r");
    long lines = 0;
    must(file != NULL, 2);
    for (int c; (c = getc(file)) != EOF;)
        lines += c == '\n';
    fclose(file);
    return lines;
}

static void many_guards(void)
{
    fby_heap *heap;
    long most = number_in("/proc/sys/vm/max_map_count");
    setenv("FBY_MALLOC_SECURE", "1", 1);
    must(fby_heap_create(&heap) == FBY_OK, 2);
    /* A span each, and no memory, since a heap's blocks are not filled. */
    for (int i = 0; i < 40000; i++)
        must(fby_heap_malloc(heap, 32768) != NULL, 3);
    must(mappings() < most * 3 / 4, 4);
    fby_heap_destroy(heap);
}

static void guard_pages_leave_mappings_for_the_program(void **state)
{
    (void)state;
    if (number_in("/proc/sys/vm/max_map_count") > 80000)
        skip();
    succeeds(many_guards);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(little_address_space_is_enough_for_little),
        cmocka_unit_test(a_thread_with_one_large_block_takes_little_and_leaves_it_to_others),
        cmocka_unit_test(what_is_free_at_the_end_counts_for_a_block_that_needs_more),
        cmocka_unit_test(where_there_is_no_room_for_a_chunk_a_block_stands_alone),
        cmocka_unit_test(guard_pages_leave_mappings_for_the_program),
    };
    return cmocka_run_group_tests_name("allocator limits", tests, NULL, NULL);
}
