/* SPDX-License-Identifier: Apache-2.0 */
/* Threads that hand each other blocks, end with blocks in their caches, are robbed by the purge
 * while they run, and fork. For TSan as much as for the assertions. */
#include "forebay/allocator.h"
#include "memory/allocator/cache.h" /* FBY_TSAN */
#include "test.h"

#include <dirent.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 4, MAILBOX = 512, ROUNDS = FBY_ASAN || FBY_TSAN ? 4000 : 30000 };

/* Each slot is a block that any thread may take and free. */
static _Atomic(uint32_t *) mailbox[MAILBOX];
static atomic_bool stop;

static void check_and_free(uint32_t *block)
{
    if (block == NULL)
        return;
    uint32_t words = block[0];
    for (uint32_t i = 1; i < words; i++)
        if (block[i] != block[0] * 31 + i)
            fail_msg("word %u of %u was overwritten", i, words);
    fby_free(block);
}

static uint32_t *make(fby_rng *rng)
{
    bool large = fby_rng_below(rng, 200) == 0;
    uint32_t words = 2 + (uint32_t)fby_rng_below(rng, large ? 30000 : 120);
    uint32_t *block = fby_malloc(words * sizeof *block);
    if (block == NULL)
        return NULL;
    block[0] = words;
    for (uint32_t i = 1; i < words; i++)
        block[i] = words * 31 + i;
    return block;
}

static void *hand_around(void *seed)
{
    fby_rng rng = {(uintptr_t)seed};
    for (int i = 0; i < ROUNDS; i++) {
        _Atomic(uint32_t *) *slot = &mailbox[fby_rng_below(&rng, MAILBOX)];
        check_and_free(atomic_exchange(slot, make(&rng)));
        if (fby_rng_below(&rng, 4) == 0) /* a run of its own, so that stacks go up and down */
            for (uint64_t n = fby_rng_below(&rng, 40); n > 0; n--)
                check_and_free(make(&rng));
    }
    return NULL;
}

static void *rob(void *nothing)
{
    (void)nothing;
    while (!atomic_load(&stop))
        fby_allocator_purge();
    return NULL;
}

static void empty_mailbox(void)
{
    for (int i = 0; i < MAILBOX; i++)
        check_and_free(atomic_exchange(&mailbox[i], NULL));
}

static void blocks_pass_between_threads_while_the_purge_robs_them(void **state)
{
    (void)state;
    fby_rng rng = fby_rng_from_env();
    pthread_t threads[THREADS], robber;
    atomic_store(&stop, false);
    assert_int_equal(pthread_create(&robber, NULL, rob, NULL), 0);
    for (int round = 0; round < 2; round++) { /* the second takes over the caches of the first */
        for (int i = 0; i < THREADS; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, hand_around,
                                            (void *)(uintptr_t)fby_rng_next(&rng)),
                             0);
        for (int i = 0; i < THREADS; i++)
            pthread_join(threads[i], NULL);
    }
    atomic_store(&stop, true);
    pthread_join(robber, NULL);
    empty_mailbox();
}

/* The owner of a robbed cache never sees a block twice: it holds thousands at once and looks. */
static void *hold_many(void *seed)
{
    enum { HELD = 600 };
    uint32_t *held[HELD];
    fby_rng rng = {(uintptr_t)seed};
    for (int round = 0; round < 300; round++) {
        uint32_t count = (uint32_t)fby_rng_below(&rng, HELD);
        for (uint32_t i = 0; i < count; i++) {
            held[i] = fby_malloc(32);
            held[i][0] = 2;
            held[i][1] = 2 * 31 + 1;
            held[i][2] = i;
        }
        for (uint32_t i = 0; i < count; i++)
            if (held[i][2] != i)
                fail_msg("block %u was handed out twice", i);
        for (uint32_t i = 0; i < count; i++)
            check_and_free(held[i]);
    }
    return NULL;
}

static void a_robbed_thread_never_gets_a_block_twice(void **state)
{
    (void)state;
    pthread_t threads[2], robber;
    atomic_store(&stop, false);
    assert_int_equal(pthread_create(&robber, NULL, rob, NULL), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hold_many, (void *)(uintptr_t)(i + 7)),
                         0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    atomic_store(&stop, true);
    pthread_join(robber, NULL);
}

static void *allocate_forever(void *seed)
{
    fby_rng rng = {(uintptr_t)seed};
    while (!atomic_load(&stop))
        check_and_free(make(&rng));
    return NULL;
}

