/* SPDX-License-Identifier: Apache-2.0 */
#include "compute/narrow.h"

#include <stdlib.h>
#include <string.h>

#include "compute/bf16.h"
#include "narrow_tables.h"

/* Random weights whose every seventh input is ten times as large as the others, packed. */
typedef struct layer {
    const fby_narrow *table;
    uint32_t n, k;
    fenced w, bias, sizes, packed;
    fby_linear linear;
} layer;

static layer layer_new(fby_rng *rng, const fby_narrow *table, uint32_t n, uint32_t k)
{
    layer l = {.table = table, .n = n, .k = k};
    l.w = fenced_random(rng, (size_t)n * k, 1.0f);
    l.bias = fenced_random(rng, n, 1.0f);
    l.sizes = fenced_random(rng, k, 0.5f);
    for (uint32_t j = 0; j < k; j++)
        l.sizes.floats[j] += j % 7 == 3 ? 10.0f : 1.0f;
    size_t bytes = table->packed_bytes(n, k);
    assert_int_equal(bytes % 64, 0);
    l.packed = fenced_new(bytes / sizeof(float));
    table->pack(l.w.floats, l.bias.floats, l.sizes.floats, n, k, l.packed.floats);
    l.linear = (fby_linear){l.packed.floats, n, k};
    return l;
}

/* The same weights for another table. */
static layer layer_for(const layer *from, const fby_narrow *table)
{
    layer l = *from;
    l.table = table;
    l.packed = fenced_new(table->packed_bytes(l.n, l.k) / sizeof(float));
    table->pack(l.w.floats, l.bias.floats, l.sizes.floats, l.n, l.k, l.packed.floats);
    l.linear.packed = l.packed.floats;
    return l;
}

static void layer_free(layer *l)
{
    fenced_free(&l->w);
    fenced_free(&l->bias);
    fenced_free(&l->sizes);
    fenced_free(&l->packed);
}

static fenced rows_of_sizes(fby_rng *rng, const layer *l, uint32_t rows, size_t ld)
{
    fenced x = fenced_random(rng, matrix_floats(rows, l->k, ld), 1.0f);
    for (uint32_t row = 0; row < rows; row++)
        for (uint32_t j = 0; j < l->k; j++)
            x.floats[row * ld + j] *= l->sizes.floats[j];
    return x;
}

static fenced operand_of(const layer *l, const float *x, size_t ld, uint32_t rows)
{
    size_t bytes = rows * l->table->operand_bytes(l->k);
    assert_int_equal(bytes % 64, 0);
    fenced operand = fenced_new(bytes / sizeof(float));
    memset(operand.floats, 0xff, bytes);
    l->table->operand(&l->linear, x, ld, rows, operand.floats);
    return operand;
}

/* What one rounding of each number costs at most: bf16 2^-8 of it; int8 half a step, of which the
 * range has 254 or 255, of rows here within 22 and of weights within 2. */
static double bound(const fby_narrow *table, const layer *l, const float *x, const float *w)
{
    bool int8 = strcmp(table->precision, "int8") == 0;
    double sum = 0.0;
    for (uint32_t j = 0; j < l->k; j++) {
        double a = fabs((double)x[j]), b = fabs((double)w[j]);
        double of_a = int8 ? 22.0 / 255 / 2 * 1.01 : a * 0x1.01p-8;
        double of_b = int8 ? 2.0 / 254 / 2 * 1.01 : b * 0x1.01p-8;
        sum += a * of_b + b * of_a + of_a * of_b + a * b * (l->k + 4) * 0x1p-23;
    }
    return sum + 1e-6;
}

