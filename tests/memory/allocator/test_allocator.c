/* SPDX-License-Identifier: Apache-2.0 */
#include "forebay/allocator.h"
#include "memory/allocator/cache.h" /* FBY_TSAN */
#include "test.h"

#include <errno.h>
#include <pthread.h>
#include <fcntl.h>
#include <unistd.h>

static void zero_bytes_are_a_block_of_their_own(void **state)
{
    (void)state;
    void *a = fby_malloc(0), *b = fby_malloc(0);
    assert_non_null(a);
    assert_non_null(b);
    assert_ptr_not_equal(a, b);
    fby_free(a);
    fby_free(b);
    fby_free(NULL);
    assert_int_equal(fby_usable_size(NULL), 0);
}

static void refuse(void *block)
{
    assert_null(block);
    assert_int_equal(errno, ENOMEM);
    errno = 0;
}

static void sizes_that_cannot_be_are_refused_with_enomem(void **state)
{
    (void)state;
    if (FBY_ASAN)
        skip(); /* its own limits end the program */
    errno = 0;
    refuse(fby_malloc(SIZE_MAX));
    refuse(fby_malloc(PTRDIFF_MAX));
    refuse(fby_malloc((size_t)1 << 46));
    refuse(fby_calloc(SIZE_MAX / 2, 3));
    refuse(fby_calloc((size_t)1 << 33, (size_t)1 << 33));
    refuse(fby_aligned_alloc(64, SIZE_MAX));
    refuse(fby_aligned_alloc(4096, SIZE_MAX - 100));
    refuse(fby_aligned_alloc((size_t)1 << 30, (size_t)1 << 46));
    char *block = fby_malloc(100);
    memset(block, 7, 100);
    refuse(fby_realloc(block, SIZE_MAX));
    assert_int_equal(block[99], 7);
    fby_free(block);
}

static void an_alignment_that_is_no_power_of_two_is_refused_with_einval(void **state)
{
    (void)state;
    const size_t bad[] = {0, 3, 24, SIZE_MAX, (size_t)1 << 31, (size_t)1 << 40};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        errno = 0;
        assert_null(fby_aligned_alloc(bad[i], 64));
        assert_int_equal(errno, EINVAL);
    }
}

static void blocks_are_as_aligned_and_as_large_as_asked(void **state)
{
    (void)state;
    for (size_t align = 1; align <= 8 << 20; align *= 2) {
        for (size_t size = 0; size <= 3 << 20; size = size * 3 + 1) {
            char *block = fby_aligned_alloc(align, size);
            assert_non_null(block);
            assert_int_equal((uintptr_t)block % align, 0);
            assert_true(fby_usable_size(block) >= size);
            memset(block, 1, size);
            fby_free(block);
        }
    }
}

static void calloc_gives_zeros_in_memory_that_was_used(void **state)
{
    (void)state;
    const size_t sizes[] = {1, 24, 500, 4096, 30000, 70000, 900000, 5 << 20};
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            unsigned char *block = fby_calloc(1, sizes[i]);
            assert_non_null(block);
            for (size_t at = 0; at < sizes[i]; at++)
                if (block[at] != 0)
                    fail_msg("byte %zu of %zu is %d", at, sizes[i], block[at]);
            memset(block, 0xee, sizes[i]);
            fby_free(block);
        }
    }
}

static void realloc_keeps_what_was_there(void **state)
{
    (void)state;
    unsigned char *block = NULL;
    size_t size = 0;
    for (size_t next = 1; next < 12 << 20; next = next * 5 / 3 + 1) {
        block = fby_realloc(block, next);
        assert_non_null(block);
        for (size_t at = 0; at < size; at += 1 + size / 1000)
            assert_int_equal(block[at], (at * 31) & 0xff);
        for (size_t at = 0; at < next; at++)
            block[at] = (unsigned char)(at * 31);
        size = next;
    }
    for (; size > 10; size /= 3) {
        block = fby_realloc(block, size);
        assert_non_null(block);
        assert_true(fby_usable_size(block) >= size);
        for (size_t at = 0; at < size; at += 1 + size / 1000)
            assert_int_equal(block[at], (at * 31) & 0xff);
    }
    assert_null(fby_realloc(block, 0));
}

