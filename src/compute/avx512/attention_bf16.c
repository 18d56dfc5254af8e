/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attention of one text on bf16, head by head, in blocks of 256 keys, with
 * AVX512-BF16. Two numbers of 16 bits are one word here.
 *
 *     for each block of keys                        (one for most texts)
 *         keys turned into panels (head_dim / 2, 32) of words    a 16 x 16 transpose each
 *         values paired into panels (keys / 2, 32) of words
 *         for each tile of queries, 1 … 14
 *             scores  = q keysᵀ                     tile by panel, f32, to scratch
 *             weights = exp2(factor (scores - max)) row by row, rounded to bf16
 *             out     = out rescale + weights v     tile by 32 columns
 *
 * Both products are the tile of bf16.c; the rest is that of attention.c, and f32: maxima, sums (of
 * weights before they are rounded) and out. 2^x by the polynomial's first five terms: 4e-5 off.
 *
 * Scratch: keys (256, head_dim) and values (256, head_dim up to 32s) of 16 bits | scores (14, 272)
 * | weights (14, 288) of 16 bits | maximum (tokens) | sum (tokens).
 */
#include <immintrin.h>
#include <math.h>

#include "base/bits.h"
#include "compute/avx512/attention_bf16.h"
#include "compute/avx512/avx512.h"
#include "compute/avx512/shuffle.h"
#include "compute/tiles.h"

enum {
    KEYS = 256,
    PANEL = 32,
    TILE = FBY_AVX512_ROWS,
    HALF = TILE / 2,
    SCORE_LD = KEYS + 16,
    WEIGHT_LD = KEYS + 32 /* in words, half of it */
};

typedef struct head {
    const uint16_t *q, *k, *v;
    size_t ld;
    uint32_t tokens, dim;
    float factor; /* scale log2(e), or NaN */
    uint32_t *keys, *values;
    float *scores;
    uint16_t *weights;
    float *maximum, *sum;
    float *out;
    size_t ldo;
} head;

/* out (rows, up to 32) = (out rescale + x (rows, k words) b (k words, up to 32)) finish. */
typedef struct product {
    const uint32_t *x;
    size_t ldx; /* words */
    const uint32_t *b;
    size_t k;
    const float *rescale, *finish; /* (rows); NULL: out's old value does not count, is not scaled */
    float *out;
    size_t ldo;
    __mmask16 lanes[2]; /* of out's columns that exist */
} product;

static uint32_t value_columns(uint32_t head_dim)
{
    return (uint32_t)fby_align_up(head_dim, PANEL);
}

size_t fby_avx512_attention_bf16_scratch(uint32_t tokens, uint32_t head_dim)
{
    size_t words = KEYS / 2 * ((size_t)head_dim + value_columns(head_dim)) + TILE * SCORE_LD +
                   TILE * WEIGHT_LD / 2 + 2 * (size_t)tokens;
    return fby_align_up(words * sizeof(uint32_t), 64);
}

