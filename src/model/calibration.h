/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How large each input of a layer's products is, found by running the layer in
 * f32 on a sample while its weights go by.
 *
 *     begin --> for each layer: (sizes, then the product) of qkv, output, up, down
 *
 * One thread. It holds the activations of the sample and one packed product.
 */
#ifndef FBY_MODEL_CALIBRATION_H
#define FBY_MODEL_CALIBRATION_H

#include "base/status.h"
#include "compute/kernels.h"
#include "model/config.h"
#include "model/sample.h"

struct fby_weights;

typedef struct fby_calibration fby_calibration;

/* `weights` have words, positions and the norm after them. FBY_ENOMEM. */
fby_status fby_calibration_new(const fby_config *config, const fby_kernels *kernels,
                               const struct fby_weights *weights, const fby_sample *sample,
                               fby_calibration **calibration);
void fby_calibration_free(fby_calibration *calibration);

/* Of the product whose turn it is: for each input, the largest magnitude times the root of the mean
 * square. */
const float *fby_calibration_sizes(const fby_calibration *calibration);

/* Runs that product, w (n, k) and bias (n), and what follows it up to the next one. `norm` follows
 * output and down; NULL for qkv and up. */
void fby_calibration_step(fby_calibration *calibration, const float *w, const float *bias,
                          const fby_layer_norm *norm);

#endif