static void use_it_in_the_child(void)
{
    fby_rng rng = {99};
    for (int i = 0; i < 2000; i++)
        check_and_free(make(&rng));
    pthread_t thread;
    if (pthread_create(&thread, NULL, hand_around, (void *)5) != 0 ||
        pthread_join(thread, NULL) != 0)
        _exit(1);
    fby_allocator_purge();
    _exit(0);
}

static void a_fork_in_a_storm_of_threads_leaves_a_child_that_can_allocate(void **state)
{
    (void)state;
    /* TSan starts no threads in a child of a threaded process; under ASan every call is libc's, and
     * its runtime may fork with a lock of its own held. */
    if (FBY_TSAN || FBY_ASAN)
        skip();
    pthread_t threads[THREADS];
    atomic_store(&stop, false);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(
            pthread_create(&threads[i], NULL, allocate_forever, (void *)(uintptr_t)(i + 1)), 0);
    for (int i = 0; i < 12; i++) {
        int status;
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0)
            use_it_in_the_child();
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
    atomic_store(&stop, true);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

static void *one_block(void *size)
{
    fby_free(fby_malloc((uintptr_t)size));
    return NULL;
}

static void a_thread_that_ends_leaves_its_cache_for_the_next(void **state)
{
    (void)state;
    if (FBY_ASAN)
        skip();
    fby_allocator_stats before = {.struct_size = sizeof before}, after = before;
    for (int i = 0; i < 50; i++) {
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, one_block, (void *)200), 0);
        pthread_join(thread, NULL);
        if (i == 0)
            assert_int_equal(fby_allocator_get_stats(&before), FBY_OK);
    }
    assert_int_equal(fby_allocator_get_stats(&after), FBY_OK);
    assert_int_equal(after.thread_caches, before.thread_caches);
}

/* Of a key that is younger than the allocator's: it is called when the thread's cache has gone. */
static void allocate_late(void *kept)
{
    uint32_t *small = fby_malloc(40), *large = fby_malloc(100000), *aligned;
    small[0] = large[0] = 7;
    fby_free(fby_realloc(small, 3000));
    fby_free(large);
    aligned = fby_aligned_alloc(256, 256);
    assert_int_equal((uintptr_t)aligned % 256, 0);
    fby_free(aligned);
    fby_free(kept);
}

static pthread_key_t late_key;

static void *end_late(void *nothing)
{
    (void)nothing;
    assert_int_equal(pthread_setspecific(late_key, fby_malloc(64)), 0);
    return NULL;
}

static void a_thread_may_allocate_until_its_last_destructor(void **state)
{
    (void)state;
    if (FBY_ASAN)
        skip();
    fby_allocator_stats before = {.struct_size = sizeof before}, after = before;
    fby_free(fby_malloc(1));
    assert_int_equal(pthread_key_create(&late_key, allocate_late), 0);
    for (int i = 0; i < 50; i++) {
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, end_late, NULL), 0);
        pthread_join(thread, NULL);
        fby_allocator_purge();
        if (i == 0)
            assert_int_equal(fby_allocator_get_stats(&before), FBY_OK);
    }
    assert_int_equal(fby_allocator_get_stats(&after), FBY_OK);
    assert_int_equal(after.thread_caches, before.thread_caches);
    assert_int_equal(pthread_key_delete(late_key), 0);
}