FBY_INLINE void run_product(const product *t, const size_t rows, const size_t vectors)
{
    __m512 acc[TILE][2];
    const uint32_t *low = t->x,
                   *high = low + (rows > HALF ? HALF * t->ldx : 0); /* as in linear.c */
    const uint32_t *b = t->b;
    __asm__("" : "+r"(high));
    const size_t ldx = t->ldx;
    const __mmask16 lanes[2] = {t->lanes[0], t->lanes[1]};
    float *out = t->out;

    FBY_UNROLL
    for (size_t row = 0; row < rows; row++)
        FBY_UNROLL
    for (size_t i = 0; i < vectors; i++)
        acc[row][i] = _mm512_setzero_ps();
    if (t->rescale != NULL)
        FBY_UNROLL
    for (size_t row = 0; row < rows; row++) {
        __m512 by = _mm512_set1_ps(t->rescale[row]);
        FBY_UNROLL
        for (size_t i = 0; i < vectors; i++) {
            const float *from = out + row * t->ldo + 16 * i;
            acc[row][i] = _mm512_mul_ps(_mm512_maskz_loadu_ps(lanes[i], from), by);
        }
    }

    FBY_NO_UNROLL
    for (size_t step = t->k; step != 0; step--) {
        __m512i right[2];
        FBY_UNROLL
        for (size_t i = 0; i < vectors; i++) {
            right[i] = _mm512_loadu_si512(b + 16 * i);
            __asm__("" : "+v"(right[i])); /* as in linear.c */
        }
        FBY_UNROLL
        for (size_t row = 0; row < rows; row++) {
            const uint32_t *x = row < HALF ? low + row * ldx : high + (row - HALF) * ldx;
            __m512i left = _mm512_set1_epi32((int)*x);
            FBY_UNROLL
            for (size_t i = 0; i < vectors; i++)
                acc[row][i] = _mm512_dpbf16_ps(acc[row][i], (__m512bh)left, (__m512bh)right[i]);
        }
        low++;
        high++;
        b += PANEL;
    }

    if (t->finish != NULL)
        FBY_UNROLL
    for (size_t row = 0; row < rows; row++)
        FBY_UNROLL
    for (size_t i = 0; i < vectors; i++)
        acc[row][i] = _mm512_mul_ps(acc[row][i], _mm512_set1_ps(t->finish[row]));
    if (lanes[vectors - 1] == 0xffff) { /* whole stores can be forwarded to what reads them */
        FBY_UNROLL
        for (size_t row = 0; row < rows; row++)
            FBY_UNROLL
        for (size_t i = 0; i < vectors; i++)
            _mm512_storeu_ps(out + row * t->ldo + 16 * i, acc[row][i]);
        return;
    }
    FBY_UNROLL
    for (size_t row = 0; row < rows; row++)
        FBY_UNROLL
    for (size_t i = 0; i < vectors; i++)
        _mm512_mask_storeu_ps(out + row * t->ldo + 16 * i, lanes[i], acc[row][i]);
}

/* One body a height and width: the same sums in the same order. */
static void run_product_of(const product *t, uint32_t rows)
{
#define RUN_HALF(height)  run_product(t, height, 1)
#define RUN_WHOLE(height) run_product(t, height, 2)
    if (t->lanes[1] == 0)
        FBY_HEIGHTS(rows, 14, RUN_HALF)
    else
        FBY_HEIGHTS(rows, 14, RUN_WHOLE)
#undef RUN_HALF
#undef RUN_WHOLE
}

/* keys: panels (head_dim / 2, 32) of words; the last 16 or 32 columns padded with zeros. Returns 0
 * or NaN, as in attention.c. */
static float turn_keys(const head *h, uint32_t first, uint32_t count)
{
    __m512 none = _mm512_setzero_ps();
    const uint32_t words = h->dim / 2;
    for (uint32_t key = 0; key < count; key += 16) {
        uint32_t *to = h->keys + (size_t)(key / PANEL) * PANEL * words + key % PANEL;
        const uint16_t *from = h->k + (size_t)(first + key) * h->ld;
        uint32_t rows = fby_min_u32(16, count - key);
        for (uint32_t d = 0; d < words; d += 16) {
            __mmask16 lanes = fby_avx512_lanes(words - d, 0);
            __m512 x[16];
            FBY_UNROLL
            for (uint32_t i = 0; i < 16; i++)
                x[i] = i < rows ? _mm512_castsi512_ps(_mm512_maskz_loadu_epi32(
                                      lanes, from + i * h->ld + (size_t)2 * d))
                                : _mm512_setzero_ps();
            FBY_UNROLL
            for (uint32_t i = 0; i < 16; i++)
                none = _mm512_dpbf16_ps(none, (__m512bh)x[i], (__m512bh)_mm512_setzero_ps());
            fby_avx512_transpose(x);
            FBY_UNROLL
            for (uint32_t i = 0; i < 16; i++)
                if (d + i < words)
                    _mm512_storeu_ps(to + (size_t)(d + i) * PANEL, x[i]);
        }
    }
    return _mm512_reduce_add_ps(none);
}

