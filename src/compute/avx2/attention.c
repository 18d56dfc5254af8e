/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attention of one text, head by head, in blocks of 256 keys.
 *
 *     for each block of keys                        (one for most texts)
 *         keys turned into panels (head_dim, 16)    8 x 8 transposes in registers
 *         for each tile of queries, 1 … 6
 *             scores  = q keysᵀ                     tile by panel, to scratch
 *             weights = exp2(factor (scores - max)) row by row, in place
 *             out     = out rescale + weights v     tile by 16 columns of v where they lie
 *
 * Tile: h rows by two vectors; 2 h accumulators, two vectors of the right side, one element of
 * the left in all lanes: 15 of 16 registers at h = 6, 6 cycles a step where a core starts two
 * 256-bit multiply-adds a cycle. A row's running maximum and sum, and its part of `out`, see the
 * blocks in order (Milakov and Gimelshein 2018), so they depend on the text alone.
 *
 * Measured on Zen 4: 60 % of the peak at 42 tokens, 67 % at 64, 62 to 70 % at 256, head_dim 32.
 *
 * Columns of a head beyond a multiple of 8 go through small padded copies: of v in scratch, of out
 * on the stack.
 *
 * Scratch: keys (256, head_dim) | values (256, 16) | scores (6, 264) | maximum (tokens) |
 * sum (tokens): 54 KiB and 8 bytes a token at head_dim 32.
 */
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/bits.h"
#include "compute/avx2/avx2.h"
#include "compute/avx2/vector.h"
#include "compute/tiles.h"

enum { KEYS = 256, PANEL = 16, TILE = 6, SCORE_LD = KEYS + 8 };

typedef struct head {
    const float *q, *k, *v;
    size_t ld;
    uint32_t tokens, dim;
    float factor; /* scale log2(e), or NaN */
    float *keys, *values, *scores, *maximum, *sum;
    float *out;
    size_t ldo;
} head;

/* out (rows, 8 or 16) = (out rescale + x (rows, k) b (k, 8 or 16)) finish. */
typedef struct product {
    const float *x;
    size_t ldx;
    const float *b;
    size_t ldb;
    size_t k;
    const float *rescale, *finish; /* (rows); NULL: out's old value does not count, is not scaled */
    float *out;
    size_t ldo;
} product;

static size_t key_floats(uint32_t dim)
{
    return (size_t)KEYS * dim;
}

size_t fby_avx2_attention_scratch(uint32_t tokens, uint32_t head_dim)
{
    size_t floats = key_floats(head_dim) + KEYS * PANEL + TILE * SCORE_LD + 2 * (size_t)tokens;
    return fby_align_up(floats * sizeof(float), 64);
}

FBY_INLINE void run_product(const product *t, const int rows, const int vectors)
{
    __m256 acc[TILE][2];
    const float *x = t->x, *b = t->b;
    const size_t ldx = t->ldx, ldb = t->ldb;
    float *out = t->out;

    FBY_UNROLL
    for (int row = 0; row < rows; row++)
        FBY_UNROLL
    for (int i = 0; i < vectors; i++)
        acc[row][i] = _mm256_setzero_ps();
    if (t->rescale != NULL)
        FBY_UNROLL
    for (int row = 0; row < rows; row++)
        FBY_UNROLL
    for (int i = 0; i < vectors; i++) {
        __m256 old = _mm256_loadu_ps(out + (size_t)row * t->ldo + 8 * i);
        acc[row][i] = _mm256_mul_ps(old, _mm256_broadcast_ss(t->rescale + row));
    }

    FBY_NO_UNROLL
    for (size_t step = t->k; step != 0; step--) {
        __m256 right[2];
        FBY_UNROLL
        for (int i = 0; i < vectors; i++) {
            right[i] = _mm256_loadu_ps(b + 8 * i);
            __asm__("" : "+x"(right[i])); /* as in linear.c */
        }
        FBY_UNROLL
        for (int row = 0; row < rows; row++) {
            __m256 left = _mm256_broadcast_ss(x + (size_t)row * ldx);
            FBY_UNROLL
            for (int i = 0; i < vectors; i++)
                acc[row][i] = _mm256_fmadd_ps(left, right[i], acc[row][i]);
        }
        x++;
        b += ldb;
    }

    if (t->finish != NULL)
        FBY_UNROLL
    for (int row = 0; row < rows; row++)
        FBY_UNROLL
    for (int i = 0; i < vectors; i++)
        acc[row][i] = _mm256_mul_ps(acc[row][i], _mm256_broadcast_ss(t->finish + row));
    FBY_UNROLL
    for (int row = 0; row < rows; row++)
        FBY_UNROLL
    for (int i = 0; i < vectors; i++)
        _mm256_storeu_ps(out + (size_t)row * t->ldo + 8 * i, acc[row][i]);
}

