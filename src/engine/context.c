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
    *context = (fby_context){.encoder = encoder, .budget = budget, .texts_max = budget / 2};
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
    lay_out(context, &real, &info);
}

/* The next text that nobody has claimed; false when there is none. */
static bool claim(fby_job *job, size_t *index)
{
    if (atomic_load_explicit(&job->next, memory_order_relaxed) >= job->request.count)
        return false;
    *index = atomic_fetch_add_explicit(&job->next, 1, memory_order_relaxed);
    return *index < job->request.count;
}

/* Texts that a batch begun now may take: an equal share of what is left, so
 * that a small job still occupies every thread that it may use. */
static uint32_t batch_share(const fby_context *context, fby_job *job)
{
    size_t next = atomic_load_explicit(&job->next, memory_order_relaxed);
    size_t left = next < job->request.count ? job->request.count - next : 0;
    size_t share = (left + job->request.threads - 1) / job->request.threads;
    return (uint32_t)fby_min_size(fby_max_size(share, 1), context->texts_max);
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
                         uint32_t at, uint32_t *tokens)
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
static bool finish_text(const fby_context *context, const fby_request *request, uint32_t i,
                        uint32_t dim)
{
    float *row = context->rows[i], *vector = vector_of(request, context->indices[i]);
    bool finite = request->normalize != FBY_UNIT_BEFORE_CUT ||
                  fby_vector_normalize(context->kernels, row, dim);
    if (row != vector)
        memcpy(vector, row, request->dimensions * sizeof(float));
    if (request->normalize == FBY_UNIT_AFTER_CUT)
        return fby_vector_normalize(context->kernels, vector, request->dimensions);
    return finite && isfinite(fby_vector_length(context->kernels, vector, request->dimensions));
}

/* `*text` is the number of the one that fails. */
static fby_status finish_batch(const fby_context *context, const fby_request *request, size_t *text)
{
    fby_encoder_info info;
    fby_encoder_get_info(context->encoder, &info);
    for (uint32_t i = 0; i < context->texts_used; i++)
        if (!finish_text(context, request, i, info.dim)) {
            *text = context->indices[i];
            return fby_error(FBY_ENOTFINITE,
                             "text %zu: its vector holds NaN or infinity: the model's weights do, "
                             "or make such numbers",
                             *text);
        }
    return FBY_OK;
}

static void add_text(fby_context *context, const fby_request *request, size_t index,
                     uint32_t tokens, uint32_t dim)
{
    uint32_t i = context->texts_used++;
    context->indices[i] = index;
    context->rows[i] =
        request->dimensions == dim ? vector_of(request, index) : context->full + (size_t)i * dim;
    context->starts[i + 1] = context->starts[i] + tokens;
}

static bool cancelled(fby_job *job)
{
    return atomic_load_explicit(&job->cancel, memory_order_relaxed);
}

/* Unless it fails on one of its texts, `*text` stays. */
static fby_status run_batch(fby_context *context, fby_job *job, size_t *text)
{
    if (context->texts_used == 0)
        return FBY_OK;
    fby_status status =
        fby_encoder_run(context->encoder, context->ids, context->starts, context->texts_used,
                        context->scratch, context->rows, &job->cancel);
    if (status == FBY_OK)
        status = finish_batch(context, &job->request, text);
    return status;
}

/*
 * Texts are tokenised straight behind the batch. One that does not fit any more
 * ends the batch and, moved to the front, begins the next.
 */
void fby_context_run(fby_context *context, fby_job *job)
{
    const fby_request *request = &job->request;
    fby_encoder_info info;
    fby_encoder_get_info(context->encoder, &info);

    size_t index = 0;
    fby_status status = FBY_OK;
    context->texts_used = 0;
    context->starts[0] = 0;
    uint32_t share = batch_share(context, job);

    while (status == FBY_OK && claim(job, &index)) {
        uint32_t used = context->starts[context->texts_used], tokens = 0;
        status = cancelled(job) ? fby_error(FBY_ECANCELED, "cancelled")
                                : encode(context, request, index, used, &tokens);
        if (status != FBY_OK)
            break;
        if (tokens == 0) {
            finish_empty(request, index);
            continue;
        }
        if (used + tokens > context->budget) {
            size_t last = index;
            status = run_batch(context, job, &last);
            if (status != FBY_OK) {
                index = last;
                break;
            }
            memmove(context->ids, context->ids + used, tokens * sizeof(uint32_t));
            context->texts_used = 0;
            share = batch_share(context, job);
        }
        add_text(context, request, index, tokens, info.dim);
        if (context->texts_used >= share) {
            status = run_batch(context, job, &index);
            context->texts_used = 0;
            share = batch_share(context, job);
        }
    }
    if (status == FBY_OK)
        status = run_batch(context, job, &index);
    if (status != FBY_OK)
        fby_job_fail(job, status, fby_last_error(), index);
}