FBY_INLINE __m512i widen(const uint16_t *x, __mmask16 lanes)
{
    return _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(lanes, x));
}

/* values: for each 32 columns, panels (count / 2, 32) of words, a key's and the next one's. */
static void pair_values(const head *h, uint32_t first, uint32_t count)
{
    for (uint32_t column = 0; column < h->dim; column += 16) {
        const __mmask16 lanes = fby_avx512_lanes(h->dim - column, 0);
        uint32_t *to = h->values + (size_t)(column / PANEL) * (KEYS / 2) * PANEL + column % PANEL;
        const uint16_t *from = h->v + (size_t)first * h->ld + column;
        for (uint32_t key = 0; key < count; key += 2, from += 2 * h->ld, to += PANEL) {
            const __mmask16 second = key + 1 < count ? lanes : 0;
            __m512i high = _mm512_slli_epi32(widen(second ? from + h->ld : from, second), 16);
            _mm512_storeu_si512(to, _mm512_or_si512(widen(from, lanes), high));
        }
    }
}

static void score(const head *h, uint32_t query, uint32_t rows, uint32_t count)
{
    for (uint32_t key = 0; key < count; key += PANEL) {
        product t = {
            .x = (const uint32_t *)(const void *)(h->q + query * h->ld),
            .ldx = h->ld / 2,
            .b = h->keys + (size_t)key * (h->dim / 2),
            .k = h->dim / 2,
            .out = h->scores + key,
            .ldo = SCORE_LD,
            .lanes = {0xffff, count - key > 16 ? 0xffff : 0},
        };
        run_product_of(&t, rows);
    }
}

/* What a tile's weights do to its rows of out: the old ones times `rescale`, at the end `finish`.
 */
typedef struct factors {
    float rescale[16], finish[16];
} factors;

static __m512 largest_of(const float *scores, uint32_t last, __mmask16 tail)
{
    __m512 largest = _mm512_mask_loadu_ps(_mm512_set1_ps(-INFINITY), tail, scores + last);
    for (uint32_t i = 0; i < last; i += 16)
        largest = _mm512_max_ps(largest, _mm512_loadu_ps(scores + i));
    return largest;
}

FBY_INLINE __m512 exp2_of(__m512 t)
{
    const float *c = fby_exp2_coefficients;
    __m512 whole = _mm512_roundscale_ps(t, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m512 r = _mm512_sub_ps(t, whole);
    __m512 p = _mm512_fmadd_ps(_mm512_set1_ps(c[4]), r, _mm512_set1_ps(c[3]));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(c[2]));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(c[1]));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(c[0]));
    return _mm512_scalef_ps(p, whole);
}

FBY_INLINE __m512 weigh_16(const float *scores, uint16_t *weights, __mmask16 lanes, __m512 factor,
                           __m512 shift)
{
    __m512 t = _mm512_fmsub_ps(_mm512_loadu_ps(scores), factor, shift);
    __m512 weight = _mm512_maskz_mov_ps(lanes, exp2_of(t));
    _mm256_storeu_si256((__m256i *)(void *)weights, (__m256i)_mm512_cvtneps_pbh(weight));
    return weight;
}

/* Scores become weights; returns their sum, lane by lane. */
static __m512 weigh_row(const float *scores, uint16_t *weights, uint32_t last, __mmask16 tail,
                        __m512 factor, __m512 shift)
{
    __m512 sum = weigh_16(scores + last, weights + last, tail, factor, shift);
    for (uint32_t i = 0; i < last; i += 16)
        sum = _mm512_add_ps(sum, weigh_16(scores + i, weights + i, 0xffff, factor, shift));
    return sum;
}

