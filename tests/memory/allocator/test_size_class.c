/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/allocator/size_class.h"
#include "test.h"

static void every_size_has_the_smallest_class_that_holds_it(void **state)
{
    (void)state;
    for (size_t size = 0; size <= FBY_SMALL_MAX; size++) {
        uint32_t c = fby_class_of(size);
        assert_in_range(c, 1, FBY_CLASSES - 1);
        assert_true(fby_class_sizes[c] >= size);
        assert_true(c == 1 || fby_class_sizes[c - 1] < size);
    }
    assert_int_equal(fby_class_sizes[FBY_CLASSES - 1], FBY_SMALL_MAX);
}

static void neighbours_above_128_bytes_are_at_most_an_eighth_apart(void **state)
{
    (void)state;
    for (uint32_t c = 2; c < FBY_CLASSES; c++) {
        uint32_t below = fby_class_sizes[c - 1], step = fby_class_sizes[c] - below;
        assert_true(below < 128 ? step == 16 : step * 8 <= below);
    }
}

static void a_size_rounded_to_a_power_of_two_has_a_class_so_aligned(void **state)
{
    (void)state;
    for (size_t align = 16; align <= FBY_SMALL_MAX; align *= 2)
        for (size_t size = align; size <= FBY_SMALL_MAX; size += align)
            assert_int_equal(fby_class_sizes[fby_class_of(size)] % align, 0);
}

static void the_block_of_each_byte_is_found_without_a_division(void **state)
{
    (void)state;
    for (uint32_t c = 1; c < FBY_CLASSES; c++)
        for (uint32_t offset = 0; offset < FBY_SPAN; offset++)
            if (fby_class_block(c, offset) != offset / fby_class_sizes[c])
                fail_msg("class %u, offset %u", c, offset);
}

int main(void)
{
    fby_class_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_size_has_the_smallest_class_that_holds_it),
        cmocka_unit_test(neighbours_above_128_bytes_are_at_most_an_eighth_apart),
        cmocka_unit_test(a_size_rounded_to_a_power_of_two_has_a_class_so_aligned),
        cmocka_unit_test(the_block_of_each_byte_is_found_without_a_division),
    };
    return cmocka_run_group_tests_name("allocator size classes", tests, NULL, NULL);
}
