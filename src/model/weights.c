/* SPDX-License-Identifier: Apache-2.0 */
#include "model/weights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/platform.h"
#include "compute/narrow.h"
#include "model/calibration.h"

/* ---- where each part lies ---- */

/* Hands out the image from its beginning; with a NULL image it only counts. */
typedef struct cursor {
    const unsigned char *image;
    size_t used;
} cursor;

static const void *take(cursor *at, size_t bytes)
{
    const void *part = at->image == NULL ? NULL : at->image + at->used;
    at->used = fby_align_up(at->used + bytes, FBY_CACHELINE);
    return part;
}

static fby_linear take_linear(cursor *at, const fby_kernels *kernels, uint32_t n, uint32_t k)
{
    return (fby_linear){take(at, kernels->packed_bytes(n, k)), n, k};
}

/* Of a layer: at the model's precision. */
static fby_linear take_product(cursor *at, const fby_kernels *kernels, uint32_t n, uint32_t k)
{
    if (kernels->narrow == NULL)
        return take_linear(at, kernels, n, k);
    return (fby_linear){take(at, kernels->narrow->packed_bytes(n, k)), n, k};
}

static fby_layer_norm take_norm(cursor *at, const fby_bert_config *bert)
{
    const float *gamma = take(at, bert->hidden * sizeof(float));
    const float *beta = take(at, bert->hidden * sizeof(float));
    return (fby_layer_norm){gamma, beta, bert->epsilon, bert->hidden};
}

static fby_layer_weights take_layer(cursor *at, const fby_kernels *kernels,
                                    const fby_bert_config *bert)
{
    fby_layer_weights layer;
    layer.qkv = take_product(at, kernels, 3 * bert->hidden, bert->hidden);
    layer.output = take_product(at, kernels, bert->hidden, bert->hidden);
    layer.attention_norm = take_norm(at, bert);
    layer.up = take_product(at, kernels, bert->intermediate, bert->hidden);
    layer.down = take_product(at, kernels, bert->hidden, bert->intermediate);
    layer.output_norm = take_norm(at, bert);
    return layer;
}

/* `layers` may be NULL. The bounds in bert_config.c keep every sum far below 2^64. */
static size_t lay_out(const fby_config *config, const fby_kernels *kernels, const void *image,
                      fby_layer_weights *layers, fby_weights *weights)
{
    const fby_bert_config *bert = &config->bert;
    cursor at = {image, 0};
    weights->ld_hidden = fby_align_up(bert->hidden, FBY_CACHELINE / sizeof(float));
    size_t row = weights->ld_hidden * sizeof(float);

    weights->words = take(&at, bert->vocabulary * row);
    weights->positions = take(&at, config->max_tokens * row);
    weights->embedding_norm = take_norm(&at, bert);
    for (uint32_t i = 0; i < bert->layers; i++) {
        fby_layer_weights layer = take_layer(&at, kernels, bert);
        if (layers != NULL)
            layers[i] = layer;
    }
    for (uint32_t i = 0; i < config->modules.count; i++) {
        const fby_module *module = &config->modules.list[i];
        if (module->kind == FBY_MODULE_DENSE)
            weights->dense[i] = take_linear(&at, kernels, module->dense.out, module->dense.in);
    }
    return at.used;
}

size_t fby_weights_bytes(const fby_config *config, const fby_kernels *kernels)
{
    fby_weights weights;
    return lay_out(config, kernels, NULL, NULL, &weights);
}

fby_status fby_weights_bind(const fby_config *config, const fby_kernels *kernels, const void *image,
                            fby_weights *weights)
{
    fby_layer_weights *layers = calloc(config->bert.layers, sizeof *layers);
    if (layers == NULL)
        return fby_error(FBY_ENOMEM, "no memory for %u layers", config->bert.layers);
    *weights = (fby_weights){.layers = layers};
    lay_out(config, kernels, image, layers, weights);
    return FBY_OK;
}

void fby_weights_unbind(fby_weights *weights)
{
    free(weights->layers);
    weights->layers = NULL;
}

/* ---- from tensors ---- */

