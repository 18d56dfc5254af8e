/* SPDX-License-Identifier: Apache-2.0 */
/* One number that is none, put into a batch: its row never comes out as ordinary numbers, and no
 * other row has another bit, by every table. */
#include "compute/bf16.h"
#include "compute/narrow.h"
#include "narrow_tables.h"

static const float poisons[] = {NAN, -NAN, INFINITY, -INFINITY};
enum { POISONS = sizeof poisons / sizeof poisons[0] };

static bool any_finite(const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (isfinite(x[i]))
            return true;
    return false;
}

static bool all_finite(const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return false;
    return true;
}

/* clean and spoilt (rows, n): of row `row` of spoilt nothing is finite, the others are clean's. */
static void assert_only_row(const char *what, const char *table, const float *clean,
                            const float *spoilt, uint32_t rows, uint32_t n, uint32_t row)
{
    for (uint32_t i = 0; i < rows; i++) {
        const float *got = spoilt + (size_t)i * n;
        if (i == row && any_finite(got, n))
            fail_msg("%s, %s: row %u of %u has a number", table, what, i, rows);
        if (i != row && memcmp(got, clean + (size_t)i * n, n * sizeof *got) != 0)
            fail_msg("%s, %s: row %u of %u changed with row %u", table, what, i, rows, row);
    }
}

/* A batch before and after one of its numbers became none. */
typedef struct batch {
    uint32_t rows, n, row;
    fenced clean, spoilt;
} batch;

static batch batch_new(fby_rng *rng, uint32_t rows, uint32_t n, float poison)
{
    batch b = {.rows = rows, .n = n, .row = pick(rng, 0, rows - 1)};
    b.clean = fenced_random(rng, (size_t)rows * n, 1.0f);
    b.spoilt = fenced_new((size_t)rows * n);
    memcpy(b.spoilt.floats, b.clean.floats, (size_t)rows * n * sizeof(float));
    b.spoilt.floats[(size_t)b.row * n + pick(rng, 0, n - 1)] = poison;
    return b;
}

static void batch_free(batch *b)
{
    fenced_free(&b->clean);
    fenced_free(&b->spoilt);
}

static void check_f32(fby_rng *rng, const fby_kernels *table, uint32_t rows, uint32_t n, uint32_t k,
                      float poison)
{
    batch x = batch_new(rng, rows, k, poison), residual = batch_new(rng, rows, n, poison);
    fenced w = fenced_random(rng, (size_t)n * k, 1.0f), gamma = fenced_random(rng, n, 1.0f);
    fenced packed = fenced_new(table->packed_bytes(n, k) / sizeof(float));
    fenced clean = fenced_new((size_t)rows * n), spoilt = fenced_new((size_t)rows * n);
    const fby_linear linear = {packed.floats, n, k};
    const fby_layer_norm norm = {gamma.floats, gamma.floats, 1e-12f, n};
    table->pack(w.floats, NULL, n, k, packed.floats);
    for (int a = FBY_ACTIVATION_NONE; a <= FBY_ACTIVATION_TANH; a++) {
        table->linear(&linear, (fby_activation)a, x.clean.floats, k, rows, clean.floats, n);
        table->linear(&linear, (fby_activation)a, x.spoilt.floats, k, rows, spoilt.floats, n);
        assert_only_row("linear", table->name, clean.floats, spoilt.floats, rows, n, x.row);
    }
    table->linear_residual_norm(&linear, &norm, x.clean.floats, k, residual.clean.floats, n, rows,
                                clean.floats, n);
    table->linear_residual_norm(&linear, &norm, x.spoilt.floats, k, residual.clean.floats, n, rows,
                                spoilt.floats, n);
    assert_only_row("residual norm", table->name, clean.floats, spoilt.floats, rows, n, x.row);
    table->linear_residual_norm(&linear, &norm, x.clean.floats, k, residual.spoilt.floats, n, rows,
                                spoilt.floats, n);
    assert_only_row("residual", table->name, clean.floats, spoilt.floats, rows, n, residual.row);
    table->layer_norm(&norm, residual.clean.floats, n, rows);
    table->layer_norm(&norm, residual.spoilt.floats, n, rows);
    assert_only_row("norm", table->name, residual.clean.floats, residual.spoilt.floats, rows, n,
                    residual.row);
    batch_free(&x);
    batch_free(&residual);
    fenced *arrays[] = {&w, &gamma, &packed, &clean, &spoilt};
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++)
        fenced_free(arrays[i]);
}

