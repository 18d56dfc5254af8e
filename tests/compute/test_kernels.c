/* SPDX-License-Identifier: Apache-2.0 */
#include "compute_test.h"

static void every_instruction_set_has_a_whole_table(void **state)
{
    (void)state;
    for (int isa = 0; isa < FBY_ISA_COUNT; isa++) {
        const fby_kernels *table = fby_kernels_for((fby_isa)isa);
        assert_non_null(table);
        assert_true(table->panel_width > 0 && table->row_tile > 0 && table->version > 0);
        assert_true(table->packed_bytes && table->pack && table->linear &&
                    table->linear_residual_norm && table->layer_norm && table->attention_scratch &&
                    table->attention && table->add && table->max && table->scale && table->dot);
    }
    assert_string_equal(fby_kernels_for(FBY_ISA_C)->name, "c");
}

/* What runs on one instruction set of a family must not be handed kernels of a wider one. */
static void a_table_needs_no_more_than_its_instruction_set(void **state)
{
    (void)state;
    assert_ptr_equal(fby_kernels_for(FBY_ISA_AVXVNNI), fby_kernels_for(FBY_ISA_AVX2));
    assert_ptr_equal(fby_kernels_for(FBY_ISA_AVX512VNNI), fby_kernels_for(FBY_ISA_AVX512));
    assert_ptr_equal(fby_kernels_for(FBY_ISA_AVX512BF16), fby_kernels_for(FBY_ISA_AVX512));
}

static void blocks_of_rows_are_even_whole_tiles(void **state)
{
    (void)state;
    fby_rng rng = fby_rng_from_env();
    tables all = runnable_tables();
    for (uint32_t t = 0; t < all.count; t++)
        for (int i = 0; i < 10000; i++) {
            const fby_kernels *table = all.table[t];
            uint32_t rows = pick(&rng, 0, 5000), widest = pick(&rng, 0, 20000);
            uint32_t block = fby_kernels_block_rows(table, rows, widest);
            assert_true(block >= 1 && block % table->row_tile == 0);
            uint64_t bytes = (uint64_t)block * widest * sizeof(float);
            assert_true(block == table->row_tile || bytes <= fby_cpu_l2_bytes());
            /* No part is a sliver: none smaller than the others by more than a tile each. */
            uint32_t parts = (rows + block - 1) / block;
            assert_true(parts <= 1 ||
                        rows - (parts - 1) * block + parts * table->row_tile >= block);
        }
}

static void packed_sizes_hold_the_weights_and_end_on_a_line(void **state)
{
    (void)state;
    fby_rng rng = fby_rng_from_env();
    tables all = runnable_tables();
    for (uint32_t t = 0; t < all.count; t++) {
        for (int i = 0; i < 1000; i++) {
            uint32_t n = pick(&rng, 1, 5000), k = pick(&rng, 1, 5000);
            size_t bytes = all.table[t]->packed_bytes(n, k);
            assert_true(bytes % 64 == 0 && bytes >= ((size_t)n * k + n) * sizeof(float));
        }
        assert_true(all.table[t]->packed_bytes(FBY_LINEAR_MAX, FBY_LINEAR_MAX) >=
                    ((size_t)FBY_LINEAR_MAX * FBY_LINEAR_MAX) * sizeof(float));
    }
}

/* Not a timing: a peak that is 0, infinite or beyond any core's is a broken measurement. */
static void the_peak_is_a_rate_that_a_core_can_have(void **state)
{
    (void)state;
    tables all = runnable_tables();
    for (uint32_t t = 0; t < all.count; t++) {
        double peak = fby_kernels_peak(all.isa[t]);
        assert_true(peak > 1e6 && peak < 1e13);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_instruction_set_has_a_whole_table),
        cmocka_unit_test(a_table_needs_no_more_than_its_instruction_set),
        cmocka_unit_test(blocks_of_rows_are_even_whole_tiles),
        cmocka_unit_test(packed_sizes_hold_the_weights_and_end_on_a_line),
        cmocka_unit_test(the_peak_is_a_rate_that_a_core_can_have),
    };
    return cmocka_run_group_tests_name("kernels", tests, NULL, NULL);
}
