/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AVX-512 (F, BW, DQ, VL) with FMA. Contracts: compute/kernels.h. Included by
 * files compiled for that instruction set, and by tests.
 */
#ifndef FBY_COMPUTE_AVX512_H
#define FBY_COMPUTE_AVX512_H

#include "compute/kernels.h"

/* A tile: 14 rows of 32 columns, two vectors a row; 28 accumulators of 32 registers. */
enum { FBY_AVX512_PANEL = 32, FBY_AVX512_ROWS = 14 };

/* Rows that LayerNorm takes at a time. */
enum { FBY_AVX512_NORM_ROWS = 4 };

size_t fby_avx512_packed_bytes(uint32_t n, uint32_t k);
void fby_avx512_pack(const float *w, const float *bias, uint32_t n, uint32_t k, void *packed);
void fby_avx512_linear(const fby_linear *linear, fby_activation activation, const float *x,
                       size_t ldx, uint32_t rows, float *out, size_t ldo);
void fby_avx512_linear_residual_norm(const fby_linear *linear, const fby_layer_norm *norm,
                                     const float *x, size_t ldx, const float *residual, size_t ldr,
                                     uint32_t rows, float *out, size_t ldo);
void fby_avx512_layer_norm(const fby_layer_norm *norm, float *x, size_t ldx, uint32_t rows);
size_t fby_avx512_attention_scratch(uint32_t tokens, uint32_t head_dim);
void fby_avx512_attention(const float *q, const float *k, const float *v, size_t ld,
                          uint32_t tokens, uint32_t heads, uint32_t head_dim, float scale,
                          void *scratch, float *out, size_t ldo);
void fby_avx512_add(float *x, const float *y, uint32_t n);
void fby_avx512_max(float *x, const float *y, uint32_t n);
void fby_avx512_scale(float *x, float factor, uint32_t n);
float fby_avx512_dot(const float *x, const float *y, uint32_t n);

/* x (rows, columns) = activation(x), in place. */
void fby_avx512_activate(fby_activation activation, float *x, size_t ldx, uint32_t rows,
                         uint32_t columns);

/* The same, GELU (erf) within 1.5e-4: for what becomes codes of 8 bits. */
void fby_avx512_activate_coarse(fby_activation activation, float *x, size_t ldx, uint32_t rows,
                                uint32_t columns);

/* x (n) = 2^x: what softmax and the activations use, for tests. */
void fby_avx512_exp2(float *x, uint32_t n);

#endif
