/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/input.h"
#include "scratch.h"

static fby_input *input;
static fby_line text;
static bool end;

static void open_jsonl(const char *bytes, const char *field)
{
    static char *path;
    const fby_input_options options = {.jsonl = true, .field = field};
    path = scratch("in.jsonl");
    scratch_write(path, bytes, strlen(bytes));
    assert_int_equal(fby_input_open(&options, &path, 1, &input), FBY_OK);
}

static void refuses(const char *bytes, const char *reason)
{
    open_jsonl(bytes, NULL);
    assert_int_equal(fby_input_next(input, &text, &end), FBY_EFORMAT);
    assert_non_null(strstr(fby_last_error(), "in.jsonl:1: "));
    assert_non_null(strstr(fby_last_error(), reason));
    fby_input_close(input);
}

static void gives_the_field_of_each_object(void **state)
{
    (void)state;
    open_jsonl("{\"text\":\"a\\u0000b\\n\"}\r\n{\"id\":99999999999999999999,\"text\":\"\"}", NULL);
    assert_int_equal(fby_input_next(input, &text, &end), FBY_OK);
    assert_int_equal(text.size, 4);
    assert_memory_equal(text.bytes, "a\0b\n", 4);
    assert_int_equal(fby_input_next(input, &text, &end), FBY_OK);
    assert_int_equal(text.size, 0);
    assert_int_equal(text.number, 2);
    assert_int_equal(fby_input_next(input, &text, &end), FBY_OK);
    assert_true(end);
    fby_input_close(input);
}

static void takes_another_field_by_name(void **state)
{
    (void)state;
    open_jsonl("{\"text\":\"no\",\"body\":\"yes\"}\n", "body");
    assert_int_equal(fby_input_next(input, &text, &end), FBY_OK);
    assert_memory_equal(text.bytes, "yes", 3);
    fby_input_close(input);
}

static void names_the_place_of_what_is_no_object_with_the_field(void **state)
{
    (void)state;
    refuses("{\"text\":\n", "not JSON");
    refuses("\n", "not JSON");
    refuses("{\"text\":\"\xff}\n", "not JSON");
    refuses("[1]\n", "not a JSON object");
    refuses("{\"txt\":\"a\"}\n", "no field \"text\"");
    refuses("{\"text\":1}\n", "field \"text\" is not a string");
    refuses("{\"text\":\"a\"} x\n", "not JSON");
}

static void a_field_without_jsonl_is_a_mistake(void **state)
{
    (void)state;
    const fby_input_options options = {.field = "body"};
    assert_int_equal(fby_input_open(&options, NULL, 0, &input), FBY_EINVAL);
}

#define WITH_FILES(test) cmocka_unit_test_setup_teardown(test, scratch_begin, scratch_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FILES(gives_the_field_of_each_object),
        WITH_FILES(takes_another_field_by_name),
        WITH_FILES(names_the_place_of_what_is_no_object_with_the_field),
        cmocka_unit_test(a_field_without_jsonl_is_a_mistake),
    };
    return cmocka_run_group_tests_name("input", tests, NULL, NULL);
}
