/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/context.h"

#include <math.h>
#include <string.h>

#include "base/assert.h"
#include "base/bits.h"
#include "engine/vector.h"

/* Hands out 64-byte aligned pieces of a block; with no block, only adds up. */
typedef struct layout {
    unsigned char *block;
    size_t used;
} layout;

static void *take(layout *at, size_t bytes)
{
    void *piece = at->block != NULL ? at->block + at->used : NULL;
    at->used += fby_align_up(bytes, FBY_CACHELINE);
    return piece;
}

static void lay_out(fby_context *context, layout *at, const fby_encoder_info *info)
{
    size_t texts = context->texts_max;
    context->ids = take(at, ((size_t)context->budget + info->max_tokens) * sizeof(uint32_t));
    context->starts = take(at, (texts + 1) * sizeof(uint32_t));
    context->claimed = take(at, texts * sizeof(size_t));
    context->indices = take(at, texts * sizeof(size_t));
    context->rows = take(at, texts * sizeof(float *));
    context->full = take(at, texts * info->dim * sizeof(float));
    context->scratch = take(at, fby_encoder_scratch(context->encoder, context->budget));
}

static void prepare(fby_context *context, const fby_encoder *encoder, uint32_t budget,
                    fby_encoder_info *info)
{
    fby_encoder_get_info(encoder, info);
    fby_assert(budget >= info->max_tokens);
    *context = (fby_context){
        .encoder = encoder, .budget = budget, .texts_max = budget / 2, .dim = info->dim};
}

size_t fby_context_size(const fby_encoder *encoder, uint32_t budget)
{
    fby_encoder_info info;
    fby_context context;
    layout measure = {NULL, 0};

    prepare(&context, encoder, budget, &info);
    lay_out(&context, &measure, &info);
    return measure.used;
}

void fby_context_init(fby_context *context, const fby_encoder *encoder, const fby_kernels *kernels,
                      uint32_t budget, void *memory)
{
    fby_encoder_info info;
    layout real = {memory, 0};

    prepare(context, encoder, budget, &info);
    context->kernels = kernels;
    context->cpu = -1;
    atomic_init(&context->phase, FBY_CONTEXT_IDLE);
    fby_gather_init(&context->gathering);
    lay_out(context, &real, &info);
}

static fby_status check_encoding(const fby_request *request, size_t text,
                                 const fby_encoding *encoding)
{
    if (request->strict_utf8 && encoding->replaced > 0)
        return fby_error(FBY_EENCODING, "text %zu: invalid UTF-8", text);
    if (!request->truncate && encoding->truncated)
        return fby_error(FBY_ETOOLONG, "text %zu: %zu tokens, the limit is %u", text,
                         encoding->full_count, request->limit);
    return FBY_OK;
}

/* Writes the ids of text `index` at ids[at]; their number to `*tokens`. */
static fby_status encode(fby_context *context, const fby_request *request, size_t index,
                         uint32_t at, uint32_t *tokens, fby_tuner *tuner)
{
    const fby_text *text = &request->texts[index];
    const fby_encode_options options = {
        .limit = request->limit,
        .left = request->left,
        .full_count = !request->truncate || request->strict_utf8,
    };
    fby_encoding encoding;
    fby_tokenizer_encode(fby_encoder_tokenizer(context->encoder), request->prompt,
                         request->prompt_size, text->bytes, text->size, &options, context->ids + at,
                         request->limit, &encoding);

    fby_status status = check_encoding(request, index, &encoding);
    if (status != FBY_OK)
        return status;
    *tokens = (uint32_t)encoding.count;
    if (!encoding.truncated)
        fby_tuner_text(tuner, text->size + request->prompt_size, *tokens);
    if (request->infos != NULL)
        request->infos[index] = (fby_text_info){*tokens, encoding.truncated, encoding.replaced > 0};
    return FBY_OK;
}

static float *vector_of(const fby_request *request, size_t index)
{
    return request->vectors + index * request->dimensions;
}

/* A text without a single token has nothing to pool: its vector is zero. */
static void finish_empty(const fby_request *request, size_t index)
{
    memset(vector_of(request, index), 0, request->dimensions * sizeof(float));
}

/* The row of the batch's text `i` becomes the vector that was asked for; false when it is not
 * finite. */
static bool finish_text(const fby_context *context, const fby_request *request, uint32_t i)
{
    float *row = context->rows[i], *vector = vector_of(request, context->indices[i]);
    bool finite = request->normalize != FBY_UNIT_BEFORE_CUT ||
                  fby_vector_normalize(context->kernels, row, context->dim);
    memcpy(vector, row, request->dimensions * sizeof(float));
    if (request->normalize == FBY_UNIT_AFTER_CUT)
        return fby_vector_normalize(context->kernels, vector, request->dimensions);
    return finite && isfinite(fby_vector_length(context->kernels, vector, request->dimensions));
}

fby_status fby_context_finish(const fby_context *context, const fby_request *request, size_t *text)
{
    for (uint32_t i = 0; i < context->texts_used; i++)
        if (!finish_text(context, request, i)) {
            *text = context->indices[i];
            return fby_error(FBY_ENOTFINITE,
                             "text %zu: its vector holds NaN or infinity: the model's weights do, "
                             "or make such numbers",
                             *text);
        }
    return FBY_OK;
}

void fby_context_clear(fby_context *context)
{
    context->texts_used = 0;
    context->starts[0] = 0;
}

uint32_t fby_context_tokens(const fby_context *context)
{
    return context->starts[context->texts_used];
}

uint64_t fby_context_pairs(const fby_context *context)
{
    uint64_t pairs = 0;
    for (uint32_t i = 0; i < context->texts_used; i++) {
        uint64_t tokens = context->starts[i + 1] - context->starts[i];
        pairs += tokens * tokens;
    }
    return pairs;
}

static void append(fby_context *context, size_t index, uint32_t tokens)
{
    uint32_t i = context->texts_used++;
    context->indices[i] = index;
    context->rows[i] = context->full + (size_t)i * context->dim;
    context->starts[i + 1] = context->starts[i] + tokens;
}

fby_status fby_context_add(fby_context *context, const fby_request *request, size_t index,
                           uint32_t *tokens, fby_tuner *tuner)
{
    const uint32_t used = fby_context_tokens(context);
    fby_status status = encode(context, request, index, used, tokens, tuner);
    if (status != FBY_OK)
        return status;
    if (*tokens == 0)
        finish_empty(request, index);
    else if (used + *tokens > context->budget)
        return FBY_EAGAIN;
    else
        append(context, index, *tokens);
    return FBY_OK;
}

void fby_context_turn(fby_context *context, size_t index, uint32_t tokens)
{
    memmove(context->ids, context->ids + fby_context_tokens(context), tokens * sizeof(uint32_t));
    fby_context_clear(context);
    append(context, index, tokens);
}
