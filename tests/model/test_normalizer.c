/* SPDX-License-Identifier: Apache-2.0 */
#include "model/normalizer.h"
#include "tokenizer_test.h"

enum { OUT_MAX = 4096 };
static fby_unicode unicode;
static uint32_t out[OUT_MAX];
static uint32_t out_count;

static void put(void *context, uint32_t c, uint32_t flags)
{
    (void)context;
    (void)flags;
    assert_true(out_count < OUT_MAX);
    out[out_count++] = c;
}

static void normalize(const fby_normalizer *normalizer, const uint32_t *text, size_t count)
{
    fby_normalizing normalizing;
    fby_normalizing_init(&normalizing, normalizer, put, NULL);
    out_count = 0;
    for (size_t i = 0; i < count; i++)
        fby_normalize(&normalizing, text[i]);
    fby_normalize_flush(&normalizing);
}

static void expect(const fby_normalizer *normalizer, const uint32_t *text, size_t count,
                   const uint32_t *expected, size_t expected_count)
{
    normalize(normalizer, text, count);
    assert_int_equal(out_count, expected_count);
    assert_memory_equal(out, expected, expected_count * sizeof *expected);
}

#define LIST(...) (const uint32_t[]){__VA_ARGS__}, sizeof((uint32_t[]){__VA_ARGS__}) / 4

static fby_normalizer all(void)
{
    return (fby_normalizer){&unicode, true, true, true, true};
}

static void check_blocks(const test_blocks *blocks)
{
    const char *s = blocks->settings;
    const fby_normalizer normalizer = {&unicode, s[0] == '1', s[1] == '1', s[2] == '1',
                                       s[3] == '1'};
    for (uint32_t block = blocks->first; block <= blocks->last; block++) {
        uint64_t digest = TEST_DIGEST;
        for (uint32_t c = block * blocks->size; c < (block + 1) * blocks->size; c++) {
            if (test_is_surrogate(c))
                continue;
            normalize(&normalizer, &c, 1);
            digest = test_digest(digest, out_count);
            for (uint32_t i = 0; i < out_count; i++)
                digest = test_digest(digest, out[i] - c);
        }
        if (digest != blocks->digest)
            fail_msg("settings %s: the block from U+%04X on differs", s, block * blocks->size);
    }
}

static void every_code_point_normalizes_as_the_package_does_it(void **state)
{
    (void)state;
    test_each_blocks("normal", check_blocks);
}

static void marks_that_stay_come_in_order_of_their_class(void **state)
{
    (void)state;
    fby_normalizer normalizer = all();
    /* U+302E has class 224, U+1D165 216; each twice, to see that the order among equals stays. */
    expect(&normalizer, LIST('a', 0x302E, 0x1D165, 0x302F, 0x1D166, 'b'),
           LIST('a', 0x1D165, 0x1D166, 0x302E, 0x302F, 'b'));
}

static void a_mark_of_class_0_that_goes_still_parts_those_that_stay(void **state)
{
    (void)state;
    fby_normalizer normalizer = all();
    expect(&normalizer, LIST('a', 0x302E, 0x034F, 0x1D165), LIST('a', 0x302E, 0x1D165));
    expect(&normalizer, LIST('a', 0x302E, 0x0301, 0x1D165), LIST('a', 0x1D165, 0x302E));
}

static void what_is_dropped_first_does_not_part_marks(void **state)
{
    (void)state;
    fby_normalizer normalizer = all();
    expect(&normalizer, LIST('a', 0x302E, 0x0001, 0x1D165), LIST('a', 0x1D165, 0x302E));
}

static void a_run_of_marks_longer_than_the_buffer_loses_none(void **state)
{
    (void)state;
    fby_normalizer normalizer = all();
    uint32_t text[3 * FBY_NORMALIZER_MARKS_MAX];
    size_t count = sizeof text / sizeof *text, later = 0;
    for (size_t i = 0; i < count; i++)
        text[i] = i % 3 == 0 ? 0x302E : 0x1D165;
    normalize(&normalizer, text, count);
    assert_int_equal(out_count, count);
    for (size_t i = 0; i < count; i++)
        later += out[i] == 0x302E;
    assert_int_equal(later, count / 3);
}

static void the_one_letter_with_a_lower_case_of_two_becomes_both(void **state)
{
    (void)state;
    fby_normalizer normalizer = {&unicode, true, true, false, true};
    expect(&normalizer, LIST(0x130), LIST('i', 0x307));
}

static int init(void **state)
{
    (void)state;
    fby_unicode_init(&unicode);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_point_normalizes_as_the_package_does_it),
        cmocka_unit_test(marks_that_stay_come_in_order_of_their_class),
        cmocka_unit_test(a_mark_of_class_0_that_goes_still_parts_those_that_stay),
        cmocka_unit_test(what_is_dropped_first_does_not_part_marks),
        cmocka_unit_test(a_run_of_marks_longer_than_the_buffer_loses_none),
        cmocka_unit_test(the_one_letter_with_a_lower_case_of_two_becomes_both),
    };
    return cmocka_run_group_tests_name("normalizer", tests, init, NULL);
}
