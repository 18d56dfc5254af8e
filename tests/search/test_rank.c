/* SPDX-License-Identifier: Apache-2.0 */
/* The search over codes against the plain one: the same rows, the same scores, whatever the
 * vectors look like. */
#include "search/rank.h"
#include "test.h"

#include <math.h>

enum { COUNT_MAX = 30000, DIM_MAX = 400, TOP_MAX = 2000 };

struct made {
    fby_search_rows rows;
    fby_search_row *row;
    int8_t *codes;
    float *vectors;
    uint64_t *hidden;
};

/* How the vectors lie. */
enum shape { SPREAD, CLUSTER, NEAR_TIES, EQUAL, WILD, SHAPES };

static float wild(fby_rng *rng)
{
    switch (fby_rng_below(rng, 40)) {
    case 0:
        return NAN;
    case 1:
        return INFINITY;
    case 2:
        return 1e30f;
    case 3:
        return 1e-42f;
    default:
        return fby_rng_bool(rng) ? 0.0f
                                 : ldexpf(fby_rng_float(rng), (int)fby_rng_below(rng, 60) - 30);
    }
}

static void fill(fby_rng *rng, enum shape shape, const float *centre, float *x, uint32_t dim)
{
    for (uint32_t j = 0; j < dim; j++)
        switch (shape) {
        case SPREAD:
            x[j] = fby_rng_float(rng);
            break;
        case CLUSTER:
            x[j] = centre[j] + 0.05f * fby_rng_float(rng);
            break;
        case NEAR_TIES: /* a last bit here or there */
            x[j] = fby_rng_below(rng, 50) == 0 ? nextafterf(centre[j], 2.0f) : centre[j];
            break;
        case EQUAL:
            x[j] = centre[j];
            break;
        default:
            x[j] = fby_rng_below(rng, 200) == 0 ? wild(rng) : fby_rng_float(rng);
        }
}

static struct made make(fby_rng *rng, enum shape shape, size_t count, uint32_t dim)
{
    struct made made = {0};
    size_t codes = fby_code_stride(dim), stride = fby_vector_stride(dim);
    float centre[DIM_MAX];

    made.row = calloc(count + 1, sizeof *made.row);
    made.codes = calloc(count + 1, codes);
    made.vectors = calloc(count + 1, stride * sizeof(float));
    made.hidden = calloc(count / 64 + 1, sizeof(uint64_t));
    fill(rng, SPREAD, NULL, centre, dim);
    for (size_t i = 0; i < count; i++) {
        fill(rng, shape, centre, made.vectors + i * stride, dim);
        fby_search_row_make(made.vectors + i * stride, dim, made.codes + i * codes, &made.row[i]);
    }
    made.rows = (fby_search_rows){dim, count, made.row, made.codes, made.vectors, NULL};
    return made;
}

static void drop(struct made *made)
{
    free(made->row);
    free(made->codes);
    free(made->vectors);
    free(made->hidden);
}

static void same_as_plain(const fby_search_rows *rows, const float *query, size_t top,
                          uint32_t threads)
{
    static fby_hit fast[TOP_MAX], plain[TOP_MAX];
    size_t fast_found = 0, plain_found = 0;
    if (fby_rank(rows, query, top, threads, fast, &fast_found, NULL) != FBY_OK)
        fail_msg("%s", fby_last_error());
    assert_int_equal(fby_rank_plain(rows, query, top, threads, plain, &plain_found), FBY_OK);
    assert_int_equal(fast_found, plain_found);
    for (size_t i = 0; i < fast_found; i++) {
        assert_int_equal(fast[i].row, plain[i].row);
        assert_memory_equal(&fast[i].score, &plain[i].score, sizeof fast[i].score);
    }
}

static void finds_what_a_plain_search_finds(void **state)
{
    (void)state;
    fby_rng rng = fby_rng_from_env();
    for (int round = 0; round < 60; round++) {
        enum shape shape = (enum shape)(round % SHAPES);
        size_t count = fby_rng_below(&rng, round < 50 ? 1000 : COUNT_MAX);
        uint32_t dim = 1 + (uint32_t)fby_rng_below(&rng, round < 50 ? DIM_MAX : 100);
        struct made made = make(&rng, shape, count, dim);
        for (size_t i = 0; i < count / 64 + 1; i++)
            made.hidden[i] = fby_rng_next(&rng) & fby_rng_next(&rng);
        if (fby_rng_bool(&rng))
            made.rows.hidden = made.hidden;
        float query[DIM_MAX];
        bool own = count > 0 && shape != WILD && fby_rng_bool(&rng);
        fill(&rng, SPREAD, NULL, query, dim);
        if (own)
            memcpy(query, made.vectors, dim * sizeof *query);
        same_as_plain(&made.rows, query, fby_rng_below(&rng, 30),
                      1 + (uint32_t)fby_rng_below(&rng, 3));
        same_as_plain(&made.rows, query, fby_rng_below(&rng, TOP_MAX), 3);
        drop(&made);
    }
}