static void check_shape(fby_rng *rng, const fby_narrow *table, uint32_t rows, uint32_t n,
                        uint32_t k)
{
    layer l = layer_new(rng, table, n, k);
    size_t ldx = k + pick(rng, 0, 20), ldo = n + pick(rng, 0, 20);
    fenced x = rows_of_sizes(rng, &l, rows, ldx);
    fenced operand = operand_of(&l, x.floats, ldx, rows);
    fenced out = fenced_untouched(matrix_floats(rows, n, ldo));
    table->linear(&l.linear, FBY_ACTIVATION_NONE, operand.floats, rows, out.floats, ldo);
    for (uint32_t row = 0; row < rows; row++)
        for (uint32_t column = 0; column < n; column++) {
            const float *w = l.w.floats + (size_t)column * k, *a = x.floats + row * ldx;
            double want = (double)l.bias.floats[column],
                   got = (double)out.floats[row * ldo + column];
            for (uint32_t j = 0; j < k; j++)
                want += (double)a[j] * (double)w[j];
            if (!(fabs(got - want) <= bound(table, &l, a, w)))
                fail_msg("%s %s: n %u k %u row %u of %u column %u: %.9g, not %.9g",
                         table->precision, table->name, n, k, row, rows, column, got, want);
        }
    assert_gaps_untouched(out.floats, rows, n, ldo);
    fenced_free(&x);
    fenced_free(&operand);
    fenced_free(&out);
    layer_free(&l);
}

static void a_product_is_off_by_no_more_than_its_roundings(void **state)
{
    (void)state;
    fby_rng rng = fby_rng_from_env();
    narrow_tables all = runnable_narrow();
    for (uint32_t t = 0; t < all.count; t++) {
        for (int i = 0; i < 100; i++)
            check_shape(&rng, all.table[t], pick(&rng, 1, 50), pick(&rng, 1, 140),
                        pick(&rng, 1, 200));
        check_shape(&rng, all.table[t], pick(&rng, 1, 9), 1152, 384);
        check_shape(&rng, all.table[t], pick(&rng, 1, 9), 384, 1536);
    }
}

/* Integers are exact, bf16 products too: what is left is the order of sums in f32, and int8's codes
 * at a tie. */
static void every_table_gives_what_plain_c_gives(void **state)
{
    (void)state;
    fby_rng rng = fby_rng_from_env();
    narrow_tables all = runnable_narrow();
    for (uint32_t t = 0; t < all.count; t++)
        for (int i = 0; i < 40; i++) {
            uint32_t rows = pick(&rng, 10, 30), n = pick(&rng, 30, 100), k = pick(&rng, 1, 400);
            layer plain = layer_new(&rng, all.plain[t], n, k);
            layer l = layer_for(&plain, all.table[t]);
            fenced x = rows_of_sizes(&rng, &l, rows, k);
            fenced a = operand_of(&plain, x.floats, k, rows), b = operand_of(&l, x.floats, k, rows);
            fenced want = fenced_new((size_t)rows * n), got = fenced_new((size_t)rows * n);
            plain.table->linear(&plain.linear, FBY_ACTIVATION_GELU_ERF, a.floats, rows, want.floats,
                                n);
            l.table->linear(&l.linear, FBY_ACTIVATION_GELU_ERF, b.floats, rows, got.floats, n);
            double off = 0.0;
            for (size_t j = 0; j < (size_t)rows * n; j++)
                off += fabs((double)(want.floats[j] - got.floats[j])) / ((double)rows * n);
            bool rounds = l.table->operand_bytes(1024) < 1024 * sizeof(float); /* left sides */
            if (!(off < (rounds ? 5e-3 : 3e-2)))
                fail_msg("%s %s: n %u k %u rows %u: off by %g on average", l.table->precision,
                         l.table->name, n, k, rows, off);
            fenced_free(&x);
            fenced_free(&a);
            fenced_free(&b);
            fenced_free(&want);
            fenced_free(&got);
            fenced_free(&l.packed);
            layer_free(&plain);
        }
}

/* Rows of whole numbers whose codes take no rounding: low and high are 255 apart, so a code is a
 * step of 1. Weights that lean to one side, so that their middle and sum are large. */
