/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/rows.h"
#include "scratch.h"

#include <fcntl.h>
#include <math.h>
#include <sys/stat.h>

static const float vectors[][3] = {{0.5F, -0.1F, 0}, {1e-7F, 3, -2.5F}};
static const fby_text_info infos[] = {{.tokens = 5}, {.tokens = 256, .truncated = true}};
static fby_output output;
static fby_rows rows;
static char written[4096];

static void begin(const char *path, fby_row_format format)
{
    assert_int_equal(fby_output_open(&output, path), FBY_OK);
    assert_int_equal(fby_rows_begin(&rows, &output, format, FBY_ROW_FLOAT32, 3, 0), FBY_OK);
}

static void add_both(void)
{
    for (int i = 0; i < 2; i++)
        assert_int_equal(fby_rows_add(&rows, vectors[i], &infos[i]), FBY_OK);
}

/* Both vectors through a file; its bytes in `written`. */
static size_t write_both(fby_row_format format)
{
    char *path = scratch("out");
    begin(path, format);
    add_both();
    assert_int_equal(fby_rows_end(&rows), FBY_OK);
    assert_int_equal(fby_output_commit(&output), FBY_OK);
    size_t size = scratch_read(path, written, sizeof written - 1);
    written[size] = '\0';
    return size;
}

static void npy_has_numpys_header_and_the_floats(void **state)
{
    (void)state;
    assert_int_equal(write_both(FBY_ROWS_NPY), 128 + sizeof vectors);
    assert_memory_equal(written, "\x93NUMPY\x01\x00\x76\x00", 10);
    assert_memory_equal(written + 10,
                        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }   ", 62);
    assert_int_equal(written[127], '\n');
    assert_memory_equal(written + 128, vectors, sizeof vectors);
}

static void f32_is_the_floats_alone(void **state)
{
    (void)state;
    assert_int_equal(write_both(FBY_ROWS_F32), sizeof vectors);
    assert_memory_equal(written, vectors, sizeof vectors);
}

static void csv_is_a_line_a_row(void **state)
{
    (void)state;
    write_both(FBY_ROWS_CSV);
    assert_string_equal(written, "0.5,-0.1,0\n1e-7,3,-2.5\n");
}

static void jsonl_says_what_became_of_each_text(void **state)
{
    (void)state;
    write_both(FBY_ROWS_JSONL);
    assert_string_equal(
        written, "{\"index\":0,\"tokens\":5,\"truncated\":false,\"embedding\":[0.5,-0.1,0]}\n"
                 "{\"index\":1,\"tokens\":256,\"truncated\":true,\"embedding\":[1e-7,3,-2.5]}\n");
}

static void jsonl_stays_json_where_a_number_is_none(void **state)
{
    (void)state;
    const float vector[] = {(float)NAN, (float)-INFINITY, 1};
    char *path = scratch("out");
    begin(path, FBY_ROWS_JSONL);
    assert_int_equal(fby_rows_add(&rows, vector, &infos[0]), FBY_OK);
    assert_int_equal(fby_output_commit(&output), FBY_OK);
    written[scratch_read(path, written, sizeof written - 1)] = '\0';
    assert_non_null(strstr(written, "\"embedding\":[null,null,1]}"));
}

static void nothing_has_the_name_before_the_file_is_whole(void **state)
{
    (void)state;
    char *path = scratch("out");
    begin(path, FBY_ROWS_NPY);
    add_both();
    assert_int_equal(fby_output_flush(&output), FBY_OK);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(scratch_count(), 1);
    fby_output_abandon(&output);
    assert_int_equal(scratch_count(), 0);
}

static void until_the_end_the_header_promises_no_row(void **state)
{
    (void)state;
    begin(scratch("out"), FBY_ROWS_NPY);
    add_both();
    assert_int_equal(fby_output_flush(&output), FBY_OK);
    assert_true(scratch_read(output.part, written, sizeof written) > 128);
    assert_non_null(strstr(written + 10, "'shape': (0, 3)"));
    fby_output_abandon(&output);
}

static void an_abandoned_output_leaves_the_earlier_file(void **state)
{
    (void)state;
    char *path = scratch("out");
    scratch_write(path, "old", 3);
    begin(path, FBY_ROWS_F32);
    add_both();
    fby_output_abandon(&output);
    assert_int_equal(scratch_read(path, written, sizeof written), 3);
    assert_memory_equal(written, "old", 3);
}