static void free_keeps_errno(void **state)
{
    (void)state;
    const size_t sizes[] = {16, 40000, 3 << 20};
    for (size_t i = 0; i < 3; i++) {
        void *block = fby_malloc(sizes[i]);
        errno = E2BIG;
        fby_free(block);
        assert_int_equal(errno, E2BIG);
    }
}

static void a_batch_is_so_many_blocks(void **state)
{
    (void)state;
    static void *blocks[3000];
    assert_int_equal(fby_malloc_batch(48, 3000, blocks), 3000);
    for (int i = 0; i < 3000; i++)
        memset(blocks[i], i & 0xff, 48);
    for (int i = 0; i < 3000; i++)
        assert_int_equal(((unsigned char *)blocks[i])[47], i & 0xff);
    fby_free_batch(blocks, 3000);
    assert_int_equal(fby_malloc_batch(48, 0, blocks), 0);
}

/* ---- a random schedule against a model: each block holds its own pattern ---- */

enum { SLOTS = 4000 };

typedef struct slot {
    unsigned char *block;
    size_t size;
    unsigned char mark;
} slot;

static void fill_slot(slot *s, fby_rng *rng)
{
    s->mark = (unsigned char)fby_rng_next(rng);
    memset(s->block, s->mark, s->size);
}

static void check_slot(const slot *s, size_t size)
{
    for (size_t at = 0; at < size; at++)
        if (s->block[at] != s->mark)
            fail_msg("byte %zu of %zu: %02x, not %02x", at, s->size, s->block[at], s->mark);
}

static size_t random_size(fby_rng *rng)
{
    uint64_t kind = fby_rng_below(rng, 1000);
    return (size_t)fby_rng_below(rng, kind < 800   ? 600
                                      : kind < 980 ? 9000
                                      : kind < 998 ? 200000
                                                   : 4 << 20);
}

static void step(slot *s, fby_rng *rng)
{
    uint64_t what = fby_rng_below(rng, 10);
    if (s->block == NULL) {
        s->size = random_size(rng);
        size_t align = (size_t)1 << fby_rng_below(rng, 13);
        s->block = what < 6   ? fby_malloc(s->size)
                   : what < 8 ? fby_calloc(1, s->size)
                              : fby_aligned_alloc(align, s->size);
        assert_non_null(s->block);
        assert_true(what < 8 || (uintptr_t)s->block % align == 0);
        fill_slot(s, rng);
    } else if (what < 3) {
        size_t size = random_size(rng) + 1;
        unsigned char *moved = fby_realloc(s->block, size);
        assert_non_null(moved);
        s->block = moved;
        check_slot(s, s->size < size ? s->size : size);
        s->size = size;
        fill_slot(s, rng);
    } else {
        check_slot(s, s->size);
        fby_free(s->block);
        s->block = NULL;
    }
}

static void blocks_never_overlap_in_a_random_schedule(void **state)
{
    (void)state;
    static slot slots[SLOTS];
    fby_rng rng = fby_rng_from_env();
    for (int i = 0; i < 150000; i++) {
        step(&slots[fby_rng_below(&rng, SLOTS)], &rng);
        if (i % 20000 == 0)
            fby_allocator_purge();
    }
    for (int i = 0; i < SLOTS; i++) {
        if (slots[i].block == NULL)
            continue;
        check_slot(&slots[i], slots[i].size);
        fby_free(slots[i].block);
    }
}

static void a_class_that_would_grow_takes_a_block_of_a_larger_one(void **state)
{
    (void)state;
    if (FBY_ASAN)
        skip();
    enum { BLOCKS = 20 };
    void *large[BLOCKS], *small[BLOCKS];
    fby_allocator_purge();
    for (int i = 0; i < BLOCKS; i++)
        large[i] = fby_malloc(10240);
    for (int i = 0; i < BLOCKS; i++)
        fby_free(large[i]);
    size_t lent = 0;
    for (int i = 0; i < BLOCKS; i++) {
        small[i] = fby_aligned_alloc(1024, 5000);
        assert_int_equal((uintptr_t)small[i] % 1024, 0);
        lent += fby_usable_size(small[i]) == 10240;
        memset(small[i], i, 5000);
    }
    assert_true(lent > 0);
    assert_true(lent < BLOCKS); /* some stay for those who ask for that size */
    for (int i = 0; i < BLOCKS; i++) {
        assert_int_equal(((unsigned char *)small[i])[4999], i);
        fby_free(small[i]);
    }
}

/* ---- scopes ---- */

