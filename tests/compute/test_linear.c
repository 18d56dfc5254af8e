/* SPDX-License-Identifier: Apache-2.0 */
#include "compute_test.h"

/* A layer of random weights, its packed form for one table, and the plain weights. */
typedef struct layer {
    uint32_t n, k;
    fenced w, bias, packed;
    fby_linear linear;
} layer;

static layer layer_new(fby_rng *rng, const fby_kernels *table, uint32_t n, uint32_t k)
{
    layer l = {.n = n, .k = k};
    l.w = fenced_random(rng, (size_t)n * k, 1.0f);
    l.bias = fenced_random(rng, n, 1.0f);
    size_t bytes = table->packed_bytes(n, k);
    assert_int_equal(bytes % 64, 0);
    l.packed = fenced_new(bytes / sizeof(float));
    table->pack(l.w.floats, l.bias.floats, n, k, l.packed.floats);
    l.linear = (fby_linear){l.packed.floats, n, k};
    return l;
}

static void layer_free(layer *l)
{
    fenced_free(&l->w);
    fenced_free(&l->bias);
    fenced_free(&l->packed);
}

/* The sum in float64, and of magnitudes, which bounds what f32 may lose. */
static double reference(const layer *l, const float *x, uint32_t column, double *magnitude)
{
    double sum = (double)l->bias.floats[column];
    *magnitude = fabs(sum);
    for (uint32_t i = 0; i < l->k; i++) {
        double product = (double)x[i] * (double)l->w.floats[(size_t)column * l->k + i];
        sum += product;
        *magnitude += fabs(product);
    }
    return sum;
}

/* Higham 2002, section 3.1: a sum of k + 1 terms loses at most (k + 2) 2^-24 of the terms'
 * magnitudes, to first order. */
static double bound(uint32_t k, double magnitude)
{
    return (double)(k + 2) * 0x1p-24 * magnitude + 1e-30;
}

static void assert_product(const layer *l, const float *x, size_t ldx, uint32_t rows,
                           const float *out, size_t ldo)
{
    for (uint32_t row = 0; row < rows; row++)
        for (uint32_t column = 0; column < l->n; column++) {
            double magnitude;
            double want = reference(l, x + row * ldx, column, &magnitude);
            double got = (double)out[row * ldo + column];
            if (!(fabs(got - want) <= bound(l->k, magnitude)))
                fail_msg("n %u k %u row %u of %u column %u: %.9g, not %.9g", l->n, l->k, row, rows,
                         column, got, want);
        }
}

static void check_shape(fby_rng *rng, const fby_kernels *table, uint32_t rows, uint32_t n,
                        uint32_t k)
{
    layer l = layer_new(rng, table, n, k);
    size_t ldx = k + pick(rng, 0, 20), ldo = n + pick(rng, 0, 20);
    fenced x = fenced_random(rng, matrix_floats(rows, k, ldx), 1.0f);
    fenced out = fenced_untouched(matrix_floats(rows, n, ldo));
    table->linear(&l.linear, FBY_ACTIVATION_NONE, x.floats, ldx, rows, out.floats, ldo);
    assert_product(&l, x.floats, ldx, rows, out.floats, ldo);
    assert_gaps_untouched(out.floats, rows, n, ldo);
    fenced_free(&x);
    fenced_free(&out);
    layer_free(&l);
}

static void a_product_is_within_the_error_bound_of_float64(void **state)
{
    (void)state;
    fby_rng rng = fby_rng_from_env();
    tables all = runnable_tables();
    for (uint32_t t = 0; t < all.count; t++)
        for (int i = 0; i < 150; i++)
            check_shape(&rng, all.table[t], pick(&rng, 1, 50), pick(&rng, 1, 140),
                        pick(&rng, 1, 200));
}

static void the_shapes_of_known_models_are_right(void **state)
{
    (void)state;
    static const uint32_t shapes[][2] = {{1152, 384}, {384, 384},  {1536, 384}, {384, 1536},
                                         {936, 312},  {312, 1200}, {2304, 768}, {1024, 1024}};
    fby_rng rng = fby_rng_from_env();
    tables all = runnable_tables();
    for (uint32_t t = 0; t < all.count; t++)
        for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
            check_shape(&rng, all.table[t], pick(&rng, 1, 9), shapes[i][0], shapes[i][1]);
}

