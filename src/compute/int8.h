/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The int8 of all tables: how weights and activations become codes, and where the
 * codes of a layer lie.
 *
 * Weights, each output column with a scale and a middle of its own:
 *     w[j] = scale c[j] + middle,   c[j] in -127 … 127
 * Activations, each row with its own:
 *     x[j] = scale q[j] + low,      q[j] in 0 … 255
 * so that a product is, with zero the code of x = 0 and m = middle / scale, a whole number,
 * in sums over k,
 *     y = x.scale scale (sum(q c) + sum(q) m - zero sum(c + m)) + bias.
 * The last two are one more pair of products in 16 bits: sum(q), rounded to steps of 2^sum_shift,
 * by m of as many, and -zero by sum(c + m), which a column's scale is wide enough for. All else is
 * exact. A table whose rows are signed has q and zero less 128, and the rounded sum(q) less 128 for
 * each input that is not apart: the same integer, so that tables differ where floats are rounded,
 * which is where a row gets its codes and a sum its scales, and nowhere else.
 *
 * A few inputs are much larger than the others in every text; they would take the codes' range
 * from the rest, and their weights weigh most. Those, by `sizes`, are apart: 16 bits both sides,
 *     x[j] = x.scale / 2 v,   w[j] = scale / 16 u,
 * the sum of which, divided by 32, begins sum(q c); in all other sums they are 0. A scale is wide
 * enough for v and u too. (An idea of Dettmers et al. 2022, LLM.int8(), here in integers.)
 * Cosines with f32 over the reference texts: docs/kernels.md.
 *
 *     panel of P columns: u (3, P, 2), sum(c + m) and m (P, 2) | c (k / G, P, G) | scale (P) |
 *                         bias (P) | the apart inputs' indices, k for none, and a bit for each
 *                         input that is not apart
 *     row: fby_int8_row | codes (k)
 *
 * Each part, from | to |, begins on a cache line. G inputs of a column are what one instruction
 * sums up: 8, 4 or 2; in plain C all of them.
 */
#ifndef FBY_COMPUTE_INT8_H
#define FBY_COMPUTE_INT8_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/bits.h"
#include "compute/kernels.h"

enum {
    FBY_INT8_APART = 6,    /* inputs of a layer */
    FBY_INT8_PAIRS = 4,    /* of 16-bit products: those, then the zero's and the sum's */
    FBY_INT8_X_FINER = 2,  /* steps of v in one of a code's … */
    FBY_INT8_W_FINER = 16, /* … and of u */
    FBY_INT8_SHIFT = 5,
    FBY_INT8_HALF = 1 << (FBY_INT8_SHIFT - 1),
    FBY_INT8_X_MAX = 8191, /* 6 products of these are below 2^31 */
    FBY_INT8_W_MAX = 32767,
    FBY_INT8_LINE = 64,
};

/* Before a row's codes. */
typedef struct fby_int8_row {
    float scale;
    uint32_t unused[3];
    int16_t apart[FBY_INT8_APART]; /* v */
    int16_t zero, sum;             /* shape.offset - zero; fby_int8_sum() */
    uint32_t unused_too[8];
} fby_int8_row;

_Static_assert(sizeof(fby_int8_row) == FBY_INT8_LINE, "codes begin on a cache line");

/* What a table's panels look like, and what its rows' codes are less by: 0 or 128. */
typedef struct fby_int8_shape {
    uint32_t width, group, offset;
} fby_int8_shape;

/* Bytes from a panel's beginning. */
typedef struct fby_int8_panel {
    size_t codes, scale, bias, apart, rest, bytes;
} fby_int8_panel;

static inline fby_int8_panel fby_int8_lay_out(fby_int8_shape shape, uint32_t k)
{
    fby_int8_panel p;
    size_t floats = fby_align_up(shape.width * sizeof(float), FBY_INT8_LINE);
    size_t groups = fby_div_up_u32(k, shape.group);
    p.codes = fby_align_up(2 * FBY_INT8_PAIRS * shape.width * sizeof(int16_t), FBY_INT8_LINE);
    p.scale = p.codes + fby_align_up(groups * shape.group * shape.width, FBY_INT8_LINE);
    p.bias = p.scale + floats;
    p.apart = p.bias + floats;
    p.rest = p.apart + FBY_INT8_APART * sizeof(uint32_t);
    p.bytes = fby_align_up(p.rest + fby_align_up(k, 16) / 8, FBY_INT8_LINE);
    return p;
}

/* A panel's scales, behind codes of `groups` groups of inputs. Where the width is a multiple of 16,
 * biases follow at once. */