static void what_is_allocated_in_a_scope_goes_with_it(void **state)
{
    (void)state;
    char *before = fby_malloc(100);
    strcpy(before, "outside");
    assert_int_equal(fby_scope_begin(), FBY_OK);
    for (int i = 0; i < 3000; i++) {
        size_t size = (size_t)(i * 37 % 5000);
        char *block = fby_malloc(size);
        assert_non_null(block);
        assert_true(fby_usable_size(block) >= size);
        memset(block, i, size);
        if (i % 3 == 0)
            fby_free(block);
    }
    memset(fby_malloc(3 << 20), 1, 3 << 20);
    assert_int_equal(fby_scope_begin(), FBY_OK);
    char *inner = fby_malloc(50);
    strcpy(inner, "kept");
    inner = fby_scope_keep(inner);
    char *grown = fby_malloc(10);
    strcpy(grown, "grows");
    grown = fby_realloc(grown, 100000);
    assert_string_equal(grown, "grows");
    assert_int_equal((uintptr_t)fby_aligned_alloc(4096, 10) % 4096, 0);
    assert_int_equal(fby_scope_end(), FBY_OK);
    assert_int_equal(fby_scope_end(), FBY_OK);
    assert_string_equal(inner, "kept");
    assert_string_equal(before, "outside");
    assert_ptr_equal(fby_scope_keep(before), before);
    fby_free(inner);
    fby_free(before);
    assert_int_equal(fby_scope_end(), FBY_EINVAL);
}

/* ---- heaps ---- */

static void a_heap_takes_all_its_blocks_with_it(void **state)
{
    (void)state;
    fby_heap *heap;
    assert_int_equal(fby_heap_create(&heap), FBY_OK);
    for (int i = 0; i < 5000; i++) {
        size_t size = (size_t)(i * 61 % 3000);
        char *block = fby_heap_malloc(heap, i % 500 == 0 ? 100000 : size);
        assert_non_null(block);
        memset(block, i, size);
        assert_true(fby_usable_size(block) >= size);
        if (i % 4 == 0)
            fby_free(block);
        else if (i % 97 == 1) {
            block = fby_realloc(block, size + 5000);
            fby_free(block);
        }
    }
    errno = 0;
    if (!FBY_ASAN)
        refuse(fby_heap_malloc(heap, SIZE_MAX));
    fby_heap_destroy(heap);
    fby_heap_destroy(NULL);
}

/* ---- memory as a whole ---- */

static size_t resident_bytes(void)
{
    char text[4096];
    int fd = open("/proc/self/smaps_rollup", O_RDONLY);
    assert_true(fd >= 0);
    ssize_t size = read(fd, text, sizeof text - 1);
    close(fd);
    assert_true(size > 0);
    text[size] = '\0';
    const char *line = strstr(text, "Rss:");
    assert_non_null(line);
    return strtoull(line + 4, NULL, 10) * 1024;
}

static void memory_goes_back_when_all_is_freed(void **state)
{
    (void)state;
    if (FBY_ASAN || FBY_TSAN)
        skip(); /* shadow memory does not */
    enum { BLOCKS = 60000 };
    static void *blocks[BLOCKS];
    memset(blocks, 1, sizeof blocks);
    fby_allocator_purge();
    size_t before = resident_bytes();
    for (int i = 0; i < BLOCKS; i++) {
        size_t size = (size_t)(i % 900 + 1);
        blocks[i] = fby_malloc(size);
        memset(blocks[i], 1, size);
    }
    size_t peak = resident_bytes();
    assert_true(peak > before + 20000000);
    for (int i = 0; i < BLOCKS; i++)
        fby_free(blocks[(i * 7919) % BLOCKS]);
    fby_allocator_purge();
    assert_true(resident_bytes() < before + (peak - before) / 10);
}

