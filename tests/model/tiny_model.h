/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small random BERT as a model directory, its tensors kept for a reference to
 * compute with. Every value is a small multiple of a power of two, so that F32,
 * F16 and BF16 hold exactly the same model.
 */
#ifndef FBY_TEST_TINY_MODEL_H
#define FBY_TEST_TINY_MODEL_H

#include <inttypes.h>

#include "model/temporary.h"

typedef struct tiny_tensor {
    char name[192];
    uint32_t rank;
    uint64_t shape[2];
    float *values;
} tiny_tensor;

typedef struct tiny_model {
    uint32_t vocabulary, hidden, layers, heads, intermediate, positions;
    const char *activation; /* as in config.json */
    uint32_t count;
    tiny_tensor tensors[256];
} tiny_model;

static inline size_t tiny_elements(const tiny_tensor *tensor)
{
    return tensor->shape[0] * (tensor->rank == 2 ? tensor->shape[1] : 1);
}

/* Values `centre` + k `step` for random k from -128 to 127. */
static inline tiny_tensor *tiny_add(tiny_model *model, fby_rng *rng, const char *name,
                                    uint64_t rows, uint64_t columns, float centre, float step)
{
    assert_true(model->count < 256);
    tiny_tensor *tensor = &model->tensors[model->count++];
    snprintf(tensor->name, sizeof tensor->name, "%s", name);
    tensor->rank = columns == 0 ? 1 : 2;
    tensor->shape[0] = rows;
    tensor->shape[1] = columns;
    tensor->values = malloc(tiny_elements(tensor) * sizeof(float));
    assert_non_null(tensor->values);
    for (size_t i = 0; i < tiny_elements(tensor); i++)
        tensor->values[i] = centre + step * ((float)fby_rng_below(rng, 256) - 128);
    return tensor;
}

static inline void tiny_add_linear(tiny_model *model, fby_rng *rng, const char *module,
                                   uint64_t rows, uint64_t columns)
{
    char name[128];
    snprintf(name, sizeof name, "%s.weight", module);
    tiny_add(model, rng, name, rows, columns, 0, 0x1p-9f);
    snprintf(name, sizeof name, "%s.bias", module);
    tiny_add(model, rng, name, rows, 0, 0, 0x1p-8f);
}

static inline void tiny_add_norm(tiny_model *model, fby_rng *rng, const char *module)
{
    char name[128];
    snprintf(name, sizeof name, "%s.weight", module);
    tiny_add(model, rng, name, model->hidden, 0, 1.5f, 0x1p-8f);
    /* In [1, 2) seven bits of fraction is what BF16 has. */
    float *gamma = model->tensors[model->count - 1].values;
    for (uint32_t i = 0; i < model->hidden; i++)
        gamma[i] = (float)(int)(gamma[i] * 128) / 128;
    snprintf(name, sizeof name, "%s.bias", module);
    tiny_add(model, rng, name, model->hidden, 0, 0, 0x1p-8f);
}

/* The sizes and the activation are set; adds every tensor. */
static inline void tiny_fill(tiny_model *m, fby_rng *rng)
{
    static const char *const square[] = {"attention.self.query", "attention.self.key",
                                         "attention.self.value", "attention.output.dense"};
    char name[96];
    m->count = 0;
    tiny_add(m, rng, "embeddings.word_embeddings.weight", m->vocabulary, m->hidden, 0, 0x1p-7f);
    tiny_add(m, rng, "embeddings.position_embeddings.weight", m->positions, m->hidden, 0, 0x1p-8f);
    tiny_add(m, rng, "embeddings.token_type_embeddings.weight", 2, m->hidden, 0, 0x1p-9f);
    tiny_add_norm(m, rng, "embeddings.LayerNorm");
    for (uint32_t i = 0; i < m->layers; i++) {
        for (int j = 0; j < 4; j++) {
            snprintf(name, sizeof name, "encoder.layer.%u.%s", i, square[j]);
            tiny_add_linear(m, rng, name, m->hidden, m->hidden);
        }
        snprintf(name, sizeof name, "encoder.layer.%u.attention.output.LayerNorm", i);
        tiny_add_norm(m, rng, name);
        snprintf(name, sizeof name, "encoder.layer.%u.intermediate.dense", i);
        tiny_add_linear(m, rng, name, m->intermediate, m->hidden);
        snprintf(name, sizeof name, "encoder.layer.%u.output.dense", i);
        tiny_add_linear(m, rng, name, m->hidden, m->intermediate);
        snprintf(name, sizeof name, "encoder.layer.%u.output.LayerNorm", i);
        tiny_add_norm(m, rng, name);
    }
}