static void check_sums(fby_rng *rng, const fby_narrow *table, uint32_t n, uint32_t k)
{
    enum { ROWS = 3 };
    const fby_narrow *plain = fby_narrow_for(FBY_PRECISION_INT8, FBY_ISA_C);
    fenced w = fenced_random(rng, (size_t)n * k, 1.0f), sizes = fenced_random(rng, k, 1.0f);
    fenced x = fenced_new((size_t)ROWS * k), out[2];
    for (uint32_t column = 0; column < n; column++) {
        float lean = fby_rng_float(rng) * 2.0f, wide = column % 3 == 0 ? 1e-3f : 1.0f;
        for (uint32_t j = 0; j < k; j++)
            w.floats[(size_t)column * k + j] = lean + wide * w.floats[(size_t)column * k + j];
    }
    for (uint32_t row = 0; row < ROWS; row++) {
        int low = -(int)pick(rng, 0, 255);
        for (uint32_t j = 0; j < k; j++)
            x.floats[row * k + j] = (float)(j % 64 == 1   ? low
                                            : j % 64 == 5 ? low + 255
                                                          : low + (int)pick(rng, 0, 255));
    }
    for (int t = 0; t < 2; t++) {
        const fby_narrow *by = t == 0 ? plain : table;
        fenced packed = fenced_new(by->packed_bytes(n, k) / sizeof(float));
        fenced operand = fenced_new(ROWS * by->operand_bytes(k) / sizeof(float));
        fby_linear linear = {packed.floats, n, k};
        out[t] = fenced_new((size_t)ROWS * n);
        by->pack(w.floats, NULL, sizes.floats, n, k, packed.floats);
        by->operand(&linear, x.floats, k, ROWS, operand.floats);
        by->linear(&linear, FBY_ACTIVATION_NONE, operand.floats, ROWS, out[t].floats, n);
        fenced_free(&packed);
        fenced_free(&operand);
    }
    for (uint32_t i = 0; i < ROWS * n; i++)
        if (out[0].floats[i] != out[1].floats[i])
            fail_msg("%s: n %u k %u row %u column %u: %.9g, not %.9g", table->name, n, k, i / n,
                     i % n, (double)out[1].floats[i], (double)out[0].floats[i]);
    fenced *arrays[] = {&w, &sizes, &x, &out[0], &out[1]};
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++)
        fenced_free(arrays[i]);
}

/* Where no float is rounded before the last product, no bit differs: not where sum(q) is rounded to
 * steps of 256, from 16,448 inputs on, nor at the most inputs. */
static void sums_of_int8_are_the_same_integers_in_every_table(void **state)
{
    (void)state;
    static const uint32_t inputs[] = {70, 129, 384, 1537, 16447, 16448, 16449, 32767, 32768};
    fby_rng rng = fby_rng_from_env();
    narrow_tables all = runnable_narrow();
    for (uint32_t t = 0; t < all.count; t++)
        for (size_t i = 0; i < sizeof inputs / sizeof inputs[0]; i++)
            if (strcmp(all.table[t]->precision, "int8") == 0)
                check_sums(&rng, all.table[t], pick(&rng, 1, 40), inputs[i]);
}

/* The law of sameness, and that fused calls are the calls one after another. */
static void check_fused(fby_rng *rng, const fby_narrow *table, uint32_t rows, uint32_t n,
                        uint32_t k)
{
    fby_activation activation = (fby_activation)(rows % 5);
    layer first = layer_new(rng, table, n, k), second = layer_new(rng, table, k, n);
    size_t bytes = table->operand_bytes(n), ldw = n + 3;
    fenced x = rows_of_sizes(rng, &first, rows, k);
    fenced a = operand_of(&first, x.floats, k, rows);
    fenced out = fenced_new(matrix_floats(rows, n, ldw)), wide = fenced_new(out.count);
    fenced got = fenced_new(rows * bytes / sizeof(float));
    memset(got.floats, 0xff, rows * bytes);
    memset(out.floats, 0, out.count * sizeof(float));

    table->linear(&first.linear, activation, a.floats, rows, out.floats, ldw);
    table->linear_operand(&first.linear, activation, a.floats, rows, &second.linear, wide.floats,
                          ldw, got.floats);
    fenced want = operand_of(&second, out.floats, ldw, rows);
    assert_memory_equal(got.floats, want.floats, rows * bytes);
    for (uint32_t row = 0; row < rows; row++) {
        fenced alone = operand_of(&first, x.floats + (size_t)row * k, k, 1), one = fenced_new(n);
        table->linear(&first.linear, activation, alone.floats, 1, one.floats, n);
        assert_memory_equal(one.floats, out.floats + row * ldw, n * sizeof(float));
        fenced_free(&alone);
        fenced_free(&one);
    }
    fenced_free(&x);
    fenced_free(&a);
    fenced_free(&out);
    fenced_free(&wide);
    fenced_free(&got);
    fenced_free(&want);
    layer_free(&first);
    layer_free(&second);
}