static void statistics_count_what_was_done(void **state)
{
    (void)state;
    if (FBY_ASAN)
        skip();
    fby_allocator_stats before = {.struct_size = sizeof before}, after = before, wrong = {0};
    assert_int_equal(fby_allocator_get_stats(&wrong), FBY_EINVAL);
    fby_allocator_count_calls(true);
    assert_int_equal(fby_allocator_get_stats(&before), FBY_OK);
    void *small[10], *large = fby_malloc(100000);
    for (int i = 0; i < 10; i++)
        small[i] = fby_malloc(30);
    assert_int_equal(fby_allocator_get_stats(&after), FBY_OK);
    assert_int_equal(after.mallocs - before.mallocs, 11);
    assert_int_equal(after.of_class[2].size, 32);
    assert_int_equal(after.of_class[2].mallocs - before.of_class[2].mallocs, 10);
    assert_int_equal(after.of_class[0].mallocs - before.of_class[0].mallocs, 1);
    assert_int_equal(after.requested - before.requested, 100300);
    assert_int_equal(after.usable - before.usable, 102400 + 320);
    assert_int_equal(after.live - before.live, 102400 + 320);
    assert_true(after.active <= after.mapped);
    for (int i = 0; i < 10; i++)
        fby_free(small[i]);
    fby_free(large);
    assert_int_equal(fby_allocator_get_stats(&after), FBY_OK);
    assert_int_equal(after.frees - before.frees, 11);
    assert_int_equal(after.live, before.live);
    fby_allocator_count_calls(false);
    fby_free(fby_malloc(30));
    assert_int_equal(fby_allocator_get_stats(&after), FBY_OK);
    assert_int_equal(after.mallocs - before.mallocs, 11);
}

static void *allocate_for_another(void *into)
{
    void **blocks = into;
    fby_allocator_count_calls(true);
    blocks[0] = fby_malloc(50);
    blocks[1] = fby_malloc(200000);
    return NULL;
}

static void statistics_know_peaks_resizes_and_who_freed(void **state)
{
    (void)state;
    if (FBY_ASAN)
        skip();
    fby_allocator_stats before = {.struct_size = sizeof before}, after = before;
    void *uncounted = fby_malloc(100000), *blocks[2];
    pthread_t thread;
    fby_allocator_count_calls(true);
    assert_int_equal(fby_allocator_get_stats(&before), FBY_OK);
    fby_free(uncounted);
    assert_int_equal(pthread_create(&thread, NULL, allocate_for_another, blocks), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    char *grown = fby_malloc(10 << 20);
    assert_int_equal(fby_allocator_get_stats(&after), FBY_OK);
    assert_int_equal(after.live - before.live, 64 + 200704 + (10 << 20));
    assert_int_equal(after.of_class[4].live - before.of_class[4].live, 1);
    grown = fby_realloc(grown, 20 << 20);
    assert_int_equal(fby_allocator_get_stats(&after), FBY_OK);
    assert_int_equal(after.live - before.live, 64 + 200704 + (20 << 20));
    fby_free(grown);
    fby_free(blocks[0]);
    fby_free(blocks[1]);
    assert_int_equal(fby_allocator_get_stats(&after), FBY_OK);
    assert_int_equal(after.live, before.live);
    assert_true(after.live_peak >= before.live + (20 << 20));
    assert_int_equal(after.remote_frees - before.remote_frees, 2);
    assert_int_equal(after.of_class[4].remote_frees - before.of_class[4].remote_frees, 1);
    assert_int_equal(after.of_class[4].requested - before.of_class[4].requested, 50);
    assert_true(after.of_class[4].live_peak >= 1);
    fby_allocator_count_calls(false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zero_bytes_are_a_block_of_their_own),
        cmocka_unit_test(sizes_that_cannot_be_are_refused_with_enomem),
        cmocka_unit_test(an_alignment_that_is_no_power_of_two_is_refused_with_einval),
        cmocka_unit_test(blocks_are_as_aligned_and_as_large_as_asked),
        cmocka_unit_test(calloc_gives_zeros_in_memory_that_was_used),
        cmocka_unit_test(realloc_keeps_what_was_there),
        cmocka_unit_test(free_keeps_errno),
        cmocka_unit_test(a_batch_is_so_many_blocks),
        cmocka_unit_test(blocks_never_overlap_in_a_random_schedule),
        cmocka_unit_test(a_class_that_would_grow_takes_a_block_of_a_larger_one),
        cmocka_unit_test(what_is_allocated_in_a_scope_goes_with_it),
        cmocka_unit_test(a_heap_takes_all_its_blocks_with_it),
        cmocka_unit_test(memory_goes_back_when_all_is_freed),
        cmocka_unit_test(statistics_count_what_was_done),
        cmocka_unit_test(statistics_know_peaks_resizes_and_who_freed),
    };
    return cmocka_run_group_tests_name("allocator", tests, NULL, NULL);
}
