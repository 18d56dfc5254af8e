/* SPDX-License-Identifier: Apache-2.0 */
#include "model/pooling.h"

#include <math.h>

#include "test.h"

enum { DIM = 37, LD = 48, TOKENS = 90, TEXTS = 70 };

static float rows[TOKENS * LD];

static int fill(void **state)
{
    (void)state;
    fby_rng rng = {3};
    for (int i = 0; i < TOKENS * LD; i++)
        rows[i] = fby_rng_float(&rng);
    return 0;
}

static double expected(fby_pooling pooling, uint32_t first, uint32_t tokens, uint32_t column)
{
    double sum = 0, largest = -INFINITY;
    for (uint32_t i = first; i < first + tokens; i++) {
        sum += (double)rows[i * LD + column];
        largest = fmax(largest, (double)rows[i * LD + column]);
    }
    switch (pooling) {
    case FBY_POOLING_MEAN:
        return sum / tokens;
    case FBY_POOLING_MEAN_SQRT_LEN:
        return sum / sqrt(tokens);
    case FBY_POOLING_MAX:
        return largest;
    case FBY_POOLING_CLS:
        return (double)rows[first * LD + column];
    case FBY_POOLING_LAST_TOKEN:
        return (double)rows[(first + tokens - 1) * LD + column];
    }
    return NAN;
}

static void each_kind_pools_as_its_definition_says(void **state)
{
    (void)state;
    static const uint32_t lengths[] = {1, 2, 3, 17, TOKENS};
    for (int pooling = FBY_POOLING_MEAN; pooling <= FBY_POOLING_MEAN_SQRT_LEN; pooling++)
        for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
            float out[DIM + 2];
            out[0] = out[DIM + 1] = 42;
            fby_pool(fby_kernels_for(FBY_ISA_C), (fby_pooling)pooling, rows, LD, lengths[i], DIM,
                     out + 1);
            for (uint32_t j = 0; j < DIM; j++)
                assert_true(fabs((double)out[j + 1] -
                                 expected((fby_pooling)pooling, 0, lengths[i], j)) < 1e-5);
            assert_true(out[0] == 42 && out[DIM + 1] == 42);
        }
}

/* Dense (with tanh), Normalize, Dense (without bias) against plain loops, more texts than go
 * through at once. */
static void modules_run_one_after_another(void **state)
{
    (void)state;
    enum { WIDE = 50, OUT = 5 };
    static float first[WIDE * DIM], bias[WIDE], second[OUT * WIDE], found[TEXTS][OUT];
    fby_rng rng = {5};
    for (int i = 0; i < WIDE * DIM; i++)
        first[i] = fby_rng_float(&rng);
    for (int i = 0; i < WIDE; i++)
        bias[i] = fby_rng_float(&rng);
    for (int i = 0; i < OUT * WIDE; i++)
        second[i] = fby_rng_float(&rng);

    const fby_kernels *kernels = fby_kernels_for(FBY_ISA_C);
    fby_config config = {.bert.hidden = DIM, .pooling.pooling = FBY_POOLING_MEAN, .dim = OUT};
    config.modules.count = 5;
    config.modules.list[2] =
        (fby_module){.kind = FBY_MODULE_DENSE, .dense = {DIM, WIDE, true, FBY_ACTIVATION_TANH}};
    config.modules.list[3] = (fby_module){.kind = FBY_MODULE_NORMALIZE};
    config.modules.list[4] =
        (fby_module){.kind = FBY_MODULE_DENSE, .dense = {WIDE, OUT, false, FBY_ACTIVATION_NONE}};
    void *packed[2] = {aligned_alloc(64, kernels->packed_bytes(WIDE, DIM)),
                       aligned_alloc(64, kernels->packed_bytes(OUT, WIDE))};
    void *scratch = aligned_alloc(64, fby_pooling_scratch(&config));
    assert_true(packed[0] != NULL && packed[1] != NULL && scratch != NULL);
    kernels->pack(first, bias, WIDE, DIM, packed[0]);
    kernels->pack(second, NULL, OUT, WIDE, packed[1]);
    fby_weights weights = {.ld_hidden = LD};
    weights.dense[2] = (fby_linear){packed[0], WIDE, DIM};
    weights.dense[4] = (fby_linear){packed[1], OUT, WIDE};

    float *vectors[TEXTS];
    uint32_t starts[TEXTS + 1];
    for (uint32_t i = 0; i < TEXTS; i++) {
        vectors[i] = found[i];
        starts[i] = i;
    }
    starts[TEXTS] = TOKENS; /* the last has several */
    fby_pooling_run(&config, kernels, &weights, rows, starts, TEXTS, scratch, vectors);

    for (uint32_t text = 0; text < TEXTS; text++) {
        double wide[WIDE], length = 0;
        for (int i = 0; i < WIDE; i++) {
            wide[i] = (double)bias[i];
            for (uint32_t j = 0; j < DIM; j++)
                wide[i] +=
                    (double)first[i * DIM + (int)j] *
                    expected(FBY_POOLING_MEAN, starts[text], starts[text + 1] - starts[text], j);
            wide[i] = tanh(wide[i]);
            length += wide[i] * wide[i];
        }
        for (int i = 0; i < OUT; i++) {
            double sum = 0;
            for (int j = 0; j < WIDE; j++)
                sum += (double)second[i * WIDE + j] * wide[j] / sqrt(length);
            assert_true(fabs((double)found[text][i] - sum) < 1e-5);
        }
    }
    free(packed[0]);
    free(packed[1]);
    free(scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_pools_as_its_definition_says),
        cmocka_unit_test(modules_run_one_after_another),
    };
    return cmocka_run_group_tests_name("pooling", tests, fill, NULL);
}