static void a_row_has_the_same_bits_in_every_batch_and_fused(void **state)
{
    (void)state;
    fby_rng rng = fby_rng_from_env();
    narrow_tables all = runnable_narrow();
    for (uint32_t t = 0; t < all.count; t++)
        for (uint32_t rows = 1; rows <= 45; rows++)
            check_fused(&rng, all.table[t], rows, pick(&rng, 1, 150), pick(&rng, 1, 150));
}

static void residual_and_norm_are_f32s(void **state)
{
    (void)state;
    fby_rng rng = fby_rng_from_env();
    narrow_tables all = runnable_narrow();
    for (uint32_t t = 0; t < all.count; t++)
        for (uint32_t rows = 1; rows <= 31; rows++) {
            const fby_narrow *table = all.table[t];
            uint32_t n = pick(&rng, 2, 420), k = pick(&rng, 1, 100);
            size_t ld = n + pick(&rng, 0, 5), bytes = table->operand_bytes(n);
            layer l = layer_new(&rng, table, n, k), next = layer_new(&rng, table, 5, n);
            fenced x = rows_of_sizes(&rng, &l, rows, k), a = operand_of(&l, x.floats, k, rows);
            fenced gamma = fenced_random(&rng, n, 1.0f), beta = fenced_random(&rng, n, 1.0f);
            fenced residual = fenced_random(&rng, matrix_floats(rows, n, ld), 3.0f);
            fenced plain = fenced_new(residual.count), out = fenced_untouched(residual.count);
            fenced operand = fenced_new(rows * bytes / sizeof(float));
            fby_layer_norm norm = {gamma.floats, beta.floats, 1e-5f, n};
            memset(operand.floats, 0xff, rows * bytes);
            table->linear(&l.linear, FBY_ACTIVATION_NONE, a.floats, rows, plain.floats, ld);
            table->linear_residual_norm(&l.linear, &norm, a.floats, residual.floats, ld, rows,
                                        out.floats, ld, &next.linear, operand.floats);
            for (uint32_t row = 0; row < rows; row++) {
                double mean = 0.0, variance = 0.0, y[420];
                for (uint32_t i = 0; i < n; i++) {
                    y[i] =
                        (double)plain.floats[row * ld + i] + (double)residual.floats[row * ld + i];
                    mean += y[i] / n;
                }
                for (uint32_t i = 0; i < n; i++)
                    variance += (y[i] - mean) * (y[i] - mean) / n;
                for (uint32_t i = 0; i < n; i++) {
                    double want = (y[i] - mean) / sqrt(variance + 1e-5) * (double)gamma.floats[i] +
                                  (double)beta.floats[i];
                    assert_true(fabs((double)out.floats[row * ld + i] - want) < 1e-4);
                }
            }
            assert_gaps_untouched(out.floats, rows, n, ld);
            fenced want = operand_of(&next, out.floats, ld, rows);
            assert_memory_equal(operand.floats, want.floats, rows * bytes);
            table->linear_residual_norm(&l.linear, &norm, a.floats, residual.floats, ld, rows,
                                        residual.floats, ld, NULL, NULL); /* in place */
            for (uint32_t row = 0; row < rows; row++)
                assert_memory_equal(residual.floats + row * ld, out.floats + row * ld,
                                    n * sizeof(float));
            fenced *all_of[] = {&x, &a, &gamma, &beta, &residual, &plain, &out, &operand, &want};
            for (size_t i = 0; i < sizeof all_of / sizeof all_of[0]; i++)
                fenced_free(all_of[i]);
            layer_free(&l);
            layer_free(&next);
        }
}