static void no_rows_write_nothing(void **state)
{
    (void)state;
    fby_rng rng = fby_rng_from_env();
    tables all = runnable_tables();
    for (uint32_t t = 0; t < all.count; t++) {
        layer l = layer_new(&rng, all.table[t], 40, 8);
        fenced out = fenced_untouched(40);
        all.table[t]->linear(&l.linear, FBY_ACTIVATION_NONE, out.floats, 8, 0, out.floats, 40);
        for (int i = 0; i < 40; i++)
            assert_true(out.floats[i] == UNTOUCHED);
        fenced_free(&out);
        layer_free(&l);
    }
}

/* The law of sameness: a row alone, and the same row anywhere in a batch. */
static void check_row_alone(fby_rng *rng, const fby_kernels *table, fby_activation activation,
                            uint32_t rows, uint32_t n, uint32_t k)
{
    layer l = layer_new(rng, table, n, k);
    fenced x = fenced_random(rng, (size_t)rows * k, 2.0f);
    fenced out = fenced_new((size_t)rows * n);
    fenced alone = fenced_new(n);
    table->linear(&l.linear, activation, x.floats, k, rows, out.floats, n);
    for (uint32_t row = 0; row < rows; row++) {
        table->linear(&l.linear, activation, x.floats + (size_t)row * k, k, 1, alone.floats, n);
        assert_memory_equal(alone.floats, out.floats + (size_t)row * n, n * sizeof(float));
    }
    fenced_free(&x);
    fenced_free(&out);
    fenced_free(&alone);
    layer_free(&l);
}

static void a_row_has_the_same_bits_in_every_batch(void **state)
{
    (void)state;
    fby_rng rng = fby_rng_from_env();
    tables all = runnable_tables();
    for (uint32_t t = 0; t < all.count; t++)
        for (uint32_t rows = 2; rows <= 60; rows++)
            check_row_alone(&rng, all.table[t], (fby_activation)(rows % 5), rows,
                            pick(&rng, 1, 100), pick(&rng, 1, 100));
}

/* {panels [a, b)} of a layer are a layer: what the header promises for work split by columns. */
static void panels_of_a_layer_are_a_layer(void **state)
{
    (void)state;
    enum { N = 150, K = 33, ROWS = 19 };
    fby_rng rng = fby_rng_from_env();
    tables all = runnable_tables();
    for (uint32_t t = 0; t < all.count; t++) {
        const fby_kernels *table = all.table[t];
        layer l = layer_new(&rng, table, N, K);
        fenced x = fenced_random(&rng, ROWS * K, 1.0f);
        fenced whole = fenced_new(ROWS * N), parts = fenced_new(ROWS * N);
        table->linear(&l.linear, FBY_ACTIVATION_RELU, x.floats, K, ROWS, whole.floats, N);

        uint32_t split = 2 * table->panel_width;
        size_t skip = 2 * table->packed_bytes(table->panel_width, K);
        fby_linear left = {l.linear.packed, split, K};
        fby_linear right = {(const char *)l.linear.packed + skip, N - split, K};
        table->linear(&left, FBY_ACTIVATION_RELU, x.floats, K, ROWS, parts.floats, N);
        table->linear(&right, FBY_ACTIVATION_RELU, x.floats, K, ROWS, parts.floats + split, N);
        assert_memory_equal(whole.floats, parts.floats, sizeof(float) * ROWS * N);
        fenced_free(&x);
        fenced_free(&whole);
        fenced_free(&parts);
        layer_free(&l);
    }
}

static void a_layer_without_bias_adds_none(void **state)
{
    (void)state;
    tables all = runnable_tables();
    for (uint32_t t = 0; t < all.count; t++) {
        const fby_kernels *table = all.table[t];
        float w[3] = {1.0f, -2.0f, 3.0f}, x = 0.5f, out[3];
        fenced packed = fenced_new(table->packed_bytes(3, 1) / sizeof(float));
        table->pack(w, NULL, 3, 1, packed.floats);
        fby_linear linear = {packed.floats, 3, 1};
        table->linear(&linear, FBY_ACTIVATION_NONE, &x, 1, 1, out, 3);
        assert_true(out[0] == 0.5f && out[1] == -1.0f && out[2] == 1.5f);
        fenced_free(&packed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_product_is_within_the_error_bound_of_float64),
        cmocka_unit_test(the_shapes_of_known_models_are_right),
        cmocka_unit_test(no_rows_write_nothing),
        cmocka_unit_test(a_row_has_the_same_bits_in_every_batch),
        cmocka_unit_test(panels_of_a_layer_are_a_layer),
        cmocka_unit_test(a_layer_without_bias_adds_none),
    };
    return cmocka_run_group_tests_name("linear", tests, NULL, NULL);
}
