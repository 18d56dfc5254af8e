/* SPDX-License-Identifier: Apache-2.0 */
#include "model/bert.h"

#include <math.h>
#include <string.h>

#include "base/assert.h"
#include "base/bits.h"
#include "base/platform.h"
#include "compute/narrow.h"
#include "model/bert_layout.h"

enum { LINE = FBY_CACHELINE / sizeof(float) };

uint32_t fby_bert_block_rows(const fby_bert *bert, uint32_t rows)
{
    uint32_t inner = bert->config->bert.intermediate;
    return bert->kernels->narrow != NULL ? fby_narrow_block_rows(bert->kernels->narrow, rows, inner)
                                         : fby_kernels_block_rows(bert->kernels, rows, inner);
}

uint32_t fby_bert_block_rows_max(const fby_bert *bert)
{
    return fby_bert_block_rows(bert, 1u << 30);
}

bool fby_bert_attends_bf16(const fby_bert *bert)
{
    const fby_narrow *narrow = bert->kernels->narrow;
    uint32_t head_dim = bert->config->bert.hidden / bert->config->bert.heads;
    return narrow != NULL && narrow->attention != NULL && head_dim % 2 == 0;
}

static size_t attention_scratch(const fby_bert *bert, uint32_t longest)
{
    uint32_t head_dim = bert->config->bert.hidden / bert->config->bert.heads;
    return fby_bert_attends_bf16(bert) ? bert->kernels->narrow->attention_scratch(longest, head_dim)
                                       : bert->kernels->attention_scratch(longest, head_dim);
}

fby_bert_layout fby_bert_lay_out(const fby_bert *bert, uint32_t tokens)
{
    const fby_bert_config *config = &bert->config->bert;
    uint32_t block = fby_min_u32(tokens, fby_bert_block_rows_max(bert));
    uint32_t longest = fby_min_u32(tokens, bert->config->max_tokens);
    fby_bert_layout l = {.ld_hidden = bert->weights->ld_hidden};
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
    return fby_bert_lay_out(bert, tokens).bytes;
}

fby_status fby_bert_check_ids(const fby_bert *bert, const uint32_t *ids, const uint32_t *starts,
                              uint32_t texts)
{
    uint32_t vocabulary = bert->config->bert.vocabulary;
    for (uint32_t text = 0; text < texts; text++) {
        fby_assert(starts[text] < starts[text + 1] &&
                   starts[text + 1] - starts[text] <= bert->config->max_tokens);
        for (uint32_t i = starts[text]; i < starts[text + 1]; i++)
            if (FBY_UNLIKELY(ids[i] >= vocabulary))
                return fby_error(FBY_EINVAL, "text %u: token id %u, the vocabulary has %u", text,
                                 ids[i], vocabulary);
    }
    return FBY_OK;
}

void fby_bert_embed(const fby_bert *bert, const uint32_t *ids, const uint32_t *starts,
                    uint32_t texts, uint32_t first, uint32_t end, float *x)
{
    const fby_weights *weights = bert->weights;
    uint32_t hidden = bert->config->bert.hidden;
    size_t ld = weights->ld_hidden;
    for (uint32_t text = 0; text < texts; text++)
        for (uint32_t i = starts[text] > first ? starts[text] : first;
             i < fby_min_u32(starts[text + 1], end); i++) {
            float *row = x + i * ld;
            memcpy(row, weights->words + ids[i] * ld, hidden * sizeof *row);
            bert->kernels->add(row, weights->positions + (i - starts[text]) * ld, hidden);
        }
    bert->kernels->layer_norm(&weights->embedding_norm, x + first * ld, ld, end - first);
}

void fby_bert_project(const fby_bert *bert, const fby_bert_layout *l,
                      const fby_layer_weights *layer, uint32_t first, uint32_t end, float *memory)
{
    const fby_narrow *narrow = bert->kernels->narrow;
    uint32_t rows = end - first;
    if (rows == 0)
        return;
    float *qkv = memory + l->qkv + first * l->ld_qkv;
    if (narrow == NULL) {
        bert->kernels->linear(&layer->qkv, FBY_ACTIVATION_NONE,
                              memory + l->x + first * l->ld_hidden, l->ld_hidden, rows, qkv,
                              l->ld_qkv);
        return;
    }
    const char *x =
        (char *)memory + l->x_operand + first * narrow->operand_bytes(bert->config->bert.hidden);
    if (fby_bert_attends_bf16(bert))
        narrow->linear_bf16(&layer->qkv, x, rows, (uint16_t *)(memory + l->qkv) + first * l->ld_qkv,
                            l->ld_qkv);
    else
        narrow->linear(&layer->qkv, FBY_ACTIVATION_NONE, x, rows, qkv, l->ld_qkv);
}

void fby_bert_mix(const fby_bert *bert, const fby_bert_layout *l, uint32_t from, uint32_t to,
                  uint32_t first, uint32_t end, float *memory, float *scratch)
{
    const size_t hidden = bert->config->bert.hidden;
    const uint32_t head_dim = (uint32_t)hidden / bert->config->bert.heads;
    const float scale = 1.0f / sqrtf((float)head_dim);
    const size_t at = from * l->ld_qkv + (size_t)first * head_dim;
    float *out = memory + l->context + from * l->ld_hidden + (size_t)first * head_dim;
    if (fby_bert_attends_bf16(bert)) {
        const uint16_t *q = (const uint16_t *)(memory + l->qkv) + at;
        bert->kernels->narrow->attention(q, q + hidden, q + 2 * hidden, l->ld_qkv, to - from,
                                         end - first, head_dim, scale, scratch, out, l->ld_hidden);
        return;
    }
    const float *q = memory + l->qkv + at;
    bert->kernels->attention(q, q + hidden, q + 2 * hidden, l->ld_qkv, to - from, end - first,
                             head_dim, scale, scratch, out, l->ld_hidden);
}

