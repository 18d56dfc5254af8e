/* SPDX-License-Identifier: Apache-2.0 */
#include "base/float_text.h"
#include "test.h"

#include <float.h>
#include <math.h>

static const char *text_of(float x)
{
    static char text[FBY_FLOAT_TEXT + 1];
    size_t size = fby_float_text(x, text);
    assert_in_range(size, 1, FBY_FLOAT_TEXT);
    text[size] = '\0';
    return text;
}

static float float_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static void writes_the_shortest_form(void **state)
{
    (void)state;
    assert_string_equal(text_of(0.0F), "0");
    assert_string_equal(text_of(-0.0F), "-0");
    assert_string_equal(text_of(1.0F), "1");
    assert_string_equal(text_of(-0.0625F), "-0.0625");
    assert_string_equal(text_of(0.1F), "0.1");
    assert_string_equal(text_of(0.3F), "0.3");
    assert_string_equal(text_of(100.0F), "100");
    assert_string_equal(text_of(123456792.0F), "123456790");
    assert_string_equal(text_of(16777216.0F), "16777216");
    assert_string_equal(text_of(1e10F), "1e10");
    assert_string_equal(text_of(0.001F), "0.001");
    assert_string_equal(text_of(0.0001F), "0.0001");
    assert_string_equal(text_of(0.00001F), "1e-5");
    assert_string_equal(text_of(-1.25e-7F), "-1.25e-7");
    assert_string_equal(text_of(FLT_MAX), "3.4028235e38");
    assert_string_equal(text_of(FLT_MIN), "1.1754944e-38");
    assert_string_equal(text_of(float_of(1)), "1e-45");
}

static void names_what_is_not_a_number(void **state)
{
    (void)state;
    assert_string_equal(text_of((float)NAN), "nan");
    assert_string_equal(text_of((float)INFINITY), "inf");
    assert_string_equal(text_of((float)-INFINITY), "-inf");
}

/* Significant digits in a decimal: without the sign, leading and trailing zeros and exponent. */
static int digits_in(const char *text)
{
    int digits = 0, zeros = 0;
    for (; *text != '\0' && *text != 'e'; text++) {
        if (*text < '0' || *text > '9' || (digits == 0 && *text == '0'))
            continue;
        zeros = *text == '0' ? zeros + 1 : 0;
        digits++;
    }
    return digits - zeros;
}

static void check(float x)
{
    const char *text = text_of(x);
    float back = strtof(text, NULL);
    char other[64];
    int precision = 0;

    assert_memory_equal(&back, &x, sizeof x);
    if (x == 0)
        return;
    do
        snprintf(other, sizeof other, "%.*e", precision++, (double)x);
    while (strtof(other, NULL) != x);
    assert_true(digits_in(text) <= digits_in(other));
}

static void every_float_reads_back_and_none_is_longer_than_it_must_be(void **state)
{
    (void)state;
    fby_rng rng = fby_rng_from_env();
    for (int i = 0; i < 200000; i++) {
        uint32_t bits = (uint32_t)fby_rng_next(&rng);
        if ((bits >> 23 & 0xff) != 0xff)
            check(float_of(bits));
        check(fby_rng_float(&rng) * 0.25F);
    }
}

static void powers_of_two_and_their_neighbours_read_back(void **state)
{
    (void)state;
    for (uint32_t exponent = 0; exponent < 255; exponent++)
        for (uint32_t step = 0; step < 5; step++)
            if ((exponent << 23) + step >= 2)
                check(float_of((exponent << 23) + step - 2));
}

static void writes_whole_numbers(void **state)
{
    (void)state;
    char text[FBY_UINT_TEXT];
    assert_int_equal(fby_uint_text(0, text), 1);
    assert_memory_equal(text, "0", 1);
    assert_int_equal(fby_uint_text(UINT64_MAX, text), 20);
    assert_memory_equal(text, "18446744073709551615", 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_the_shortest_form),
        cmocka_unit_test(names_what_is_not_a_number),
        cmocka_unit_test(every_float_reads_back_and_none_is_longer_than_it_must_be),
        cmocka_unit_test(powers_of_two_and_their_neighbours_read_back),
        cmocka_unit_test(writes_whole_numbers),
    };
    return cmocka_run_group_tests_name("float_text", tests, NULL, NULL);
}