static void a_row_that_is_spoilt_stays_so_alone(void **state)
{
    (void)state;
    fby_rng rng = fby_rng_from_env();
    tables all = runnable_tables();
    for (uint32_t t = 0; t < all.count; t++)
        for (int p = 0; p < POISONS; p++)
            for (uint32_t rows = 1; rows <= 31; rows += rows < 16 ? 1 : 5)
                check_f32(&rng, all.table[t], rows, pick(&rng, 2, 100), pick(&rng, 1, 100),
                          poisons[p]);
}

static void sums_and_maxima_keep_what_is_no_number(void **state)
{
    (void)state;
    enum { N = 77 };
    fby_rng rng = fby_rng_from_env();
    tables all = runnable_tables();
    for (uint32_t t = 0; t < all.count; t++)
        for (uint32_t i = 0; i < 8 * N; i++) {
            const fby_kernels *table = all.table[t];
            const uint32_t at = i % N;
            fenced x = fenced_random(&rng, N, 1.0f), y = fenced_random(&rng, N, 1.0f);
            fenced z = fenced_new(N);
            (i & 1 ? x : y).floats[at] = poisons[i / N % POISONS];
            memcpy(z.floats, x.floats, N * sizeof(float));
            table->max(z.floats, y.floats, N);
            for (uint32_t j = 0; j < N; j++)
                assert_true(j == at ? !isfinite(z.floats[j])
                                    : z.floats[j] == fmaxf(x.floats[j], y.floats[j]));
            assert_true(!isfinite(table->dot(x.floats, y.floats, N)));
            table->add(x.floats, y.floats, N);
            table->scale(x.floats, 0.5f, N);
            for (uint32_t j = 0; j < N; j++)
                assert_true((isfinite(x.floats[j]) != 0) == (j != at));
            fenced_free(&x);
            fenced_free(&y);
            fenced_free(&z);
        }
}

static void a_variance_that_overflows_is_noticed(void **state)
{
    (void)state;
    enum { N = 50, ROWS = 9 };
    fby_rng rng = fby_rng_from_env();
    tables all = runnable_tables();
    for (uint32_t t = 0; t < all.count; t++)
        for (uint32_t row = 0; row < ROWS; row++) {
            fenced gamma = fenced_random(&rng, N, 1.0f), x = fenced_random(&rng, ROWS * N, 1.0f);
            const fby_layer_norm norm = {gamma.floats, gamma.floats, 1e-12f, N};
            all.table[t]->scale(x.floats + row * N, 1e25f, N);
            all.table[t]->layer_norm(&norm, x.floats, N, ROWS);
            for (uint32_t i = 0; i < ROWS; i++)
                assert_true(i == row ? !any_finite(x.floats + i * N, N)
                                     : all_finite(x.floats + i * N, N));
            fenced_free(&gamma);
            fenced_free(&x);
        }
}

/* ---- attention ---- */

typedef struct text {
    uint32_t tokens, heads, dim;
    size_t width, at; /* of a row of q, k or v; of what is spoilt: in q, then k, then v, of a row */
    uint32_t row;
    fenced clean, spoilt;
} text;

/* out (tokens, width) of the head that is spoilt: by q its row, by k all numbers, by v a column. */
static void assert_head(const char *table, const text *t, float poison)
{
    const size_t part = t->at / t->width, head = t->at % t->width / t->dim;
    for (size_t row = 0; row < t->tokens; row++)
        for (size_t i = 0; i < t->width; i++) {
            float clean = t->clean.floats[row * t->width + i];
            float got = t->spoilt.floats[row * t->width + i];
            bool hit = i / t->dim == head && (part == 1 || (part == 0 && row == t->row) ||
                                              (part == 2 && i == t->at % t->width));
            if (hit ? isfinite(got) : memcmp(&got, &clean, sizeof got) != 0)
                fail_msg("%s: %g in %c, row %u of %u, at %zu: row %zu, %zu is %g, was %g", table,
                         (double)poison, "qkv"[part], t -> row, t -> tokens, t -> at % t -> width,
                         row, i, (double)got, (double)clean);
        }
}

