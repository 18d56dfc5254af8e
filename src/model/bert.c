/* SPDX-License-Identifier: Apache-2.0 */
#include "model/bert.h"

#include <math.h>
#include <string.h>

#include "base/assert.h"
#include "base/bits.h"
#include "base/platform.h"
#include "compute/narrow.h"

/* The scratch block, in floats; `attention` is not floats to us. */
typedef struct layout {
    size_t ld_hidden, ld_qkv, ld_wide;
    size_t x;         /* (tokens, hidden): the layer's input, then its output */
    size_t context;   /* (tokens, hidden): what attention gives */
    size_t qkv;       /* (tokens, 3 hidden) */
    size_t wide;      /* (block, intermediate): between the two products of the FFN */
    size_t attention; /* scratch of the kernel */
    /* Narrow products read these instead of x, context and wide. In bytes. */
    size_t x_operand, context_operand; /* (tokens, hidden) */
    size_t wide_operand;               /* (block, intermediate) */
    size_t bytes;                      /* of all of it */
} layout;

enum { LINE = FBY_CACHELINE / sizeof(float) };

/* Rows of an FFN sub-block. */
static uint32_t block_rows(const fby_bert *bert, uint32_t rows)
{
    uint32_t inner = bert->config->bert.intermediate;
    return bert->kernels->narrow != NULL ? fby_narrow_block_rows(bert->kernels->narrow, rows, inner)
                                         : fby_kernels_block_rows(bert->kernels, rows, inner);
}

/* Rows that one FFN sub-block may have, however many there are in all. */
static uint32_t block_rows_max(const fby_bert *bert)
{
    return block_rows(bert, 1u << 30);
}

/* Whether attention is the narrow table's. */
static bool attends_bf16(const fby_bert *bert)
{
    const fby_narrow *narrow = bert->kernels->narrow;
    uint32_t head_dim = bert->config->bert.hidden / bert->config->bert.heads;
    return narrow != NULL && narrow->attention != NULL && head_dim % 2 == 0;
}

