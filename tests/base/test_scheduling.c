/* SPDX-License-Identifier: Apache-2.0 */
#include "base/scheduling.h"

#include <sched.h>
#include <sys/resource.h>

#include "test.h"

static void short_turns_change_neither_policy_nor_priority(void **state)
{
    (void)state;
    int policy = sched_getscheduler(0), nice = getpriority(PRIO_PROCESS, 0);
    (void)fby_sched_short_turns(); /* old systems have none */
    assert_int_equal(sched_getscheduler(0), policy);
    assert_int_equal(getpriority(PRIO_PROCESS, 0), nice);
}

static void another_policy_is_left_alone(void **state)
{
    (void)state;
    const struct sched_param none = {0};
    if (sched_setscheduler(0, SCHED_BATCH, &none) != 0)
        skip();
    assert_false(fby_sched_short_turns());
    assert_int_equal(sched_getscheduler(0), SCHED_BATCH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(short_turns_change_neither_policy_nor_priority),
        cmocka_unit_test(another_policy_is_left_alone),
    };
    return cmocka_run_group_tests_name("scheduling", tests, NULL, NULL);
}