/* The FFN in sub-blocks of rows, so that what lies between the two products stays in the cache. */
static void finish_f32(const fby_bert *bert, const fby_bert_layout *l,
                       const fby_layer_weights *layer, uint32_t first, uint32_t end, float *memory,
                       float *own)
{
    const fby_kernels *kernels = bert->kernels;
    float *rows = memory + l->x + first * l->ld_hidden, *wide = own + l->wide;
    kernels->linear_residual_norm(&layer->output, &layer->attention_norm,
                                  memory + l->context + first * l->ld_hidden, l->ld_hidden, rows,
                                  l->ld_hidden, end - first, rows, l->ld_hidden);
    uint32_t block = fby_bert_block_rows(bert, end - first);
    for (; first < end; first += fby_min_u32(block, end - first)) {
        float *x = memory + l->x + first * l->ld_hidden;
        uint32_t count = fby_min_u32(block, end - first);
        kernels->linear(&layer->up, bert->config->bert.activation, x, l->ld_hidden, count, wide,
                        l->ld_wide);
        kernels->linear_residual_norm(&layer->down, &layer->output_norm, wide, l->ld_wide, x,
                                      l->ld_hidden, count, x, l->ld_hidden);
    }
}

static void finish_narrow(const fby_bert *bert, const fby_bert_layout *l,
                          const fby_layer_weights *layer, const fby_linear *next, uint32_t first,
                          uint32_t end, float *memory, float *own)
{
    const fby_narrow *narrow = bert->kernels->narrow;
    const size_t operand = narrow->operand_bytes(bert->config->bert.hidden);
    char *bytes = (char *)memory, *wide = (char *)own + l->wide_operand;
    char *context = bytes + l->context_operand + first * operand;
    float *rows = memory + l->x + first * l->ld_hidden;

    narrow->operand(&layer->output, memory + l->context + first * l->ld_hidden, l->ld_hidden,
                    end - first, context);
    narrow->linear_residual_norm(&layer->output, &layer->attention_norm, context, rows,
                                 l->ld_hidden, end - first, rows, l->ld_hidden, &layer->up,
                                 bytes + l->x_operand + first * operand);
    uint32_t block = fby_bert_block_rows(bert, end - first);
    for (; first < end; first += fby_min_u32(block, end - first)) {
        float *x = memory + l->x + first * l->ld_hidden;
        char *x_operand = bytes + l->x_operand + first * operand;
        uint32_t count = fby_min_u32(block, end - first);
        narrow->linear_operand(&layer->up, bert->config->bert.activation, x_operand, count,
                               &layer->down, own + l->wide, l->ld_wide, wide);
        narrow->linear_residual_norm(&layer->down, &layer->output_norm, wide, x, l->ld_hidden,
                                     count, x, l->ld_hidden, next, x_operand);
    }
}

void fby_bert_finish_rows(const fby_bert *bert, const fby_bert_layout *l,
                          const fby_layer_weights *layer, const fby_linear *next, uint32_t first,
                          uint32_t end, float *memory, float *own)
{
    if (first == end)
        return;
    if (bert->kernels->narrow == NULL)
        finish_f32(bert, l, layer, first, end, memory, own);
    else
        finish_narrow(bert, l, layer, next, first, end, memory, own);
}

static void run_layer(const fby_bert *bert, const fby_bert_layout *l, uint32_t index,
                      const uint32_t *starts, uint32_t texts, float *memory)
{
    const fby_layer_weights *layer = &bert->weights->layers[index];
    const bool last = index + 1 == bert->config->bert.layers;
    const uint32_t rows = starts[texts];

    fby_bert_project(bert, l, layer, 0, rows, memory);
    for (uint32_t text = 0; text < texts; text++)
        fby_bert_mix(bert, l, starts[text], starts[text + 1], 0, bert->config->bert.heads, memory,
                     memory + l->attention);
    fby_bert_finish_rows(bert, l, layer, last ? NULL : &layer[1].qkv, 0, rows, memory, memory);
}

fby_status fby_bert_run(const fby_bert *bert, const uint32_t *ids, const uint32_t *starts,
                        uint32_t texts, void *scratch, const atomic_bool *cancel,
                        const float **hidden)
{
    float *memory = scratch;
    uint32_t rows = starts[texts];
    fby_bert_layout l = fby_bert_lay_out(bert, rows);
    fby_assert(texts > 0 && starts[0] == 0 && (uintptr_t)scratch % FBY_CACHELINE == 0);

    fby_status status = fby_bert_check_ids(bert, ids, starts, texts);
    if (status != FBY_OK)
        return status;
    fby_bert_embed(bert, ids, starts, texts, 0, rows, memory + l.x);
    if (bert->kernels->narrow != NULL)
        bert->kernels->narrow->operand(&bert->weights->layers[0].qkv, memory + l.x, l.ld_hidden,
                                       rows, (char *)memory + l.x_operand);
    for (uint32_t i = 0; i < bert->config->bert.layers; i++) {
        /* Only a request to stop: nothing is published with it. */
        if (cancel != NULL && atomic_load_explicit(cancel, memory_order_relaxed))
            return fby_error(FBY_ECANCELED, "stopped before layer %u", i);
        run_layer(bert, &l, i, starts, texts, memory);
    }
    *hidden = memory + l.x;
    return FBY_OK;
}
