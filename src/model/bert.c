/* SPDX-License-Identifier: Apache-2.0 */
#include "model/bert.h"

#include <math.h>
#include <string.h>

#include "base/assert.h"
#include "base/bits.h"
#include "base/platform.h"

/* The scratch block, in floats; `attention` is not floats to us. */
typedef struct layout {
    size_t ld_hidden, ld_qkv, ld_wide;
    size_t x;         /* (tokens, hidden): the layer's input, then its output */
    size_t context;   /* (tokens, hidden): what attention gives */
    size_t qkv;       /* (tokens, 3 hidden) */
    size_t wide;      /* (block, intermediate): between the two products of the FFN */
    size_t attention; /* scratch of the kernel */
    size_t bytes;     /* of all of it */
} layout;

enum { LINE = FBY_CACHELINE / sizeof(float) };

/* Rows that one FFN sub-block may have, however many there are in all. */
static uint32_t block_rows_max(const fby_bert *bert)
{
    return fby_kernels_block_rows(bert->kernels, 1u << 30, bert->config->bert.intermediate);
}

static layout lay_out(const fby_bert *bert, uint32_t tokens)
{
    const fby_bert_config *config = &bert->config->bert;
    uint32_t block = fby_min_u32(tokens, block_rows_max(bert));
    uint32_t longest = fby_min_u32(tokens, bert->config->max_tokens);
    layout l = {.ld_hidden = bert->weights->ld_hidden};
    l.ld_qkv = fby_align_up((size_t)3 * config->hidden, LINE);
    l.ld_wide = fby_align_up(config->intermediate, LINE);
    l.context = tokens * l.ld_hidden;
    l.qkv = l.context + tokens * l.ld_hidden;
    l.wide = l.qkv + tokens * l.ld_qkv;
    l.attention = l.wide + block * l.ld_wide;
    l.bytes =
        l.attention * sizeof(float) +
        fby_align_up(bert->kernels->attention_scratch(longest, config->hidden / config->heads),
                     FBY_CACHELINE);
    return l;
}

size_t fby_bert_scratch(const fby_bert *bert, uint32_t tokens)
{
    return lay_out(bert, tokens).bytes;
}

static fby_status embed(const fby_bert *bert, const uint32_t *ids, const uint32_t *starts,
                        uint32_t texts, float *x)
{
    const fby_weights *weights = bert->weights;
    uint32_t hidden = bert->config->bert.hidden, vocabulary = bert->config->bert.vocabulary;
    size_t ld = weights->ld_hidden;
    float *row = x;
    for (uint32_t text = 0; text < texts; text++) {
        const float *position = weights->positions;
        fby_assert(starts[text] < starts[text + 1] &&
                   starts[text + 1] - starts[text] <= bert->config->max_tokens);
        for (uint32_t i = starts[text]; i < starts[text + 1]; i++, row += ld, position += ld) {
            if (FBY_UNLIKELY(ids[i] >= vocabulary))
                return fby_error(FBY_EINVAL, "text %u: token id %u, the vocabulary has %u", text,
                                 ids[i], vocabulary);
            memcpy(row, weights->words + ids[i] * ld, hidden * sizeof *row);
            bert->kernels->add(row, position, hidden);
        }
    }
    bert->kernels->layer_norm(&weights->embedding_norm, x, ld, starts[texts]);
    return FBY_OK;
}

static void attend(const fby_bert *bert, const layout *l, const fby_layer_weights *layer,
                   const uint32_t *starts, uint32_t texts, float *memory)
{
    const fby_kernels *kernels = bert->kernels;
    uint32_t rows = starts[texts], hidden = bert->config->bert.hidden;
    uint32_t heads = bert->config->bert.heads, head_dim = hidden / heads;
    float scale = 1.0f / sqrtf((float)head_dim);
    float *x = memory + l->x, *qkv = memory + l->qkv, *context = memory + l->context;

    kernels->linear(&layer->qkv, FBY_ACTIVATION_NONE, x, l->ld_hidden, rows, qkv, l->ld_qkv);
    for (uint32_t text = 0; text < texts; text++) {
        const float *q = qkv + starts[text] * l->ld_qkv;
        kernels->attention(q, q + hidden, q + 2 * (size_t)hidden, l->ld_qkv,
                           starts[text + 1] - starts[text], heads, head_dim, scale,
                           memory + l->attention, context + starts[text] * l->ld_hidden,
                           l->ld_hidden);
    }
    kernels->linear_residual_norm(&layer->output, &layer->attention_norm, context, l->ld_hidden, x,
                                  l->ld_hidden, rows, x, l->ld_hidden);
}

/* In sub-blocks of rows, so that what lies between the two products stays in the cache. */
static void feed_forward(const fby_bert *bert, const layout *l, const fby_layer_weights *layer,
                         uint32_t rows, uint32_t block, float *memory)
{
    const fby_kernels *kernels = bert->kernels;
    for (uint32_t first = 0; first < rows; first += block) {
        float *x = memory + l->x + first * l->ld_hidden, *wide = memory + l->wide;
        uint32_t count = fby_min_u32(block, rows - first);
        kernels->linear(&layer->up, bert->config->bert.activation, x, l->ld_hidden, count, wide,
                        l->ld_wide);
        kernels->linear_residual_norm(&layer->down, &layer->output_norm, wide, l->ld_wide, x,
                                      l->ld_hidden, count, x, l->ld_hidden);
    }
}

fby_status fby_bert_run(const fby_bert *bert, const uint32_t *ids, const uint32_t *starts,
                        uint32_t texts, void *scratch, const atomic_bool *cancel,
                        const float **hidden)
{
    float *memory = scratch;
    uint32_t rows = starts[texts];
    layout l = lay_out(bert, rows);
    fby_assert(texts > 0 && starts[0] == 0 && (uintptr_t)scratch % FBY_CACHELINE == 0);

    uint32_t block = fby_kernels_block_rows(bert->kernels, rows, bert->config->bert.intermediate);
    fby_assert(block <= block_rows_max(bert));
    fby_status status = embed(bert, ids, starts, texts, memory + l.x);
    if (status != FBY_OK)
        return status;
    for (uint32_t i = 0; i < bert->config->bert.layers; i++) {
        /* Only a request to stop: nothing is published with it. */
        if (cancel != NULL && atomic_load_explicit(cancel, memory_order_relaxed))
            return fby_error(FBY_ECANCELED, "stopped before layer %u", i);
        attend(bert, &l, &bert->weights->layers[i], starts, texts, memory);
        feed_forward(bert, &l, &bert->weights->layers[i], rows, block, memory);
    }
    *hidden = memory + l.x;
    return FBY_OK;
}
