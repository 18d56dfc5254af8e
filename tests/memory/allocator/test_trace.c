/* SPDX-License-Identifier: Apache-2.0 */
/* The recorder's file among the program's own. Each case runs in a child, whose allocator has not
 * started. */
#include "memory/allocator/trace.h"
#include "base/platform.h"
#include "forebay/allocator.h"
#include "test.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CALLS = 10000 };

static char folder[] = "trace-XXXXXX";
static char mine[64], recorded[64];

static off_t size_of(const char *path)
{
    struct stat found;
    return stat(path, &found) == 0 ? found.st_size : -1;
}

static int run(void (*body)(void))
{
    if (FBY_ASAN)
        skip();
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        snprintf(recorded, sizeof recorded, "%s/record", folder);
        setenv("FBY_MALLOC_TRACE", recorded, 1);
        body();
        fby_trace_flush();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    snprintf(recorded, sizeof recorded, "%s/record.%d", folder, (int)child);
    return child;
}

static void allocate(void)
{
    for (int i = 0; i < CALLS / 2; i++)
        fby_free(fby_malloc(100));
}

static void with_files_of_its_own(void)
{
    allocate();
    for (int fd = 3; fd < 100; fd++)
        close(fd);
    snprintf(mine, sizeof mine, "%s/mine", folder);
    int fd = open(mine, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd != 3 || write(fd, "mine", 4) != 4)
        _exit(1);
    allocate();
    fby_trace_flush();
    if (size_of(mine) != 4)
        _exit(2);
}

static void a_program_that_closes_low_descriptors_keeps_its_files_and_the_record(void **state)
{
    (void)state;
    run(with_files_of_its_own);
    assert_int_equal(size_of(recorded), 8 + 2 * CALLS * sizeof(fby_trace_record));
    unlink(recorded);
}

static void without_any_descriptor(void)
{
    allocate();
    for (int fd = 3; fd < 2000; fd++)
        close(fd);
    snprintf(mine, sizeof mine, "%s/mine", folder);
    int fd = open(mine, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    for (int high = 100; high < 1000; high++)
        dup2(fd, high);
    allocate();
    fby_trace_flush();
    if (size_of(mine) != 0)
        _exit(1);
}

static void a_program_that_closes_the_record_gets_nothing_of_it(void **state)
{
    (void)state;
    run(without_any_descriptor);
    assert_int_not_equal(size_of(recorded), -1);
    unlink(recorded);
}

static void without_stdin(void)
{
    close(STDIN_FILENO);
    allocate();
    if (fcntl(STDIN_FILENO, F_GETFD) != -1)
        _exit(1);
}

static void a_program_without_stdin_stays_without(void **state)
{
    (void)state;
    run(without_stdin);
    assert_int_equal(size_of(recorded), 8 + CALLS * sizeof(fby_trace_record));
    unlink(recorded);
}

static void under_a_link(void)
{
    char link[96];
    snprintf(mine, sizeof mine, "%s/mine", folder);
    snprintf(link, sizeof link, "%s.%d", recorded, (int)getpid());
    FILE *file = fopen(mine, "w");
    if (file == NULL || fputs("precious", file) < 0 || fclose(file) != 0 ||
        symlink("mine", link) != 0)
        _exit(1);
    allocate();
    fby_trace_flush();
    if (size_of(mine) != 8)
        _exit(2);
}

static void a_link_in_its_place_is_not_followed(void **state)
{
    (void)state;
    run(under_a_link);
    unlink(recorded);
}

static int begin(void **state)
{
    (void)state;
    return mkdtemp(folder) == NULL;
}

static int end(void **state)
{
    (void)state;
    snprintf(mine, sizeof mine, "%s/mine", folder);
    unlink(mine);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_program_that_closes_low_descriptors_keeps_its_files_and_the_record),
        cmocka_unit_test(a_program_that_closes_the_record_gets_nothing_of_it),
        cmocka_unit_test(a_program_without_stdin_stays_without),
        cmocka_unit_test(a_link_in_its_place_is_not_followed),
    };
    return cmocka_run_group_tests_name("allocator trace", tests, begin, end);
}
