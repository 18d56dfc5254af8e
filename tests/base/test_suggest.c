/* SPDX-License-Identifier: Apache-2.0 */
#include "base/suggest.h"
#include "test.h"

static void counts_the_edits_between_two_words(void **state)
{
    (void)state;
    assert_int_equal(fby_edit_distance("embed", "embed", 3), 0);
    assert_int_equal(fby_edit_distance("embde", "embed", 3), 1);
    assert_int_equal(fby_edit_distance("emed", "embed", 3), 1);
    assert_int_equal(fby_edit_distance("kitten", "sitting", 5), 3);
    assert_int_equal(fby_edit_distance("", "abc", 5), 3);
}

static void stops_counting_at_the_limit(void **state)
{
    (void)state;
    assert_int_equal(fby_edit_distance("abcdef", "uvwxyz", 2), 3);
    assert_int_equal(fby_edit_distance("a word of more than thirty-one letters", "a", 7), 8);
}

static void offers_what_is_near_and_nothing_else(void **state)
{
    (void)state;
    assert_true(fby_is_near("embd", "embed"));
    assert_true(fby_is_near("tok", "tokenize"));
    assert_true(fby_is_near("tokenise", "tokenize"));
    assert_false(fby_is_near("serve", "embed"));
    assert_false(fby_is_near("", "embed"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_the_edits_between_two_words),
        cmocka_unit_test(stops_counting_at_the_limit),
        cmocka_unit_test(offers_what_is_near_and_nothing_else),
    };
    return cmocka_run_group_tests_name("suggest", tests, NULL, NULL);
}
