/* SPDX-License-Identifier: Apache-2.0 */
/* Every instruction set's dot products, bit for bit those of plain C. */
#include "compute/search_kernels.h"
#include "test.h"

#include <math.h>

enum { ROWS = 13, N = 448 };

static int8_t codes[ROWS][N];
static int16_t query[N], check[N];
static float vectors[ROWS][N], floats[N];

static void fill(fby_rng *rng)
{
    for (int j = 0; j < N; j++) {
        query[j] = (int16_t)fby_rng_next(rng);
        check[j] = (int16_t)fby_rng_next(rng);
        floats[j] = fby_rng_float(rng);
        for (int i = 0; i < ROWS; i++) {
            codes[i][j] = (int8_t)fby_rng_next(rng);
            vectors[i][j] = fby_rng_float(rng) * (fby_rng_below(rng, 9) == 0 ? 0x1p40f : 1.0f);
        }
    }
}

static void same_as_c(fby_isa isa, size_t rows, uint32_t n)
{
    const fby_search_kernels *kernels = fby_search_kernels_for(isa);
    uint32_t dots[2][ROWS], checks[2][ROWS];
    double scores[2][ROWS];

    fby_search_kernels_c.dots_i8(codes[0], N, rows, query, check, n, dots[0], checks[0]);
    kernels->dots_i8(codes[0], N, rows, query, check, n, dots[1], checks[1]);
    assert_memory_equal(dots[0], dots[1], rows * sizeof dots[0][0]);
    assert_memory_equal(checks[0], checks[1], rows * sizeof checks[0][0]);

    fby_search_kernels_c.dots_f32(vectors[0], N, rows, floats, n, scores[0]);
    kernels->dots_f32(vectors[0], N, rows, floats, n, scores[1]);
    assert_memory_equal(scores[0], scores[1], rows * sizeof scores[0][0]);
}

static void every_instruction_set_gives_the_same_bits(void **state)
{
    (void)state;
    fby_rng rng = fby_rng_from_env();
    for (int round = 0; round < 50; round++) {
        fill(&rng);
        for (int isa = 0; isa < FBY_ISA_COUNT; isa++)
            if (fby_isa_available((fby_isa)isa))
                same_as_c((fby_isa)isa, fby_rng_below(&rng, ROWS + 1),
                          64 * (1 + (uint32_t)fby_rng_below(&rng, N / 64)));
    }
}

static void a_dot_product_is_the_sum_of_its_products(void **state)
{
    (void)state;
    fby_rng rng = fby_rng_from_env();
    fill(&rng);
    uint32_t dots[ROWS], checks[ROWS];
    double scores[ROWS];
    fby_search_kernels_c.dots_i8(codes[0], N, ROWS, query, check, N, dots, checks);
    fby_search_kernels_c.dots_f32(vectors[0], N, ROWS, floats, N, scores);
    for (int i = 0; i < ROWS; i++) {
        int64_t dot = 0, sum = 0;
        long double score = 0, size = 0;
        for (int j = 0; j < N; j++) {
            dot += codes[i][j] * query[j];
            sum += codes[i][j] * check[j];
            score += (long double)vectors[i][j] * floats[j];
            size += fabsl((long double)vectors[i][j] * floats[j]);
        }
        assert_int_equal(dots[i], (uint32_t)dot);
        assert_int_equal(checks[i], (uint32_t)sum);
        assert_true(fabsl(score - scores[i]) <= size * N * 0x1p-53L);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_instruction_set_gives_the_same_bits),
        cmocka_unit_test(a_dot_product_is_the_sum_of_its_products),
    };
    return cmocka_run_group_tests_name("search kernels", tests, NULL, NULL);
}