static void a_new_file_keeps_the_mode_of_the_old_and_the_link_to_it(void **state)
{
    (void)state;
    struct stat status;
    char *path = scratch("out"), *link = scratch("link");
    scratch_write(path, "old", 3);
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(symlink("out", link), 0);
    begin(link, FBY_ROWS_F32);
    add_both();
    assert_int_equal(fby_output_commit(&output), FBY_OK);
    assert_int_equal(lstat(link, &status), 0);
    assert_true(S_ISLNK(status.st_mode));
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    assert_int_equal(status.st_size, sizeof vectors);
}

static void a_full_disk_is_named(void **state)
{
    (void)state;
    begin("/dev/full", FBY_ROWS_F32);
    add_both();
    assert_int_equal(fby_output_commit(&output), FBY_EIO);
    assert_string_equal(fby_last_error(), "/dev/full: No space left on device");
}

static void npy_into_what_cannot_be_patched_wants_the_count(void **state)
{
    (void)state;
    assert_int_equal(fby_output_open(&output, "/dev/null"), FBY_OK);
    assert_int_equal(fby_rows_begin(&rows, &output, FBY_ROWS_NPY, FBY_ROW_FLOAT32, 3, 0),
                     FBY_EINVAL);
    assert_non_null(strstr(fby_last_error(), "--count"));
    assert_int_equal(fby_rows_begin(&rows, &output, FBY_ROWS_NPY, FBY_ROW_FLOAT32, 3, 1), FBY_OK);
    assert_int_equal(fby_rows_add(&rows, vectors[0], &infos[0]), FBY_OK);
    assert_int_equal(fby_rows_add(&rows, vectors[1], &infos[1]), FBY_EFORMAT);
    fby_output_abandon(&output);
}

/* Runs `body` with standard output at `fd`. */
static void with_stdout(int fd, void (*body)(void))
{
    fflush(stdout);
    int saved = dup(STDOUT_FILENO);
    assert_true(saved >= 0 && dup2(fd, STDOUT_FILENO) == STDOUT_FILENO);
    body();
    assert_int_equal(dup2(saved, STDOUT_FILENO), STDOUT_FILENO);
    close(saved);
}

static void npy_to_stdout(void)
{
    begin(NULL, FBY_ROWS_NPY);
    add_both();
    assert_int_equal(fby_rows_end(&rows), FBY_OK);
    assert_int_equal(fby_output_commit(&output), FBY_OK);
}

static void abandon_stdout(void)
{
    begin(NULL, FBY_ROWS_F32);
    add_both();
    assert_int_equal(fby_output_flush(&output), FBY_OK);
    fby_output_abandon(&output);
}

static void refuse_npy_on_stdout(void)
{
    assert_int_equal(fby_output_open(&output, "-"), FBY_OK);
    assert_false(output.regular);
    assert_int_equal(fby_rows_begin(&rows, &output, FBY_ROWS_NPY, FBY_ROW_FLOAT32, 3, 0),
                     FBY_EINVAL);
    fby_output_abandon(&output);
}

static void stdout_that_is_a_file_is_patched_where_it_began(void **state)
{
    (void)state;
    char *path = scratch("out");
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    assert_int_equal(write(fd, "head", 4), 4);
    with_stdout(fd, npy_to_stdout);
    close(fd);
    assert_int_equal(scratch_read(path, written, sizeof written), 4 + 128 + sizeof vectors);
    assert_memory_equal(written, "head\x93NUMPY", 10);
    assert_non_null(strstr(written + 14, "(2, 3)"));
}

static void abandoned_stdout_is_cut_back_to_where_it_began(void **state)
{
    (void)state;
    char *path = scratch("out");
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    assert_int_equal(write(fd, "head", 4), 4);
    with_stdout(fd, abandon_stdout);
    close(fd);
    assert_int_equal(scratch_read(path, written, sizeof written), 4);
}

static void an_appended_file_cannot_be_patched(void **state)
{
    (void)state;
    int fd = open(scratch("out"), O_WRONLY | O_CREAT | O_APPEND, 0600);
    with_stdout(fd, refuse_npy_on_stdout);
    close(fd);
}

#define WITH_FILES(test) cmocka_unit_test_setup_teardown(test, scratch_begin, scratch_end)

/* Two rows of nine dimensions, and what sentence-transformers' quantize_embeddings gives for the
 * bits of them. */
static const float nine[2][9] = {{0.5F, -0.5F, 0, 0.25F, -1, 1, 0.1F, -0.1F, 0.3F},
                                 {-1, -1, -1, -1, -1, -1, -1, 1e-9F, NAN}};

