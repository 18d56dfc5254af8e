/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/lines.h"
#include "scratch.h"

static fby_lines *lines;
static fby_line line;
static bool end;

static void open_one(char *path, size_t limit)
{
    static char *file;
    file = path;
    assert_int_equal(fby_lines_open(&file, 1, limit, &lines), FBY_OK);
}

/* Opens a file of just these bytes. */
static void open_bytes(const void *bytes, size_t size)
{
    char *path = scratch("lines");
    scratch_write(path, bytes, size);
    open_one(path, FBY_LINE_LIMIT);
}

static void expect(const char *bytes, size_t size)
{
    assert_int_equal(fby_lines_next(lines, &line, &end), FBY_OK);
    assert_false(end);
    assert_int_equal(line.size, size);
    assert_memory_equal(line.bytes, bytes, size);
}

static void expect_end(void)
{
    assert_int_equal(fby_lines_next(lines, &line, &end), FBY_OK);
    assert_true(end);
    fby_lines_close(lines);
}

static void gives_each_line_with_its_number(void **state)
{
    (void)state;
    open_bytes("one\ntwo\n\nfour", 13);
    expect("one", 3);
    assert_int_equal(line.number, 1);
    expect("two", 3);
    expect("", 0);
    assert_int_equal(line.number, 3);
    expect("four", 4);
    assert_int_equal(fby_lines_position(lines), 13);
    assert_int_equal(fby_lines_total(lines), 13);
    expect_end();
}

static void an_empty_file_has_no_line_and_a_lone_end_one(void **state)
{
    (void)state;
    open_bytes("", 0);
    expect_end();
    open_bytes("\n", 1);
    expect("", 0);
    expect_end();
}

static void takes_cr_lf_as_an_end_and_cr_as_a_byte(void **state)
{
    (void)state;
    open_bytes("a\r\nb\rc\n\r\ne\r", 11);
    expect("a", 1);
    expect("b\rc", 3);
    expect("", 0);
    expect("e\r", 2);
    expect_end();
}

static void keeps_bytes_that_are_no_text(void **state)
{
    (void)state;
    open_bytes("a\0b\n\xff\xfe\n", 7);
    expect("a\0b", 3);
    expect("\xff\xfe", 2);
    expect_end();
}

static void leaves_out_a_byte_order_mark_at_the_start_only(void **state)
{
    (void)state;
    open_bytes("\xef\xbb\xbf"
               "a\n\xef\xbb\xbf"
               "b",
               9);
    expect("a", 1);
    expect("\xef\xbb\xbf"
           "b",
           4);
    assert_int_equal(fby_lines_position(lines), 9);
    expect_end();
    open_bytes("\xef\xbb", 2);
    expect("\xef\xbb", 2);
    expect_end();
}

static void goes_from_file_to_file(void **state)
{
    (void)state;
    char *files[] = {scratch("a"), scratch("b"), scratch("c")};
    scratch_write(files[0], "1\n2", 3);
    scratch_write(files[1], "", 0);
    scratch_write(files[2], "3\n", 2);
    assert_int_equal(fby_lines_open(files, 3, FBY_LINE_LIMIT, &lines), FBY_OK);
    expect("1", 1);
    expect("2", 1);
    expect("3", 1);
    assert_string_equal(line.file, files[2]);
    assert_int_equal(line.number, 1);
    assert_int_equal(fby_lines_total(lines), 5);
    expect_end();
}

static void a_line_up_to_the_limit_is_given_whole(void **state)
{
    (void)state;
    enum { LIMIT = 200000 };
    char *text = malloc(LIMIT + 2), *path = scratch("long");
    assert_non_null(text);
    memset(text, 'x', LIMIT);
    memcpy(text + LIMIT, "\r\n", 2);
    scratch_write(path, text, LIMIT + 2);
    open_one(path, LIMIT);
    expect(text, LIMIT);
    expect_end();
    free(text);
}