/* Rows of nothing, of one value, and of what no scale holds. */
static void any_row_goes_in_and_comes_out_without_harm(void **state)
{
    (void)state;
    enum { N = 33, K = 70, ROWS = 8 };
    const float values[ROWS] = {0.0f, 1.0f, -1.0f, NAN, INFINITY, -INFINITY, 3e38f, 1e-42f};
    fby_rng rng = fby_rng_from_env();
    narrow_tables all = runnable_narrow();
    for (uint32_t t = 0; t < all.count; t++) {
        layer l = layer_new(&rng, all.table[t], N, K);
        fenced x = fenced_new(ROWS * K), out = fenced_new(ROWS * N);
        for (int i = 0; i < ROWS * K; i++)
            x.floats[i] = values[i / K];
        fenced a = operand_of(&l, x.floats, K, ROWS);
        l.table->linear(&l.linear, FBY_ACTIVATION_NONE, a.floats, ROWS, out.floats, N);
        for (int i = 0; i < N; i++)
            assert_true(fabsf(out.floats[i] - l.bias.floats[i]) < 1e-6f);
        for (int i = 3 * K; i < ROWS * K; i += 11) /* and among sound numbers */
            x.floats[i] = 1.0f;
        l.table->operand(&l.linear, x.floats, K, ROWS, a.floats);
        l.table->linear(&l.linear, FBY_ACTIVATION_GELU_ERF, a.floats, ROWS, out.floats, N);
        fenced_free(&x);
        fenced_free(&a);
        fenced_free(&out);
        layer_free(&l);
    }
}

/* One head of a text in float64, from numbers that are bf16 already: row `query` of out (dim). */
static void attend(const uint16_t *qkv, size_t ld, uint32_t tokens, size_t hidden, uint32_t dim,
                   uint32_t query, double scale, double *out)
{
    double largest = -INFINITY, sum = 0.0, *weight = malloc(tokens * sizeof *weight);
    assert_non_null(weight);
    for (uint32_t key = 0; key < tokens; key++) {
        weight[key] = 0.0;
        for (uint32_t d = 0; d < dim; d++)
            weight[key] += (double)fby_bf16_to_float(qkv[query * ld + d]) *
                           (double)fby_bf16_to_float(qkv[key * ld + hidden + d]) * scale;
        largest = fmax(largest, weight[key]);
    }
    for (uint32_t key = 0; key < tokens; key++)
        sum += weight[key] = exp(weight[key] - largest);
    for (uint32_t d = 0; d < dim; d++) {
        out[d] = 0.0;
        for (uint32_t key = 0; key < tokens; key++)
            out[d] += weight[key] / sum * (double)fby_bf16_to_float(qkv[key * ld + 2 * hidden + d]);
    }
    free(weight);
}

static void check_attention(fby_rng *rng, const fby_narrow *table, uint32_t tokens, uint32_t heads,
                            uint32_t dim)
{
    size_t hidden = (size_t)heads * dim, ld = 3 * hidden + 2 * pick(rng, 0, 3);
    size_t ldo = hidden + pick(rng, 0, 3), count = matrix_floats(tokens, 3 * hidden, ld);
    fenced memory = fenced_new((count + 1) / 2),
           out = fenced_untouched(matrix_floats(tokens, hidden, ldo));
    fenced scratch = fenced_new(table->attention_scratch(tokens, dim) / sizeof(float));
    uint16_t *qkv = (uint16_t *)memory.floats + count % 2; /* ends at the fence */
    float scale = 1.0f / sqrtf((float)dim);
    double want[128];
    for (size_t i = 0; i < count; i++)
        qkv[i] = fby_bf16_of(fby_rng_float(rng) * 4.0f);
    memset(scratch.floats, 0xff, scratch.count * sizeof(float));
    table->attention(qkv, qkv + hidden, qkv + 2 * hidden, ld, tokens, heads, dim, scale,
                     scratch.floats, out.floats, ldo);
    for (uint32_t head = 0; head < heads; head++)
        for (uint32_t query = 0; query < tokens; query += 1 + tokens / 40) {
            attend(qkv + head * dim, ld, tokens, hidden, dim, query, (double)scale, want);
            for (uint32_t d = 0; d < dim; d++) {
                double got = (double)out.floats[query * ldo + head * dim + d];
                /* Weights, which sum up to 1, are rounded to 8 bits; values are at most 4. */
                if (!(fabs(got - want[d]) < 4.0 * 0x1.1p-8))
                    fail_msg("%u tokens, head %u of %u, dim %u: %g, not %g", tokens, head, dim, d,
                             got, want[d]);
            }
        }
    assert_gaps_untouched(out.floats, tokens, hidden, ldo);
    fenced_free(&memory);
    fenced_free(&out);
    fenced_free(&scratch);
}

