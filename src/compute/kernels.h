/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The maths of an encoder layer, one table of functions an instruction set.
 *
 * Shapes: activations are row-major, a row a token, `ld` floats from one row to
 * the next. Weights come as in the model file, (n, k): n output features of k
 * inputs, and are packed once into panels of `panel_width` output columns.
 *
 * Sameness: what a function writes for a row depends on that row (attention: on
 * its text) alone, never on how many rows stand beside it. Each sum runs over k
 * in one fixed order.
 *
 * Threads: everything here is a pure function of its arguments; nothing
 * allocates. Pointers are 64-byte aligned, `ld` a multiple of 16, unless said.
 */
#ifndef FBY_COMPUTE_KERNELS_H
#define FBY_COMPUTE_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "base/cpu.h"

/* What a linear layer does with each row after y = x Wᵀ + bias. */
typedef enum fby_activation {
    FBY_ACTIVATION_NONE,
    FBY_ACTIVATION_GELU_ERF,  /* y/2 (1 + erf(y/√2)), Hendrycks and Gimpel 2016 */
    FBY_ACTIVATION_GELU_TANH, /* its tanh form, the same paper: "gelu_new", "gelu_pytorch_tanh" */
    FBY_ACTIVATION_RELU,
    FBY_ACTIVATION_TANH
} fby_activation;

/* A packed linear layer. `panels` holds ceil(n / panel_width) panels, each (k, panel_width),
 * the last padded with zeros; `bias` has n floats padded with zeros to whole panels. */
typedef struct fby_linear {
    const float *panels;
    const float *bias;
    uint32_t k, n;
} fby_linear;

typedef struct fby_layer_norm {
    const float *gamma, *beta; /* (n) */
    float epsilon;
    uint32_t n;
} fby_layer_norm;

typedef struct fby_kernels {
    const char *name;     /* the instruction set's */
    uint32_t panel_width; /* output columns in a panel */
    uint32_t row_tile;    /* rows in a full tile: batches are best cut to multiples of it */

    /* Floats that pack() writes for weights (n, k). */
    size_t (*packed_floats)(uint32_t n, uint32_t k);
    /* w: (n, k), contiguous, any alignment. */
    void (*pack)(const float *w, uint32_t n, uint32_t k, float *panels);

    /* out (rows, n) = activation(x (rows, k) Wᵀ + bias). Not in place. */
    void (*linear)(const fby_linear *linear, fby_activation activation, const float *x, size_t ldx,
                   uint32_t rows, float *out, size_t ldo);

    /* out (rows, n) = LayerNorm(x (rows, k) Wᵀ + bias + residual (rows, n)). `out` may be
     * `residual`. */
    void (*linear_residual_norm)(const fby_linear *linear, const fby_layer_norm *norm,
                                 const float *x, size_t ldx, const float *residual, size_t ldr,
                                 uint32_t rows, float *out, size_t ldo);

    /* x (rows, n) normalised in place: (x - mean) / sqrt(variance + epsilon) gamma + beta,
     * Ba, Kiros, Hinton 2016; variance over n. */
    void (*layer_norm)(const fby_layer_norm *norm, float *x, size_t ldx, uint32_t rows);

    /* Bytes of scratch that attention() wants for a text of `tokens`, any head count. */
    size_t (*attention_scratch)(uint32_t tokens, uint32_t head_dim);
    /*
     * One text: qkv (tokens, 3 heads head_dim) holds q, k and v of all heads side by side;
     * out (tokens, heads head_dim) = softmax(q kᵀ scale) v, head by head (Vaswani 2017).
     * head_dim is a multiple of 8.
     */
    void (*attention)(const float *qkv, size_t ldqkv, uint32_t tokens, uint32_t heads,
                      uint32_t head_dim, float scale, void *scratch, float *out, size_t ldo);

    /* x (n) += y (n), and the largest of both: for embeddings and pooling. Any alignment. */
    void (*add)(float *x, const float *y, uint32_t n);
    void (*max)(float *x, const float *y, uint32_t n);
    /* x (n) *= factor. */
    void (*scale)(float *x, float factor, uint32_t n);
    /* Sum of x[i] y[i] in one fixed order. */
    float (*dot)(const float *x, const float *y, uint32_t n);
} fby_kernels;

/* The table for `isa`, or for the widest f32 one that it includes (avx512vnni gives avx512). */
const fby_kernels *fby_kernels_for(fby_isa isa);

/* Floating-point operations a second of one core with the f32 instructions of `isa`, measured
 * for about 50 ms on the calling thread; every accumulator is used, so that none is dropped. */
double fby_kernels_peak(fby_isa isa);

#endif
