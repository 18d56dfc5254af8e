/* SPDX-License-Identifier: Apache-2.0 */
/* Embedding, now or later, and tokenising: the public side. */
#include <string.h>

#include "base/bits.h"
#include "base/options.h"
#include "engine/model.h"

/* sentence-transformers cuts to the model's truncate_dim behind its Normalize module, and leaves it
 * at that; who names a number of dimensions gets vectors that compare as the model's own do. */
static fby_unit unit_of(const fby_model *model, const fby_embed_options *options)
{
    if (options->normalize == FBY_NORMALIZE_YES)
        return FBY_UNIT_AFTER_CUT;
    if (options->normalize == FBY_NORMALIZE_NO || !model->info.normalizes)
        return FBY_UNIT_NONE;
    bool cut = options->dimensions == 0 && fby_model_dim(model) < model->info.dim;
    return cut ? FBY_UNIT_BEFORE_CUT : FBY_UNIT_AFTER_CUT;
}

static fby_status check_ranges(const fby_model *model, const fby_embed_options *options)
{
    uint32_t special = fby_tokenizer_special_count(fby_encoder_tokenizer(model->encoder));

    if (options->dimensions > model->info.dim)
        return fby_error(FBY_EINVAL, "dimensions is %u, the model has %u", options->dimensions,
                         model->info.dim);
    if ((unsigned)options->normalize > FBY_NORMALIZE_NO)
        return fby_error(FBY_EINVAL, "normalize is %d", (int)options->normalize);
    if ((unsigned)options->truncate_side > FBY_SIDE_LEFT)
        return fby_error(FBY_EINVAL, "truncate_side is %d", (int)options->truncate_side);
    if (options->max_tokens > model->info.max_tokens)
        return fby_error(FBY_EINVAL, "max_tokens is %u, the model takes %u", options->max_tokens,
                         model->info.max_tokens);
    if (options->max_tokens != 0 && options->max_tokens <= special)
        return fby_error(FBY_EINVAL, "max_tokens is %u, but %u of them are special tokens",
                         options->max_tokens, special);
    return FBY_OK;
}

static fby_status check_texts(const fby_text *texts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (texts[i].bytes == NULL && texts[i].size != 0)
            return fby_error(FBY_EINVAL, "text %zu: %zu bytes at NULL", i, texts[i].size);
    return FBY_OK;
}

static fby_status resolve(const fby_model *model, const fby_text *texts, size_t count,
                          const fby_embed_options *given, float *vectors, fby_text_info *infos,
                          fby_request *request)
{
    fby_embed_options options = FBY_EMBED_OPTIONS_INIT;
    fby_status status = fby_options_read(&options, sizeof options, given, "fby_embed_options");
    if (status == FBY_OK)
        status = check_ranges(model, &options);
    if (status == FBY_OK)
        status = check_texts(texts, count);
    const char *prompt = "";
    size_t prompt_size = 0;
    if (status == FBY_OK)
        status = fby_encoder_prompt(model->encoder, options.prompt_name, &prompt, &prompt_size);
    if (status != FBY_OK)
        return status;

    uint32_t threads = options.threads != 0 ? options.threads : model->threads;
    *request = (fby_request){
        .texts = texts,
        .count = count,
        .vectors = vectors,
        .infos = infos,
        .prompt = prompt,
        .prompt_size = prompt_size,
        .dimensions = options.dimensions != 0 ? options.dimensions : fby_model_dim(model),
        .limit = options.max_tokens != 0 ? options.max_tokens : model->info.max_tokens,
        .threads = fby_min_u32(threads, model->threads),
        .normalize = unit_of(model, &options),
        .truncate = !options.no_truncate,
        .left = options.truncate_side == FBY_SIDE_LEFT,
        .strict_utf8 = options.strict_utf8,
    };
    return FBY_OK;
}

fby_status fby_embed(fby_model *model, const fby_text *texts, size_t count,
                     const fby_embed_options *options, float *vectors, fby_text_info *infos)
{
    fby_request request;
    fby_status status = resolve(model, texts, count, options, vectors, infos, &request);
    return status == FBY_OK ? fby_engine_run(model->engine, &request) : status;
}

fby_status fby_embed_submit(fby_model *model, const fby_text *texts, size_t count,
                            const fby_embed_options *options, float *vectors, fby_text_info *infos,
                            fby_job_done *done, void *context, fby_job **job)
{
    fby_request request;
    fby_status status = resolve(model, texts, count, options, vectors, infos, &request);
    return status == FBY_OK ? fby_engine_submit(model->engine, &request, done, context, job)
                            : status;
}

fby_status fby_job_poll(fby_job *job)
{
    return fby_engine_wait(job, 0);
}

fby_status fby_job_wait(fby_job *job, uint32_t timeout_ms)
{
    return fby_engine_wait(job, timeout_ms);
}

size_t fby_job_failed_text(fby_job *job)
{
    return fby_engine_failed_text(job);
}

void fby_job_cancel(fby_job *job)
{
    fby_engine_cancel(job);
}

void fby_job_free(fby_job *job)
{
    if (job != NULL)
        fby_engine_release(job);
}

fby_status fby_tokenize(const fby_model *model, fby_text text, const fby_tokenize_options *given,
                        uint32_t *ids, size_t capacity, size_t *count, fby_text_info *info)
{
    fby_tokenize_options options = FBY_TOKENIZE_OPTIONS_INIT;
    fby_status status = fby_options_read(&options, sizeof options, given, "fby_tokenize_options");
    const char *prompt = "";
    size_t prompt_size = 0;
    if (status == FBY_OK)
        status = fby_encoder_prompt(model->encoder, options.prompt_name, &prompt, &prompt_size);
    if (status == FBY_OK)
        status = check_texts(&text, 1);
    if (status != FBY_OK)
        return status;
    if ((unsigned)options.truncate_side > FBY_SIDE_LEFT)
        return fby_error(FBY_EINVAL, "truncate_side is %d", (int)options.truncate_side);

    if (options.truncate_side == FBY_SIDE_LEFT && !options.no_truncate && capacity != 0 &&
        capacity < model->info.max_tokens)
        return fby_error(FBY_EINVAL, "capacity is %zu, cutting at the left wants %u", capacity,
                         model->info.max_tokens);

    const fby_encode_options encode = {
        .limit = options.no_truncate ? 0 : model->info.max_tokens,
        .left = options.truncate_side == FBY_SIDE_LEFT,
        .no_special = options.no_special,
    };
    fby_encoding encoding;
    fby_tokenizer_encode(fby_encoder_tokenizer(model->encoder), prompt, prompt_size, text.bytes,
                         text.size, &encode, ids, capacity, &encoding);
    *count = encoding.count;
    if (info != NULL)
        *info = (fby_text_info){(uint32_t)fby_min_size(encoding.count, UINT32_MAX),
                                encoding.truncated, encoding.replaced > 0};
    return FBY_OK;
}

const char *fby_token_piece(const fby_model *model, uint32_t id, size_t *size)
{
    return fby_tokenizer_piece(fby_encoder_tokenizer(model->encoder), id, size);
}
