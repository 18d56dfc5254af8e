/* SPDX-License-Identifier: Apache-2.0 */
/* What a program must not do ends it, with a message that says what it was. Each case runs in a
 * child. */
#include "forebay/allocator.h"
#include "base/platform.h"
#include "test.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void dies_saying(void (*misuse)(void), const char *words)
{
    if (FBY_ASAN)
        skip(); /* there it is the sanitizer that notices */
    int pipe_ends[2], status;
    char said[512] = "";
    assert_int_equal(pipe(pipe_ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(pipe_ends[1], STDERR_FILENO);
        signal(SIGABRT, SIG_DFL);
        misuse();
        _exit(0);
    }
    close(pipe_ends[1]);
    for (size_t size = 0; size < sizeof said - 1;) {
        ssize_t got = read(pipe_ends[0], said + size, sizeof said - 1 - size);
        if (got <= 0)
            break;
        size += (size_t)got;
    }
    close(pipe_ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    if (strstr(said, words) == NULL)
        fail_msg("it said \"%s\", not \"%s\"", said, words);
}

static void free_foreign(void)
{
    int on_the_stack[32];
    fby_free(on_the_stack);
}

static void free_unused_part(void)
{
    char *block = fby_malloc(100000);
    fby_free(block + ((size_t)1 << 36));
}

static void free_large_twice(void)
{
    void *block = fby_malloc(100000);
    fby_free(block);
    fby_free(block);
}

static void free_inside_large(void)
{
    char *block = fby_malloc(500000);
    fby_free(block + 4096);
}

static void free_inside_whole(void)
{
    char *block = fby_malloc(9 << 20);
    fby_free(block + 65536);
}

static void free_small_twice(void)
{
    void *block = fby_malloc(64), *other = fby_malloc(64);
    fby_free(block);
    fby_free(block);
    fby_allocator_purge();
    fby_free(other);
}

static void free_inside_small(void)
{
    char *block = fby_malloc(64);
    fby_free(block + 16);
    fby_allocator_purge();
}

static void secure_twice(void)
{
    setenv("FBY_MALLOC_SECURE", "1", 1); /* before the allocator starts */
    void *block = fby_malloc(64);
    fby_free(block);
    fby_free(block);
}

static void secure_inside(void)
{
    setenv("FBY_MALLOC_SECURE", "1", 1);
    char *block = fby_malloc(64);
    fby_free(block + 16);
}

static void secure_keep(void)
{
    setenv("FBY_MALLOC_SECURE", "1", 1);
    if (fby_scope_begin() != FBY_OK)
        _exit(1);
    void *small = fby_scope_keep(fby_malloc(100)), *large = fby_scope_keep(fby_malloc(100000));
    if (fby_scope_end() != FBY_OK || small == NULL || large == NULL)
        _exit(1);
    fby_free(small);
    fby_free(large);
}

static void a_pointer_from_elsewhere_is_noticed_at_once(void **state)
{
    (void)state;
    dies_saying(free_foreign, "does not belong");
    dies_saying(free_unused_part, "does not belong");
}

static void a_large_block_freed_twice_is_noticed_at_once(void **state)
{
    (void)state;
    dies_saying(free_large_twice, "free already");
}

static void a_pointer_into_a_large_block_is_noticed_at_once(void **state)
{
    (void)state;
    dies_saying(free_inside_large, "not the beginning");
    dies_saying(free_inside_whole, "not the beginning");
}

static void a_small_block_freed_twice_is_noticed_when_it_leaves_the_cache(void **state)
{
    (void)state;
    dies_saying(free_small_twice, "free already");
}

static void a_pointer_into_a_small_block_is_noticed_when_it_leaves_the_cache(void **state)
{
    (void)state;
    dies_saying(free_inside_small, "not the beginning");
}

static void with_secure_small_blocks_are_checked_at_once(void **state)
{
    (void)state;
    dies_saying(secure_twice, "free already");
    dies_saying(secure_inside, "not the beginning");
}

static void with_secure_what_a_scope_kept_is_freed_like_any_other(void **state)
{
    (void)state;
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        secure_keep();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pointer_from_elsewhere_is_noticed_at_once),
        cmocka_unit_test(a_large_block_freed_twice_is_noticed_at_once),
        cmocka_unit_test(a_pointer_into_a_large_block_is_noticed_at_once),
        cmocka_unit_test(a_small_block_freed_twice_is_noticed_when_it_leaves_the_cache),
        cmocka_unit_test(a_pointer_into_a_small_block_is_noticed_when_it_leaves_the_cache),
        cmocka_unit_test(with_secure_small_blocks_are_checked_at_once),
        cmocka_unit_test(with_secure_what_a_scope_kept_is_freed_like_any_other),
    };
    return cmocka_run_group_tests_name("allocator misuse", tests, NULL, NULL);
}
