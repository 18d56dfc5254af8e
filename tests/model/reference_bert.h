/* SPDX-License-Identifier: Apache-2.0 */
/* The forward pass in plain loops over doubles, straight from the paper and from
 * transformers' modeling_bert.py, for one text; independent of compute/. */
#ifndef FBY_TEST_REFERENCE_BERT_H
#define FBY_TEST_REFERENCE_BERT_H

#include <math.h>

#include "model/tiny_model.h"

static inline const float *reference_values(tiny_model *m, const char *format, uint32_t layer,
                                            const char *suffix)
{
    char name[128], module[96];
    snprintf(module, sizeof module, "encoder.layer.%u.%s", layer, format);
    snprintf(name, sizeof name, "%s.%s", strchr(format, '!') != NULL ? format + 1 : module, suffix);
    return tiny_find(m, name)->values;
}

static inline double reference_activation(const char *name, double x)
{
    if (strcmp(name, "gelu") == 0)
        return x / 2 * (1 + erf(x / sqrt(2)));
    if (strcmp(name, "relu") == 0)
        return x > 0 ? x : 0;
    if (strcmp(name, "tanh") == 0)
        return tanh(x);
    assert_string_equal(name, "gelu_new");
    return x / 2 * (1 + tanh(sqrt(2 / acos(-1)) * (x + 0.044715 * x * x * x)));
}

/* out (rows, n) = x (rows, k) Wᵀ + b */
static inline void reference_linear(tiny_model *m, uint32_t layer, const char *module,
                                    const double *x, uint32_t rows, uint32_t n, uint32_t k,
                                    double *out)
{
    const float *w = reference_values(m, module, layer, "weight");
    const float *b = reference_values(m, module, layer, "bias");
    for (uint32_t row = 0; row < rows; row++)
        for (uint32_t i = 0; i < n; i++) {
            double sum = (double)b[i];
            for (uint32_t j = 0; j < k; j++)
                sum += x[row * k + j] * (double)w[i * k + j];
            out[row * n + i] = sum;
        }
}

static inline void reference_norm(tiny_model *m, uint32_t layer, const char *module, double *x,
                                  uint32_t rows)
{
    const float *gamma = reference_values(m, module, layer, "weight");
    const float *beta = reference_values(m, module, layer, "bias");
    uint32_t n = m->hidden;
    for (uint32_t row = 0; row < rows; row++, x += n) {
        double mean = 0, variance = 0;
        for (uint32_t i = 0; i < n; i++)
            mean += x[i] / n;
        for (uint32_t i = 0; i < n; i++)
            variance += (x[i] - mean) * (x[i] - mean) / n;
        for (uint32_t i = 0; i < n; i++)
            x[i] = (x[i] - mean) / sqrt(variance + 1e-12) * (double)gamma[i] + (double)beta[i];
    }
}

static inline void reference_attention(const tiny_model *m, const double *q, const double *k,
                                       const double *v, uint32_t tokens, double *out)
{
    uint32_t dim = m->hidden / m->heads;
    double *p = malloc(tokens * sizeof *p);
    assert_non_null(p);
    for (uint32_t head = 0; head < m->heads; head++)
        for (uint32_t i = 0; i < tokens; i++) {
            const double *query = q + i * m->hidden + head * dim;
            double largest = -INFINITY, sum = 0;
            for (uint32_t j = 0; j < tokens; j++) {
                p[j] = 0;
                for (uint32_t d = 0; d < dim; d++)
                    p[j] += query[d] * k[j * m->hidden + head * dim + d] / sqrt(dim);
                largest = fmax(largest, p[j]);
            }
            for (uint32_t j = 0; j < tokens; j++)
                sum += p[j] = exp(p[j] - largest);
            for (uint32_t d = 0; d < dim; d++) {
                double mix = 0;
                for (uint32_t j = 0; j < tokens; j++)
                    mix += p[j] / sum * v[j * m->hidden + head * dim + d];
                out[i * m->hidden + head * dim + d] = mix;
            }
        }
    free(p);
}

static inline void reference_add(double *x, const double *y, size_t count)
{
    for (size_t i = 0; i < count; i++)
        x[i] += y[i];
}

/* x (tokens, hidden): the last layer's output. */
static inline void reference_bert(tiny_model *m, const uint32_t *ids, uint32_t tokens, double *x)
{
    uint32_t hidden = m->hidden;
    size_t size = (size_t)tokens * hidden, wide_size = (size_t)tokens * m->intermediate;
    const float *words = tiny_find(m, "embeddings.word_embeddings.weight")->values;
    const float *positions = tiny_find(m, "embeddings.position_embeddings.weight")->values;
    const float *types = tiny_find(m, "embeddings.token_type_embeddings.weight")->values;
    double *memory = malloc((5 * size + wide_size) * sizeof *memory);
    assert_non_null(memory);
    double *q = memory, *k = q + size, *v = k + size, *context = v + size, *y = context + size;
    double *wide = y + size;

    for (uint32_t i = 0; i < tokens; i++)
        for (uint32_t j = 0; j < hidden; j++)
            x[i * hidden + j] = (double)words[ids[i] * hidden + j] + (double)types[j] +
                                (double)positions[i * hidden + j];
    reference_norm(m, 0, "!embeddings.LayerNorm", x, tokens);
    for (uint32_t layer = 0; layer < m->layers; layer++) {
        reference_linear(m, layer, "attention.self.query", x, tokens, hidden, hidden, q);
        reference_linear(m, layer, "attention.self.key", x, tokens, hidden, hidden, k);
        reference_linear(m, layer, "attention.self.value", x, tokens, hidden, hidden, v);
        reference_attention(m, q, k, v, tokens, context);
        reference_linear(m, layer, "attention.output.dense", context, tokens, hidden, hidden, y);
        reference_add(x, y, size);
        reference_norm(m, layer, "attention.output.LayerNorm", x, tokens);
        reference_linear(m, layer, "intermediate.dense", x, tokens, m->intermediate, hidden, wide);
        for (size_t i = 0; i < wide_size; i++)
            wide[i] = reference_activation(m->activation, wide[i]);
        reference_linear(m, layer, "output.dense", wide, tokens, hidden, m->intermediate, y);
        reference_add(x, y, size);
        reference_norm(m, layer, "output.LayerNorm", x, tokens);
    }
    free(memory);
}

#endif
