/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The maths of an encoder layer, one table of functions an instruction set.
 *
 *     weights (n, k) --pack, once--> fby_linear --linear, linear_residual_norm--> activations
 *                                        q, k, v ----------attention-----------> activations
 *
 * Shapes: activations are row-major, a row a token, `ld` floats from one row to
 * the next. Weights come as in the model file, (n, k): n output features of k
 * inputs, and are packed once into panels of `panel_width` output columns.
 *
 * Sameness: what a function writes for a row depends on that row (attention: on
 * its text) alone, never on how many rows stand beside it or where it stands.
 * Each sum runs over k in one fixed order. Two tables give slightly different
 * bits.
 *
 * Bounds: nothing is read or written beyond the shapes given.
 *
 * NaN and infinity: a row that holds one, or whose sums overflow, comes out with
 * one or more, never as ordinary numbers; rows beside it have the bits that they
 * have without it. A linear layer and LayerNorm spoil all of the row, max() and
 * the other sums what they met. In attention what is in q spoils its row of the
 * head, what is in k or v every row of it. So a vector that is finite owes nothing
 * to one that is not, and the engine refuses the others (FBY_ENOTFINITE).
 *
 * Threads: everything here is a pure function of its arguments; nothing
 * allocates. Pointers to floats are 4-byte aligned and may end where a mapping
 * does; rows that start on cache lines (`ld` a multiple of 16) are faster.
 */
#ifndef FBY_COMPUTE_KERNELS_H
#define FBY_COMPUTE_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "base/cpu.h"

/* What a linear layer does with each row after y = x Wᵀ + bias. */
typedef enum fby_activation {
    FBY_ACTIVATION_NONE,
    FBY_ACTIVATION_GELU_ERF, /* y/2 (1 + erf(y/√2)), Hendrycks and Gimpel 2016; at most 6e-7 off */
    FBY_ACTIVATION_GELU_TANH, /* its tanh form, the same paper: "gelu_new", "gelu_pytorch_tanh" */
    FBY_ACTIVATION_RELU,
    FBY_ACTIVATION_TANH
} fby_activation;

/* The most that n or k of a linear layer may be: sizes in bytes cannot overflow then. */
#define FBY_LINEAR_MAX (1u << 24)

/*
 * A packed linear layer. `packed` is what pack() wrote, and belongs to the table
 * that packed it; bias included, panel by panel in the order of use, so panels
 * [a, b) of a layer are a layer of their own:
 *     {(char *)packed + a * panel_bytes, k, min(n, b * panel_width) - a * panel_width}
 * with panel_bytes = packed_bytes(64 panel_width, k) / 64: the whole ends on a cache line, a panel
 * may not.
 */
typedef struct fby_linear {
    const void *packed; /* 64-byte aligned */
    uint32_t n, k;      /* outputs, inputs: 1 … FBY_LINEAR_MAX */
} fby_linear;

typedef struct fby_layer_norm {
    const float *gamma, *beta; /* (n) */
    float epsilon;
    uint32_t n;
} fby_layer_norm;

typedef struct fby_narrow fby_narrow; /* compute/narrow.h */

typedef struct fby_kernels {
    const char *name;         /* the instruction set's; part of what names a packed file */
    uint32_t version;         /* of what pack() writes; grows with each change */
    uint32_t panel_width;     /* output columns in a panel */
    uint32_t row_tile;        /* rows in a full tile: batches are best cut to multiples of it */
    const fby_narrow *narrow; /* what a layer's products run on instead, in a copy of a table
                               * (model/encoder.h); NULL in all tables */

    /* Bytes that pack() writes for weights (n, k), a multiple of 64. */
    size_t (*packed_bytes)(uint32_t n, uint32_t k);
    /* w: (n, k), contiguous. bias: (n), or NULL for none. packed: 64-byte aligned. */
    void (*pack)(const float *w, const float *bias, uint32_t n, uint32_t k, void *packed);

    /* out (rows, n) = activation(x (rows, k) Wᵀ + bias). Not in place. */
    void (*linear)(const fby_linear *linear, fby_activation activation, const float *x, size_t ldx,
                   uint32_t rows, float *out, size_t ldo);

    /* out (rows, n) = LayerNorm(x (rows, k) Wᵀ + bias + residual (rows, n)). `out` may be
     * `residual`, not `x`. norm->n is linear->n. */
    void (*linear_residual_norm)(const fby_linear *linear, const fby_layer_norm *norm,
                                 const float *x, size_t ldx, const float *residual, size_t ldr,
                                 uint32_t rows, float *out, size_t ldo);

    /* x (rows, n) normalised in place: (x - mean) / sqrt(variance + epsilon) gamma + beta,
     * Ba, Kiros, Hinton 2016; variance over n, of the differences from the mean. */
    void (*layer_norm)(const fby_layer_norm *norm, float *x, size_t ldx, uint32_t rows);

    /* Bytes of 64-byte aligned scratch that attention() wants for a text of at most `tokens`. */
    size_t (*attention_scratch)(uint32_t tokens, uint32_t head_dim);
    /*
     * One text: q, k and v are (tokens, heads head_dim) each, `ld` floats from row to row: the
     * three thirds of a fused product's rows, or from a head on, some of the heads; out (tokens,
     * heads head_dim) = softmax(q kᵀ scale) v, head by head (Vaswani et al. 2017). Blocked over
     * keys with a running maximum and sum (Milakov and Gimelshein 2018), the blocks counted from
     * the text's first token. tokens and head_dim are at least 1; out is none of the inputs.
     */
    void (*attention)(const float *q, const float *k, const float *v, size_t ld, uint32_t tokens,
                      uint32_t heads, uint32_t head_dim, float scale, void *scratch, float *out,
                      size_t ldo);

    /* For embeddings and pooling: x (n) += y (n), and the larger of both. */
    void (*add)(float *x, const float *y, uint32_t n);
    void (*max)(float *x, const float *y, uint32_t n);
    /* x (n) *= factor. */
    void (*scale)(float *x, float factor, uint32_t n);
    /* Sum of x[i] y[i] in one fixed order. */
    float (*dot)(const float *x, const float *y, uint32_t n);
} fby_kernels;

/* The f32 table for `isa`, or for the widest one that it includes and this build has
 * (avx512vnni gives avx512). Products at other precisions: compute/narrow.h. */
const fby_kernels *fby_kernels_for(fby_isa isa);

/* Rows of each sub-batch (the last may have fewer) into which `rows` are best cut, where rows as
 * wide as `widest` floats are written by one product and read by the next: even parts, whole tiles,
 * in three quarters of a core's level 2 cache. At least 1. */
uint32_t fby_kernels_block_rows(const fby_kernels *kernels, uint32_t rows, uint32_t widest);

/* Floating-point operations a second of one core with the f32 instructions of `isa`, measured
 * for about 50 ms on the calling thread; every accumulator is used, so that none is dropped.
 * `isa` is one that fby_isa_available() allows. */
double fby_kernels_peak(fby_isa isa);

#endif
