/* SPDX-License-Identifier: Apache-2.0 */
#include "compute_test.h"

typedef struct norm_case {
    fenced gamma, beta;
    fby_layer_norm norm;
} norm_case;

static norm_case norm_new(fby_rng *rng, uint32_t n)
{
    norm_case c = {.gamma = fenced_random(rng, n, 2.0f), .beta = fenced_random(rng, n, 1.0f)};
    c.norm = (fby_layer_norm){c.gamma.floats, c.beta.floats, 1e-12f, n};
    return c;
}

static void norm_free(norm_case *c)
{
    fenced_free(&c->gamma);
    fenced_free(&c->beta);
}

static void reference(const fby_layer_norm *norm, const double *x, double *y)
{
    double mean = 0.0, variance = 0.0;
    for (uint32_t i = 0; i < norm->n; i++)
        mean += x[i] / norm->n;
    for (uint32_t i = 0; i < norm->n; i++)
        variance += (x[i] - mean) * (x[i] - mean) / norm->n;
    double factor = 1.0 / sqrt(variance + (double)norm->epsilon);
    for (uint32_t i = 0; i < norm->n; i++)
        y[i] = (x[i] - mean) * factor * (double)norm->gamma[i] + (double)norm->beta[i];
}

/* Rows of values around an offset of up to 100: the mean must go before the squares do. What f32
 * loses grows with offset over spread. */
static void check(fby_rng *rng, const fby_kernels *table, uint32_t rows, uint32_t n)
{
    norm_case c = norm_new(rng, n);
    size_t ld = n + pick(rng, 0, 20);
    fenced x = fenced_untouched(matrix_floats(rows, n, ld));
    double *want = calloc((size_t)rows * n + n, sizeof *want), *row = want + (size_t)rows * n;
    float offset = 100.0f * fby_rng_float(rng);
    for (uint32_t r = 0; r < rows; r++) {
        for (uint32_t i = 0; i < n; i++)
            row[i] = (double)(x.floats[r * ld + i] = offset + fby_rng_float(rng));
        reference(&c.norm, row, want + (size_t)r * n);
    }
    table->layer_norm(&c.norm, x.floats, ld, rows);
    assert_gaps_untouched(x.floats, rows, n, ld);
    for (uint32_t r = 0; r < rows; r++)
        for (uint32_t i = 0; i < n; i++) {
            double got = (double)x.floats[r * ld + i];
            if (!(fabs(got - want[(size_t)r * n + i]) <= 1e-3))
                fail_msg("%s: n %u row %u of %u [%u]: %.9g, not %.9g", table->name, n, r, rows, i,
                         got, want[(size_t)r * n + i]);
        }
    free(want);
    fenced_free(&x);
    norm_free(&c);
}

static void layer_norm_is_near_float64(void **state)
{
    (void)state;
    fby_rng rng = fby_rng_from_env();
    tables all = runnable_tables();
    for (uint32_t t = 0; t < all.count; t++) {
        for (uint32_t n = 8; n <= 200; n++)
            check(&rng, all.table[t], pick(&rng, 1, 20), n);
        check(&rng, all.table[t], 3, 384);
        check(&rng, all.table[t], 3, 1024);
    }
}

static void a_row_has_the_same_bits_in_every_batch(void **state)
{
    (void)state;
    enum { N = 77, ROWS = 40 };
    fby_rng rng = fby_rng_from_env();
    tables all = runnable_tables();
    for (uint32_t t = 0; t < all.count; t++) {
        norm_case c = norm_new(&rng, N);
        fenced x = fenced_random(&rng, ROWS * N, 3.0f), alone = fenced_new(ROWS * N);
        memcpy(alone.floats, x.floats, ROWS * N * sizeof(float));
        all.table[t]->layer_norm(&c.norm, x.floats, N, ROWS);
        for (uint32_t row = 0; row < ROWS; row++)
            all.table[t]->layer_norm(&c.norm, alone.floats + row * N, N, 1);
        assert_memory_equal(x.floats, alone.floats, ROWS * N * sizeof(float));
        fenced_free(&x);
        fenced_free(&alone);
        norm_free(&c);
    }
}

/* linear_residual_norm() is linear(), a sum and layer_norm(): near them, and in place of the
 * residual as well as beside it, alone and in a batch, with the same bits. */
