/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/costs_file.h"

#include "test.h"

#include "model/temporary.h"

#include <locale.h>

static fby_costs made(void)
{
    fby_costs costs;
    fby_costs_guess(21233664, 9216, &costs);
    return costs;
}

static void what_was_printed_is_read_back(void **state)
{
    (void)state;
    char text[FBY_COSTS_TEXT];
    fby_costs costs = made(), found;
    size_t size = fby_costs_print(&costs, "a processor", 8, text);
    assert_int_equal(size, strlen(text));
    assert_true(fby_costs_parse(text, "a processor", 8, &found));
    assert_true(found.measured);
    for (int i = 0; i < FBY_COST_SIZES; i++)
        assert_true(found.batch_ns[i] > costs.batch_ns[i] * 0.999999 &&
                    found.batch_ns[i] < costs.batch_ns[i] * 1.000001);
    assert_false(fby_costs_parse(text, "another", 8, &found));
    assert_false(fby_costs_parse(text, "a processor", 4, &found));
}

/* A byte changed, a file cut short: it reads as valid costs or not at all. */
static void a_file_that_was_harmed_is_none_or_valid(void **state)
{
    (void)state;
    fby_rng rng = fby_rng_from_env();
    char text[FBY_COSTS_TEXT], harmed[FBY_COSTS_TEXT];
    fby_costs costs = made(), found;
    size_t size = fby_costs_print(&costs, "cpu", 2, text);
    for (int i = 0; i < 20000; i++) {
        memcpy(harmed, text, size + 1);
        if (i % 4 == 0)
            harmed[fby_rng_below(&rng, size)] = '\0';
        else
            harmed[fby_rng_below(&rng, size)] = (char)fby_rng_below(&rng, 256);
        memset(&found, 0, sizeof found);
        if (fby_costs_parse(harmed, "cpu", 2, &found))
            assert_true(fby_costs_valid(&found));
        else
            assert_false(found.measured); /* untouched */
    }
}

/* The machine's own, or one that is made for the test; NULL where neither is to be had. */
static const char *set_comma_locale(const char *dir)
{
    static const char *const names[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "nl_NL.UTF-8", "ru_RU.UTF-8"};
    const char *locale = NULL;
    for (size_t i = 0; i < sizeof names / sizeof *names && locale == NULL; i++)
        locale = setlocale(LC_ALL, names[i]);
    if (locale != NULL)
        return locale;
    char command[512];
    snprintf(command, sizeof command, "localedef -i de_DE -f UTF-8 %s/de_DE.UTF-8 >%s/log 2>&1",
             dir, dir);
    if (system(command) != 0)
        return NULL;
    setenv("LOCPATH", dir, 1);
    return setlocale(LC_ALL, "de_DE.UTF-8");
}

static void a_locale_with_a_decimal_comma_changes_nothing(void **state)
{
    (void)state;
    char plain[FBY_COSTS_TEXT], text[FBY_COSTS_TEXT], half[8];
    char *dir = temporary_dir();
    fby_costs costs = made(), found;
    costs.pair_ns = 93.75;
    fby_costs_print(&costs, "cpu", 2, plain);
    if (set_comma_locale(dir) != NULL) {
        snprintf(half, sizeof half, "%.1f", 0.5);
        assert_string_equal(half, "0,5");
        fby_costs_print(&costs, "cpu", 2, text);
        assert_string_equal(text, plain);
        assert_true(fby_costs_parse(plain, "cpu", 2, &found));
        assert_true(found.pair_ns == 93.75);
        assert_int_equal(fby_costs_store(dir, "0123", 2, &costs), FBY_OK);
        assert_true(fby_costs_load(dir, "0123", 2, &found));
        setlocale(LC_ALL, "C");
        assert_true(fby_costs_load(dir, "0123", 2, &found));
        assert_true(found.pair_ns == 93.75);
    } else {
        print_message("no locale with a decimal comma, and localedef makes none\n");
    }
    temporary_remove(dir);
    free(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_printed_is_read_back),
        cmocka_unit_test(a_file_that_was_harmed_is_none_or_valid),
        cmocka_unit_test(a_locale_with_a_decimal_comma_changes_nothing),
    };
    return cmocka_run_group_tests_name("costs_file", tests, NULL, NULL);
}