/* Each of q, k and v in turn, as floats or, of narrow tables, as bf16. */
static void check_attention(fby_rng *rng, const fby_kernels *wide, const fby_narrow *narrow,
                            uint32_t tokens, float poison, uint32_t part)
{
    text t = {.tokens = tokens, .heads = 3, .dim = 2 * pick(rng, 1, 20)};
    t.width = (size_t)t.heads * t.dim;
    t.at = part * t.width + pick(rng, 0, (uint32_t)t.width - 1);
    t.row = pick(rng, 0, tokens - 1);
    const size_t ld = 3 * t.width, count = tokens * ld;
    const float scale = 1.0f / sqrtf((float)t.dim);
    fenced qkv = fenced_random(rng, count, 2.0f), bf16 = fenced_new((count + 1) / 2);
    size_t bytes = wide != NULL ? wide->attention_scratch(tokens, t.dim)
                                : narrow->attention_scratch(tokens, t.dim);
    fenced scratch = fenced_new((bytes + 63) / 64 * 16);
    t.clean = fenced_new(tokens * t.width);
    t.spoilt = fenced_new(tokens * t.width);
    for (int turn = 0; turn < 2; turn++) {
        float *out = turn == 0 ? t.clean.floats : t.spoilt.floats;
        const float *q = qkv.floats;
        uint16_t *words = (uint16_t *)bf16.floats;
        if (turn == 1)
            qkv.floats[t.row * ld + t.at] = poison;
        for (size_t i = 0; i < count; i++)
            words[i] = fby_bf16_of(q[i]);
        if (wide != NULL)
            wide->attention(q, q + t.width, q + 2 * t.width, ld, tokens, t.heads, t.dim, scale,
                            scratch.floats, out, t.width);
        else
            narrow->attention(words, words + t.width, words + 2 * t.width, ld, tokens, t.heads,
                              t.dim, scale, scratch.floats, out, t.width);
    }
    assert_head(wide != NULL ? wide->name : narrow->name, &t, poison);
    fenced *arrays[] = {&qkv, &bf16, &scratch, &t.clean, &t.spoilt};
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++)
        fenced_free(arrays[i]);
}

/* Blocks of keys are 64 or 256: what is spoilt may lie in the first, a later or the last. */
static void attention_hides_nothing(void **state)
{
    (void)state;
    static const uint32_t lengths[] = {1, 2, 15, 42, 100, 300, 530};
    fby_rng rng = fby_rng_from_env();
    tables all = runnable_tables();
    narrow_tables narrow = runnable_narrow();
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++)
        for (int p = 0; p < POISONS; p++)
            for (uint32_t part = 0; part < 3; part++) {
                for (uint32_t t = 0; t < all.count; t++)
                    check_attention(&rng, all.table[t], NULL, lengths[i], poisons[p], part);
                for (uint32_t t = 0; t < narrow.count; t++)
                    if (narrow.table[t]->attention != NULL)
                        check_attention(&rng, NULL, narrow.table[t], lengths[i], poisons[p], part);
            }
}

/* ---- narrow products ---- */

typedef struct layer {
    fenced w, sizes, packed;
    fby_linear linear;
} layer;

static layer layer_new(fby_rng *rng, const fby_narrow *table, uint32_t n, uint32_t k)
{
    layer l = {fenced_random(rng, (size_t)n * k, 1.0f), fenced_random(rng, k, 1.0f), {0}, {0}};
    l.packed = fenced_new(table->packed_bytes(n, k) / sizeof(float));
    table->pack(l.w.floats, NULL, l.sizes.floats, n, k, l.packed.floats);
    l.linear = (fby_linear){l.packed.floats, n, k};
    return l;
}

static void layer_free(layer *l)
{
    fenced_free(&l->w);
    fenced_free(&l->sizes);
    fenced_free(&l->packed);
}

/* x through a layer (n, k), its activation and a layer (k, n), then through a residual and a norm
 * and the second again: out (2, rows, k). */
static void two_layers(const fby_narrow *table, const layer *first, const layer *second,
                       fby_activation activation, const fby_layer_norm *norm, const float *x,
                       uint32_t rows, float *out)
{
    const uint32_t n = first->linear.n, k = first->linear.k;
    fenced a = fenced_new(rows * table->operand_bytes(k) / sizeof(float));
    fenced b = fenced_new(rows * table->operand_bytes(n) / sizeof(float));
    fenced wide = fenced_new((size_t)rows * n), residual = fenced_new((size_t)rows * n);
    memset(residual.floats, 0, (size_t)rows * n * sizeof(float));
    table->operand(&first->linear, x, k, rows, a.floats);
    table->linear_operand(&first->linear, activation, a.floats, rows, &second->linear, wide.floats,
                          n, b.floats);
    table->linear(&second->linear, FBY_ACTIVATION_NONE, b.floats, rows, out, k);
    table->linear_residual_norm(&first->linear, norm, a.floats, residual.floats, n, rows,
                                wide.floats, n, &second->linear, b.floats);
    table->linear(&second->linear, FBY_ACTIVATION_NONE, b.floats, rows, out + (size_t)rows * k, k);
    fenced *arrays[] = {&a, &b, &wide, &residual};
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++)
        fenced_free(arrays[i]);
}

