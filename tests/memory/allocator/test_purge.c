/* SPDX-License-Identifier: Apache-2.0 */
/* The background thread: what goes back while no one calls, and when the system refuses. Each case
 * runs in a child, whose allocator has not started; a wait ends as soon as what it waits for is
 * there. */
#include "forebay/allocator.h"
#include "memory/allocator/cache.h" /* FBY_TSAN, where there is no such thread */
#include "test.h"

#include <dirent.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATIENCE_MS = 20000, WITHOUT = 77 /* exit status: the case cannot be had here */ };

static int in_child(void (*body)(void))
{
    if (FBY_ASAN || FBY_TSAN)
        skip();
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        setenv("FBY_MALLOC_DECAY_MS", "20", 1);
        body();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void succeeds(void (*body)(void))
{
    int status = in_child(body);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == WITHOUT)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

static bool within(bool (*is_so)(void))
{
    for (int ms = 0; ms < PATIENCE_MS; ms += 5) {
        if (is_so())
            return true;
        usleep(5000);
    }
    return false;
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

static bool alone(void)
{
    return tasks() == 1;
}

static bool accompanied(void)
{
    return tasks() > 1;
}

static size_t resident_kib(void)
{
    unsigned long all = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL || fscanf(file, "%lu %lu", &all, &resident) != 2)
        _exit(2);
    fclose(file);
    return resident * 4;
}

/* ---- memory that no slow path sees freed ---- */

enum { HOLDERS = 6, HELD_MAX = 8000 };

static pthread_barrier_t turn;
static size_t expected_kib;

/* Half of what a stack takes, of every class. */
static int hold(void **blocks)
{
    int count = 0;
    for (uint32_t c = 1; c < FBY_CLASSES; c++)
        for (uint32_t i = 0; i < fby_class_depth(c) / 2 && count < HELD_MAX; i++)
            memset(blocks[count++] = fby_malloc(fby_class_sizes[c]), 1, fby_class_sizes[c]);
    return count;
}

static void *holder(void *nothing)
{
    void **blocks = fby_malloc(HELD_MAX * sizeof *blocks);
    int count = hold(blocks);
    pthread_barrier_wait(&turn);
    pthread_barrier_wait(&turn);
    for (int i = 0; i < count; i++)
        fby_free(blocks[i]);
    pthread_barrier_wait(&turn);
    pause();
    return nothing;
}

static bool mostly_gone(void)
{
    return resident_kib() < expected_kib;
}

static void free_unseen(void)
{
    pthread_t thread;
    fby_free(fby_malloc(1));
    pthread_barrier_init(&turn, NULL, HOLDERS + 1);
    size_t before = resident_kib();
    for (int i = 0; i < HOLDERS; i++)
        if (pthread_create(&thread, NULL, holder, NULL) != 0)
            _exit(WITHOUT);
    pthread_barrier_wait(&turn);
    size_t held = resident_kib() - before;
    usleep(500000); /* every tick that there is without anything to do */
    pthread_barrier_wait(&turn);
    pthread_barrier_wait(&turn);
    expected_kib = before + held / 2;
    if (held < HOLDERS * 4096 || !within(mostly_gone))
        _exit(1);
}

static void what_sleeping_threads_freed_without_a_word_goes_back(void **state)
{
    (void)state;
    succeeds(free_unseen);
}

static void idle(void)
{
    fby_free(fby_malloc(10 << 20));
    if (!within(accompanied) || !within(alone))
        _exit(1);
}

static void when_nothing_is_left_the_thread_leaves(void **state)
{
    (void)state;
    succeeds(idle);
}

/* ---- systems that refuse ---- */

/* The call fails with EPERM from now on, in each thread. */
static void refuse(unsigned number)
{
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = 4, .filter = rules};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) != 0)
        _exit(WITHOUT);
}

static void refuse_and_use(unsigned number)
{
    void *block = fby_malloc(10 << 20);
    memset(block, 1, 10 << 20);
    for (int i = 0; i < 1000; i++)
        fby_free(fby_malloc(1000000));
    if (!within(accompanied))
        _exit(1);
    refuse(number);
    fby_free(block);
    if (!within(alone))
        _exit(1);
}

static void without_madvise(void)
{
    refuse_and_use(SYS_madvise);
}

static void without_futex(void)
{
    refuse_and_use(SYS_futex);
    /* Slow paths do it from now on. */
    fby_free(fby_malloc(10 << 20));
    usleep(20000);
    if (!alone())
        _exit(1);
}

static void the_thread_does_not_stay_to_purge_what_cannot_be_purged(void **state)
{
    (void)state;
    succeeds(without_madvise);
}

static void the_thread_leaves_where_it_may_not_sleep(void **state)
{
    (void)state;
    succeeds(without_futex);
}

/* ---- misuse that the thread notices ---- */

static void report(int signal)
{
    (void)signal;
    fby_free(fby_malloc(100)); /* as a crash reporter would */
    _exit(3);
}

static void free_twice_and_sleep(void)
{
    signal(SIGABRT, report);
    void *block = fby_malloc(64), *other = fby_malloc(64);
    fby_free(fby_malloc(10 << 20));
    if (freopen("/dev/null", "w", stderr) == NULL || !within(accompanied))
        _exit(1);
    fby_free(block);
    fby_free(block);
    pause();
    fby_free(other);
}

static void what_the_thread_notices_ends_the_program_without_its_handlers(void **state)
{
    (void)state;
    int status = in_child(free_twice_and_sleep);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_sleeping_threads_freed_without_a_word_goes_back),
        cmocka_unit_test(when_nothing_is_left_the_thread_leaves),
        cmocka_unit_test(the_thread_does_not_stay_to_purge_what_cannot_be_purged),
        cmocka_unit_test(the_thread_leaves_where_it_may_not_sleep),
        cmocka_unit_test(what_the_thread_notices_ends_the_program_without_its_handlers),
    };
    return cmocka_run_group_tests_name("allocator purge", tests, NULL, NULL);
}