static inline const float *fby_int8_scales(fby_int8_shape shape, const void *panel, size_t groups)
{
    const size_t at = fby_int8_lay_out(shape, (uint32_t)(groups * shape.group)).scale;
    return (const float *)(const void *)((const char *)panel + at);
}

/* fby_narrow.packed_bytes and pack for a shape. */
size_t fby_int8_packed_bytes(fby_int8_shape shape, uint32_t n, uint32_t k);
void fby_int8_pack(fby_int8_shape shape, const float *w, const float *bias, const float *sizes,
                   uint32_t n, uint32_t k, void *packed);

/* The indices of what `linear` keeps apart, FBY_INT8_APART of them. */
static inline const uint32_t *fby_int8_indices(fby_int8_shape shape, const fby_linear *linear)
{
    return (const uint32_t *)((const char *)linear->packed +
                              fby_int8_lay_out(shape, linear->k).apart);
}

/* Of 16 inputs each, the bits of those that are not apart; none beyond k. */
static inline const uint16_t *fby_int8_rest(fby_int8_shape shape, const fby_linear *linear)
{
    return (const uint16_t *)((const char *)linear->packed +
                              fby_int8_lay_out(shape, linear->k).rest);
}

static inline float fby_int8_larger(float a, float b)
{
    return a > b ? a : b;
}

/*
 * A row's range from its numbers' bits, of which a core compares more a cycle than of floats, and
 * which no NaN gets lost among: `most` is the largest as int32_t, and 0; `least` the largest as
 * uint32_t, where what is below 0 is above all else, in the reverse order. low <= 0 <= high; one of
 * them is NaN where a number was.
 */
static inline void fby_int8_range(uint32_t most, uint32_t least, float *low, float *high)
{
    memcpy(high, &most, sizeof most);
    memcpy(low, &least, sizeof least);
    if (*low >= 0.0f)
        *low = 0.0f;
}

/* The size of the largest of a row's apart inputs; NaN where one is. */
static inline float fby_int8_apart_size(const float *x, uint32_t k,
                                        const uint32_t apart[FBY_INT8_APART])
{
    uint32_t most = 0, bits;
    float size;
    for (uint32_t i = 0; i < FBY_INT8_APART; i++) {
        if (apart[i] >= k)
            continue;
        memcpy(&bits, x + apart[i], sizeof bits);
        bits &= 0x7fffffffu;
        most = bits > most ? bits : most;
    }
    memcpy(&size, &most, sizeof size);
    return size;
}

/* The scale of a row whose codes 0 … 255 reach from low to high, and whose apart inputs are at most
 * `apart`. Its inverse is a normal number. NaN, and so all that comes of the row, where a number of
 * the row is not finite or the range is not. */
static inline float fby_int8_row_scale(float low, float high, float apart)
{
    const float range = high - low;
    float scale = fby_int8_larger(range * (1.0f / 255.0f),
                                  apart * ((float)FBY_INT8_X_FINER / (float)FBY_INT8_X_MAX));
    scale = fby_int8_larger(scale, 1e-30f);
    return range + apart < INFINITY ? scale : NAN;
}

/* The code of 0 in a row whose smallest number is `low`: a whole number of 0 … 255; 0 for NaN. */
static inline float fby_int8_zero(float low, float inverse)
{
    float zero = rintf(-low * inverse);
    return zero > 0.0f ? (zero < 255.0f ? zero : 255.0f) : 0.0f;
}

/* Steps of sum(q) are 2^this, so that there are less than 2^15 in 255 k: 256 at most. */
static inline uint32_t fby_int8_sum_shift(uint32_t k)
{
    uint32_t shift = 0;
    while ((255ull * k >> shift) >= INT16_MAX)
        shift++;
    return shift;
}

/* fby_int8_row.sum is in steps of 2^this, and so is m in a panel: 128 at most where codes are less
 * by 128, so that what `counted` inputs are less by is whole steps. */
static inline uint32_t fby_int8_unit(fby_int8_shape shape, uint32_t sum_shift)
{
    return shape.offset != 0 && sum_shift > 7 ? 7 : sum_shift;
}

/* fby_int8_row.sum of a row whose `counted` codes that are not apart, shape.offset included, sum up
 * to `sum`. */
static inline int16_t fby_int8_sum(fby_int8_shape shape, int32_t sum, uint32_t counted,
                                   uint32_t sum_shift)
{
    const uint32_t unit = fby_int8_unit(shape, sum_shift);
    const int32_t rounded = (sum + (1 << sum_shift >> 1)) >> sum_shift;
    return (int16_t)((rounded << (sum_shift - unit)) - (int32_t)(counted * shape.offset >> unit));
}

/* v; inverse is that of the row's scale. 0 for NaN. */
int16_t fby_int8_apart_code(float x, float inverse);

#endif