static void a_longer_line_is_refused_with_its_place(void **state)
{
    (void)state;
    enum { LIMIT = 200000 };
    char *text = malloc(LIMIT + 3), *path = scratch("long");
    assert_non_null(text);
    for (size_t over = 1; over <= 3; over += 2) {
        memset(text, 'x', LIMIT + over);
        scratch_write(path, text, LIMIT + over);
        open_one(path, LIMIT);
        assert_int_equal(fby_lines_next(lines, &line, &end), FBY_ETOOLONG);
        assert_non_null(strstr(fby_last_error(), "long:1: "));
        fby_lines_close(lines);
    }
    free(text);
}

static void what_cannot_be_read_is_named_at_once(void **state)
{
    (void)state;
    char *missing[] = {scratch("missing")}, *dir[] = {scratch_dir};
    assert_int_equal(fby_lines_open(missing, 1, FBY_LINE_LIMIT, &lines), FBY_ENOENT);
    assert_non_null(strstr(fby_last_error(), "missing: No such file"));
    assert_int_equal(fby_lines_open(dir, 1, FBY_LINE_LIMIT, &lines), FBY_EIO);
    assert_non_null(strstr(fby_last_error(), "directory"));
}

/* Lines of random lengths, some over the read size, against the bytes themselves. */
static void random_lines_come_back_as_they_were(void **state)
{
    (void)state;
    enum { BYTES = 3 << 20 };
    static const size_t longest[] = {3, 80, 5000, 300000};
    fby_rng rng = fby_rng_from_env();
    char *bytes = malloc(BYTES), *path = scratch("random");
    assert_non_null(bytes);
    for (size_t at = 0; at < BYTES;) {
        size_t size = fby_rng_below(&rng, longest[fby_rng_below(&rng, 4)]);
        for (; size > 0 && at < BYTES; size--)
            bytes[at++] = (char)('a' + fby_rng_below(&rng, 26));
        if (at < BYTES)
            bytes[at++] = '\n';
    }
    scratch_write(path, bytes, BYTES);
    open_one(path, FBY_LINE_LIMIT);
    for (size_t at = 0; at < BYTES;) {
        const char *found = memchr(bytes + at, '\n', BYTES - at);
        size_t size = found != NULL ? (size_t)(found - bytes) - at : BYTES - at;
        expect(bytes + at, size);
        at += size + 1;
    }
    expect_end();
    free(bytes);
}

static void a_pipe_is_ready_when_it_has_a_line_or_more_to_read(void **state)
{
    (void)state;
    int ends[2], saved = dup(STDIN_FILENO);
    assert_int_equal(pipe(ends), 0);
    assert_true(saved >= 0 && dup2(ends[0], STDIN_FILENO) == STDIN_FILENO);
    assert_int_equal(fby_lines_open(NULL, 0, FBY_LINE_LIMIT, &lines), FBY_OK);
    assert_int_equal(write(ends[1], "one\ntwo\n", 8), 8);
    expect("one", 3);
    assert_string_equal(line.file, "standard input");
    assert_true(fby_lines_ready(lines));
    expect("two", 3);
    assert_false(fby_lines_ready(lines));
    assert_int_equal(fby_lines_total(lines), 0);
    close(ends[1]);
    assert_true(fby_lines_ready(lines));
    expect_end();
    assert_int_equal(dup2(saved, STDIN_FILENO), STDIN_FILENO);
    close(saved);
    close(ends[0]);
}

#define WITH_FILES(test) cmocka_unit_test_setup_teardown(test, scratch_begin, scratch_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FILES(gives_each_line_with_its_number),
        WITH_FILES(an_empty_file_has_no_line_and_a_lone_end_one),
        WITH_FILES(takes_cr_lf_as_an_end_and_cr_as_a_byte),
        WITH_FILES(keeps_bytes_that_are_no_text),
        WITH_FILES(leaves_out_a_byte_order_mark_at_the_start_only),
        WITH_FILES(goes_from_file_to_file),
        WITH_FILES(a_line_up_to_the_limit_is_given_whole),
        WITH_FILES(a_longer_line_is_refused_with_its_place),
        WITH_FILES(what_cannot_be_read_is_named_at_once),
        WITH_FILES(random_lines_come_back_as_they_were),
        WITH_FILES(a_pipe_is_ready_when_it_has_a_line_or_more_to_read),
    };
    return cmocka_run_group_tests_name("lines", tests, NULL, NULL);
}