static size_t attention_scratch(const fby_bert *bert, uint32_t longest)
{
    uint32_t head_dim = bert->config->bert.hidden / bert->config->bert.heads;
    return attends_bf16(bert) ? bert->kernels->narrow->attention_scratch(longest, head_dim)
                              : bert->kernels->attention_scratch(longest, head_dim);
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
        l.attention * sizeof(float) + fby_align_up(attention_scratch(bert, longest), FBY_CACHELINE);
    const fby_narrow *narrow = bert->kernels->narrow;
    if (narrow != NULL) {
        l.x_operand = l.bytes;
        l.context_operand = l.x_operand + tokens * narrow->operand_bytes(config->hidden);
        l.wide_operand = l.context_operand + tokens * narrow->operand_bytes(config->hidden);
        l.bytes = l.wide_operand + block * narrow->operand_bytes(config->intermediate);
    }
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

/* Text by text. */
static void mix(const fby_bert *bert, const layout *l, const uint32_t *starts, uint32_t texts,
                float *memory)
{
    uint32_t hidden = bert->config->bert.hidden;
    uint32_t heads = bert->config->bert.heads, head_dim = hidden / heads;
    float scale = 1.0f / sqrtf((float)head_dim);
    if (attends_bf16(bert)) {
        const uint16_t *qkv = (const uint16_t *)(memory + l->qkv);
        for (uint32_t text = 0; text < texts; text++)
            bert->kernels->narrow->attention(
                qkv + starts[text] * l->ld_qkv, l->ld_qkv, starts[text + 1] - starts[text], heads,
                head_dim, scale, memory + l->attention,
                memory + l->context + starts[text] * l->ld_hidden, l->ld_hidden);
        return;
    }
    for (uint32_t text = 0; text < texts; text++) {
        const float *q = memory + l->qkv + starts[text] * l->ld_qkv;
        bert->kernels->attention(q, q + hidden, q + 2 * (size_t)hidden, l->ld_qkv,
                                 starts[text + 1] - starts[text], heads, head_dim, scale,
                                 memory + l->attention,
                                 memory + l->context + starts[text] * l->ld_hidden, l->ld_hidden);
    }
}

static void attend(const fby_bert *bert, const layout *l, const fby_layer_weights *layer,
                   const uint32_t *starts, uint32_t texts, float *memory)
{
    const fby_kernels *kernels = bert->kernels;
    uint32_t rows = starts[texts];
    float *x = memory + l->x, *qkv = memory + l->qkv, *context = memory + l->context;

    kernels->linear(&layer->qkv, FBY_ACTIVATION_NONE, x, l->ld_hidden, rows, qkv, l->ld_qkv);
    mix(bert, l, starts, texts, memory);
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

static void attend_narrow(const fby_bert *bert, const layout *l, const fby_layer_weights *layer,
                          const uint32_t *starts, uint32_t texts, float *memory)
{
    const fby_narrow *narrow = bert->kernels->narrow;
    uint32_t rows = starts[texts];
    float *x = memory + l->x;
    char *bytes = (char *)memory, *context = bytes + l->context_operand;

    if (attends_bf16(bert))
        narrow->linear_bf16(&layer->qkv, bytes + l->x_operand, rows, (uint16_t *)(memory + l->qkv),
                            l->ld_qkv);
    else
        narrow->linear(&layer->qkv, FBY_ACTIVATION_NONE, bytes + l->x_operand, rows,
                       memory + l->qkv, l->ld_qkv);
    mix(bert, l, starts, texts, memory);
    narrow->operand(&layer->output, memory + l->context, l->ld_hidden, rows, context);
    narrow->linear_residual_norm(&layer->output, &layer->attention_norm, context, x, l->ld_hidden,
                                 rows, x, l->ld_hidden, &layer->up, bytes + l->x_operand);
}

/* `next` is the product after this layer, or NULL. */
static void feed_forward_narrow(const fby_bert *bert, const layout *l,
                                const fby_layer_weights *layer, const fby_linear *next,
                                uint32_t rows, uint32_t block, float *memory)
{
    const fby_narrow *narrow = bert->kernels->narrow;
    size_t operand = narrow->operand_bytes(bert->config->bert.hidden);
    char *wide = (char *)memory + l->wide_operand;
    for (uint32_t first = 0; first < rows; first += block) {
        float *x = memory + l->x + first * l->ld_hidden;
        char *x_operand = (char *)memory + l->x_operand + first * operand;
        uint32_t count = fby_min_u32(block, rows - first);
        narrow->linear_operand(&layer->up, bert->config->bert.activation, x_operand, count,
                               &layer->down, memory + l->wide, l->ld_wide, wide);
        narrow->linear_residual_norm(&layer->down, &layer->output_norm, wide, x, l->ld_hidden,
                                     count, x, l->ld_hidden, next, x_operand);
    }
}

static void run_layer(const fby_bert *bert, const layout *l, uint32_t index, const uint32_t *starts,
                      uint32_t texts, uint32_t block, float *memory)
{
    const fby_layer_weights *layer = &bert->weights->layers[index];
    const uint32_t rows = starts[texts];
    if (bert->kernels->narrow == NULL) {
        attend(bert, l, layer, starts, texts, memory);
        feed_forward(bert, l, layer, rows, block, memory);
        return;
    }
    bool last = index + 1 == bert->config->bert.layers;
    if (index == 0)
        bert->kernels->narrow->operand(&layer->qkv, memory + l->x, l->ld_hidden, rows,
                                       (char *)memory + l->x_operand);
    attend_narrow(bert, l, layer, starts, texts, memory);
    feed_forward_narrow(bert, l, layer, last ? NULL : &layer[1].qkv, rows, block, memory);
}

fby_status fby_bert_run(const fby_bert *bert, const uint32_t *ids, const uint32_t *starts,
                        uint32_t texts, void *scratch, const atomic_bool *cancel,
                        const float **hidden)
{
    float *memory = scratch;
    uint32_t rows = starts[texts];
    layout l = lay_out(bert, rows);
    fby_assert(texts > 0 && starts[0] == 0 && (uintptr_t)scratch % FBY_CACHELINE == 0);

    uint32_t block = block_rows(bert, rows);
    fby_assert(block <= block_rows_max(bert));
    fby_status status = embed(bert, ids, starts, texts, memory + l.x);
    if (status != FBY_OK)
        return status;
    for (uint32_t i = 0; i < bert->config->bert.layers; i++) {
        /* Only a request to stop: nothing is published with it. */
        if (cancel != NULL && atomic_load_explicit(cancel, memory_order_relaxed))
            return fby_error(FBY_ECANCELED, "stopped before layer %u", i);
        run_layer(bert, &l, i, starts, texts, block, memory);
    }
    *hidden = memory + l.x;
    return FBY_OK;
}
