/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/json_text.h"
#include "scratch.h"

#include <jansson.h>

/* What `bytes` become; valid until the next call. */
static const char *json_of(const char *bytes, size_t size)
{
    static char text[4096];
    fby_output output;
    char *path = scratch("out");
    assert_int_equal(fby_output_open(&output, path), FBY_OK);
    assert_int_equal(fby_json_text(&output, bytes, size), FBY_OK);
    assert_int_equal(fby_output_commit(&output), FBY_OK);
    text[scratch_read(path, text, sizeof text - 1)] = '\0';
    return text;
}

static void escapes_what_json_asks_for(void **state)
{
    (void)state;
    assert_string_equal(json_of("a\"b\\c\n\0", 7), "\"a\\\"b\\\\c\\u000a\\u0000\"");
    assert_string_equal(json_of("\xc3\xa9\xf0\x9f\x8c\x8a", 6), "\"\xc3\xa9\xf0\x9f\x8c\x8a\"");
}

static void replaces_what_is_not_utf8(void **state)
{
    (void)state;
    assert_string_equal(json_of("\xc0\x80", 2), "\"\xef\xbf\xbd\xef\xbf\xbd\"");
    assert_string_equal(json_of("a\xe2\x82", 3), "\"a\xef\xbf\xbd\"");
    assert_string_equal(json_of("\xed\xa0\x80", 3), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
}

static void random_bytes_become_json_that_a_reader_takes(void **state)
{
    (void)state;
    fby_rng rng = fby_rng_from_env();
    for (int round = 0; round < 300; round++) {
        char bytes[64];
        size_t size = fby_rng_below(&rng, sizeof bytes);
        for (size_t i = 0; i < size; i++)
            bytes[i] = (char)fby_rng_next(&rng);
        json_t *read = json_loads(json_of(bytes, size), JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        assert_non_null(read);
        json_decref(read);
    }
}

#define WITH_FILES(test) cmocka_unit_test_setup_teardown(test, scratch_begin, scratch_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FILES(escapes_what_json_asks_for),
        WITH_FILES(replaces_what_is_not_utf8),
        WITH_FILES(random_bytes_become_json_that_a_reader_takes),
    };
    return cmocka_run_group_tests_name("json_text", tests, NULL, NULL);
}
