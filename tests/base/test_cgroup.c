/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cgroup.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "test.h"

/* ROOT/a/b: `b` is the process's group. */
static char root[64];

static void say(const char *group, const char *file, const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s%s/%s", root, group, file);
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    fputs(text, out);
    assert_int_equal(fclose(out), 0);
}

static int make_groups(void **state)
{
    (void)state;
    char path[128];
    snprintf(root, sizeof root, "%s/fby-cgroup-XXXXXX",
             getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp");
    if (mkdtemp(root) == NULL)
        return -1;
    snprintf(path, sizeof path, "%s/a", root);
    if (mkdir(path, 0700) != 0)
        return -1;
    snprintf(path, sizeof path, "%s/a/b", root);
    return mkdir(path, 0700);
}

static int remove_groups(void **state)
{
    (void)state;
    static const char *const names[] = {"/a/b/cpu.max", "/a/b/memory.max", "/a/b",
                                        "/a/cpu.max",   "/a/memory.max",   "/a",
                                        "/cpu.max",     "/memory.max",     ""};
    static const char *const of_use[] = {"/a/b/memory.current", "/a/b/memory.stat",
                                         "/a/memory.current", "/a/memory.stat"};
    for (size_t i = 0; i < sizeof of_use / sizeof *of_use; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s%s", root, of_use[i]);
        (void)remove(path);
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s%s", root, names[i]);
        (void)remove(path);
    }
    return 0;
}

static void where_nothing_is_said_there_is_no_limit(void **state)
{
    (void)state;
    assert_int_equal(fby_cgroup_processors_of(root, "/a/b"), 0);
    assert_int_equal(fby_cgroup_memory_of(root, "/a/b"), 0);
    assert_int_equal(fby_cgroup_memory_of(root, ""), 0);
    assert_int_equal(fby_cgroup_memory_of(root, "/not/there"), 0);
}

static void max_is_no_limit(void **state)
{
    (void)state;
    say("/a/b", "cpu.max", "max 100000\n");
    say("/a/b", "memory.max", "max\n");
    assert_int_equal(fby_cgroup_processors_of(root, "/a/b"), 0);
    assert_int_equal(fby_cgroup_memory_of(root, "/a/b"), 0);
}

static void the_tightest_group_counts(void **state)
{
    (void)state;
    say("/a/b", "cpu.max", "400000 100000\n");
    say("/a", "cpu.max", "150000 100000\n");
    say("/a/b", "memory.max", "1048576\n");
    say("/a", "memory.max", "2097152\n");
    assert_int_equal(fby_cgroup_processors_of(root, "/a/b"), 2);
    assert_int_equal(fby_cgroup_memory_of(root, "/a/b"), 1048576);
    assert_int_equal(fby_cgroup_memory_of(root, "/a"), 2097152);
    assert_int_equal(fby_cgroup_memory_of(root, "/a/"), 2097152);
    say("", "memory.max", "4096\n");
    assert_int_equal(fby_cgroup_memory_of(root, "/a/b"), 4096);
}

static void nonsense_is_no_limit(void **state)
{
    (void)state;
    say("/a/b", "cpu.max", "");
    say("/a", "cpu.max", "100000 0\n");
    say("", "cpu.max", "18446744073709551615 1\n");
    say("/a/b", "memory.max", "lots\n");
    say("/a", "memory.max", "\n");
    say("", "memory.max", "");
    assert_int_equal(fby_cgroup_processors_of(root, "/a/b"), 0);
    assert_int_equal(fby_cgroup_memory_of(root, "/a/b"), 0);
}

static void what_is_left_leaves_out_the_cache(void **state)
{
    (void)state;
    say("", "memory.max", "max\n");
    say("/a", "memory.max", "max\n");
    say("/a/b", "memory.max", "1000000\n");
    say("/a/b", "memory.current", "900000\n");
    assert_int_equal(fby_cgroup_memory_left_of(root, "/a/b"), 100000);
    say("/a/b", "memory.stat",
        "anon 1\nfile 700000\ninactive_file 500000\nslab_reclaimable 20000\nslab 5\n");
    assert_int_equal(fby_cgroup_memory_left_of(root, "/a/b"), 620000);
    assert_true(fby_cgroup_memory_left_of(root, "/a") == UINT64_MAX);
    say("/a", "memory.max", "800000\n");
    assert_int_equal(fby_cgroup_memory_left_of(root, "/a/b"),
                     620000); /* nobody says what is used */
    say("/a", "memory.current", "790000\n");
    assert_int_equal(fby_cgroup_memory_left_of(root, "/a/b"), 10000);
    say("/a", "memory.stat", "inactive_file 99999999\n");
    assert_int_equal(fby_cgroup_memory_left_of(root, "/a"), 800000);
    say("/a", "memory.stat", "");
    say("/a", "memory.current", "800001\n");
    assert_int_equal(fby_cgroup_memory_left_of(root, "/a/b"), 0);
}

static void a_process_has_some_memory(void **state)
{
    (void)state;
    assert_true(fby_memory_bytes() > 0);
    uint64_t limit = fby_cgroup_memory();
    assert_true(limit == 0 || fby_memory_bytes() <= limit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(where_nothing_is_said_there_is_no_limit),
        cmocka_unit_test(max_is_no_limit),
        cmocka_unit_test(the_tightest_group_counts),
        cmocka_unit_test(nonsense_is_no_limit),
        cmocka_unit_test(what_is_left_leaves_out_the_cache),
        cmocka_unit_test(a_process_has_some_memory),
    };
    return cmocka_run_group_tests_name("cgroup", tests, make_groups, remove_groups);
}
