/* SPDX-License-Identifier: Apache-2.0 */
#include "model/utf8.h"
#include "test.h"

/* Decodes from a copy of just that size, so that a sanitizer sees a byte read too far. */
static int32_t decode(const void *bytes, size_t size, uint32_t *length)
{
    unsigned char *copy = malloc(size);
    assert_non_null(copy);
    memcpy(copy, bytes, size);
    int32_t c = fby_utf8_decode(copy, size, length);
    free(copy);
    return c;
}

static void every_code_point_comes_back(void **state)
{
    (void)state;
    for (uint32_t c = 0; c < 0x110000; c++) {
        unsigned char bytes[FBY_UTF8_MAX];
        uint32_t length = fby_utf8_encode(c, bytes), read;
        if (c >= 0xD800 && c <= 0xDFFF)
            continue;
        assert_int_equal(fby_utf8_decode(bytes, length, &read), c);
        assert_int_equal(read, length);
    }
}

/* `expected`: code points, U+FFFD for each replacement. */
static void expect(const char *bytes, size_t size, const uint32_t *expected, size_t count)
{
    size_t seen = 0;
    for (size_t at = 0; at < size; seen++) {
        uint32_t length;
        int32_t c = decode(bytes + at, size - at, &length);
        assert_true(seen < count);
        assert_int_equal(c < 0 ? FBY_UTF8_REPLACEMENT : c, expected[seen]);
        assert_in_range(length, 1, size - at);
        at += length;
    }
    assert_int_equal(seen, count);
}

#define EXPECT(text, ...)                                                                          \
    do {                                                                                           \
        const uint32_t expected[] = {__VA_ARGS__};                                                 \
        expect(text, sizeof(text) - 1, expected, sizeof expected / sizeof *expected);              \
    } while (0)

/* Unicode 15.0, tables 3-8 to 3-11; Python gives the same. */
static void an_ill_formed_sequence_is_replaced_by_its_maximal_subparts(void **state)
{
    (void)state;
    enum { R = FBY_UTF8_REPLACEMENT };
    EXPECT("\x61\xF1\x80\x80\xE1\x80\xC2\x62\x80\x63\x80\xBF\x64", 0x61, R, R, R, 0x62, R, 0x63, R,
           R, 0x64);
    EXPECT("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41", R, R, R, R, R, R, R, R, 0x41);
    EXPECT("\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41", R, R, R, R, R, R, R, R, 0x41);
    EXPECT("\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42", R, R, R, R, R, 0x41, R, R, 0x42);
    EXPECT("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41", R, R, R, R, 0x41);
}

static void a_sequence_that_the_end_cuts_is_one_replacement(void **state)
{
    (void)state;
    enum { R = FBY_UTF8_REPLACEMENT };
    EXPECT("a\xE2\x82", 'a', R);
    EXPECT("\xF0\x9F\x92", R);
    EXPECT("\xC3", R);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_point_comes_back),
        cmocka_unit_test(an_ill_formed_sequence_is_replaced_by_its_maximal_subparts),
        cmocka_unit_test(a_sequence_that_the_end_cuts_is_one_replacement),
    };
    return cmocka_run_group_tests_name("utf8", tests, NULL, NULL);
}