/* One body a height and width: the same sums in the same order. */
static void run_product_of(const product *t, uint32_t rows, uint32_t vectors)
{
#define RUN_ONE(height) run_product(t, height, 1)
#define RUN_TWO(height) run_product(t, height, 2)
    if (vectors == 1)
        FBY_HEIGHTS(rows, 6, RUN_ONE)
    else
        FBY_HEIGHTS(rows, 6, RUN_TWO)
#undef RUN_ONE
#undef RUN_TWO
}

/* x's 8 rows become its columns: pairs of lanes, pairs of pairs, then halves. */
FBY_INLINE void transpose(__m256 x[8])
{
    __m256 y[8];
    FBY_UNROLL
    for (int i = 0; i < 8; i += 2) {
        y[i] = _mm256_unpacklo_ps(x[i], x[i + 1]);
        y[i + 1] = _mm256_unpackhi_ps(x[i], x[i + 1]);
    }
    /* x[4 i + j], half h: column 4 h + j of rows 4 i … 4 i + 3. */
    FBY_UNROLL
    for (int i = 0; i < 8; i += 4) {
        __m256d a = _mm256_castps_pd(y[i]), b = _mm256_castps_pd(y[i + 2]);
        __m256d c = _mm256_castps_pd(y[i + 1]), d = _mm256_castps_pd(y[i + 3]);
        x[i] = _mm256_castpd_ps(_mm256_unpacklo_pd(a, b));
        x[i + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(a, b));
        x[i + 2] = _mm256_castpd_ps(_mm256_unpacklo_pd(c, d));
        x[i + 3] = _mm256_castpd_ps(_mm256_unpackhi_pd(c, d));
    }
    FBY_UNROLL
    for (int j = 0; j < 4; j++) {
        __m256 low = _mm256_permute2f128_ps(x[j], x[4 + j], 0x20);
        x[4 + j] = _mm256_permute2f128_ps(x[j], x[4 + j], 0x31);
        x[j] = low;
    }
}

/* keys: panels (head_dim, 16); the last 8 or 16 columns padded with zeros. Returns 0, or NaN if a
 * number is not finite: a key that scores minus infinity would weigh nothing, unseen. */
static float turn_keys(const head *h, uint32_t first, uint32_t count)
{
    __m256 none = _mm256_setzero_ps();
    for (uint32_t key = 0; key < count; key += 8) {
        float *to = h->keys + (size_t)(key / PANEL) * PANEL * h->dim + key % PANEL;
        const float *from = h->k + (size_t)(first + key) * h->ld;
        uint32_t rows = fby_min_u32(8, count - key);
        for (uint32_t d = 0; d < h->dim; d += 8) {
            __m256 x[8];
            FBY_UNROLL
            for (uint32_t i = 0; i < 8; i++)
                x[i] = i < rows ? fby_avx2_load(from + i * h->ld + d, h->dim - d)
                                : _mm256_setzero_ps();
            FBY_UNROLL
            for (uint32_t i = 0; i < 8; i++)
                none = _mm256_fmadd_ps(x[i], _mm256_setzero_ps(), none);
            transpose(x);
            FBY_UNROLL
            for (uint32_t i = 0; i < 8; i++)
                if (d + i < h->dim)
                    _mm256_storeu_ps(to + (size_t)(d + i) * PANEL, x[i]);
        }
    }
    return fby_avx2_sum(none);
}

/* The columns of v that whole vectors of a head do not reach, padded with zeros. */
static void copy_values(const head *h, uint32_t first, uint32_t count)
{
    const uint32_t column = h->dim / 8 * 8;
    for (uint32_t key = 0; key < count && column < h->dim; key++) {
        const float *from = h->v + (size_t)(first + key) * h->ld + column;
        _mm256_storeu_ps(h->values + (size_t)key * PANEL, fby_avx2_load(from, h->dim - column));
    }
}

