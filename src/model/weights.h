/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The image of a model's weights: everything that a forward pass reads, in the
 * order in which it reads it, packed for one table of kernels (and, if that has
 * one, for its narrow table: the products of the layers).
 *
 *     words | positions | norm | layer 0: qkv, output, norm, up, down, norm | ... | dense ...
 *
 * Each part begins on a cache line. Where it lies follows from the configuration
 * and the table alone, so an image is only bytes: made in memory, or mapped from
 * a file.
 */
#ifndef FBY_MODEL_WEIGHTS_H
#define FBY_MODEL_WEIGHTS_H

#include <stddef.h>
#include <stdint.h>

#include "compute/kernels.h"
#include "model/checkpoint.h"
#include "model/config.h"
#include "model/sample.h"

typedef struct fby_layer_weights {
    fby_linear qkv;    /* (3 hidden, hidden): query, key and value one above the other */
    fby_linear output; /* (hidden, hidden) */
    fby_layer_norm attention_norm;
    fby_linear up;   /* (intermediate, hidden) */
    fby_linear down; /* (hidden, intermediate) */
    fby_layer_norm output_norm;
} fby_layer_weights;

typedef struct fby_weights {
    const float *words;     /* (vocabulary, hidden), ld_hidden floats from row to row */
    const float *positions; /* (max_tokens, hidden), likewise; with token type 0 added */
    size_t ld_hidden;
    fby_layer_norm embedding_norm;
    fby_layer_weights *layers;
    fby_linear dense[FBY_MODULES_MAX]; /* by module */
} fby_weights;

/* Bytes of the image, a multiple of 64. */
size_t fby_weights_bytes(const fby_config *config, const fby_kernels *kernels);

/* Points into `image`, which is 64-byte aligned and stays; FBY_ENOMEM. */
fby_status fby_weights_bind(const fby_config *config, const fby_kernels *kernels, const void *image,
                            fby_weights *weights);
void fby_weights_unbind(fby_weights *weights);

/* What is packed from: the Transformer's checkpoint, and each Dense module's, all mapped. */
typedef struct fby_sources {
    const fby_checkpoint *transformer;
    const fby_checkpoint *dense[FBY_MODULES_MAX];
    const fby_sample *sample; /* for narrow kernels that want sizes; else NULL is fine */
} fby_sources;

/*
 * Whether every tensor is there and of the shape that the configuration asks
 * for; then an image of fby_weights_bytes() is no larger than the files justify.
 * The first at fault is named.
 */
fby_status fby_weights_check(const fby_config *config, const fby_sources *sources);

/* Writes the image, zeroed before; fby_weights_check() has passed. FBY_ENOMEM. */
fby_status fby_weights_pack(const fby_config *config, const fby_kernels *kernels,
                            const fby_sources *sources, void *image);

#endif
