/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attention of one text, head by head, in blocks of 256 keys.
 *
 *     for each block of keys                        (one for most texts)
 *         keys turned into panels (head_dim, 16)    4 x 4 transposes in registers
 *         for each tile of queries, 1 … 6
 *             scores  = q keysᵀ                     tile by panel, to scratch
 *             weights = exp2(factor (scores - max)) row by row, in place
 *             out     = out rescale + weights v     tile by 16 columns of v where they lie
 *
 * Tile: h rows by four vectors, the registers and cycles of linear.c: at h = 6, 96 multiply-adds
 * for four steps, 48 cycles where a core starts two a cycle, 24 where it starts four. An
 * exponential is 14 instructions a vector. A row's running maximum and sum, and its part of `out`,
 * see the blocks in order (Milakov and Gimelshein 2018), so they depend on the text alone. Not
 * measured on a core.
 *
 * Columns of a head beyond a multiple of 4 go through small padded copies: of v in scratch, of out
 * on the stack.
 *
 * Scratch: keys (256, head_dim) | values (256, 4) | scores (6, 264) | maximum (tokens) |
 * sum (tokens): 42 KiB and 8 bytes a token at head_dim 32.
 */
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/bits.h"
#include "compute/neon/neon.h"
#include "compute/neon/vector.h"
#include "compute/tiles.h"

enum {
    KEYS = 256,
    PANEL = 16,
    TILE = FBY_NEON_ROWS,
    VECTORS = FBY_NEON_VECTORS,
    SCORE_LD = KEYS + 8
};

typedef struct head {
    const float *q, *k, *v;
    size_t ld;
    uint32_t tokens, dim;
    float factor; /* scale log2(e), or NaN */
    float *keys, *values, *scores, *maximum, *sum;
    float *out;
    size_t ldo;
} head;

/* out (rows, 4 vectors) = (out rescale + x (rows, k) b (k, 4 vectors)) finish. */
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

size_t fby_neon_attention_scratch(uint32_t tokens, uint32_t head_dim)
{
    size_t floats = key_floats(head_dim) + KEYS * 4 + TILE * SCORE_LD + 2 * (size_t)tokens;
    return fby_align_up(floats * sizeof(float), 64);
}

FBY_INLINE void run_product(const product *t, const int rows, const int vectors)
{
    float32x4_t acc[TILE][VECTORS];
    float *out = t->out;

    FBY_UNROLL
    for (int row = 0; row < rows; row++)
        FBY_UNROLL
    for (int i = 0; i < vectors; i++)
        acc[row][i] = vdupq_n_f32(0.0f);
    if (t->rescale != NULL)
        FBY_UNROLL
    for (int row = 0; row < rows; row++)
        FBY_UNROLL
    for (int i = 0; i < vectors; i++)
        acc[row][i] = vmulq_n_f32(vld1q_f32(out + (size_t)row * t->ldo + 4 * i), t->rescale[row]);

    fby_neon_multiply(acc, rows, vectors, t->x, t->ldx, t->b, t->ldb, t->k, 0, 0, 0);

    if (t->finish != NULL)
        FBY_UNROLL
    for (int row = 0; row < rows; row++)
        FBY_UNROLL
    for (int i = 0; i < vectors; i++)
        acc[row][i] = vmulq_n_f32(acc[row][i], t->finish[row]);
    FBY_UNROLL
    for (int row = 0; row < rows; row++)
        FBY_UNROLL
    for (int i = 0; i < vectors; i++)
        vst1q_f32(out + (size_t)row * t->ldo + 4 * i, acc[row][i]);
}

/* One body a height and width: the same sums in the same order. */
FBY_INLINE void run_product_of_width(const product *t, uint32_t rows, const int vectors)
{
#define RUN_PRODUCT(height) run_product(t, height, vectors)
    FBY_HEIGHTS(rows, 6, RUN_PRODUCT)
#undef RUN_PRODUCT
}

static void run_product_of(const product *t, uint32_t rows, uint32_t vectors)
{
    switch (vectors) {
    case 1:
        run_product_of_width(t, rows, 1);
        return;
    case 2:
        run_product_of_width(t, rows, 2);
        return;
    case 3:
        run_product_of_width(t, rows, 3);
        return;
    default:
        run_product_of_width(t, rows, 4);
        return;
    }
}

/* x's 4 rows become its columns: pairs of lanes, then halves. */
FBY_INLINE void transpose(float32x4_t x[4])
{
    float64x2_t even = vreinterpretq_f64_f32(vtrn1q_f32(x[0], x[1]));
    float64x2_t odd = vreinterpretq_f64_f32(vtrn2q_f32(x[0], x[1]));
    float64x2_t even2 = vreinterpretq_f64_f32(vtrn1q_f32(x[2], x[3]));
    float64x2_t odd2 = vreinterpretq_f64_f32(vtrn2q_f32(x[2], x[3]));
    x[0] = vreinterpretq_f32_f64(vtrn1q_f64(even, even2));
    x[1] = vreinterpretq_f32_f64(vtrn1q_f64(odd, odd2));
    x[2] = vreinterpretq_f32_f64(vtrn2q_f64(even, even2));
    x[3] = vreinterpretq_f32_f64(vtrn2q_f64(odd, odd2));
}

/* keys: panels (head_dim, 16); the last columns padded with zeros to a multiple of 4. Returns 0, or
 * NaN if a number is not finite: a key that scores minus infinity would weigh nothing, unseen. */
