/* SPDX-License-Identifier: Apache-2.0 */
/* The Nth mmap or mprotect fails: a call may return NULL, no block is lost or damaged, and all goes
 * on when memory is there again. Each N in a child, whose allocator has not started. */
#include "forebay/allocator.h"
#include "base/platform.h"
#include "test.h"

#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static long fail_at = -1; /* calls until the failing ones begin; negative: none fails */
static long fail_count;
static long calls;

static bool fails(void)
{
    long call = calls++;
    if (fail_at < 0 || call < fail_at || call >= fail_at + fail_count)
        return false;
    errno = ENOMEM;
    return true;
}

void *__real_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset);
int __real_mprotect(void *at, size_t size, int protection);
int __wrap_mprotect(void *at, size_t size, int protection);

void *__wrap_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
    return fails() ? MAP_FAILED : __real_mmap(at, size, protection, flags, fd, offset);
}

int __wrap_mprotect(void *at, size_t size, int protection)
{
    return fails() ? -1 : __real_mprotect(at, size, protection);
}

enum { BLOCKS = 3000 };
static unsigned char *blocks[BLOCKS];
static size_t sizes[BLOCKS];

static void allocate_some(int from, int to)
{
    for (int i = from; i < to; i++) {
        sizes[i] = i % 100 == 0 ? 300000 : i % 301 == 0 ? 3 << 20 : (size_t)(i * 13 % 3000 + 1);
        errno = 0;
        blocks[i] = i % 5 == 0 ? fby_calloc(1, sizes[i]) : fby_malloc(sizes[i]);
        if (blocks[i] == NULL && errno != ENOMEM)
            _exit(2);
        if (blocks[i] != NULL)
            memset(blocks[i], i, sizes[i] < 5000 ? sizes[i] : 5000);
    }
}

static void in_child(long nth, long count)
{
    fail_at = nth;
    fail_count = count;
    allocate_some(0, BLOCKS / 2);
    fby_heap *heap = NULL;
    if (fby_heap_create(&heap) == FBY_OK) {
        fby_heap_malloc(heap, 100);
        fby_heap_malloc(heap, 100000);
    }
    if (fby_scope_begin() == FBY_OK) {
        fby_malloc(5000);
        fby_malloc(500000);
        fby_scope_end();
    }
    fby_heap_destroy(heap);
    fail_at = -1;
    allocate_some(BLOCKS / 2, BLOCKS);
    for (int i = 0; i < BLOCKS; i++) {
        if (i >= BLOCKS / 2 && blocks[i] == NULL)
            _exit(3); /* memory was there */
        for (size_t at = 0; blocks[i] != NULL && at < sizes[i] && at < 5000; at++)
            if (blocks[i][at] != (unsigned char)i)
                _exit(4);
        fby_free(blocks[i]);
    }
    fby_allocator_purge();
    _exit(calls > nth ? 0 : 10); /* 10: there was no Nth call */
}

static int run(long nth, long count)
{
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        in_child(nth, count);
    assert_int_equal(waitpid(child, &status, 0), child);
    if (!WIFEXITED(status))
        fail_msg("with call %ld failing the program died of signal %d", nth, WTERMSIG(status));
    return WEXITSTATUS(status);
}

/* `count` calls fail, from each call on that there is. */
static void fail_each(long count)
{
    long nth = 0;
    int code = 0;
    if (FBY_ASAN)
        skip(); /* libc's malloc: not ours to test */
    while ((code = run(nth, count)) == 0)
        nth++;
    assert_int_equal(code, 10);
    assert_true(nth > 5);
}

static void whichever_mapping_fails_the_rest_goes_on(void **state)
{
    (void)state;
    fail_each(1);
}

static void when_all_mappings_fail_for_a_while_the_rest_goes_on(void **state)
{
    (void)state;
    fail_each(100000);
}

static void spoil_a_guard(void)
{
    fby_heap *heap;
    setenv("FBY_MALLOC_SECURE", "1", 1);
    if (fby_heap_create(&heap) != FBY_OK || fby_heap_malloc(heap, 1000) == NULL)
        _exit(1);
    fail_at = calls;
    fail_count = 1;
    fby_heap_destroy(heap); /* the guard stays */
    fail_at = -1;
    if (fby_scope_begin() != FBY_OK)
        _exit(1);
    for (int i = 0; i < 200; i++)
        memset(fby_malloc(1000), i, 1000);
    _exit(fby_scope_end() == FBY_OK ? 0 : 1);
}

static void memory_whose_guard_cannot_be_taken_away_is_not_used_again(void **state)
{
    (void)state;
    if (FBY_ASAN)
        skip();
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        spoil_a_guard();
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whichever_mapping_fails_the_rest_goes_on),
        cmocka_unit_test(when_all_mappings_fail_for_a_while_the_rest_goes_on),
        cmocka_unit_test(memory_whose_guard_cannot_be_taken_away_is_not_used_again),
    };
    return cmocka_run_group_tests_name("allocator faults", tests, NULL, NULL);
}
