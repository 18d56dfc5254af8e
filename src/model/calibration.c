/* SPDX-License-Identifier: Apache-2.0 */
#include "model/calibration.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/platform.h"
#include "model/weights.h"

enum step { QKV, OUTPUT, UP, DOWN, STEPS };

struct fby_calibration {
    const fby_config *config;
    const fby_kernels *kernels;
    const fby_sample *sample;
    enum step step;
    uint32_t rows, hidden, inner;
    void *packed; /* one product */
    void *scratch;
    float *x;                    /* (rows, hidden) */
    float *qkv, *context, *wide; /* (rows, 3 hidden), (rows, hidden), (rows, inner) */
    float *sizes;                /* (the larger of hidden and inner) */
};

static void *memory(size_t bytes)
{
    return aligned_alloc(FBY_CACHELINE, fby_align_up(bytes + 1, FBY_CACHELINE));
}

static void embed(const fby_calibration *c, const fby_weights *weights)
{
    const fby_sample *sample = c->sample;
    size_t ld = weights->ld_hidden;
    for (uint32_t text = 0; text < FBY_SAMPLE_TEXTS; text++)
        for (uint32_t i = sample->starts[text]; i < sample->starts[text + 1]; i++) {
            float *row = c->x + (size_t)i * c->hidden;
            memcpy(row, weights->words + sample->ids[i] * ld, c->hidden * sizeof *row);
            c->kernels->add(row, weights->positions + (i - sample->starts[text]) * ld, c->hidden);
        }
    c->kernels->layer_norm(&weights->embedding_norm, c->x, c->hidden, c->rows);
}

/* The largest magnitude times the root of the mean square: what a column costs the others' range
 * and what its weights' rounding costs, both. */
static void measure(fby_calibration *c, const float *x, uint32_t k)
{
    for (uint32_t j = 0; j < k; j++) {
        float most = 0.0f;
        double squares = 0.0;
        for (size_t row = 0; row < c->rows; row++) {
            float value = fabsf(x[row * k + j]);
            most = value > most ? value : most;
            squares += (double)value * (double)value;
        }
        c->sizes[j] = most * (float)sqrt(squares / c->rows);
    }
}

fby_status fby_calibration_new(const fby_config *config, const fby_kernels *kernels,
                               const fby_weights *weights, const fby_sample *sample,
                               fby_calibration **out)
{
    fby_calibration *c = calloc(1, sizeof *c);
    uint32_t hidden = config->bert.hidden, inner = config->bert.intermediate;
    size_t rows = sample->starts[FBY_SAMPLE_TEXTS];
    if (c == NULL)
        return fby_error(FBY_ENOMEM, "no memory to measure activations");
    *c = (fby_calibration){
        .config = config,
        .kernels = kernels,
        .sample = sample,
        .rows = (uint32_t)rows,
        .hidden = hidden,
        .inner = inner,
        .packed = memory(fby_max_size(kernels->packed_bytes(3 * hidden, hidden),
                                      fby_max_size(kernels->packed_bytes(inner, hidden),
                                                   kernels->packed_bytes(hidden, inner)))),
        .scratch =
            memory(kernels->attention_scratch(FBY_SAMPLE_TOKENS, hidden / config->bert.heads)),
        .x = memory(rows * hidden * sizeof(float)),
        .qkv = memory(rows * 3 * hidden * sizeof(float)),
        .context = memory(rows * hidden * sizeof(float)),
        .wide = memory(rows * inner * sizeof(float)),
        .sizes = memory(fby_max_size(hidden, inner) * sizeof(float)),
    };
    if (c->packed == NULL || c->scratch == NULL || c->x == NULL || c->qkv == NULL ||
        c->context == NULL || c->wide == NULL || c->sizes == NULL) {
        fby_calibration_free(c);
        return fby_error(FBY_ENOMEM, "no memory to measure activations");
    }
    embed(c, weights);
    measure(c, c->x, hidden);
    *out = c;
    return FBY_OK;
}

void fby_calibration_free(fby_calibration *c)
{
    if (c == NULL)
        return;
    free(c->packed);
    free(c->scratch);
    free(c->x);
    free(c->qkv);
    free(c->context);
    free(c->wide);
    free(c->sizes);
    free(c);
}

const float *fby_calibration_sizes(const fby_calibration *c)
{
    return c->sizes;
}

static void attend(const fby_calibration *c)
{
    uint32_t dim = c->hidden / c->config->bert.heads;
    size_t ld = (size_t)3 * c->hidden;
    for (uint32_t text = 0; text < FBY_SAMPLE_TEXTS; text++) {
        uint32_t start = c->sample->starts[text];
        const float *q = c->qkv + start * ld;
        c->kernels->attention(q, q + c->hidden, q + 2 * (size_t)c->hidden, ld,
                              c->sample->starts[text + 1] - start, c->config->bert.heads, dim,
                              1.0f / sqrtf((float)dim), c->scratch,
                              c->context + (size_t)start * c->hidden, c->hidden);
    }
}

static fby_linear pack(const fby_calibration *c, const float *w, const float *bias, uint32_t n,
                       uint32_t k)
{
    c->kernels->pack(w, bias, n, k, c->packed);
    return (fby_linear){c->packed, n, k};
}

void fby_calibration_step(fby_calibration *c, const float *w, const float *bias,
                          const fby_layer_norm *norm)
{
    uint32_t hidden = c->hidden, inner = c->inner;
    fby_linear linear;
    switch (c->step) {
    case QKV:
        linear = pack(c, w, bias, 3 * hidden, hidden);
        c->kernels->linear(&linear, FBY_ACTIVATION_NONE, c->x, hidden, c->rows, c->qkv,
                           (size_t)3 * hidden);
        attend(c);
        measure(c, c->context, hidden);
        break;
    case OUTPUT:
        linear = pack(c, w, bias, hidden, hidden);
        c->kernels->linear_residual_norm(&linear, norm, c->context, hidden, c->x, hidden, c->rows,
                                         c->x, hidden);
        measure(c, c->x, hidden);
        break;
    case UP:
        linear = pack(c, w, bias, inner, hidden);
        c->kernels->linear(&linear, c->config->bert.activation, c->x, hidden, c->rows, c->wide,
                           inner);
        measure(c, c->wide, inner);
        break;
    default:
        linear = pack(c, w, bias, hidden, inner);
        c->kernels->linear_residual_norm(&linear, norm, c->wide, inner, c->x, hidden, c->rows, c->x,
                                         hidden);
        measure(c, c->x, hidden);
        break;
    }
    c->step = (c->step + 1) % STEPS;
}