static void check_fused(fby_rng *rng, const fby_kernels *table, uint32_t rows, uint32_t n,
                        uint32_t k)
{
    norm_case c = norm_new(rng, n);
    fenced w = fenced_random(rng, (size_t)n * k, 1.0f), bias = fenced_random(rng, n, 1.0f);
    fenced packed = fenced_new(table->packed_bytes(n, k) / sizeof(float));
    table->pack(w.floats, bias.floats, n, k, packed.floats);
    fby_linear linear = {packed.floats, n, k};
    size_t ldx = k + pick(rng, 0, 9), ldr = n + pick(rng, 0, 9), ldo = n + pick(rng, 0, 9);
    fenced x = fenced_random(rng, matrix_floats(rows, k, ldx), 1.0f);
    fenced residual = fenced_random(rng, matrix_floats(rows, n, ldr), 1.0f);
    fenced out = fenced_untouched(matrix_floats(rows, n, ldo));
    fenced apart = fenced_new((size_t)rows * n), alone = fenced_new(n);

    table->linear(&linear, FBY_ACTIVATION_NONE, x.floats, ldx, rows, apart.floats, n);
    for (uint32_t row = 0; row < rows; row++)
        table->add(apart.floats + (size_t)row * n, residual.floats + row * ldr, n);
    table->layer_norm(&c.norm, apart.floats, n, rows);

    table->linear_residual_norm(&linear, &c.norm, x.floats, ldx, residual.floats, ldr, rows,
                                out.floats, ldo);
    assert_gaps_untouched(out.floats, rows, n, ldo);
    for (uint32_t row = 0; row < rows; row++)
        for (uint32_t i = 0; i < n; i++)
            assert_true(fabsf(out.floats[row * ldo + i] - apart.floats[(size_t)row * n + i]) <=
                        1e-3f);
    for (uint32_t row = 0; row < rows; row++) {
        table->linear_residual_norm(&linear, &c.norm, x.floats + row * ldx, ldx,
                                    residual.floats + row * ldr, ldr, 1, alone.floats, ldo);
        assert_memory_equal(alone.floats, out.floats + row * ldo, n * sizeof(float));
    }
    table->linear_residual_norm(&linear, &c.norm, x.floats, ldx, residual.floats, ldr, rows,
                                residual.floats, ldr);
    for (uint32_t row = 0; row < rows; row++)
        assert_memory_equal(residual.floats + row * ldr, out.floats + row * ldo, n * sizeof(float));
    fenced *arrays[] = {&w, &bias, &packed, &x, &residual, &out, &apart, &alone};
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++)
        fenced_free(arrays[i]);
    norm_free(&c);
}

static void the_fused_form_is_its_parts(void **state)
{
    (void)state;
    fby_rng rng = fby_rng_from_env();
    tables all = runnable_tables();
    for (uint32_t t = 0; t < all.count; t++) {
        for (int i = 0; i < 60; i++)
            check_fused(&rng, all.table[t], pick(&rng, 1, 40), pick(&rng, 8, 130),
                        pick(&rng, 1, 100));
        check_fused(&rng, all.table[t], 20, 384, 384);
    }
}

static void sums_and_maxima_over_vectors_are_right(void **state)
{
    (void)state;
    fby_rng rng = fby_rng_from_env();
    tables all = runnable_tables();
    for (uint32_t t = 0; t < all.count; t++)
        for (uint32_t n = 1; n <= 150; n++) {
            fenced x = fenced_random(&rng, n, 1.0f), y = fenced_random(&rng, n, 1.0f);
            fenced z = fenced_new(n);
            double dot = 0.0;
            for (uint32_t i = 0; i < n; i++)
                dot += (double)x.floats[i] * (double)y.floats[i];
            assert_true(fabs((double)all.table[t]->dot(x.floats, y.floats, n) - dot) <= 1e-5);

            memcpy(z.floats, x.floats, n * sizeof(float));
            all.table[t]->add(z.floats, y.floats, n);
            for (uint32_t i = 0; i < n; i++)
                assert_true(z.floats[i] == x.floats[i] + y.floats[i]);
            memcpy(z.floats, x.floats, n * sizeof(float));
            all.table[t]->max(z.floats, y.floats, n);
            for (uint32_t i = 0; i < n; i++)
                assert_true(z.floats[i] == fmaxf(x.floats[i], y.floats[i]));
            all.table[t]->scale(x.floats, 0.3f, n);
            memcpy(z.floats, y.floats, n * sizeof(float));
            all.table[t]->scale(z.floats, 0.3f, n);
            for (uint32_t i = 0; i < n; i++)
                assert_true(z.floats[i] == y.floats[i] * 0.3f);
            fenced_free(&x);
            fenced_free(&y);
            fenced_free(&z);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layer_norm_is_near_float64),
        cmocka_unit_test(a_row_has_the_same_bits_in_every_batch),
        cmocka_unit_test(the_fused_form_is_its_parts),
        cmocka_unit_test(sums_and_maxima_over_vectors_are_right),
    };
    return cmocka_run_group_tests_name("norm", tests, NULL, NULL);
}
