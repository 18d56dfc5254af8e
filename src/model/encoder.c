/* SPDX-License-Identifier: Apache-2.0 */
#include "model/encoder.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/bits.h"
#include "base/platform.h"
#include "compute/narrow.h"
#include "model/bert.h"
#include "model/image.h"
#include "model/pooling.h"

struct fby_encoder {
    fby_precision precision;
    fby_kernels kernels; /* with the narrow table of the precision, if any */
    fby_config config;
    fby_tokenizer *tokenizer;
    fby_image image;
    fby_weights weights;
    fby_bert bert;
    void *copied; /* the weights of a copy; all but this and how they are bound is another's */
    size_t copied_bytes;
};

/* The tokenizer lies beside the Transformer's weights. */
static fby_status open_tokenizer(const char *dir, fby_encoder *encoder)
{
    char path[FBY_PATH_SIZE];
    const fby_config *config = &encoder->config;
    fby_status status = fby_path_join(path, dir, config->modules.list[0].path);
    if (status == FBY_OK)
        status = fby_tokenizer_open(path, &encoder->tokenizer);
    if (status != FBY_OK)
        return status;
    uint32_t vocabulary = fby_tokenizer_vocabulary(encoder->tokenizer);
    if (vocabulary > config->bert.vocabulary)
        return fby_error(FBY_EFORMAT, "%s: the tokenizer has %u entries, but vocab_size is %u",
                         path, vocabulary, config->bert.vocabulary);
    uint32_t special = fby_tokenizer_special_count(encoder->tokenizer);
    if (special > config->max_tokens)
        return fby_error(FBY_EFORMAT, "%s: the tokenizer adds %u tokens, a text may have %u", path,
                         special, config->max_tokens);
    return FBY_OK;
}

static void make_sample(const fby_encoder *encoder, fby_sample *sample)
{
    uint32_t special[2] = {0, 0};
    fby_encoding nothing;
    const fby_encode_options options = {.limit = 2};
    fby_tokenizer_encode(encoder->tokenizer, "", 0, "", 0, &options, special, 2, &nothing);
    fby_sample_make(encoder->config.bert.vocabulary, encoder->config.max_tokens, special,
                    (uint32_t)nothing.count, sample);
}

static fby_status check_precision(const char *dir, const fby_encoder *encoder)
{
    const fby_bert_config *bert = &encoder->config.bert;
    if (encoder->kernels.narrow != NULL &&
        fby_max_size(bert->hidden, bert->intermediate) > FBY_NARROW_K_MAX)
        return fby_error(FBY_EUNSUPPORTED, "%s: %s with layers of %u inputs, at most %u", dir,
                         fby_precision_name(encoder->precision),
                         bert->hidden > bert->intermediate ? bert->hidden : bert->intermediate,
                         FBY_NARROW_K_MAX);
    return FBY_OK;
}

static fby_status open_weights(const char *dir, const char *cache_dir, fby_encoder *encoder)
{
    char settings[FBY_SETTINGS_SIZE];
    uint64_t tokenizer[2];
    fby_sample sample;
    make_sample(encoder, &sample);
    fby_tokenizer_digest(encoder->tokenizer, tokenizer);
    fby_status status = fby_settings_text(&encoder->config, &encoder->kernels, tokenizer, settings);
    if (status == FBY_OK)
        status = fby_image_open(dir, &encoder->config, &encoder->kernels, &sample, settings,
                                cache_dir, &encoder->image);
    if (status == FBY_OK)
        status = fby_weights_bind(&encoder->config, &encoder->kernels, encoder->image.bytes,
                                  &encoder->weights);
    return status;
}

fby_status fby_encoder_open(const char *dir, fby_isa isa, fby_precision precision,
                            const char *cache_dir, fby_encoder **out)
{
    fby_encoder *encoder = calloc(1, sizeof *encoder);
    if (encoder == NULL)
        return fby_error(FBY_ENOMEM, "%s: no memory for an encoder", dir);
    encoder->precision = precision;
    encoder->kernels = *fby_kernels_for(isa);
    encoder->kernels.narrow = fby_narrow_for(precision, isa);
    fby_status status = fby_config_load(dir, &encoder->config);
    if (status == FBY_OK)
        status = check_precision(dir, encoder);
    if (status == FBY_OK)
        status = open_tokenizer(dir, encoder);
    if (status == FBY_OK)
        status = open_weights(dir, cache_dir, encoder);
    if (status != FBY_OK) {
        fby_encoder_close(encoder);
        return status;
    }
    encoder->bert = (fby_bert){&encoder->config, &encoder->kernels, &encoder->weights};
    *out = encoder;
    return FBY_OK;
}

