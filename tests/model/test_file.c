/* SPDX-License-Identifier: Apache-2.0 */
#include "model/file.h"
#include "model/temporary.h"

#include <errno.h>
#include <sys/mman.h>

/* The link puts this in the place of mmap(), which is mmap64() with 64-bit file offsets. */
static int mmap_failures;
void *__real_mmap64(void *address, size_t size, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap64(void *address, size_t size, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap64(void *address, size_t size, int prot, int flags, int fd, off_t offset)
{
    if (mmap_failures > 0) {
        mmap_failures--;
        errno = ENOMEM;
        return MAP_FAILED;
    }
    return __real_mmap64(address, size, prot, flags, fd, offset);
}

static char *dir;

static int make_dir(void **state)
{
    (void)state;
    dir = temporary_dir();
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    temporary_remove(dir);
    free(dir);
    return 0;
}

static void maps_what_was_written(void **state)
{
    (void)state;
    fby_file file;
    temporary_text(dir, "a", "forebay");
    assert_int_equal(fby_file_map(temporary_path(dir, "a"), &file), FBY_OK);
    assert_int_equal(file.size, 7);
    assert_memory_equal(file.bytes, "forebay", 7);
    fby_file_unmap(&file);
}

static void an_empty_file_is_no_bytes(void **state)
{
    (void)state;
    fby_file file;
    temporary_text(dir, "empty", "");
    assert_int_equal(fby_file_map(temporary_path(dir, "empty"), &file), FBY_OK);
    assert_int_equal(file.size, 0);
    assert_non_null(file.bytes);
    fby_file_unmap(&file);
}

static void names_the_file_that_is_missing(void **state)
{
    (void)state;
    fby_file file;
    char *bytes;
    size_t size;
    assert_int_equal(fby_file_map(temporary_path(dir, "none"), &file), FBY_ENOENT);
    assert_non_null(strstr(fby_last_error(), "/none: No such file"));
    assert_int_equal(fby_file_read(temporary_path(dir, "none"), 10, &bytes, &size), FBY_ENOENT);
}

static void refuses_what_is_not_a_regular_file_without_waiting_for_it(void **state)
{
    (void)state;
    fby_file file;
    assert_int_equal(mkfifo(temporary_path(dir, "fifo"), 0600), 0);
    assert_int_equal(fby_file_map(temporary_path(dir, "fifo"), &file), FBY_EIO);
    assert_non_null(strstr(fby_last_error(), "not a regular file"));
    assert_int_equal(fby_file_map(dir, &file), FBY_EIO);
}

static void reads_up_to_its_limit_and_no_more(void **state)
{
    (void)state;
    char *bytes;
    size_t size;
    temporary_text(dir, "ten", "0123456789");
    assert_int_equal(fby_file_read(temporary_path(dir, "ten"), 10, &bytes, &size), FBY_OK);
    assert_int_equal(size, 10);
    assert_string_equal(bytes, "0123456789");
    free(bytes);
    assert_int_equal(fby_file_read(temporary_path(dir, "ten"), 9, &bytes, &size), FBY_EFORMAT);
    assert_non_null(strstr(fby_last_error(), "10 bytes, more than the 9"));
}

static void a_mapping_that_fails_is_an_error_that_names_the_file(void **state)
{
    (void)state;
    fby_file file;
    temporary_text(dir, "unlucky", "x");
    mmap_failures = 1;
    assert_int_equal(fby_file_map(temporary_path(dir, "unlucky"), &file), FBY_ENOMEM);
    assert_non_null(strstr(fby_last_error(), "/unlucky: "));
}

static void a_path_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    static char dir_name[FBY_PATH_SIZE], path[FBY_PATH_SIZE];
    memset(dir_name, 'd', FBY_PATH_SIZE - 3);
    assert_int_equal(fby_path_join(path, dir_name, "n"), FBY_OK);
    assert_int_equal(strlen(path), FBY_PATH_SIZE - 1);
    assert_int_equal(fby_path_join(path, dir_name, "nn"), FBY_EINVAL);
    assert_int_equal(fby_path_join(path, "dir", ""), FBY_OK);
    assert_string_equal(path, "dir");
}

static void quotes_what_a_terminal_would_obey(void **state)
{
    (void)state;
    char out[FBY_QUOTE_SIZE], text[400];
    assert_string_equal(fby_quote(out, "a\x1b[31m\n\xc3\xa9"), "a?[31m???");
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    assert_int_equal(strlen(fby_quote(out, text)), FBY_QUOTE_SIZE - 1);
    assert_string_equal(out + FBY_QUOTE_SIZE - 4, "...");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(maps_what_was_written),
        cmocka_unit_test(an_empty_file_is_no_bytes),
        cmocka_unit_test(names_the_file_that_is_missing),
        cmocka_unit_test(refuses_what_is_not_a_regular_file_without_waiting_for_it),
        cmocka_unit_test(reads_up_to_its_limit_and_no_more),
        cmocka_unit_test(a_mapping_that_fails_is_an_error_that_names_the_file),
        cmocka_unit_test(a_path_that_does_not_fit_is_refused),
        cmocka_unit_test(quotes_what_a_terminal_would_obey),
    };
    return cmocka_run_group_tests_name("file", tests, make_dir, remove_dir);
}
