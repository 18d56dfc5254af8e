/* SPDX-License-Identifier: Apache-2.0 */
#include "model/pooling.h"

#include <math.h>
#include <string.h>

#include "base/bits.h"
#include "base/platform.h"

/* Vectors that go through the modules at once. */
enum { ROWS = 32, LINE = FBY_CACHELINE / sizeof(float) };

void fby_pool(const fby_kernels *kernels, fby_pooling pooling, const float *rows, size_t ld,
              uint32_t tokens, uint32_t dim, float *out)
{
    uint32_t first = pooling == FBY_POOLING_LAST_TOKEN ? tokens - 1 : 0;
    memcpy(out, rows + first * ld, dim * sizeof *out);
    switch (pooling) {
    case FBY_POOLING_CLS:
    case FBY_POOLING_LAST_TOKEN:
        return;
    case FBY_POOLING_MAX:
        for (uint32_t i = 1; i < tokens; i++)
            kernels->max(out, rows + i * ld, dim);
        return;
    case FBY_POOLING_MEAN:
    case FBY_POOLING_MEAN_SQRT_LEN:
        for (uint32_t i = 1; i < tokens; i++)
            kernels->add(out, rows + i * ld, dim);
        kernels->scale(
            out, 1.0f / (pooling == FBY_POOLING_MEAN ? (float)tokens : sqrtf((float)tokens)), dim);
        return;
    }
}

static size_t widest(const fby_config *config)
{
    size_t width = config->bert.hidden;
    for (uint32_t i = 0; i < config->modules.count; i++)
        width = fby_max_size(width, config->modules.list[i].dense.out);
    return fby_align_up(width, LINE);
}

size_t fby_pooling_scratch(const fby_config *config)
{
    return config->modules.count > 2 ? 2 * ROWS * widest(config) * sizeof(float) : 0;
}

/* x / max(length, 1e-12), as torch.nn.functional.normalize; NaN where the squares overflow, of
 * which torch makes zeros. */
static void normalize(const fby_kernels *kernels, float *x, size_t ld, uint32_t rows, uint32_t dim)
{
    for (uint32_t i = 0; i < rows; i++, x += ld) {
        float squares = kernels->dot(x, x, dim);
        kernels->scale(x, squares < INFINITY ? 1.0f / fmaxf(sqrtf(squares), 1e-12f) : NAN, dim);
    }
}

/* At most ROWS vectors, pooled into `from`; `to` is as large. */
static void run_modules(const fby_config *config, const fby_kernels *kernels,
                        const fby_weights *weights, uint32_t rows, float *from, float *to,
                        float *const *vectors)
{
    size_t ld = widest(config);
    uint32_t dim = config->bert.hidden;
    for (uint32_t i = 2; i < config->modules.count; i++) {
        const fby_module *module = &config->modules.list[i];
        if (module->kind == FBY_MODULE_NORMALIZE) {
            normalize(kernels, from, ld, rows, dim);
            continue;
        }
        kernels->linear(&weights->dense[i], module->dense.activation, from, ld, rows, to, ld);
        float *swap = from;
        from = to;
        to = swap;
        dim = module->dense.out;
    }
    for (uint32_t i = 0; i < rows; i++)
        memcpy(vectors[i], from + i * ld, dim * sizeof **vectors);
}

void fby_pooling_run(const fby_config *config, const fby_kernels *kernels,
                     const fby_weights *weights, const float *rows, const uint32_t *starts,
                     uint32_t texts, void *scratch, float *const *vectors)
{
    size_t ld = weights->ld_hidden, wide = widest(config);
    uint32_t dim = config->bert.hidden;
    bool direct = config->modules.count <= 2;
    float *pooled = scratch;

    for (uint32_t first = 0; first < texts; first += ROWS) {
        uint32_t count = fby_min_u32(ROWS, texts - first);
        for (uint32_t i = 0; i < count; i++) {
            uint32_t start = starts[first + i], tokens = starts[first + i + 1] - start;
            fby_pool(kernels, config->pooling.pooling, rows + start * ld, ld, tokens, dim,
                     direct ? vectors[first + i] : pooled + i * wide);
        }
        if (!direct)
            run_modules(config, kernels, weights, count, pooled, pooled + ROWS * wide,
                        vectors + first);
    }
}