fby_status fby_encoder_copy(const fby_encoder *encoder, const fby_encoder_place *place,
                            fby_encoder **out)
{
    fby_encoder *copy = malloc(sizeof *copy);
    if (copy == NULL)
        return fby_error(FBY_ENOMEM, "no memory for an encoder");
    *copy = *encoder;
    copy->weights = (fby_weights){0};
    copy->copied_bytes = fby_weights_bytes(&encoder->config, &encoder->kernels);
    copy->copied =
        mmap(NULL, copy->copied_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (copy->copied == MAP_FAILED) {
        fby_status status = fby_error_errno(FBY_ENOMEM, errno, "a copy of the weights, %zu bytes",
                                            copy->copied_bytes);
        free(copy);
        return status;
    }
    (void)madvise(copy->copied, copy->copied_bytes, MADV_HUGEPAGE); /* an advice */
    if (place->place != NULL)
        place->place(copy->copied, copy->copied_bytes, place->context);
    memcpy(copy->copied, encoder->image.bytes, copy->copied_bytes);
    (void)mprotect(copy->copied, copy->copied_bytes, PROT_READ);
    fby_status status =
        fby_weights_bind(&copy->config, &copy->kernels, copy->copied, &copy->weights);
    if (status != FBY_OK) {
        fby_encoder_close(copy);
        return status;
    }
    copy->bert = (fby_bert){&copy->config, &copy->kernels, &copy->weights};
    *out = copy;
    return FBY_OK;
}

void fby_encoder_close(fby_encoder *encoder)
{
    if (encoder == NULL)
        return;
    fby_weights_unbind(&encoder->weights);
    if (encoder->copied != NULL) {
        munmap(encoder->copied, encoder->copied_bytes);
        free(encoder);
        return;
    }
    fby_image_close(&encoder->image);
    fby_tokenizer_close(encoder->tokenizer);
    fby_config_clear(&encoder->config);
    free(encoder);
}

/* Two operations a weight of every linear layer. */
static uint64_t flops_per_token(const fby_bert_config *bert)
{
    uint64_t hidden = bert->hidden, intermediate = bert->intermediate;
    return 2 * bert->layers * (4 * hidden * hidden + 2 * hidden * intermediate);
}

void fby_encoder_get_info(const fby_encoder *encoder, fby_encoder_info *info)
{
    const fby_config *config = &encoder->config;
    const fby_bert_config *bert = &config->bert;
    *info = (fby_encoder_info){
        .architecture = "bert",
        .precision = fby_precision_name(encoder->precision),
        .products =
            encoder->kernels.narrow != NULL ? encoder->kernels.narrow->name : encoder->kernels.name,
        .pooling = fby_pooling_name(config->pooling.pooling),
        .fingerprint = encoder->image.fingerprint,
        .packed_path = encoder->image.path,
        .dim = config->dim,
        .truncate_dim = config->prompts.truncate_dim,
        .layers = bert->layers,
        .heads = bert->heads,
        .hidden = bert->hidden,
        .intermediate = bert->intermediate,
        .max_tokens = config->max_tokens,
        .normalizes = config->normalizes,
        .weight_bytes = encoder->image.weight_bytes,
        .flops_per_token = flops_per_token(bert),
        /* q k^T and p v, each two operations a number of a head, over all heads. */
        .flops_per_token_pair = (uint64_t)4 * bert->hidden * bert->layers,
    };
}

const fby_tokenizer *fby_encoder_tokenizer(const fby_encoder *encoder)
{
    return encoder->tokenizer;
}

fby_status fby_encoder_prompt(const fby_encoder *encoder, const char *name, const char **prompt,
                              size_t *size)
{
    const char *text;
    fby_status status = fby_prompts_find(&encoder->config.prompts, name, &text);
    if (status != FBY_OK)
        return status;
    if (text[0] != '\0' && !encoder->config.pooling.include_prompt)
        return fby_error(FBY_EUNSUPPORTED,
                         "a prompt that pooling leaves out (include_prompt false)");
    *prompt = text;
    *size = strlen(text);
    return FBY_OK;
}

size_t fby_encoder_scratch(const fby_encoder *encoder, uint32_t tokens)
{
    return fby_align_up(fby_bert_scratch(&encoder->bert, tokens), FBY_CACHELINE) +
           fby_pooling_scratch(&encoder->config);
}

static void pool(const fby_encoder *encoder, const float *hidden, const uint32_t *starts,
                 uint32_t texts, void *scratch, float *const *vectors)
{
    size_t used = fby_align_up(fby_bert_scratch(&encoder->bert, starts[texts]), FBY_CACHELINE);
    fby_pooling_run(&encoder->config, &encoder->kernels, &encoder->weights, hidden, starts, texts,
                    (char *)scratch + used, vectors);
}

fby_status fby_encoder_run(const fby_encoder *encoder, const uint32_t *ids, const uint32_t *starts,
                           uint32_t texts, void *scratch, float *const *vectors,
                           const atomic_bool *cancel)
{
    const float *hidden;
    fby_status status = fby_bert_run(&encoder->bert, ids, starts, texts, scratch, cancel, &hidden);
    if (status == FBY_OK)
        pool(encoder, hidden, starts, texts, scratch, vectors);
    return status;
}

fby_status fby_encoder_run_team(const fby_encoder *encoder, const uint32_t *ids,
                                const uint32_t *starts, uint32_t texts, void *scratch,
                                const fby_bert_member *member, float *const *vectors,
                                const atomic_bool *cancel)
{
    const float *hidden;
    fby_status status =
        fby_bert_run_team(&encoder->bert, ids, starts, texts, scratch, member, cancel, &hidden);
    if (status == FBY_OK && member->index == 0)
        pool(encoder, hidden, starts, texts, scratch, vectors);
    return status;
}

fby_status fby_encoder_run_rows(const fby_encoder *encoder, const uint32_t *ids, uint32_t tokens,
                                void *scratch, float *rows, const atomic_bool *cancel)
{
    const uint32_t starts[2] = {0, tokens};
    const float *hidden;
    fby_status status = fby_bert_run(&encoder->bert, ids, starts, 1, scratch, cancel, &hidden);
    if (status != FBY_OK)
        return status;
    uint32_t dim = encoder->config.bert.hidden;
    for (size_t i = 0; i < tokens; i++)
        memcpy(rows + i * dim, hidden + i * encoder->weights.ld_hidden, dim * sizeof(float));
    return FBY_OK;
}
