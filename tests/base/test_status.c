/* SPDX-License-Identifier: Apache-2.0 */
#include "base/status.h"
#include "test.h"

#include <errno.h>

static void keeps_the_message_of_the_last_failure(void **state)
{
    (void)state;
    assert_int_equal(fby_error(FBY_EINVAL, "slot %d is %s", 3, "odd"), FBY_EINVAL);
    assert_string_equal(fby_last_error(), "slot 3 is odd");
}

static void appends_the_reason_of_the_system(void **state)
{
    (void)state;
    assert_int_equal(fby_error_errno(FBY_EIO, ENOENT, "model.bin"), FBY_EIO);
    assert_string_equal(fby_last_error(), "model.bin: No such file or directory");
}

static void a_caller_that_knows_more_puts_it_first(void **state)
{
    (void)state;
    fby_error(FBY_EFORMAT, "expected a number");
    assert_int_equal(fby_error_prefix(FBY_EFORMAT, "config.json:%d", 4), FBY_EFORMAT);
    assert_string_equal(fby_last_error(), "config.json:4: expected a number");
}

static void cuts_a_message_that_does_not_fit(void **state)
{
    (void)state;
    char text[2 * FBY_ERROR_SIZE];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    fby_error(FBY_EINVAL, "%s", text);
    assert_int_equal(strlen(fby_last_error()), FBY_ERROR_SIZE - 1);
    fby_error_prefix(FBY_EINVAL, "%s", text);
    assert_int_equal(strlen(fby_last_error()), FBY_ERROR_SIZE - 1);
    fby_error_errno(FBY_EINVAL, EINVAL, "%s", text);
    assert_int_equal(strlen(fby_last_error()), FBY_ERROR_SIZE - 1);
}

static void names_every_code(void **state)
{
    (void)state;
    for (int code = FBY_ESTALLED; code <= FBY_OK; code++)
        assert_string_not_equal(fby_status_name((fby_status)code), "FBY_UNKNOWN");
    assert_string_equal(fby_status_name((fby_status)-1000), "FBY_UNKNOWN");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_the_message_of_the_last_failure),
        cmocka_unit_test(appends_the_reason_of_the_system),
        cmocka_unit_test(a_caller_that_knows_more_puts_it_first),
        cmocka_unit_test(cuts_a_message_that_does_not_fit),
        cmocka_unit_test(names_every_code),
    };
    return cmocka_run_group_tests_name("status", tests, NULL, NULL);
}
