/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cpu.h"
#include "test.h"

static void the_environment_narrows_the_instruction_set(void **state)
{
    (void)state;
    fby_isa isa;
    setenv("FBY_ISA", "c", 1);
    assert_int_equal(fby_isa_select(&isa), FBY_OK);
    assert_int_equal(isa, FBY_ISA_C);
    unsetenv("FBY_ISA");
    assert_int_equal(fby_isa_select(&isa), FBY_OK);
    assert_true(fby_isa_available(isa));
}

static void an_unknown_instruction_set_is_refused_by_name(void **state)
{
    (void)state;
    fby_isa isa = FBY_ISA_COUNT;
    setenv("FBY_ISA", "sse9", 1);
    assert_int_equal(fby_isa_select(&isa), FBY_EINVAL);
    assert_non_null(strstr(fby_last_error(), "sse9"));
    assert_int_equal(isa, FBY_ISA_COUNT);
    unsetenv("FBY_ISA");
}

static void an_instruction_set_of_another_machine_is_refused(void **state)
{
    (void)state;
    fby_isa isa;
#if defined(__x86_64__)
    setenv("FBY_ISA", "neon", 1);
#else
    setenv("FBY_ISA", "avx2", 1);
#endif
    assert_int_equal(fby_isa_select(&isa), FBY_EUNSUPPORTED);
    unsetenv("FBY_ISA");
}

static void at_least_one_processor_is_there(void **state)
{
    (void)state;
    assert_true(fby_cpu_count() >= 1);
    assert_true(fby_cpu_l1d_bytes() >= 4096);
    assert_true(strlen(fby_cpu_model()) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_environment_narrows_the_instruction_set),
        cmocka_unit_test(an_unknown_instruction_set_is_refused_by_name),
        cmocka_unit_test(an_instruction_set_of_another_machine_is_refused),
        cmocka_unit_test(at_least_one_processor_is_there),
    };
    return cmocka_run_group_tests_name("cpu", tests, NULL, NULL);
}
