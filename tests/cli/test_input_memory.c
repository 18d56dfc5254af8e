/* SPDX-License-Identifier: Apache-2.0 */
/* A line of --jsonl under every limit of memory: the right text, or FBY_ENOMEM. */
#include "cli/input.h"
#include "memory_limit.h"
#include "scratch.h"

enum { TEXT = 3000, STEP = 61 };

static char line[4 * TEXT + 64], expected[4 * TEXT];
static size_t line_size, expected_size;

/* Plain bytes, escapes and, where `valid` is not set, bytes that are not UTF-8. */
static void make_line(bool valid)
{
    line_size = (size_t)sprintf(line, "{\"id\":7,\"text\":\"");
    expected_size = 0;
    for (int i = 0; i < TEXT; i++) {
        bool newline = i % 7 == 0, odd = !valid && i % 501 == 3;
        const char *to = newline ? "\n" : odd ? "\xef\xbf\xbd" : "a";
        line_size += (size_t)sprintf(line + line_size, "%s", newline ? "\\n" : odd ? "\xff" : "a");
        expected_size += (size_t)sprintf(expected + expected_size, "%s", to);
    }
    line_size += (size_t)sprintf(line + line_size, "\"}\n");
}

/* Whether it was given. */
static bool read_under_limit(char *path, ptrdiff_t limit)
{
    const fby_input_options options = {.jsonl = true};
    fby_input *input = NULL;
    fby_line text = {0};
    bool end = false, right = false;

    memory_limit_end = memory_live + limit;
    fby_status status = fby_input_open(&options, &path, 1, &input);
    if (status == FBY_OK)
        status = fby_input_next(input, &text, &end);
    memory_limit_end = PTRDIFF_MAX;
    if (status == FBY_OK)
        right =
            !end && text.size == expected_size && memcmp(text.bytes, expected, expected_size) == 0;
    fby_input_close(input);
    if (status != FBY_ENOMEM && !right)
        fail_msg("under %td bytes: %s: %s", limit, fby_status_name(status), fby_last_error());
    return right;
}

static void a_line_is_read_right_or_there_was_no_memory(void **state)
{
    (void)state;
    for (int valid = 0; valid < 2; valid++) {
        bool given = false;
        make_line(valid == 1);
        scratch_write(scratch("in.jsonl"), line, line_size);
        memory_refused = 0;
        for (ptrdiff_t limit = 0; !given; limit += STEP)
            given = read_under_limit(scratch("in.jsonl"), limit);
        assert_true(memory_refused > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_is_read_right_or_there_was_no_memory),
    };
    return cmocka_run_group_tests_name("input memory", tests, scratch_begin, scratch_end);
}