static void check_narrow(fby_rng *rng, const fby_narrow *table, uint32_t rows, uint32_t n,
                         uint32_t k, float poison)
{
    const size_t count = (size_t)rows * k;
    batch x = batch_new(rng, rows, k, poison);
    layer first = layer_new(rng, table, n, k), second = layer_new(rng, table, k, n);
    fenced gamma = fenced_random(rng, n, 1.0f), clean = fenced_new(2 * count);
    fenced spoilt = fenced_new(2 * count);
    const fby_layer_norm norm = {gamma.floats, gamma.floats, 1e-12f, n};
    for (int a = FBY_ACTIVATION_NONE; a <= FBY_ACTIVATION_TANH; a++) {
        two_layers(table, &first, &second, (fby_activation)a, &norm, x.clean.floats, rows,
                   clean.floats);
        two_layers(table, &first, &second, (fby_activation)a, &norm, x.spoilt.floats, rows,
                   spoilt.floats);
        assert_true(all_finite(clean.floats, 2 * count));
        assert_only_row("two layers", table->name, clean.floats, spoilt.floats, rows, k, x.row);
        assert_only_row("norm", table->name, clean.floats + count, spoilt.floats + count, rows, k,
                        x.row);
    }
    batch_free(&x);
    layer_free(&first);
    layer_free(&second);
    fenced_free(&gamma);
    fenced_free(&clean);
    fenced_free(&spoilt);
}

static void a_row_that_is_spoilt_stays_so_in_few_bits(void **state)
{
    (void)state;
    fby_rng rng = fby_rng_from_env();
    narrow_tables all = runnable_narrow();
    for (uint32_t t = 0; t < all.count; t++)
        for (int p = 0; p < POISONS; p++)
            for (uint32_t rows = 1; rows <= 31; rows += rows < 16 ? 1 : 5)
                check_narrow(&rng, all.table[t], rows, pick(&rng, 2, 100), pick(&rng, 2, 100),
                             poisons[p]);
}

/* What a row of large numbers becomes is its product or none, never that of other numbers. */
static void large_numbers_are_kept_or_refused(void **state)
{
    (void)state;
    enum { N = 20, K = 64, ROWS = 8 };
    static const float sizes[ROWS] = {1e20f, 1e28f, 1e31f, 1e34f, 1e35f, 2e36f, 1e38f, 3e38f};
    fby_rng rng = fby_rng_from_env();
    narrow_tables all = runnable_narrow();
    for (uint32_t t = 0; t < all.count; t++) {
        const fby_narrow *table = all.table[t];
        layer l = layer_new(&rng, table, N, K);
        fenced x = fenced_random(&rng, ROWS * K, 1.0f), out = fenced_new(ROWS * N);
        fenced a = fenced_new(ROWS * table->operand_bytes(K) / sizeof(float));
        for (int i = 0; i < ROWS * K; i++)
            x.floats[i] *= sizes[i / K];
        table->operand(&l.linear, x.floats, K, ROWS, a.floats);
        table->linear(&l.linear, FBY_ACTIVATION_NONE, a.floats, ROWS, out.floats, N);
        for (uint32_t row = 0; row < ROWS; row++)
            for (uint32_t column = 0; column < N; column++) {
                double want = 0.0, got = (double)out.floats[row * N + column];
                for (uint32_t j = 0; j < K; j++)
                    want += (double)x.floats[row * K + j] * (double)l.w.floats[column * K + j];
                assert_true(isfinite(out.floats[row * N + column]) || sizes[row] > 1e33f);
                assert_true(!isfinite(out.floats[row * N + column]) ||
                            fabs(got - want) < 0.5 * (double)sizes[row]);
            }
        fenced_free(&x);
        fenced_free(&a);
        fenced_free(&out);
        layer_free(&l);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_that_is_spoilt_stays_so_alone),
        cmocka_unit_test(sums_and_maxima_keep_what_is_no_number),
        cmocka_unit_test(a_variance_that_overflows_is_noticed),
        cmocka_unit_test(attention_hides_nothing),
        cmocka_unit_test(a_row_that_is_spoilt_stays_so_in_few_bits),
        cmocka_unit_test(large_numbers_are_kept_or_refused),
    };
    return cmocka_run_group_tests_name("not_finite", tests, NULL, NULL);
}
