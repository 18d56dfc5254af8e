/* SPDX-License-Identifier: Apache-2.0 */
#include "compute/c/c.h"
#include "compute/tables.h"
#include "compute_test.h"

#if defined(__x86_64__)
#include "compute/avx512/avx512.h"
#endif

/* A layer of one input, weight 1 and no bias: what comes out is the activation of what goes in. */
typedef struct identity {
    fenced packed;
    fby_linear linear;
} identity;

static identity identity_new(const fby_kernels *table)
{
    const float one = 1.0f;
    identity id = {.packed = fenced_new(table->packed_bytes(1, 1) / sizeof(float))};
    table->pack(&one, NULL, 1, 1, id.packed.floats);
    id.linear = (fby_linear){id.packed.floats, 1, 1};
    return id;
}

enum { AT_ONCE = 4096 };

static double gelu_erf(double x)
{
    return x / 2 * erfc(-x / sqrt(2.0));
}

static double gelu_tanh(double x)
{
    return x / 2 * (1.0 + tanh(sqrt(2.0 / M_PI) * (x + 0.044715 * x * x * x)));
}

static double relu(double x)
{
    return x > 0.0 ? x : 0.0;
}

typedef struct activation_case {
    fby_activation activation;
    double (*reference)(double);
    double absolute, relative; /* the error allowed is the larger */
} activation_case;

static const activation_case cases[] = {
    {FBY_ACTIVATION_GELU_ERF, gelu_erf, 1e-6, 0x1p-23},
    {FBY_ACTIVATION_GELU_TANH, gelu_tanh, 5e-7, 0x1p-21},
    {FBY_ACTIVATION_RELU, relu, 0.0, 0.0},
    {FBY_ACTIVATION_TANH, tanh, 2e-7, 0.0},
};

static void check_all(const fby_kernels *table, const identity *id, const activation_case *c,
                      const float *x, uint32_t count)
{
    static float y[AT_ONCE];
    table->linear(&id->linear, c->activation, x, 1, count, y, 1);
    for (uint32_t i = 0; i < count; i++) {
        double want = c->reference((double)x[i]);
        double error = fabs((double)y[i] - want);
        if (!(error <= fmax(c->absolute, c->relative * fabs(want))))
            fail_msg("%s, activation %d: f(%.9g) = %.9g, not %.9g", table->name, c->activation,
                     (double)x[i], (double)y[i], want);
    }
}

/* Every 509th of all finite floats (a prime, so that all low bits occur), then each 2^-13 of
 * [-16, 16], where the functions bend. */
static void check_case(const fby_kernels *table, const activation_case *c)
{
    static float x[AT_ONCE];
    identity id = identity_new(table);
    uint32_t count = 0;
    for (uint64_t bits = 0; bits <= UINT32_MAX; bits += 509) {
        uint32_t word = (uint32_t)bits;
        memcpy(&x[count], &word, sizeof word);
        if (isfinite(x[count]) && ++count == AT_ONCE) {
            check_all(table, &id, c, x, count);
            count = 0;
        }
    }
    for (int i = -(16 << 13); i <= 16 << 13; i++) {
        x[count++] = (float)i * 0x1p-13f;
        if (count == AT_ONCE || i == 16 << 13) {
            check_all(table, &id, c, x, count);
            count = 0;
        }
    }
    fenced_free(&id.packed);
}

static void activations_are_right_over_all_floats(void **state)
{
    (void)state;
    tables all = runnable_tables();
    for (uint32_t t = 0; t < all.count; t++)
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
            check_case(all.table[t], &cases[i]);
}

static void activations_survive_what_is_not_a_number(void **state)
{
    (void)state;
    float x[4] = {NAN, INFINITY, -INFINITY, -NAN}, y[4];
    tables all = runnable_tables();
    for (uint32_t t = 0; t < all.count; t++) {
        identity id = identity_new(all.table[t]);
        for (int a = FBY_ACTIVATION_NONE; a <= FBY_ACTIVATION_TANH; a++)
            all.table[t]->linear(&id.linear, (fby_activation)a, x, 1, 4, y, 1);
        fenced_free(&id.packed);
    }
}

static void c_exp2(float *x, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        x[i] = fby_c_exp2(x[i]);
}

typedef struct exp2_case {
    fby_isa isa;
    void (*exp2)(float *x, uint32_t n);
    double ulps;
} exp2_case;

static const exp2_case exp2_cases[] = {
    {FBY_ISA_C, c_exp2, 1.5},
#if defined(__x86_64__)
    {FBY_ISA_AVX512, fby_avx512_exp2, 1.02},
#endif
};

static double ulp(double x)
{
    int exponent;
    frexp(x, &exponent);
    return ldexp(1.0, exponent - 24);
}

static void check_exp2(const exp2_case *c, float *x, uint32_t count)
{
    static float y[AT_ONCE];
    memcpy(y, x, count * sizeof *x);
    c->exp2(y, count);
    for (uint32_t i = 0; i < count; i++) {
        double want = exp2((double)x[i]);
        bool right = x[i] >= -125.5f ? fabs((double)y[i] - want) <= c->ulps * ulp(want)
                                     : y[i] >= 0.0f && (double)y[i] <= 0x1p-125;
        if (!right)
            fail_msg("%s: 2^%.9g = %.9g, not %.9g", fby_isa_name(c->isa), (double)x[i],
                     (double)y[i], want);
    }
}

/* Every 29th float from -0 down to -infinity; softmax asks for no other. */
static void exp2_is_within_its_bound_for_all_negative_floats(void **state)
{
    (void)state;
    static float x[AT_ONCE];
    for (size_t c = 0; c < sizeof exp2_cases / sizeof exp2_cases[0]; c++) {
        if (!fby_isa_available(exp2_cases[c].isa))
            continue;
        uint32_t count = 0;
        for (uint64_t bits = 0x80000000u; bits <= 0xff7fffffu; bits += 29) {
            uint32_t word = (uint32_t)bits;
            memcpy(&x[count++], &word, sizeof word);
            if (count == AT_ONCE) {
                check_exp2(&exp2_cases[c], x, count);
                count = 0;
            }
        }
        check_exp2(&exp2_cases[c], x, count);
    }
}

static void the_largest_score_weighs_exactly_one(void **state)
{
    (void)state;
    for (size_t c = 0; c < sizeof exp2_cases / sizeof exp2_cases[0]; c++) {
        float zero = 0.0f;
        if (fby_isa_available(exp2_cases[c].isa))
            exp2_cases[c].exp2(&zero, 1);
        assert_true(zero == 1.0f || !fby_isa_available(exp2_cases[c].isa));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(activations_are_right_over_all_floats),
        cmocka_unit_test(activations_survive_what_is_not_a_number),
        cmocka_unit_test(exp2_is_within_its_bound_for_all_negative_floats),
        cmocka_unit_test(the_largest_score_weighs_exactly_one),
    };
    return cmocka_run_group_tests_name("activation", tests, NULL, NULL);
}
