/* SPDX-License-Identifier: Apache-2.0 */
#include "compute/c/c.h"
#include "compute/tables.h"
#include "compute_test.h"

#if defined(__x86_64__)
#include "compute/avx2/avx2.h"
#include "compute/avx512/avx512.h"
#elif defined(__aarch64__)
#include "compute/neon/neon.h"
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
    {FBY_ACTIVATION_GELU_ERF, gelu_erf, 6e-7, 0x1p-23},
    {FBY_ACTIVATION_GELU_TANH, gelu_tanh, 5e-7, 0x1p-21},
    {FBY_ACTIVATION_RELU, relu, 0.0, 0.0},
    {FBY_ACTIVATION_TANH, tanh, 2e-7, 0.0},
};

typedef struct subjects {
    tables all;
    identity identity[FBY_ISA_COUNT];
} subjects;

static void check_all(const subjects *s, const activation_case *c, const float *x, uint32_t count)
{
    static float y[AT_ONCE];
    static double want[AT_ONCE];
    for (uint32_t i = 0; i < count; i++)
        want[i] = c->reference((double)x[i]);
    for (uint32_t t = 0; t < s->all.count; t++) {
        s->all.table[t]->linear(&s->identity[t].linear, c->activation, x, 1, count, y, 1);
        for (uint32_t i = 0; i < count; i++) {
            double error = fabs((double)y[i] - want[i]);
            if (!(error <= fmax(c->absolute, c->relative * fabs(want[i]))))
                fail_msg("%s, activation %d: f(%.9g) = %.9g, not %.9g", s->all.table[t]->name,
                         c->activation, (double)x[i], (double)y[i], want[i]);
        }
    }
}

/* Every 4093rd of all finite floats (a prime, so that all low bits occur), then each 2^-12 of
 * [-16, 16], where the functions bend. */
static void check_case(const subjects *s, const activation_case *c)
{
    static float x[AT_ONCE];
    uint32_t count = 0;
    for (uint64_t bits = 0; bits <= UINT32_MAX; bits += 4093) {
        uint32_t word = (uint32_t)bits;
        memcpy(&x[count], &word, sizeof word);
        if (isfinite(x[count]) && ++count == AT_ONCE) {
            check_all(s, c, x, count);
            count = 0;
        }
    }
    for (int i = -(16 << 12); i <= 16 << 12; i++) {
        x[count++] = (float)i * 0x1p-12f;
        if (count == AT_ONCE || i == 16 << 12) {
            check_all(s, c, x, count);
            count = 0;
        }
    }
}

static void activations_are_right_over_all_floats(void **state)
{
    (void)state;
    subjects s = {.all = runnable_tables()};
    for (uint32_t t = 0; t < s.all.count; t++)
        s.identity[t] = identity_new(s.all.table[t]);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check_case(&s, &cases[i]);
    for (uint32_t t = 0; t < s.all.count; t++)
        fenced_free(&s.identity[t].packed);
}

/* Every 40961st float, then each 2^-12 of [-16, 16], in rows of which the last vector is not whole.
 */
static void gelu_for_codes_is_within_its_bound(void **state)
{
    (void)state;
#if defined(__x86_64__)
    enum { COLUMNS = 43, ROWS = 3 };
    if (!fby_isa_available(FBY_ISA_AVX512))
        return;
    const uint32_t floats = UINT32_MAX / 40961, fine = 32 << 12;
    float x[ROWS * COLUMNS], y[ROWS * COLUMNS];
    for (uint32_t first = 0; first < floats + fine; first += ROWS * COLUMNS) {
        for (uint32_t i = 0; i < ROWS * COLUMNS; i++) {
            uint32_t bits = (first + i) * 40961u;
            memcpy(&x[i], &bits, sizeof bits);
            if (first + i >= floats || !isfinite(x[i]))
                x[i] = (float)(first + i) * 0x1p-12f - (float)floats * 0x1p-12f - 16.0f;
        }
        memcpy(y, x, sizeof y);
        fby_avx512_activate_coarse(FBY_ACTIVATION_GELU_ERF, y, COLUMNS, ROWS, COLUMNS);
        for (uint32_t i = 0; i < ROWS * COLUMNS; i++) {
            double want = gelu_erf((double)x[i]);
            if (!(fabs((double)y[i] - want) <= fmax(1.5e-4, 0x1p-23 * fabs(want))))
                fail_msg("f(%.9g) = %.9g, not %.9g", (double)x[i], (double)y[i], want);
        }
    }
#endif
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
    {FBY_ISA_AVX2, fby_avx2_exp2, 1.02},
    {FBY_ISA_AVX512, fby_avx512_exp2, 1.02},
#elif defined(__aarch64__)
    {FBY_ISA_NEON, fby_neon_exp2, 1.02},
#endif
};

static double ulp(double x)
{
    int exponent;
    frexp(x, &exponent);
    return ldexp(1.0, exponent - 24);
}

static void check_exp2(const float *x, uint32_t count)
{
    static float y[AT_ONCE];
    static double want[AT_ONCE];
    for (uint32_t i = 0; i < count; i++)
        want[i] = exp2((double)x[i]);
    for (size_t n = 0; n < sizeof exp2_cases / sizeof exp2_cases[0]; n++) {
        const exp2_case *c = &exp2_cases[n];
        if (!fby_isa_available(c->isa))
            continue;
        memcpy(y, x, count * sizeof *x);
        c->exp2(y, count);
        for (uint32_t i = 0; i < count; i++) {
            bool right = x[i] >= -125.5f ? fabs((double)y[i] - want[i]) <= c->ulps * ulp(want[i])
                                         : y[i] >= 0.0f && (double)y[i] <= 0x1p-125;
            if (!right)
                fail_msg("%s: 2^%.9g = %.9g, not %.9g", fby_isa_name(c->isa), (double)x[i],
                         (double)y[i], want[i]);
        }
    }
}

/* Every 251st float from -0 down to the lowest; softmax asks for no other. */
static void exp2_is_within_its_bound_for_all_negative_floats(void **state)
{
    (void)state;
    static float x[AT_ONCE];
    uint32_t count = 0;
    for (uint64_t bits = 0x80000000u; bits <= 0xff7fffffu; bits += 251) {
        uint32_t word = (uint32_t)bits;
        memcpy(&x[count++], &word, sizeof word);
        if (count == AT_ONCE) {
            check_exp2(x, count);
            count = 0;
        }
    }
    check_exp2(x, count);
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
        cmocka_unit_test(gelu_for_codes_is_within_its_bound),
        cmocka_unit_test(activations_survive_what_is_not_a_number),
        cmocka_unit_test(exp2_is_within_its_bound_for_all_negative_floats),
        cmocka_unit_test(the_largest_score_weighs_exactly_one),
    };
    return cmocka_run_group_tests_name("activation", tests, NULL, NULL);
}