/* One walk over all tensors, which checks them and, with weights to fill, packs them. */
typedef struct packer {
    const fby_config *config;
    const fby_kernels *kernels;
    const fby_checkpoint *from;
    const char *prefix;         /* before every tensor's name */
    const fby_weights *weights; /* NULL: check only */
    float *matrix;              /* room for the largest linear layer */
    float *bias;
    fby_calibration *calibration; /* of narrow products that want it, else NULL */
} packer;

enum { NAME_SIZE = 128 };

static void *writable(const void *part)
{
    return (void *)(uintptr_t)part;
}

static fby_status find(const packer *p, const char *name, uint32_t rank, uint64_t rows,
                       uint64_t columns, const fby_tensor **tensor)
{
    char full[NAME_SIZE];
    const uint64_t shape[2] = {rows, columns};
    snprintf(full, sizeof full, "%s%s", p->prefix, name);
    return fby_checkpoint_tensor(p->from, full, rank, shape, tensor);
}

/* `count` numbers of a whole tensor to `out`. */
static void read_all(const fby_tensor *tensor, size_t count, float *out)
{
    fby_tensor_read(tensor, 0, count, out);
    fby_checkpoint_release(tensor);
}

static fby_status pack_vector(const packer *p, const char *name, uint32_t size, const float *part)
{
    const fby_tensor *tensor;
    fby_status status = find(p, name, 1, size, 0, &tensor);
    if (status == FBY_OK && p->weights != NULL)
        read_all(tensor, size, writable(part));
    return status;
}

/* Old checkpoints say gamma and beta; transformers accepts both. */
static fby_status pack_norm(const packer *p, const char *module, const fby_layer_norm *norm)
{
    char name[NAME_SIZE];
    snprintf(name, sizeof name, "%s%s.gamma", p->prefix, module);
    bool old = fby_checkpoint_has(p->from, name);
    snprintf(name, sizeof name, "%s.%s", module, old ? "gamma" : "weight");
    fby_status status = pack_vector(p, name, p->config->bert.hidden, norm->gamma);
    if (status != FBY_OK)
        return status;
    snprintf(name, sizeof name, "%s.%s", module, old ? "beta" : "bias");
    return pack_vector(p, name, p->config->bert.hidden, norm->beta);
}

static bool all_finite(const float *x, size_t n)
{
    float sum = 0; /* of zeros, unless one is not */
    for (size_t i = 0; i < n; i++)
        sum += x[i] * 0.0f;
    return sum == 0;
}

/* In f32 a weight that is no number shows in every vector that it is part of, and is refused there
 * (engine/vector.h); products of few bits would make an ordinary number of it. */
static fby_status check_finite(const packer *p, const char *name, const float *x, size_t n)
{
    const fby_narrow *narrow = p->kernels->narrow;
    if (narrow == NULL || all_finite(x, n))
        return FBY_OK;
    return fby_error(FBY_ENOTFINITE, "%s%s: NaN or infinity, which would go unseen in %s",
                     p->prefix, name, narrow->precision);
}

/* Reads module.weight (n, k) and module.bias (n) into rows `row` … of the matrix and the bias. */
static fby_status gather(const packer *p, const char *module, uint32_t n, uint32_t k, uint32_t row,
                         bool has_bias)
{
    char name[NAME_SIZE];
    const fby_tensor *tensor;
    snprintf(name, sizeof name, "%s.weight", module);
    fby_status status = find(p, name, 2, n, k, &tensor);
    if (status != FBY_OK)
        return status;
    if (p->weights != NULL) {
        read_all(tensor, (size_t)n * k, p->matrix + (size_t)row * k);
        status = check_finite(p, name, p->matrix + (size_t)row * k, (size_t)n * k);
    }
    if (status != FBY_OK || !has_bias)
        return status;
    snprintf(name, sizeof name, "%s.bias", module);
    status = pack_vector(p, name, n, p->weights != NULL ? p->bias + row : NULL);
    if (status == FBY_OK && p->weights != NULL)
        status = check_finite(p, name, p->bias + row, n);
    return status;
}

static void pack_gathered(const packer *p, const fby_linear *linear, bool has_bias)
{
    if (p->weights != NULL)
        p->kernels->pack(p->matrix, has_bias ? p->bias : NULL, linear->n, linear->k,
                         writable(linear->packed));
}