static inline void tiny_free(tiny_model *model)
{
    for (uint32_t i = 0; i < model->count; i++)
        free(model->tensors[i].values);
    model->count = 0;
}

static inline tiny_tensor *tiny_find(tiny_model *model, const char *name)
{
    for (uint32_t i = 0; i < model->count; i++)
        if (strcmp(model->tensors[i].name, name) == 0)
            return &model->tensors[i];
    fail_msg("no tensor %s", name);
    return NULL;
}

/* Writes one value as `dtype`; it is exact. */
static inline size_t tiny_encode(float value, const char *dtype, unsigned char *out)
{
    uint32_t bits;
    memcpy(&bits, &value, 4);
    if (strcmp(dtype, "F32") == 0) {
        memcpy(out, &bits, 4);
        return 4;
    }
    uint16_t half = (uint16_t)(bits >> 16);
    if (strcmp(dtype, "F16") == 0) {
        uint32_t exponent = bits >> 23 & 255;
        half = (uint16_t)(bits >> 16 & 0x8000);
        if (value != 0) /* normal: the values here are neither tiny nor huge */
            half = (uint16_t)(half | (exponent - 112) << 10 | (bits >> 13 & 0x3ff));
    }
    memcpy(out, &half, 2);
    return 2;
}

/* Tensors `first` … `end` - 1 as a safetensors file, each name behind `prefix`. */
static inline void tiny_write_tensors(const tiny_model *model, uint32_t first, uint32_t end,
                                      const char *prefix, const char *dtype, const char *dir,
                                      const char *file)
{
    size_t header_size = 2 + (end - first) * 256, data_size = 0, used = 0, offset = 0;
    size_t width = strcmp(dtype, "F32") == 0 ? 4 : 2;
    for (uint32_t i = first; i < end; i++)
        data_size += tiny_elements(&model->tensors[i]) * width;
    unsigned char *bytes = malloc(8 + header_size + data_size);
    assert_non_null(bytes);
    char *header = (char *)bytes + 8;
    unsigned char *data = bytes + 8 + header_size;

    used += (size_t)snprintf(header, header_size, "{");
    for (uint32_t i = first; i < end; i++) {
        const tiny_tensor *t = &model->tensors[i];
        char shape[64];
        if (t->rank == 2)
            snprintf(shape, sizeof shape, "%" PRIu64 ",%" PRIu64, t->shape[0], t->shape[1]);
        else
            snprintf(shape, sizeof shape, "%" PRIu64, t->shape[0]);
        used += (size_t)snprintf(header + used, header_size - used,
                                 "%s\"%s%s\":{\"dtype\":\"%s\",\"shape\":[%s],"
                                 "\"data_offsets\":[%zu,%zu]}",
                                 i == first ? "" : ",", prefix, t->name, dtype, shape, offset,
                                 offset + tiny_elements(t) * width);
        for (size_t j = 0; j < tiny_elements(t); j++)
            offset += tiny_encode(t->values[j], dtype, data + offset);
    }
    header[used++] = '}';
    memset(header + used, ' ', header_size - used);
    for (unsigned i = 0; i < 8; i++)
        bytes[i] = (unsigned char)((uint64_t)header_size >> (8 * i));
    temporary_write(dir, file, bytes, 8 + header_size + data_size);
    free(bytes);
}

static inline void tiny_write_config(const tiny_model *m, const char *dir)
{
    char text[1024];
    snprintf(text, sizeof text,
             "{\"model_type\": \"bert\", \"vocab_size\": %u, \"hidden_size\": %u,"
             " \"num_hidden_layers\": %u, \"num_attention_heads\": %u, \"intermediate_size\": %u,"
             " \"max_position_embeddings\": %u, \"type_vocab_size\": 2,"
             " \"layer_norm_eps\": 1e-12, \"hidden_act\": \"%s\"}",
             m->vocabulary, m->hidden, m->layers, m->heads, m->intermediate, m->positions,
             m->activation);
    temporary_text(dir, "config.json", text);
}

/* config.json and model.safetensors. */
static inline void tiny_write(const tiny_model *model, const char *dir)
{
    tiny_write_config(model, dir);
    tiny_write_tensors(model, 0, model->count, "", "F32", dir, "model.safetensors");
}

#endif
