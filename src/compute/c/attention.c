/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attention of one text, head by head, in blocks of 64 keys: the block's keys are
 * turned into (head_dim, 64), then each query takes its scores, their running
 * maximum and sum, and adds the weighted values to its row of `out`, which is
 * divided by the sum at the end.
 *
 * Scratch: keys (head_dim, 64) | maximum (tokens) | sum (tokens).
 */
#include <math.h>

#include "base/bits.h"
#include "compute/c/c.h"

enum { KEYS = 64 };

typedef struct head {
    const float *q, *k, *v;
    size_t ld;
    uint32_t tokens, dim;
    float factor; /* scale log2(e), or NaN */
    float *keys, *maximum, *sum;
    float *out;
    size_t ldo;
} head;

size_t fby_c_attention_scratch(uint32_t tokens, uint32_t head_dim)
{
    return fby_align_up(((size_t)head_dim * KEYS + 2 * (size_t)tokens) * sizeof(float), 64);
}

/* Returns 0, or NaN if a number is not finite: a key that scores minus infinity would weigh
 * nothing, unseen. */
static float turn_keys(const head *h, uint32_t from, uint32_t count)
{
    float none = 0.0f;
    for (uint32_t key = 0; key < count; key++)
        for (uint32_t i = 0; i < h->dim; i++) {
            float x = h->k[(size_t)(from + key) * h->ld + i];
            h->keys[i * KEYS + key] = x;
            none += x * 0.0f;
        }
    return none;
}

static float largest(const float *x, uint32_t n)
{
    float m = x[0];
    for (uint32_t i = 1; i < n; i++)
        m = x[i] > m ? x[i] : m;
    return m;
}

static void attend(const head *h, uint32_t query, uint32_t from, uint32_t count)
{
    float score[KEYS] = {0};
    const float *q = h->q + (size_t)query * h->ld;
    float *out = h->out + (size_t)query * h->ldo;

    for (uint32_t i = 0; i < h->dim; i++)
        for (uint32_t key = 0; key < count; key++)
            score[key] += q[i] * h->keys[i * KEYS + key];

    float maximum = largest(score, count), sum = 0.0f, rescale = 0.0f;
    if (from != 0) {
        maximum = h->maximum[query] > maximum ? h->maximum[query] : maximum;
        rescale = fby_c_exp2((h->maximum[query] - maximum) * h->factor);
        sum = h->sum[query] * rescale;
    }
    h->maximum[query] = maximum;
    for (uint32_t i = 0; i < h->dim; i++)
        out[i] = from != 0 ? out[i] * rescale : 0.0f;
    for (uint32_t key = 0; key < count; key++) {
        float weight = fby_c_exp2((score[key] - maximum) * h->factor);
        sum += weight;
        for (uint32_t i = 0; i < h->dim; i++)
            out[i] += weight * h->v[(size_t)(from + key) * h->ld + i];
    }
    h->sum[query] = sum;
}

static void one_head(head *h)
{
    for (uint32_t from = 0; from < h->tokens; from += KEYS) {
        uint32_t count = fby_min_u32(KEYS, h->tokens - from);
        h->factor += turn_keys(h, from, count);
        for (uint32_t query = 0; query < h->tokens; query++)
            attend(h, query, from, count);
    }
    for (uint32_t query = 0; query < h->tokens; query++)
        fby_c_scale(h->out + (size_t)query * h->ldo, 1.0f / h->sum[query], h->dim);
}

void fby_c_attention(const float *q, const float *k, const float *v, size_t ld, uint32_t tokens,
                     uint32_t heads, uint32_t head_dim, float scale, void *scratch, float *out,
                     size_t ldo)
{
    float *keys = scratch;
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
            .maximum = keys + (size_t)head_dim * KEYS,
            .sum = keys + (size_t)head_dim * KEYS + tokens,
            .out = out + i * head_dim,
            .ldo = ldo,
        };
        one_head(&h);
    }
}