static size_t write_nine(fby_row_format format, fby_row_type type)
{
    char *path = scratch("out");
    assert_int_equal(fby_output_open(&output, path), FBY_OK);
    assert_int_equal(fby_rows_begin(&rows, &output, format, type, 9, 0), FBY_OK);
    for (int i = 0; i < 2; i++)
        assert_int_equal(fby_rows_add(&rows, nine[i], &infos[i]), FBY_OK);
    assert_int_equal(fby_rows_end(&rows), FBY_OK);
    fby_rows_drop(&rows);
    assert_int_equal(fby_output_commit(&output), FBY_OK);
    size_t size = scratch_read(path, written, sizeof written - 1);
    written[size] = '\0';
    return size;
}

static void int8_is_127_times_the_number(void **state)
{
    (void)state;
    static const int8_t values[2][9] = {{64, -64, 0, 32, -127, 127, 13, -13, 38},
                                        {-127, -127, -127, -127, -127, -127, -127, 0, 0}};
    assert_int_equal(write_nine(FBY_ROWS_NPY, FBY_ROW_INT8), 128 + sizeof values);
    assert_memory_equal(written + 10, "{'descr': '|i1', 'fortran_order': False, 'shape': (2, 9), }",
                        59);
    assert_memory_equal(written + 128, values, sizeof values);
    write_nine(FBY_ROWS_CSV, FBY_ROW_INT8);
    assert_string_equal(written, "64,-64,0,32,-127,127,13,-13,38\n"
                                 "-127,-127,-127,-127,-127,-127,-127,0,0\n");
    write_nine(FBY_ROWS_JSONL, FBY_ROW_INT8);
    assert_non_null(strstr(written, "\"scale\":127,\"embedding\":[64,-64,0,"));
}

static void uint8_is_int8_plus_128(void **state)
{
    (void)state;
    assert_int_equal(write_nine(FBY_ROWS_NPY, FBY_ROW_UINT8), 128 + 2 * 9);
    assert_memory_equal(written + 10, "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 9), }",
                        59);
    write_nine(FBY_ROWS_CSV, FBY_ROW_UINT8);
    assert_string_equal(written, "192,64,128,160,1,255,141,115,166\n1,1,1,1,1,1,1,128,128\n");
}

static void bits_are_packed_as_numpy_does(void **state)
{
    (void)state;
    static const uint8_t packed[2][2] = {{0x96, 0x80}, {0x01, 0x00}};
    assert_int_equal(write_nine(FBY_ROWS_NPY, FBY_ROW_UBINARY), 128 + sizeof packed);
    assert_memory_equal(written + 10, "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 2), }",
                        59);
    assert_memory_equal(written + 128, packed, sizeof packed);
    write_nine(FBY_ROWS_CSV, FBY_ROW_UBINARY);
    assert_string_equal(written, "150,128\n1,0\n");
    write_nine(FBY_ROWS_CSV, FBY_ROW_BINARY);
    assert_string_equal(written, "22,0\n-127,-128\n");
}

static void bare_floats_are_floats(void **state)
{
    (void)state;
    char *path = scratch("out");
    assert_int_equal(fby_output_open(&output, path), FBY_OK);
    assert_int_equal(fby_rows_begin(&rows, &output, FBY_ROWS_F32, FBY_ROW_INT8, 9, 0), FBY_EINVAL);
    fby_output_abandon(&output);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FILES(npy_has_numpys_header_and_the_floats),
        WITH_FILES(f32_is_the_floats_alone),
        WITH_FILES(csv_is_a_line_a_row),
        WITH_FILES(jsonl_says_what_became_of_each_text),
        WITH_FILES(jsonl_stays_json_where_a_number_is_none),
        WITH_FILES(nothing_has_the_name_before_the_file_is_whole),
        WITH_FILES(until_the_end_the_header_promises_no_row),
        WITH_FILES(an_abandoned_output_leaves_the_earlier_file),
        WITH_FILES(a_new_file_keeps_the_mode_of_the_old_and_the_link_to_it),
        cmocka_unit_test(a_full_disk_is_named),
        cmocka_unit_test(npy_into_what_cannot_be_patched_wants_the_count),
        WITH_FILES(stdout_that_is_a_file_is_patched_where_it_began),
        WITH_FILES(abandoned_stdout_is_cut_back_to_where_it_began),
        WITH_FILES(an_appended_file_cannot_be_patched),
        WITH_FILES(int8_is_127_times_the_number),
        WITH_FILES(uint8_is_int8_plus_128),
        WITH_FILES(bits_are_packed_as_numpy_does),
        WITH_FILES(bare_floats_are_floats),
    };
    return cmocka_run_group_tests_name("rows", tests, NULL, NULL);
}