static void attention_on_bf16_is_softmax_of_the_scores(void **state)
{
    (void)state;
    static const uint32_t lengths[] = {1,  2,  3,  13, 14,  15,  16,  17,
                                       31, 32, 33, 64, 255, 256, 257, 600};
    static const uint32_t dims[] = {2, 6, 16, 30, 32, 34, 64, 80, 128};
    fby_rng rng = fby_rng_from_env();
    narrow_tables all = runnable_narrow();
    for (uint32_t t = 0; t < all.count; t++) {
        if (all.table[t]->attention == NULL)
            continue;
        for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++)
            check_attention(&rng, all.table[t], lengths[i], 2, dims[pick(&rng, 0, 8)]);
        for (size_t i = 0; i < sizeof dims / sizeof dims[0]; i++)
            check_attention(&rng, all.table[t], pick(&rng, 1, 90), pick(&rng, 1, 3), dims[i]);
    }
}

static void what_attention_reads_is_the_product_rounded(void **state)
{
    (void)state;
    fby_rng rng = fby_rng_from_env();
    narrow_tables all = runnable_narrow();
    for (uint32_t t = 0; t < all.count; t++)
        for (uint32_t rows = 1; rows <= 30 && all.table[t]->linear_bf16 != NULL; rows++) {
            uint32_t n = pick(&rng, 1, 100), k = pick(&rng, 1, 100);
            size_t ldo = n + pick(&rng, 0, 5), count = matrix_floats(rows, n, ldo);
            layer l = layer_new(&rng, all.table[t], n, k);
            fenced x = rows_of_sizes(&rng, &l, rows, k), a = operand_of(&l, x.floats, k, rows);
            fenced out = fenced_new(count), memory = fenced_new((count + 1) / 2);
            uint16_t *got = (uint16_t *)memory.floats + count % 2;
            l.table->linear(&l.linear, FBY_ACTIVATION_NONE, a.floats, rows, out.floats, ldo);
            l.table->linear_bf16(&l.linear, a.floats, rows, got, ldo);
            for (uint32_t row = 0; row < rows; row++)
                for (uint32_t i = 0; i < ldo && (i < n || row + 1 < rows); i++)
                    assert_int_equal(got[row * ldo + i],
                                     i < n ? fby_bf16_of(out.floats[row * ldo + i]) : 0);
            fenced_free(&x);
            fenced_free(&a);
            fenced_free(&out);
            fenced_free(&memory);
            layer_free(&l);
        }
}

static void every_precision_has_a_table_for_every_instruction_set(void **state)
{
    (void)state;
    for (int isa = 0; isa < FBY_ISA_COUNT; isa++) {
        assert_null(fby_narrow_for(FBY_PRECISION_F32, (fby_isa)isa));
        for (int p = FBY_PRECISION_BF16; p <= FBY_PRECISION_INT8; p++) {
            const fby_narrow *table = fby_narrow_for((fby_precision)p, (fby_isa)isa);
            assert_non_null(table);
            assert_string_equal(table->precision, fby_precision_name((fby_precision)p));
            assert_true(table->version > 0 && table->panel_width > 0 && table->row_tile > 0);
        }
    }
    assert_string_equal(fby_precision_name(FBY_PRECISION_F32), "f32");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_precision_has_a_table_for_every_instruction_set),
        cmocka_unit_test(a_product_is_off_by_no_more_than_its_roundings),
        cmocka_unit_test(every_table_gives_what_plain_c_gives),
        cmocka_unit_test(sums_of_int8_are_the_same_integers_in_every_table),
        cmocka_unit_test(a_row_has_the_same_bits_in_every_batch_and_fused),
        cmocka_unit_test(residual_and_norm_are_f32s),
        cmocka_unit_test(attention_on_bf16_is_softmax_of_the_scores),
        cmocka_unit_test(what_attention_reads_is_the_product_rounded),
        cmocka_unit_test(any_row_goes_in_and_comes_out_without_harm),
    };
    return cmocka_run_group_tests_name("narrow", tests, NULL, NULL);
}
