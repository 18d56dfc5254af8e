/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/bench_report.h"
#include "test.h"

#include <jansson.h>
#include <math.h>

static char *text;
static size_t text_size;

/* Two points of a bench, the second without a timing. */
static void report_two_points(fby_report_format format)
{
    fby_report report;
    double samples[] = {3, 1, 2, 5, 4};
    free(text);
    text = NULL;
    FILE *out = open_memstream(&text, &text_size);
    assert_non_null(out);

    fby_report_begin(&report, out, format, "ring", "avx2");
    fby_report_text(&report, "kind", "say \"local\"");
    fby_report_uint(&report, "pool_bytes", (uint64_t)1 << 60);
    fby_report_bool(&report, "window", true);
    FBY_REPORT_SPREAD(&report, "ns_per_pair", fby_spread_of(samples, 5));
    fby_report_row(&report);
    fby_report_text(&report, "kind", "shared");
    fby_report_uint(&report, "pool_bytes", 64);
    fby_report_bool(&report, "window", false);
    fby_report_real(&report, "ns_per_pair", (double)NAN);
    fby_report_row(&report);
    assert_int_equal(fby_report_end(&report), FBY_OK);
    fclose(out);
}

static void json_is_a_flat_object_a_line(void **state)
{
    (void)state;
    report_two_points(FBY_REPORT_JSON);
    char *second = strchr(text, '\n') + 1;
    assert_ptr_equal(strchr(second, '\n') + 1, text + text_size);
    second[-1] = '\0';

    json_t *row = json_loads(text, 0, NULL);
    assert_non_null(row);
    assert_string_equal(json_string_value(json_object_get(row, "bench")), "ring");
    assert_string_equal(json_string_value(json_object_get(row, "isa")), "avx2");
    assert_true(json_string_length(json_object_get(row, "cpu")) > 0);
    assert_string_equal(json_string_value(json_object_get(row, "kind")), "say \"local\"");
    assert_true(json_is_true(json_object_get(row, "window")));
    assert_true(json_number_value(json_object_get(row, "ns_per_pair")) == 3);
    assert_true(json_number_value(json_object_get(row, "ns_per_pair_q1")) == 2);
    assert_true(json_number_value(json_object_get(row, "ns_per_pair_q3")) == 4);
    json_decref(row);

    row = json_loads(second, 0, NULL);
    assert_non_null(row);
    assert_true(json_is_false(json_object_get(row, "window")));
    assert_true(json_is_null(json_object_get(row, "ns_per_pair")));
    json_decref(row);
}

static void csv_has_a_heading_for_each_set_of_keys(void **state)
{
    (void)state;
    report_two_points(FBY_REPORT_CSV);
    assert_memory_equal(text, "bench,cpu,isa,kind,pool_bytes,window,ns_per_pair,ns_per_pair_q1,",
                        64);
    assert_non_null(strstr(text, "\"say \"\"local\"\"\",1152921504606846976,true,3,2,4\n"));
    assert_non_null(strstr(text, "\nbench,cpu,isa,kind,pool_bytes,window,ns_per_pair\n"));
}

static void a_table_shows_the_quartiles_beside_the_median(void **state)
{
    (void)state;
    report_two_points(FBY_REPORT_TABLE);
    assert_non_null(strstr(text, "ring on "));
    assert_non_null(strstr(text, "3 2..4"));
    assert_null(strstr(text, "ns_per_pair_q1"));
}

static void quantiles_are_those_of_numpy(void **state)
{
    (void)state;
    double samples[] = {7, 1, 3, 2};
    fby_spread spread = fby_spread_of(samples, 4);
    assert_true(spread.q1 == 1.75 && spread.median == 2.5 && spread.q3 == 4);
    assert_true(fby_quantile(samples, 4, 0) == 1 && fby_quantile(samples, 4, 1) == 7);
    assert_true(fby_quantile(samples, 1, 0.99) == 1);
}

static int forget_text(void **state)
{
    (void)state;
    free(text);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_is_a_flat_object_a_line),
        cmocka_unit_test(csv_has_a_heading_for_each_set_of_keys),
        cmocka_unit_test(a_table_shows_the_quartiles_beside_the_median),
        cmocka_unit_test(quantiles_are_those_of_numpy),
    };
    return cmocka_run_group_tests_name("bench_report", tests, NULL, forget_text);
}
