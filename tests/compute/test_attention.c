/* SPDX-License-Identifier: Apache-2.0 */
#include "compute_test.h"

typedef struct text {
    uint32_t tokens, heads, dim;
    size_t width, ld;
    float scale;
    fenced qkv; /* (tokens, 3 width), rows ld apart */
} text;

static text text_random(fby_rng *rng, uint32_t tokens, uint32_t heads, uint32_t dim)
{
    text t = {.tokens = tokens, .heads = heads, .dim = dim, .width = (size_t)heads * dim};
    t.ld = 3 * t.width + pick(rng, 0, 20);
    t.scale = 1.0f / sqrtf((float)dim);
    t.qkv = fenced_random(rng, matrix_floats(tokens, 3 * t.width, t.ld), 4.0f);
    return t;
}

static void run(const fby_kernels *table, const text *t, float *out, size_t ldo)
{
    fenced scratch =
        fenced_new((table->attention_scratch(t->tokens, t->dim) + 63) / 64 * 64 / sizeof(float));
    const float *qkv = t->qkv.floats;
    table->attention(qkv, qkv + t->width, qkv + 2 * t->width, t->ld, t->tokens, t->heads, t->dim,
                     t->scale, scratch.floats, out, ldo);
    fenced_free(&scratch);
}

/* One query of one head in float64. */
static void reference(const text *t, uint32_t head, uint32_t query, double *weights, double *out)
{
    const float *q = t->qkv.floats + query * t->ld + (size_t)head * t->dim;
    double maximum = -INFINITY, sum = 0.0;
    for (uint32_t key = 0; key < t->tokens; key++) {
        const float *k = t->qkv.floats + key * t->ld + t->width + (size_t)head * t->dim;
        double score = 0.0;
        for (uint32_t i = 0; i < t->dim; i++)
            score += (double)q[i] * (double)k[i];
        weights[key] = score * (double)t->scale;
        maximum = fmax(maximum, weights[key]);
    }
    for (uint32_t key = 0; key < t->tokens; key++)
        sum += weights[key] = exp(weights[key] - maximum);
    for (uint32_t i = 0; i < t->dim; i++) {
        out[i] = 0.0;
        for (uint32_t key = 0; key < t->tokens; key++)
            out[i] += weights[key] / sum *
                      (double)t->qkv.floats[key * t->ld + 2 * t->width + (size_t)head * t->dim + i];
    }
}

/* What scores of size up to dim 16 scale lose in f32 is their error in the exponent, so the
 * weights' relative error; the values are at most 4. */
static double bound(const text *t)
{
    double score_error = (double)t->dim * 16.0 * (double)t->scale * ((double)t->dim + 4) * 0x1p-24;
    return 4.0 * (2.0 * score_error + ((double)t->tokens + 16.0) * 0x1p-24);
}

static void check(fby_rng *rng, const fby_kernels *table, uint32_t tokens, uint32_t heads,
                  uint32_t dim)
{
    text t = text_random(rng, tokens, heads, dim);
    size_t ldo = t.width + pick(rng, 0, 20);
    fenced out = fenced_untouched(matrix_floats(tokens, t.width, ldo));
    double *weights = calloc(tokens + dim, sizeof *weights), *want = weights + tokens;
    run(table, &t, out.floats, ldo);
    assert_gaps_untouched(out.floats, tokens, t.width, ldo);
    uint32_t step = tokens > 32 ? tokens / 16 : 1;
    for (uint32_t head = 0; head < heads; head++)
        for (uint32_t query = 0; query < tokens; query += step) {
            reference(&t, head, query, weights, want);
            for (uint32_t i = 0; i < dim; i++) {
                double got = (double)out.floats[query * ldo + (size_t)head * dim + i];
                if (!(fabs(got - want[i]) <= bound(&t)))
                    fail_msg("%s: tokens %u heads %u dim %u: head %u query %u: %.9g, not %.9g",
                             table->name, tokens, heads, dim, head, query, got, want[i]);
            }
        }
    free(weights);
    fenced_free(&out);
    fenced_free(&t.qkv);
}

static void attention_is_within_the_error_bound_of_float64(void **state)
{
    (void)state;
    fby_rng rng = fby_rng_from_env();
    tables all = runnable_tables();
    for (uint32_t i = 0; i < all.count; i++) {
        for (uint32_t tokens = 1; tokens <= 70; tokens++)
            check(&rng, all.table[i], tokens, 1, 8 * pick(&rng, 1, 16));
        for (int n = 0; n < 8; n++)
            check(&rng, all.table[i], pick(&rng, 1, 600), pick(&rng, 1, 2), 32 * pick(&rng, 1, 2));
    }
}

static void a_head_of_any_width_is_right(void **state)
{
    (void)state;
    fby_rng rng = fby_rng_from_env();
    tables all = runnable_tables();
    for (uint32_t i = 0; i < all.count; i++)
        for (uint32_t dim = 1; dim <= 128; dim++)
            check(&rng, all.table[i], pick(&rng, 1, 40), 1, dim);
}

static void a_long_text_is_right(void **state)
{
    (void)state;
    fby_rng rng = fby_rng_from_env();
    tables all = runnable_tables();
    for (uint32_t i = 0; i < all.count; i++) {
        check(&rng, all.table[i], 1500, 1, 64);
        check(&rng, all.table[i], 8192, 1, 8);
    }
}

