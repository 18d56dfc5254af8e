/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attention of one text, head by head, in blocks of 256 keys.
 *
 *     for each block of keys                        (one for most texts)
 *         keys turned into panels (head_dim, 32)    16 x 16 transposes in registers
 *         for each tile of queries, 1 … 14
 *             scores  = q keysᵀ                     tile by panel, to scratch
 *             weights = exp2(factor (scores - max)) row by row, in place
 *             out     = out rescale + weights v     tile by 32 columns of v where they lie
 *
 * Both products are the tile of linear.c: 2 h accumulators, two vectors of the right side, one
 * element of the left. A row's running maximum and sum, and its part of `out`, see the blocks in
 * order (Milakov and Gimelshein 2018), so they depend on the text alone.
 *
 * Measured on Zen 4: 66 % of the peak at 42 tokens (whose columns are padded to 48), 74 % at 64,
 * 75 to 77 % at 128 and more; head_dim 32.
 *
 * Scratch: keys (256, head_dim) | scores (14, 272) | maximum (tokens) | sum (tokens): 48 KiB and 8
 * bytes a token at head_dim 32.
 */
#include <math.h>
#include <stdbool.h>

#include "base/bits.h"
#include "compute/avx512/avx512.h"
#include "compute/avx512/shuffle.h"
#include "compute/avx512/vector.h"
#include "compute/tiles.h"

enum { KEYS = 256, PANEL = 32, TILE = FBY_AVX512_ROWS, HALF = TILE / 2, SCORE_LD = KEYS + 16 };

typedef struct head {
    const float *q, *k, *v;
    size_t ld;
    uint32_t tokens, dim;
    float factor; /* scale log2(e), or NaN */
    float *keys, *scores, *maximum, *sum;
    float *out;
    size_t ldo;
} head;

/* out (rows, up to 32) = (out rescale + x (rows, k) b (k, up to 32)) finish. */
typedef struct product {
    const float *x;
    size_t ldx;
    const float *b;
    size_t ldb;
    size_t k;
    const float *rescale, *finish; /* (rows); NULL: out's old value does not count, is not scaled */
    float *out;
    size_t ldo;
    __mmask16 lanes[2]; /* of b's columns that exist */
} product;

size_t fby_avx512_attention_scratch(uint32_t tokens, uint32_t head_dim)
{
    size_t floats = (size_t)KEYS * head_dim + TILE * SCORE_LD + 2 * (size_t)tokens;
    return fby_align_up(floats * sizeof(float), 64);
}

FBY_INLINE void run_product(const product *t, const size_t rows, const size_t vectors)
{
    __m512 acc[TILE][2];
    const float *low = t->x, *high = low + (rows > HALF ? HALF * t->ldx : 0); /* as in linear.c */
    const float *b = t->b;
    __asm__("" : "+r"(high));
    const size_t ldx = t->ldx, ldb = t->ldb;
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
        __m512 right[2];
        FBY_UNROLL
        for (size_t i = 0; i < vectors; i++) {
            right[i] = _mm512_maskz_loadu_ps(lanes[i], b + 16 * i);
            __asm__("" : "+v"(right[i])); /* as in linear.c */
        }
        FBY_UNROLL
        for (size_t row = 0; row < rows; row++) {
            const float *x = row < HALF ? low + row * ldx : high + (row - HALF) * ldx;
            __m512 left = _mm512_set1_ps(*x);
            FBY_UNROLL
            for (size_t i = 0; i < vectors; i++)
                acc[row][i] = _mm512_fmadd_ps(left, right[i], acc[row][i]);
        }
        low++;
        high++;
        b += ldb;
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

/* keys: panels (head_dim, 32); the last 16 or 32 columns padded with zeros. Returns 0, or NaN if a
 * number is not finite: a key that scores minus infinity would weigh nothing, unseen. */
static float turn_keys(const head *h, uint32_t first, uint32_t count)
{
    __m512 none = _mm512_setzero_ps();
    for (uint32_t key = 0; key < count; key += 16) {
        float *to = h->keys + (size_t)(key / PANEL) * PANEL * h->dim + key % PANEL;
        const float *from = h->k + (size_t)(first + key) * h->ld;
        uint32_t rows = fby_min_u32(16, count - key);
        for (uint32_t d = 0; d < h->dim; d += 16) {
            __mmask16 lanes = fby_avx512_lanes(h->dim - d, 0);
            __m512 x[16];
            FBY_UNROLL
            for (uint32_t i = 0; i < 16; i++)
                x[i] = i < rows ? _mm512_maskz_loadu_ps(lanes, from + i * h->ld + d)
                                : _mm512_setzero_ps();
            FBY_UNROLL
            for (uint32_t i = 0; i < 16; i++)
                none = _mm512_fmadd_ps(x[i], _mm512_setzero_ps(), none);
            fby_avx512_transpose(x);
            FBY_UNROLL
            for (uint32_t i = 0; i < 16; i++)
                if (d + i < h->dim)
                    _mm512_storeu_ps(to + (size_t)(d + i) * PANEL, x[i]);
        }
    }
    return _mm512_reduce_add_ps(none);
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

/* scores become weights; returns their sum, lane by lane. */
static __m512 weigh_row(float *scores, uint32_t last, __mmask16 tail, __m512 factor, __m512 shift)
{
    __m512 t = _mm512_fmsub_ps(_mm512_loadu_ps(scores + last), factor, shift);
    __m512 sum = _mm512_maskz_mov_ps(tail, fby_avx512_exp2_of(t));
    _mm512_storeu_ps(scores + last, sum);
    for (uint32_t i = 0; i < last; i += 16) {
        t = _mm512_fmsub_ps(_mm512_loadu_ps(scores + i), factor, shift);
        __m512 weight = fby_avx512_exp2_of(t);
        sum = _mm512_add_ps(sum, weight);
        _mm512_storeu_ps(scores + i, weight);
    }
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
        __m512 rescale = fby_avx512_exp2_of(_mm512_mul_ps(_mm512_sub_ps(old, maximum), factor));
        before = _mm512_mul_ps(_mm512_maskz_loadu_ps(exist, h->sum + query), rescale);
        _mm512_storeu_ps(out->rescale, rescale);
    }
    _mm512_mask_storeu_ps(h->maximum + query, exist, maximum);
    _mm512_storeu_ps(shift, _mm512_mul_ps(maximum, factor));

    for (uint32_t row = 0; row < rows; row++)
        part[row] = weigh_row(h->scores + (size_t)row * SCORE_LD, last, tail, factor,
                              _mm512_set1_ps(shift[row]));
    __m512 sum = _mm512_add_ps(before, fby_avx512_fold(part, true));
    _mm512_mask_storeu_ps(h->sum + query, exist, sum);
    _mm512_storeu_ps(out->finish, _mm512_div_ps(_mm512_set1_ps(1.0f), sum));
}

static void add_values(const head *h, uint32_t query, uint32_t rows, uint32_t first, uint32_t count,
                       const factors *by)
{
    bool last = first + count == h->tokens;
    for (uint32_t column = 0; column < h->dim; column += 32) {
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

void fby_avx512_attention(const float *q, const float *k, const float *v, size_t ld,
                          uint32_t tokens, uint32_t heads, uint32_t head_dim, float scale,
                          void *scratch, float *out, size_t ldo)
{
    float *keys = scratch;
    float *scores = keys + (size_t)KEYS * head_dim;
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
            .scores = scores,
            .maximum = scores + TILE * SCORE_LD,
            .sum = scores + TILE * SCORE_LD + tokens,
            .out = out + i * head_dim,
            .ldo = ldo,
        };
        run_head(&h);
    }
}