static float turn_keys(const head *h, uint32_t first, uint32_t count)
{
    const float32x4_t zero = vdupq_n_f32(0.0f);
    float32x4_t none = zero;
    for (uint32_t key = 0; key < count; key += 4) {
        float *to = h->keys + (size_t)(key / PANEL) * PANEL * h->dim + key % PANEL;
        const float *from = h->k + (size_t)(first + key) * h->ld;
        uint32_t rows = fby_min_u32(4, count - key);
        for (uint32_t d = 0; d < h->dim; d += 4) {
            float32x4_t x[4];
            FBY_UNROLL
            for (uint32_t i = 0; i < 4; i++)
                x[i] = i < rows ? fby_neon_load(from + i * h->ld + d, h->dim - d) : zero;
            FBY_UNROLL
            for (uint32_t i = 0; i < 4; i++)
                none = vfmaq_f32(none, x[i], zero);
            transpose(x);
            FBY_UNROLL
            for (uint32_t i = 0; i < 4; i++)
                if (d + i < h->dim)
                    vst1q_f32(to + (size_t)(d + i) * PANEL, x[i]);
        }
    }
    return vaddvq_f32(none);
}

/* The columns of v that whole vectors of a head do not reach, padded with zeros. */
static void copy_values(const head *h, uint32_t first, uint32_t count)
{
    const uint32_t column = h->dim / 4 * 4;
    for (uint32_t key = 0; key < count && column < h->dim; key++) {
        const float *from = h->v + (size_t)(first + key) * h->ld + column;
        vst1q_f32(h->values + (size_t)key * 4, fby_neon_load(from, h->dim - column));
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
        run_product_of(&t, rows, fby_div_up_u32(fby_min_u32(PANEL, count - key), 4));
    }
}

/* What a tile's weights do to its rows of out: the old ones times `rescale`, at the end `finish`.
 */
typedef struct factors {
    float rescale[8], finish[8];
} factors;

/* What is beyond `exist` in the last vector counts as minus infinity, so weighs 0. */
static float32x4_t last_of(const float *scores, uint32_t last, uint32x4_t exist)
{
    return vbslq_f32(exist, vld1q_f32(scores + last), vdupq_n_f32(-INFINITY));
}

static float largest_of(const float *scores, uint32_t last, uint32x4_t exist)
{
    float32x4_t largest = last_of(scores, last, exist);
    for (uint32_t i = 0; i < last; i += 4)
        largest = vmaxq_f32(largest, vld1q_f32(scores + i));
    return vmaxvq_f32(largest);
}

/* x factor - shift, rounded once. */
FBY_INLINE float32x4_t exponent_of(float32x4_t x, float factor, float shift)
{
    return vfmaq_n_f32(vdupq_n_f32(-shift), x, factor);
}

/* scores become weights; returns their sum. */
static float weigh_row(float *scores, uint32_t last, uint32x4_t exist, float factor, float shift)
{
    float32x4_t sum = fby_neon_exp2_of(exponent_of(last_of(scores, last, exist), factor, shift));
    vst1q_f32(scores + last, sum);
    for (uint32_t i = 0; i < last; i += 4) {
        float32x4_t t = exponent_of(vld1q_f32(scores + i), factor, shift);
        float32x4_t weight = fby_neon_exp2_of(t);
        sum = vaddq_f32(sum, weight);
        vst1q_f32(scores + i, weight);
    }
    return vaddvq_f32(sum);
}

/* A tile's scores become weights; the running maxima and sums move on. */
static void weigh(const head *h, uint32_t query, uint32_t rows, uint32_t count, bool first,
                  factors *out)
{
    const uint32_t last = (count - 1) / 4 * 4;
    const uint32x4_t exist = fby_neon_lanes(count - last);
    float *maximum = h->maximum + query, *sum = h->sum + query;

    for (uint32_t row = 0; row < rows; row++) {
        float largest = largest_of(h->scores + (size_t)row * SCORE_LD, last, exist);
        out->rescale[row] = 0.0f;
        if (!first) {
            largest = maximum[row] > largest ? maximum[row] : largest;
            out->rescale[row] = (maximum[row] - largest) * h->factor;
        }
        maximum[row] = largest;
    }
    if (!first)
        fby_neon_exp2(out->rescale, rows);
    for (uint32_t row = 0; row < rows; row++) {
        float added = weigh_row(h->scores + (size_t)row * SCORE_LD, last, exist, h->factor,
                                maximum[row] * h->factor);
        sum[row] = first ? added : sum[row] * out->rescale[row] + added;
        out->finish[row] = 1.0f / sum[row];
    }
}

/* The last columns of a head, fewer than 4: `t` on a copy of out. */
static void add_last_values(const head *h, product *t, uint32_t rows, uint32_t columns)
{
    float copy[TILE][4] = {{0}};
    float *out = t->out;
    for (uint32_t row = 0; row < rows; row++)
        memcpy(copy[row], out + row * t->ldo, columns * sizeof(float));
    t->b = h->values;
    t->ldb = 4;
    t->out = copy[0];
    t->ldo = 4;
    run_product_of(t, rows, 1);
    for (uint32_t row = 0; row < rows; row++)
        memcpy(out + row * h->ldo, copy[row], columns * sizeof(float));
}

static void add_values(const head *h, uint32_t query, uint32_t rows, uint32_t first, uint32_t count,
                       const factors *by)
{
    bool last = first + count == h->tokens;
    for (uint32_t column = 0, vectors; column < h->dim; column += 4 * vectors) {
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
        vectors = fby_min_u32(VECTORS, (h->dim - column) / 4);
        if (vectors == 0) {
            add_last_values(h, &t, rows, h->dim - column);
            return;
        }
        run_product_of(&t, rows, vectors);
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

void fby_neon_attention(const float *q, const float *k, const float *v, size_t ld, uint32_t tokens,
                        uint32_t heads, uint32_t head_dim, float scale, void *scratch, float *out,
                        size_t ldo)
{
    float *keys = scratch;
    float *values = keys + key_floats(head_dim);
    float *scores = values + KEYS * 4;
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