/* A product of a layer, which has a bias; `norm`, already packed, follows it. */
static fby_status pack_product(const packer *p, const fby_linear *linear,
                               const fby_layer_norm *norm)
{
    const fby_narrow *narrow = p->weights != NULL ? p->kernels->narrow : NULL;
    if (narrow == NULL) {
        pack_gathered(p, linear, true);
        return FBY_OK;
    }
    const float *sizes = p->calibration != NULL ? fby_calibration_sizes(p->calibration) : NULL;
    if (sizes != NULL && !all_finite(sizes, linear->k))
        return fby_error(FBY_ENOTFINITE,
                         "%sembeddings or LayerNorm: NaN or infinity, which would go unseen in %s",
                         p->prefix, narrow->precision);
    narrow->pack(p->matrix, p->bias, sizes, linear->n, linear->k, writable(linear->packed));
    if (p->calibration != NULL)
        fby_calibration_step(p->calibration, p->matrix, p->bias, norm);
    return FBY_OK;
}

static fby_status pack_linear(const packer *p, const char *module, uint32_t n, uint32_t k,
                              bool has_bias, const fby_linear *linear)
{
    fby_status status = gather(p, module, n, k, 0, has_bias);
    if (status == FBY_OK)
        pack_gathered(p, linear, has_bias);
    return status;
}

static fby_status pack_words(const packer *p)
{
    const fby_bert_config *bert = &p->config->bert;
    const fby_tensor *tensor;
    fby_status status =
        find(p, "embeddings.word_embeddings.weight", 2, bert->vocabulary, bert->hidden, &tensor);
    if (status != FBY_OK || p->weights == NULL)
        return status;
    float *rows = writable(p->weights->words);
    for (size_t i = 0; i < bert->vocabulary; i++)
        fby_tensor_read(tensor, i * bert->hidden, bert->hidden, rows + i * p->weights->ld_hidden);
    fby_checkpoint_release(tensor);
    return FBY_OK;
}

/* A text is one segment here, so that its token type is always 0. */
static fby_status pack_positions(const packer *p)
{
    const fby_bert_config *bert = &p->config->bert;
    const fby_tensor *positions, *types;
    fby_status status = find(p, "embeddings.position_embeddings.weight", 2, bert->positions,
                             bert->hidden, &positions);
    if (status == FBY_OK)
        status = find(p, "embeddings.token_type_embeddings.weight", 2, bert->token_types,
                      bert->hidden, &types);
    if (status != FBY_OK || p->weights == NULL)
        return status;
    float *rows = writable(p->weights->positions);
    fby_tensor_read(types, 0, bert->hidden, p->bias);
    for (size_t i = 0; i < p->config->max_tokens; i++, rows += p->weights->ld_hidden) {
        fby_tensor_read(positions, i * bert->hidden, bert->hidden, rows);
        for (uint32_t j = 0; j < bert->hidden; j++)
            rows[j] += p->bias[j];
    }
    return FBY_OK;
}

static fby_status pack_layer(const packer *p, uint32_t index)
{
    static const fby_layer_weights none;
    static const char *const qkv[] = {"query", "key", "value"};
    const fby_layer_weights *layer = p->weights != NULL ? &p->weights->layers[index] : &none;
    uint32_t hidden = p->config->bert.hidden, intermediate = p->config->bert.intermediate;
    char name[NAME_SIZE];
    snprintf(name, sizeof name, "encoder.layer.%u.attention.output.LayerNorm", index);
    fby_status status = pack_norm(p, name, &layer->attention_norm);
    snprintf(name, sizeof name, "encoder.layer.%u.output.LayerNorm", index);
    if (status == FBY_OK)
        status = pack_norm(p, name, &layer->output_norm);
    for (uint32_t i = 0; i < 3 && status == FBY_OK; i++) {
        snprintf(name, sizeof name, "encoder.layer.%u.attention.self.%s", index, qkv[i]);
        status = gather(p, name, hidden, hidden, i * hidden, true);
    }
    if (status == FBY_OK)
        status = pack_product(p, &layer->qkv, NULL);

    const struct {
        const char *name;
        uint32_t n, k;
        const fby_linear *linear;
        const fby_layer_norm *norm;
    } linears[] = {
        {"attention.output.dense", hidden, hidden, &layer->output, &layer->attention_norm},
        {"intermediate.dense", intermediate, hidden, &layer->up, NULL},
        {"output.dense", hidden, intermediate, &layer->down, &layer->output_norm}};
    for (int i = 0; i < 3 && status == FBY_OK; i++) {
        snprintf(name, sizeof name, "encoder.layer.%u.%s", index, linears[i].name);
        status = gather(p, name, linears[i].n, linears[i].k, 0, true);
        if (status == FBY_OK)
            status = pack_product(p, linears[i].linear, linears[i].norm);
    }
    return status;
}

