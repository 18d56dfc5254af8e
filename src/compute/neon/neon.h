/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NEON of ARMv8-A. Contracts: compute/kernels.h. Included by files compiled for that
 * instruction set, and by tests.
 */
#ifndef FBY_COMPUTE_NEON_H
#define FBY_COMPUTE_NEON_H

#include "compute/kernels.h"

/* A tile: 6 rows of 16 columns, four vectors a row; 24 accumulators of 32 registers. */
enum { FBY_NEON_PANEL = 16, FBY_NEON_VECTORS = FBY_NEON_PANEL / 4, FBY_NEON_ROWS = 6 };

size_t fby_neon_packed_bytes(uint32_t n, uint32_t k);
void fby_neon_pack(const float *w, const float *bias, uint32_t n, uint32_t k, void *packed);
void fby_neon_linear(const fby_linear *linear, fby_activation activation, const float *x,
                     size_t ldx, uint32_t rows, float *out, size_t ldo);
void fby_neon_linear_residual_norm(const fby_linear *linear, const fby_layer_norm *norm,
                                   const float *x, size_t ldx, const float *residual, size_t ldr,
                                   uint32_t rows, float *out, size_t ldo);
void fby_neon_layer_norm(const fby_layer_norm *norm, float *x, size_t ldx, uint32_t rows);
size_t fby_neon_attention_scratch(uint32_t tokens, uint32_t head_dim);
void fby_neon_attention(const float *q, const float *k, const float *v, size_t ld, uint32_t tokens,
                        uint32_t heads, uint32_t head_dim, float scale, void *scratch, float *out,
                        size_t ldo);
void fby_neon_add(float *x, const float *y, uint32_t n);
void fby_neon_max(float *x, const float *y, uint32_t n);
void fby_neon_scale(float *x, float factor, uint32_t n);
float fby_neon_dot(const float *x, const float *y, uint32_t n);

/* x (rows, columns) = activation(x), in place. */
void fby_neon_activate(fby_activation activation, float *x, size_t ldx, uint32_t rows,
                       uint32_t columns);

/* x (n) = 2^x: what softmax and the activations use, for tests. */
void fby_neon_exp2(float *x, uint32_t n);

#endif
