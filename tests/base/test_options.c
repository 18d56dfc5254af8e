/* SPDX-License-Identifier: Apache-2.0 */
#include "base/options.h"
#include "test.h"

struct known {
    size_t struct_size;
    uint32_t first, second;
};

struct newer {
    struct known known;
    uint64_t third;
};

static const struct known defaults = {sizeof defaults, 1, 2};

static void no_options_are_the_defaults(void **state)
{
    (void)state;
    struct known to = defaults;
    assert_int_equal(fby_options_read(&to, sizeof to, NULL, "known"), FBY_OK);
    assert_memory_equal(&to, &defaults, sizeof to);
}

static void an_older_caller_gets_defaults_for_what_it_does_not_know(void **state)
{
    (void)state;
    const struct known from = {offsetof(struct known, second), 7, 9};
    struct known to = defaults;
    assert_int_equal(fby_options_read(&to, sizeof to, &from, "known"), FBY_OK);
    assert_int_equal(to.first, 7);
    assert_int_equal(to.second, 2);
    assert_int_equal(to.struct_size, sizeof to);
}

static void a_newer_caller_may_not_ask_for_what_is_unknown(void **state)
{
    (void)state;
    struct newer from = {{sizeof from, 7, 9}, 0};
    struct known to = defaults;
    assert_int_equal(fby_options_read(&to, sizeof to, &from, "known"), FBY_OK);
    assert_int_equal(to.second, 9);
    from.third = 1;
    to = defaults;
    assert_int_equal(fby_options_read(&to, sizeof to, &from, "known"), FBY_EUNSUPPORTED);
    assert_memory_equal(&to, &defaults, sizeof to);
}

static void a_struct_without_its_size_is_refused(void **state)
{
    (void)state;
    const struct known from = {0, 7, 9};
    struct known to = defaults;
    assert_int_equal(fby_options_read(&to, sizeof to, &from, "known"), FBY_EINVAL);
    assert_non_null(strstr(fby_last_error(), "known.struct_size"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_options_are_the_defaults),
        cmocka_unit_test(an_older_caller_gets_defaults_for_what_it_does_not_know),
        cmocka_unit_test(a_newer_caller_may_not_ask_for_what_is_unknown),
        cmocka_unit_test(a_struct_without_its_size_is_refused),
    };
    return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