/* Heads are apart: some of them alone, and all, have the same bits. */
static void a_head_alone_has_the_same_bits(void **state)
{
    (void)state;
    enum { HEADS = 5, DIM = 24 };
    fby_rng rng = fby_rng_from_env();
    tables all = runnable_tables();
    for (uint32_t i = 0; i < all.count; i++)
        for (int n = 0; n < 10; n++) {
            text t = text_random(&rng, pick(&rng, 1, 300), HEADS, DIM);
            fenced out = fenced_new(t.tokens * t.width), alone = fenced_new(t.tokens * t.width);
            run(all.table[i], &t, out.floats, t.width);
            fenced scratch =
                fenced_new(all.table[i]->attention_scratch(t.tokens, DIM) / sizeof(float));
            for (uint32_t head = 0; head < HEADS; head++) {
                const float *q = t.qkv.floats + (size_t)head * DIM;
                all.table[i]->attention(q, q + t.width, q + 2 * t.width, t.ld, t.tokens, 1, DIM,
                                        t.scale, scratch.floats, alone.floats + (size_t)head * DIM,
                                        t.width);
            }
            assert_memory_equal(out.floats, alone.floats, t.tokens * t.width * sizeof(float));
            fenced_free(&scratch);
            fenced_free(&out);
            fenced_free(&alone);
            fenced_free(&t.qkv);
        }
}

/* Neither the distance between rows nor the alignment changes a bit. */
static void a_text_has_the_same_bits_wherever_it_lies(void **state)
{
    (void)state;
    enum { HEADS = 3, DIM = 20, WIDTH = HEADS * DIM };
    fby_rng rng = fby_rng_from_env();
    tables all = runnable_tables();
    for (uint32_t i = 0; i < all.count; i++)
        for (int n = 0; n < 20; n++) {
            text near = text_random(&rng, pick(&rng, 1, 300), HEADS, DIM), far = near;
            far.ld = 3 * WIDTH + pick(&rng, 0, 40);
            far.qkv = fenced_untouched(matrix_floats(near.tokens, 3 * WIDTH, far.ld));
            for (size_t token = 0; token < near.tokens; token++)
                memcpy(far.qkv.floats + token * far.ld, near.qkv.floats + token * near.ld,
                       3 * WIDTH * sizeof(float));
            fenced one = fenced_new((size_t)near.tokens * WIDTH);
            fenced other = fenced_new((size_t)near.tokens * WIDTH + 3);
            run(all.table[i], &near, one.floats, WIDTH);
            run(all.table[i], &far, other.floats, WIDTH);
            assert_memory_equal(one.floats, other.floats, near.tokens * WIDTH * sizeof(float));
            fenced_free(&one);
            fenced_free(&other);
            fenced_free(&near.qkv);
            fenced_free(&far.qkv);
        }
}

/* Garbage comes out; nothing outside is touched, which the fences and sanitizers watch. */
static void what_is_not_a_number_does_no_harm(void **state)
{
    (void)state;
    static const float odd[] = {NAN, INFINITY, -INFINITY, 3e38f, -3e38f, 1e-45f, 0.0f};
    fby_rng rng = fby_rng_from_env();
    tables all = runnable_tables();
    for (uint32_t i = 0; i < all.count; i++)
        for (int n = 0; n < 20; n++) {
            text t = text_random(&rng, pick(&rng, 1, 300), 2, 24);
            for (uint32_t j = 0; j < 50; j++)
                t.qkv.floats[fby_rng_below(&rng, t.qkv.count)] =
                    odd[fby_rng_below(&rng, sizeof odd / sizeof odd[0])];
            fenced out = fenced_untouched(matrix_floats(t.tokens, t.width, t.width + 5));
            run(all.table[i], &t, out.floats, t.width + 5);
            assert_gaps_untouched(out.floats, t.tokens, t.width, t.width + 5);
            fenced_free(&out);
            fenced_free(&t.qkv);
        }
}

/* A token that scores far above the rest takes all of the weight, whatever the block it is in. */
static void a_score_beyond_all_others_takes_the_weight(void **state)
{
    (void)state;
    enum { TOKENS = 700, DIM = 16 };
    fby_rng rng = fby_rng_from_env();
    tables all = runnable_tables();
    for (uint32_t i = 0; i < all.count; i++)
        for (int n = 0; n < 20; n++) {
            text t = text_random(&rng, TOKENS, 1, DIM);
            uint32_t winner = pick(&rng, 0, TOKENS - 1);
            float *row = t.qkv.floats + winner * t.ld;
            for (uint32_t token = 0; token < TOKENS; token++)
                t.qkv.floats[token * t.ld] = 40.0f;
            row[t.width] = 4000.0f;
            fenced out = fenced_new((size_t)TOKENS * DIM);
            run(all.table[i], &t, out.floats, DIM);
            for (uint32_t token = 0; token < TOKENS; token++)
                for (uint32_t d = 0; d < DIM; d++)
                    assert_true(fabsf(out.floats[token * DIM + d] - row[2 * t.width + d]) <= 1e-5f);
            fenced_free(&out);
            fenced_free(&t.qkv);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attention_is_within_the_error_bound_of_float64),
        cmocka_unit_test(a_head_of_any_width_is_right),
        cmocka_unit_test(a_long_text_is_right),
        cmocka_unit_test(a_head_alone_has_the_same_bits),
        cmocka_unit_test(a_text_has_the_same_bits_wherever_it_lies),
        cmocka_unit_test(what_is_not_a_number_does_no_harm),
        cmocka_unit_test(a_score_beyond_all_others_takes_the_weight),
    };
    return cmocka_run_group_tests_name("attention", tests, NULL, NULL);
}