/* More candidates than their buffer holds, and the best of them last: the bound must not be
 * taken from rows that are merely near. */
static void ties_beyond_the_buffer_are_all_looked_at(void **state)
{
    (void)state;
    fby_rng rng = fby_rng_from_env();
    struct made made = make(&rng, NEAR_TIES, COUNT_MAX, 96);
    float query[DIM_MAX];
    memcpy(query, made.vectors + 7 * fby_vector_stride(96), 96 * sizeof *query);
    same_as_plain(&made.rows, query, 10, 2);

    float *last = made.vectors + (COUNT_MAX - 1) * fby_vector_stride(96);
    memcpy(last, query, 96 * sizeof *query);
    last[0] += query[0] > 0 ? 1e-6f : -1e-6f;
    fby_search_row_make(last, 96, made.codes + (COUNT_MAX - 1) * fby_code_stride(96),
                        &made.row[COUNT_MAX - 1]);
    same_as_plain(&made.rows, query, 10, 2);
    drop(&made);
}

/* The promise on which the rest stands, checked in wider arithmetic. */
static void a_rows_error_bounds_what_its_codes_lose(void **state)
{
    (void)state;
    fby_rng rng = fby_rng_from_env();
    for (int round = 0; round < 500; round++) {
        uint32_t dim = 1 + (uint32_t)fby_rng_below(&rng, DIM_MAX);
        struct made made = make(&rng, (enum shape)(round % WILD), 1, dim);
        long double sum = 0;
        for (uint32_t j = 0; j < dim; j++) {
            long double left = (long double)made.vectors[j] -
                               (long double)made.row->scale * (long double)made.codes[j];
            sum += left * left;
            assert_true(fabsl(left) <= (long double)made.row->scale * 0.5001L);
        }
        assert_true((long double)made.row->error >= sqrtl(sum));
        drop(&made);
    }
}

static void few_rows_of_many_are_scored(void **state)
{
    (void)state;
    fby_rng rng = {1};
    struct made made = make(&rng, SPREAD, COUNT_MAX, 384);
    float query[DIM_MAX];
    fill(&rng, SPREAD, NULL, query, 384);
    fby_hit hits[10];
    size_t found;
    fby_rank_stats stats;
    assert_int_equal(fby_rank(&made.rows, query, 10, 2, hits, &found, &stats), FBY_OK);
    assert_int_equal(found, 10);
    assert_true(stats.scored < COUNT_MAX / 20);
    drop(&made);
}

static void a_changed_byte_is_noticed(void **state)
{
    (void)state;
    fby_rng rng = fby_rng_from_env();
    struct made made = make(&rng, EQUAL, 500, 200);
    float query[DIM_MAX];
    memcpy(query, made.vectors, 200 * sizeof *query);
    fby_hit hits[500];
    size_t found;

    for (int round = 0; round < 200; round++) {
        unsigned char *bytes =
            fby_rng_bool(&rng) ? (unsigned char *)made.codes : (unsigned char *)made.vectors;
        size_t size = 500 * (bytes == (unsigned char *)made.codes ? fby_code_stride(200)
                                                                  : 4 * fby_vector_stride(200));
        size_t at = fby_rng_below(&rng, size);
        unsigned char flip = (unsigned char)(1u << fby_rng_below(&rng, 8));
        bytes[at] ^= flip;
        assert_int_equal(fby_rank(&made.rows, query, 500, 2, hits, &found, NULL), FBY_EFORMAT);
        bytes[at] ^= flip;
    }
    assert_int_equal(fby_rank(&made.rows, query, 500, 2, hits, &found, NULL), FBY_OK);
    drop(&made);
}

static void a_query_that_is_not_finite_is_refused(void **state)
{
    (void)state;
    fby_rng rng = {1};
    struct made made = make(&rng, SPREAD, 3, 4);
    float query[4] = {1, NAN, 0, 0};
    fby_hit hits[1];
    size_t found = 77;
    assert_int_equal(fby_rank(&made.rows, query, 1, 1, hits, &found, NULL), FBY_EINVAL);
    assert_int_equal(found, 77);
    drop(&made);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_what_a_plain_search_finds),
        cmocka_unit_test(ties_beyond_the_buffer_are_all_looked_at),
        cmocka_unit_test(a_rows_error_bounds_what_its_codes_lose),
        cmocka_unit_test(few_rows_of_many_are_scored),
        cmocka_unit_test(a_changed_byte_is_noticed),
        cmocka_unit_test(a_query_that_is_not_finite_is_refused),
    };
    return cmocka_run_group_tests_name("rank", tests, NULL, NULL);
}
