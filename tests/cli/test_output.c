/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/output.h"
#include "scratch.h"

#include <errno.h>
#include <sys/stat.h>

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);

static unsigned synced;        /* calls since the last rename */
static unsigned renames_ahead; /* renames without one */
static int fsync_errno;

int __wrap_fsync(int fd)
{
    synced++;
    errno = fsync_errno;
    return fsync_errno != 0 ? -1 : __real_fsync(fd);
}

int __wrap_rename(const char *from, const char *to)
{
    renames_ahead += synced == 0;
    synced = 0;
    return __real_rename(from, to);
}

static fby_status write_to(const char *path, const char *bytes)
{
    fby_output output;
    fby_status status = fby_output_open(&output, path);
    if (status != FBY_OK)
        return status;
    assert_int_equal(fby_output_write(&output, bytes, strlen(bytes)), FBY_OK);
    return fby_output_commit(&output);
}

static void expect(const char *path, const char *bytes)
{
    char read[64] = "";
    scratch_read(path, read, sizeof read - 1);
    assert_string_equal(read, bytes);
}

static bool is_link(const char *path)
{
    struct stat status;
    return lstat(path, &status) == 0 && S_ISLNK(status.st_mode);
}

static void a_link_stays_and_what_it_names_is_written(void **state)
{
    (void)state;
    scratch_write(scratch("old"), "old", 3);
    assert_int_equal(symlink("old", scratch("to-old")), 0);
    assert_int_equal(write_to(scratch("to-old"), "new"), FBY_OK);
    assert_true(is_link(scratch("to-old")));
    expect(scratch("old"), "new");
}

static void a_link_to_nothing_makes_its_target(void **state)
{
    (void)state;
    assert_int_equal(symlink("made", scratch("relative")), 0);
    assert_int_equal(symlink(scratch("relative"), scratch("absolute")), 0);
    assert_int_equal(write_to(scratch("absolute"), "new"), FBY_OK);
    assert_true(is_link(scratch("absolute")));
    assert_true(is_link(scratch("relative")));
    expect(scratch("made"), "new");
}

static void links_in_a_ring_and_to_nowhere_are_refused(void **state)
{
    (void)state;
    assert_int_equal(symlink("b", scratch("a")), 0);
    assert_int_equal(symlink("a", scratch("b")), 0);
    assert_int_equal(symlink("none/file", scratch("astray")), 0);
    size_t before = scratch_count();
    assert_int_equal(write_to(scratch("a"), "new"), FBY_EIO);
    assert_int_equal(write_to(scratch("astray"), "new"), FBY_EIO);
    assert_int_equal(scratch_count(), before);
    assert_true(is_link(scratch("a")) && is_link(scratch("astray")));
}

static void bytes_are_on_the_disk_before_the_name_is(void **state)
{
    (void)state;
    synced = renames_ahead = 0;
    assert_int_equal(write_to(scratch("file"), "1"), FBY_OK);
    assert_int_equal(renames_ahead, 0);

    size_t before = scratch_count();
    fsync_errno = EIO;
    assert_int_equal(write_to(scratch("file"), "2"), FBY_EIO);
    assert_non_null(strstr(fby_last_error(), "file: "));
    assert_int_equal(scratch_count(), before);
    expect(scratch("file"), "1");

    fsync_errno = EINVAL; /* a file system that has no such thing */
    assert_int_equal(write_to(scratch("file"), "3"), FBY_OK);
    expect(scratch("file"), "3");
    fsync_errno = 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_link_stays_and_what_it_names_is_written),
        cmocka_unit_test(a_link_to_nothing_makes_its_target),
        cmocka_unit_test(links_in_a_ring_and_to_nowhere_are_refused),
        cmocka_unit_test(bytes_are_on_the_disk_before_the_name_is),
    };
    return cmocka_run_group_tests_name("output", tests, scratch_begin, scratch_end);
}