static fby_status start_calibration(packer *p, const fby_sample *sample)
{
    if (p->weights == NULL || p->kernels->narrow == NULL || !p->kernels->narrow->wants_sizes)
        return FBY_OK;
    return fby_calibration_new(p->config, p->kernels, p->weights, sample, &p->calibration);
}

static fby_status pack_transformer(packer *p, const fby_sample *sample)
{
    static const fby_layer_norm none;
    fby_status status = pack_words(p);
    if (status == FBY_OK)
        status = pack_positions(p);
    if (status == FBY_OK)
        status = pack_norm(p, "embeddings.LayerNorm",
                           p->weights != NULL ? &p->weights->embedding_norm : &none);
    if (status == FBY_OK)
        status = start_calibration(p, sample);
    for (uint32_t i = 0; i < p->config->bert.layers && status == FBY_OK; i++)
        status = pack_layer(p, i);
    return status;
}

/* The prefix is "bert." where the checkpoint was saved with a head on top. */
static fby_status pack_all(packer *p, const fby_sources *sources)
{
    static const fby_linear none;
    p->from = sources->transformer;
    p->prefix =
        fby_checkpoint_has(p->from, "bert.embeddings.word_embeddings.weight") ? "bert." : "";
    fby_status status = pack_transformer(p, sources->sample);
    p->prefix = "";
    for (uint32_t i = 0; i < p->config->modules.count && status == FBY_OK; i++) {
        const fby_dense_config *dense = &p->config->modules.list[i].dense;
        if (p->config->modules.list[i].kind != FBY_MODULE_DENSE)
            continue;
        p->from = sources->dense[i];
        status = pack_linear(p, "linear", dense->out, dense->in, dense->bias,
                             p->weights != NULL ? &p->weights->dense[i] : &none);
    }
    return status;
}

fby_status fby_weights_check(const fby_config *config, const fby_sources *sources)
{
    packer p = {.config = config};
    return pack_all(&p, sources);
}

/* The most weights and the most outputs of any linear layer. */
static void largest(const fby_config *config, size_t *matrix, size_t *bias)
{
    size_t hidden = config->bert.hidden, intermediate = config->bert.intermediate;
    *matrix = fby_max_size(3 * hidden, intermediate) * hidden;
    *bias = fby_max_size(3 * hidden, intermediate);
    for (uint32_t i = 0; i < config->modules.count; i++) {
        const fby_dense_config *dense = &config->modules.list[i].dense;
        *matrix = fby_max_size(*matrix, (size_t)dense->out * dense->in);
        *bias = fby_max_size(*bias, dense->out);
    }
}

fby_status fby_weights_pack(const fby_config *config, const fby_kernels *kernels,
                            const fby_sources *sources, void *image)
{
    size_t matrix, bias;
    fby_weights weights;
    fby_status status = fby_weights_bind(config, kernels, image, &weights);
    if (status != FBY_OK)
        return status;
    largest(config, &matrix, &bias);
    float *memory = calloc(matrix + bias, sizeof *memory);
    if (memory == NULL) {
        status = fby_error(FBY_ENOMEM, "no memory to pack %zu weights", matrix);
    } else {
        packer p = {.config = config,
                    .kernels = kernels,
                    .weights = &weights,
                    .matrix = memory,
                    .bias = memory + matrix};
        status = pack_all(&p, sources);
        fby_calibration_free(p.calibration);
    }
    free(memory);
    fby_weights_unbind(&weights);
    return status;
}