/* A tile's scores become weights; the running maxima and sums move on, all rows in one vector. */
static void weigh(const head *h, uint32_t query, uint32_t rows, uint32_t count, bool first,
                  factors *out)
{
    const uint32_t last = (count - 1) / 16 * 16;
    const __mmask16 tail = fby_avx512_lanes(count - last, 0), exist = fby_avx512_lanes(rows, 0);
    const __m512 factor = _mm512_set1_ps(h->factor);
    __m512 part[16], before = _mm512_setzero_ps();
    float shift[16];

    for (uint32_t row = 0; row < 16; row++)
        part[row] = row < rows ? largest_of(h->scores + (size_t)row * SCORE_LD, last, tail)
                               : _mm512_setzero_ps();
    __m512 maximum = fby_avx512_fold(part, false);
    if (!first) {
        __m512 old = _mm512_maskz_loadu_ps(exist, h->maximum + query);
        maximum = _mm512_max_ps(old, maximum);
        __m512 rescale = exp2_of(_mm512_mul_ps(_mm512_sub_ps(old, maximum), factor));
        before = _mm512_mul_ps(_mm512_maskz_loadu_ps(exist, h->sum + query), rescale);
        _mm512_storeu_ps(out->rescale, rescale);
    }
    _mm512_mask_storeu_ps(h->maximum + query, exist, maximum);
    _mm512_storeu_ps(shift, _mm512_mul_ps(maximum, factor));

    for (uint32_t row = 0; row < rows; row++)
        part[row] =
            weigh_row(h->scores + (size_t)row * SCORE_LD, h->weights + (size_t)row * WEIGHT_LD,
                      last, tail, factor, _mm512_set1_ps(shift[row]));
    __m512 sum = _mm512_add_ps(before, fby_avx512_fold(part, true));
    _mm512_mask_storeu_ps(h->sum + query, exist, sum);
    _mm512_storeu_ps(out->finish, _mm512_div_ps(_mm512_set1_ps(1.0f), sum));
}

static void add_values(const head *h, uint32_t query, uint32_t rows, uint32_t first, uint32_t count,
                       const factors *by)
{
    bool last = first + count == h->tokens;
    for (uint32_t column = 0; column < h->dim; column += PANEL) {
        product t = {
            .x = (const uint32_t *)(const void *)h->weights,
            .ldx = WEIGHT_LD / 2,
            .b = h->values + (size_t)column * (KEYS / 2),
            .k = fby_div_up_u32(count, 2),
            .rescale = first != 0 ? by->rescale : NULL,
            .finish = last ? by->finish : NULL,
            .out = h->out + query * h->ldo + column,
            .ldo = h->ldo,
            .lanes = {fby_avx512_lanes(h->dim - column, 0), fby_avx512_lanes(h->dim - column, 1)},
        };
        run_product_of(&t, rows);
    }
}

static void run_head(head *h)
{
    const uint32_t tiles = fby_div_up_u32(h->tokens, TILE);
    for (uint32_t first = 0; first < h->tokens; first += KEYS) {
        uint32_t count = fby_min_u32(KEYS, h->tokens - first), query = 0;
        h->factor += turn_keys(h, first, count);
        pair_values(h, first, count);
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

void fby_avx512_attention_bf16(const uint16_t *q, const uint16_t *k, const uint16_t *v, size_t ld,
                               uint32_t tokens, uint32_t heads, uint32_t head_dim, float scale,
                               void *scratch, float *out, size_t ldo)
{
    uint32_t *keys = scratch;
    uint32_t *values = keys + (size_t)KEYS / 2 * head_dim;
    float *scores = (float *)(values + (size_t)KEYS / 2 * value_columns(head_dim));
    uint16_t *weights = (uint16_t *)(scores + TILE * SCORE_LD);
    float *maximum = (float *)(void *)(weights + TILE * WEIGHT_LD);
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
            .weights = weights,
            .maximum = maximum,
            .sum = maximum + tokens,
            .out = out + i * head_dim,
            .ldo = ldo,
        };
        run_head(&h);
    }
}
