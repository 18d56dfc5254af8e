/* SPDX-License-Identifier: Apache-2.0 */
#include "model/json.h"
#include "test.h"

static json_t *parsed(const char *text)
{
    json_t *root;
    assert_int_equal(fby_json_parse("c.json", text, strlen(text), 0, &root), FBY_OK);
    return root;
}

static void malformed_text_is_refused_by_file_and_line(void **state)
{
    (void)state;
    json_t *root;
    const char *broken = "{\n  \"a\": 1,\n  \"b\": }\n";
    assert_int_equal(fby_json_parse("c.json", broken, strlen(broken), 0, &root), FBY_EFORMAT);
    assert_ptr_equal(strstr(fby_last_error(), "c.json:3: "), fby_last_error());
    assert_int_equal(fby_json_parse("c.json", "", 0, 0, &root), FBY_EFORMAT);
    assert_int_equal(fby_json_parse("c.json", "{} {}", 5, 0, &root), FBY_EFORMAT);
    assert_int_equal(fby_json_parse("c.json", "{\"a\": \"\xff\"}", 10, 0, &root), FBY_EFORMAT);
}

static void a_key_given_twice_is_refused_by_name(void **state)
{
    (void)state;
    json_t *root;
    const char *twice = "{\"hidden_size\": 1, \"hidden_size\": 2}";
    assert_int_equal(fby_json_parse("c.json", twice, strlen(twice), 0, &root), FBY_EFORMAT);
    assert_non_null(strstr(fby_last_error(), "hidden_size"));
}

static void nesting_without_end_is_refused(void **state)
{
    (void)state;
    json_t *root;
    static char deep[100000];
    memset(deep, '[', sizeof deep);
    assert_int_equal(fby_json_parse("c.json", deep, sizeof deep, 0, &root), FBY_EFORMAT);
}

static void numbers_are_whole_and_within_their_range(void **state)
{
    (void)state;
    json_t *root =
        parsed("{\"n\": 12, \"low\": -1, \"real\": 12.0, \"text\": \"12\", \"null\": null}");
    uint32_t n = 99;
    assert_int_equal(fby_json_u32_required("c.json", root, "n", 12, 12, &n), FBY_OK);
    assert_int_equal(n, 12);
    assert_int_equal(fby_json_u32_required("c.json", root, "n", 13, 20, &n), FBY_EFORMAT);
    assert_string_equal(fby_last_error(), "c.json: n: expected an integer from 13 to 20");
    assert_int_equal(fby_json_u32_required("c.json", root, "n", 1, 11, &n), FBY_EFORMAT);
    assert_int_equal(fby_json_u32_required("c.json", root, "low", 0, UINT32_MAX, &n), FBY_EFORMAT);
    assert_int_equal(fby_json_u32_required("c.json", root, "real", 0, 99, &n), FBY_EFORMAT);
    assert_int_equal(fby_json_u32_required("c.json", root, "text", 0, 99, &n), FBY_EFORMAT);
    assert_int_equal(fby_json_u32_required("c.json", root, "none", 0, 99, &n), FBY_EFORMAT);
    assert_string_equal(fby_last_error(), "c.json: none is missing");
    assert_int_equal(n, 12);
    assert_int_equal(fby_json_u32("c.json", root, "null", 0, 99, 7, &n), FBY_OK);
    assert_int_equal(n, 7);
    json_decref(root);
}

static void an_integer_beyond_64_bits_is_a_number_where_asked_for(void **state)
{
    (void)state;
    json_t *root;
    const char *text = "[1000000000000000019884624838656]"; /* "no limit", in Python */
    assert_int_equal(fby_json_parse("c.json", text, strlen(text), 0, &root), FBY_EFORMAT);
    assert_int_equal(fby_json_parse("c.json", text, strlen(text), JSON_DECODE_INT_AS_REAL, &root),
                     FBY_OK);
    assert_true(json_number_value(json_array_get(root, 0)) >= 1e30);
    json_decref(root);
}

static void flags_and_strings_have_their_type_or_their_default(void **state)
{
    (void)state;
    json_t *root = parsed("{\"yes\": true, \"one\": 1, \"s\": \"text\"}");
    bool flag = false;
    const char *text = NULL;
    assert_int_equal(fby_json_bool("c.json", root, "yes", false, &flag), FBY_OK);
    assert_true(flag);
    assert_int_equal(fby_json_bool("c.json", root, "one", false, &flag), FBY_EFORMAT);
    assert_int_equal(fby_json_bool("c.json", root, "none", false, &flag), FBY_OK);
    assert_false(flag);
    assert_int_equal(fby_json_string("c.json", root, "s", NULL, &text), FBY_OK);
    assert_string_equal(text, "text");
    assert_int_equal(fby_json_string("c.json", root, "one", NULL, &text), FBY_EFORMAT);
    assert_int_equal(fby_json_string("c.json", root, "none", "other", &text), FBY_OK);
    assert_string_equal(text, "other");
    json_decref(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(malformed_text_is_refused_by_file_and_line),
        cmocka_unit_test(a_key_given_twice_is_refused_by_name),
        cmocka_unit_test(nesting_without_end_is_refused),
        cmocka_unit_test(numbers_are_whole_and_within_their_range),
        cmocka_unit_test(an_integer_beyond_64_bits_is_a_number_where_asked_for),
        cmocka_unit_test(flags_and_strings_have_their_type_or_their_default),
    };
    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