static void score(const head *h, uint32_t query, uint32_t rows, uint32_t count)
{
    for (uint32_t key = 0; key < count; key += PANEL) {
        product t = {
            .x = h->q + query * h->ld,
            .ldx = h->ld,
            .b = h->keys + (size_t)key * h->dim,
            .ldb = PANEL,
            .k = h->dim,
            .out = h->scores + key,
            .ldo = SCORE_LD,
        };
        run_product_of(&t, rows, count - key > 8 ? 2 : 1);
    }
}

FBY_INLINE __m256 meet(__m256 a, __m256 b, const bool sum)
{
    return sum ? _mm256_add_ps(a, b) : _mm256_max_ps(a, b);
}

/* In each half: a's pairs met in the low quarter, b's in the high one. */
FBY_INLINE __m256 fold_pairs(__m256 a, __m256 b, const bool sum)
{
    return meet(_mm256_shuffle_ps(a, b, 0x44), _mm256_shuffle_ps(a, b, 0xee), sum);
}

FBY_INLINE __m256 fold_neighbours(__m256 a, __m256 b, const bool sum)
{
    return meet(_mm256_shuffle_ps(a, b, 0x88), _mm256_shuffle_ps(a, b, 0xdd), sum);
}

/* Lane i is the sum, or the largest, of rows[i]'s lanes, in one order for all: lane l and l + 2
 * of each half, then neighbours, then the halves. */
FBY_INLINE __m256 fold(const __m256 rows[8], const bool sum)
{
    __m256 low =
        fold_neighbours(fold_pairs(rows[0], rows[1], sum), fold_pairs(rows[2], rows[3], sum), sum);
    __m256 high =
        fold_neighbours(fold_pairs(rows[4], rows[5], sum), fold_pairs(rows[6], rows[7], sum), sum);
    return meet(_mm256_permute2f128_ps(low, high, 0x20), _mm256_permute2f128_ps(low, high, 0x31),
                sum);
}

/* What a tile's weights do to its rows of out: the old ones times `rescale`, at the end `finish`.
 */
typedef struct factors {
    float rescale[8], finish[8];
} factors;

/* What is beyond `exist` in the last vector counts as minus infinity, so weighs 0. */
static __m256 last_of(const float *scores, uint32_t last, __m256 exist)
{
    return _mm256_blendv_ps(_mm256_set1_ps(-INFINITY), _mm256_loadu_ps(scores + last), exist);
}

static __m256 largest_of(const float *scores, uint32_t last, __m256 exist)
{
    __m256 largest = last_of(scores, last, exist);
    for (uint32_t i = 0; i < last; i += 8)
        largest = _mm256_max_ps(largest, _mm256_loadu_ps(scores + i));
    return largest;
}

/* scores become weights; returns their sum, lane by lane. */
static __m256 weigh_row(float *scores, uint32_t last, __m256 exist, __m256 factor, __m256 shift)
{
    __m256 t = _mm256_fmsub_ps(last_of(scores, last, exist), factor, shift);
    __m256 sum = fby_avx2_exp2_of(t);
    _mm256_storeu_ps(scores + last, sum);
    for (uint32_t i = 0; i < last; i += 8) {
        t = _mm256_fmsub_ps(_mm256_loadu_ps(scores + i), factor, shift);
        __m256 weight = fby_avx2_exp2_of(t);
        sum = _mm256_add_ps(sum, weight);
        _mm256_storeu_ps(scores + i, weight);
    }
    return sum;
}

