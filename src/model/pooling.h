/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the rows of a text to its vector: pooling, then the modules behind it.
 * Every sum runs in one order, over the text's own rows: sameness holds.
 */
#ifndef FBY_MODEL_POOLING_H
#define FBY_MODEL_POOLING_H

#include <stddef.h>
#include <stdint.h>

#include "model/weights.h"

/* out (dim), any alignment, from rows (tokens, dim), `ld` floats from row to row; at least one. */
void fby_pool(const fby_kernels *kernels, fby_pooling pooling, const float *rows, size_t ld,
              uint32_t tokens, uint32_t dim, float *out);

/* Bytes of 64-byte aligned scratch for fby_pooling_run(), however many texts. */
size_t fby_pooling_scratch(const fby_config *config);

/* vectors[i] (config->dim) for the rows starts[i] … starts[i + 1] - 1 of `rows`: pooled, then
 * through every Dense and Normalize of the configuration. */
void fby_pooling_run(const fby_config *config, const fby_kernels *kernels,
                     const fby_weights *weights, const float *rows, const uint32_t *starts,
                     uint32_t texts, void *scratch, float *const *vectors);

#endif