/* Runs `body` on a stack that is gone, with the thread-local variables in it, when it has ended. */
static void run_on_a_stack_that_goes(void *(*body)(void *))
{
    enum { STACK = 1 << 20 };
    pthread_attr_t attributes;
    pthread_t thread;
    void *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(stack != MAP_FAILED);
    assert_int_equal(pthread_attr_init(&attributes), 0);
    assert_int_equal(pthread_attr_setstack(&attributes, stack, STACK), 0);
    assert_int_equal(pthread_create(&thread, &attributes, body, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(munmap(stack, STACK), 0);
    assert_int_equal(pthread_attr_destroy(&attributes), 0);
}

static void caches_are_used_again_after(void *(*body)(void *))
{
    /* TSan has to see each thread's end; under ASan every call is libc's. */
    if (FBY_TSAN || FBY_ASAN)
        skip();
    fby_allocator_stats before = {.struct_size = sizeof before}, after = before;
    fby_free(fby_malloc(1));
    for (int i = 0; i < 20; i++) {
        run_on_a_stack_that_goes(body);
        fby_allocator_purge();
        if (i == 0)
            assert_int_equal(fby_allocator_get_stats(&before), FBY_OK);
    }
    assert_int_equal(fby_allocator_get_stats(&after), FBY_OK);
    assert_int_equal(after.thread_caches, before.thread_caches);
}

static void *leave_by_system_call(void *nothing)
{
    (void)nothing;
    for (size_t size = 16; size < 4096; size *= 2)
        fby_free(fby_malloc(size));
    syscall(SYS_exit, 0);
    return NULL;
}

static void a_thread_that_leaves_by_system_call_leaves_its_cache_for_the_next(void **state)
{
    (void)state;
    caches_are_used_again_after(leave_by_system_call);
}

static pthread_key_t last_key;

/* Called again while it sets the key, PTHREAD_DESTRUCTOR_ITERATIONS times; what is allocated first
 * in the last of them no destructor gives back. */
static void allocate_last(void *round)
{
    uintptr_t number = (uintptr_t)round;
    if (number < PTHREAD_DESTRUCTOR_ITERATIONS)
        assert_int_equal(pthread_setspecific(last_key, (void *)(number + 1)), 0);
    else
        fby_free(fby_malloc(300));
}

static void *end_last(void *nothing)
{
    (void)nothing;
    assert_int_equal(pthread_setspecific(last_key, (void *)(uintptr_t)1), 0);
    return NULL;
}

static void a_first_allocation_in_the_last_destructor_leaves_its_cache_for_the_next(void **state)
{
    (void)state;
    assert_int_equal(pthread_key_create(&last_key, allocate_last), 0);
    caches_are_used_again_after(end_last);
    assert_int_equal(pthread_key_delete(last_key), 0);
}

static _Atomic(void *) to_free;

static void *free_one(void *nothing)
{
    (void)nothing;
    fby_free(atomic_exchange(&to_free, NULL));
    return NULL;
}

static int tasks(void)
{
    DIR *folder = opendir("/proc/self/task");
    int count = -2; /* . and .. */
    while (folder != NULL && readdir(folder) != NULL)
        count++;
    if (folder != NULL)
        closedir(folder);
    return count;
}

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Takes slow paths at once; 2: the system let so much time pass that it says nothing. */
static void short_child(uint64_t forked_ms)
{
    for (size_t size = 16; size <= 200000; size *= 2)
        fby_free(fby_malloc(size));
    int count = tasks();
    _exit(now_ms() - forked_ms >= 5 ? 2 : count != 1);
}

static void a_short_child_of_a_fork_gets_no_background_thread(void **state)
{
    (void)state;
    if (FBY_TSAN || FBY_ASAN)
        skip(); /* they have threads of their own */
    int status = 0;
    fby_free(fby_malloc(8 << 20)); /* more than a small process has */
    usleep(20000);                 /* and old enough */
    for (int i = 0; i < 100; i++) {
        uint64_t forked = now_ms();
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0)
            short_child(forked);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        if (WEXITSTATUS(status) != 2)
            break;
    }
    if (WEXITSTATUS(status) == 2)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void a_thread_that_frees_a_little_needs_no_cache(void **state)
{
    (void)state;
    if (FBY_ASAN)
        skip();
    fby_allocator_stats before = {.struct_size = sizeof before}, after = before;
    void *mine = fby_malloc(100);
    for (int i = 0; i < 20; i++) {
        atomic_store(&to_free, fby_malloc(i % 2 == 0 ? 100 : 100000));
        run_on_a_stack_that_goes(free_one);
        fby_allocator_purge();
        if (i == 0)
            assert_int_equal(fby_allocator_get_stats(&before), FBY_OK);
    }
    assert_int_equal(fby_allocator_get_stats(&after), FBY_OK);
    assert_int_equal(after.thread_caches, before.thread_caches);
    fby_free(mine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_pass_between_threads_while_the_purge_robs_them),
        cmocka_unit_test(a_robbed_thread_never_gets_a_block_twice),
        cmocka_unit_test(a_fork_in_a_storm_of_threads_leaves_a_child_that_can_allocate),
        cmocka_unit_test(a_thread_that_ends_leaves_its_cache_for_the_next),
        cmocka_unit_test(a_thread_may_allocate_until_its_last_destructor),
        cmocka_unit_test(a_thread_that_leaves_by_system_call_leaves_its_cache_for_the_next),
        cmocka_unit_test(a_first_allocation_in_the_last_destructor_leaves_its_cache_for_the_next),
        cmocka_unit_test(a_thread_that_frees_a_little_needs_no_cache),
        cmocka_unit_test(a_short_child_of_a_fork_gets_no_background_thread),
    };
    return cmocka_run_group_tests_name("allocator threads", tests, NULL, NULL);
}