/* A tile's scores become weights; the running maxima and sums move on, all rows in one vector. */
static void weigh(const head *h, uint32_t query, uint32_t rows, uint32_t count, bool first,
                  factors *out)
{
    const uint32_t last = (count - 1) / 8 * 8;
    const __m256 exist = _mm256_castsi256_ps(fby_avx2_lanes(count - last));
    const __m256 factor = _mm256_set1_ps(h->factor);
    __m256 part[8], before = _mm256_setzero_ps();
    float shift[8];

    for (uint32_t row = 0; row < 8; row++)
        part[row] = row < rows ? largest_of(h->scores + (size_t)row * SCORE_LD, last, exist)
                               : _mm256_setzero_ps();
    __m256 maximum = fold(part, false);
    if (!first) {
        __m256 old = fby_avx2_load(h->maximum + query, rows);
        maximum = _mm256_max_ps(old, maximum);
        __m256 rescale = fby_avx2_exp2_of(_mm256_mul_ps(_mm256_sub_ps(old, maximum), factor));
        before = _mm256_mul_ps(fby_avx2_load(h->sum + query, rows), rescale);
        _mm256_storeu_ps(out->rescale, rescale);
    }
    fby_avx2_store(h->maximum + query, maximum, rows);
    _mm256_storeu_ps(shift, _mm256_mul_ps(maximum, factor));

    for (uint32_t row = 0; row < rows; row++)
        part[row] = weigh_row(h->scores + (size_t)row * SCORE_LD, last, exist, factor,
                              _mm256_broadcast_ss(shift + row));
    __m256 sum = _mm256_add_ps(before, fold(part, true));
    fby_avx2_store(h->sum + query, sum, rows);
    _mm256_storeu_ps(out->finish, _mm256_div_ps(_mm256_set1_ps(1.0f), sum));
}

/* The last columns of a head, fewer than 8: `t` on a copy of out. */
static void add_last_values(const head *h, product *t, uint32_t rows, uint32_t columns)
{
    float copy[TILE][8] = {{0}};
    float *out = t->out;
    for (uint32_t row = 0; row < rows; row++)
        memcpy(copy[row], out + row * t->ldo, columns * sizeof(float));
    t->b = h->values;
    t->ldb = PANEL;
    t->out = copy[0];
    t->ldo = 8;
    run_product_of(t, rows, 1);
    for (uint32_t row = 0; row < rows; row++)
        memcpy(out + row * h->ldo, copy[row], columns * sizeof(float));
}

static void add_values(const head *h, uint32_t query, uint32_t rows, uint32_t first, uint32_t count,
                       const factors *by)
{
    bool last = first + count == h->tokens;
    for (uint32_t column = 0; column < h->dim; column += h->dim - column >= 16 ? 16 : 8) {
        product t = {
            .x = h->scores,
            .ldx = SCORE_LD,
            .b = h->v + first * h->ld + column,
            .ldb = h->ld,
            .k = count,
            .rescale = first != 0 ? by->rescale : NULL,
            .finish = last ? by->finish : NULL,
            .out = h->out + query * h->ldo + column,
            .ldo = h->ldo,
        };
        if (h->dim - column < 8)
            add_last_values(h, &t, rows, h->dim - column);
        else
            run_product_of(&t, rows, h->dim - column >= 16 ? 2 : 1);
    }
}

static void run_head(head *h)
{
    const uint32_t tiles = fby_div_up_u32(h->tokens, TILE);
    for (uint32_t first = 0; first < h->tokens; first += KEYS) {
        uint32_t count = fby_min_u32(KEYS, h->tokens - first), query = 0;
        h->factor += turn_keys(h, first, count);
        copy_values(h, first, count);
        for (uint32_t i = 0; i < tiles; i++) {
            uint32_t rows = h->tokens / tiles + (i < h->tokens % tiles);
            factors by;
            score(h, query, rows, count);
            weigh(h, query, rows, count, first == 0, &by);
            add_values(h, query, rows, first, count, &by);
            query += rows;
        }
    }
}

void fby_avx2_attention(const float *q, const float *k, const float *v, size_t ld, uint32_t tokens,
                        uint32_t heads, uint32_t head_dim, float scale, void *scratch, float *out,
                        size_t ldo)
{
    float *keys = scratch;
    float *values = keys + key_floats(head_dim);
    float *scores = values + KEYS * PANEL;
    for (size_t i = 0; i < heads; i++) {
        head h = {
            .q = q + i * head_dim,
            .k = k + i * head_dim,
            .v = v + i * head_dim,
            .ld = ld,
            .tokens = tokens,
            .dim = head_dim,
            .factor = scale * 0x1.715476p+0f,
            .keys = keys,
            .values = values,
            .scores = scores,
            .maximum = scores + TILE * SCORE_LD,
            .sum = scores + TILE * SCORE_LD + tokens,
            .out = out + i * head_dim,
            .ldo = ldo,
        };
        run_head(&h);
    }
}
