/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/progress.h"
#include "test.h"

static char line[128];

static void shows_rates_and_the_time_left(void **state)
{
    (void)state;
    const fby_progress progress = {
        .bytes = 250, .total_bytes = 1000, .texts = 1500, .tokens = 60000};
    fby_progress_line(&progress, 3, line, sizeof line);
    assert_string_equal(
        line, "[####            ]  25%  1.5k texts  500 texts/s  20k tokens/s  0:09 left");
}

static void shows_rates_alone_where_the_end_is_not_known(void **state)
{
    (void)state;
    const fby_progress progress = {.bytes = 250, .texts = 10, .tokens = 500};
    fby_progress_line(&progress, 2, line, sizeof line);
    assert_string_equal(line, "10 texts  5 texts/s  250 tokens/s");
}

static void fits_a_terminal_at_every_size(void **state)
{
    (void)state;
    for (uint64_t n = 1; n < 1000000000000000; n *= 3) {
        const fby_progress progress = {
            .bytes = n / 7 + 1, .total_bytes = n, .texts = n, .tokens = 100 * n};
        fby_progress_line(&progress, 1 + (double)n * 1e-4, line, sizeof line);
        assert_true(strlen(line) < 80);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shows_rates_and_the_time_left),
        cmocka_unit_test(shows_rates_alone_where_the_end_is_not_known),
        cmocka_unit_test(fits_a_terminal_at_every_size),
    };
    return cmocka_run_group_tests_name("progress", tests, NULL, NULL);
}
