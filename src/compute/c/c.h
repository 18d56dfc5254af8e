/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plain C: the kernels of every machine, and what the others are compared with.
 * Sums and products are apart (no fma), so the bits are the same on each
 * processor and with each compiler. Contracts: compute/kernels.h.
 */
#ifndef FBY_COMPUTE_C_H
#define FBY_COMPUTE_C_H

#include "compute/kernels.h"

enum { FBY_C_PANEL = 8, FBY_C_ROWS = 4 };

size_t fby_c_packed_bytes(uint32_t n, uint32_t k);
void fby_c_pack(const float *w, const float *bias, uint32_t n, uint32_t k, void *packed);
void fby_c_linear(const fby_linear *linear, fby_activation activation, const float *x, size_t ldx,
                  uint32_t rows, float *out, size_t ldo);
void fby_c_linear_residual_norm(const fby_linear *linear, const fby_layer_norm *norm,
                                const float *x, size_t ldx, const float *residual, size_t ldr,
                                uint32_t rows, float *out, size_t ldo);
void fby_c_layer_norm(const fby_layer_norm *norm, float *x, size_t ldx, uint32_t rows);
size_t fby_c_attention_scratch(uint32_t tokens, uint32_t head_dim);
void fby_c_attention(const float *q, const float *k, const float *v, size_t ld, uint32_t tokens,
                     uint32_t heads, uint32_t head_dim, float scale, void *scratch, float *out,
                     size_t ldo);
void fby_c_add(float *x, const float *y, uint32_t n);
void fby_c_max(float *x, const float *y, uint32_t n);
void fby_c_scale(float *x, float factor, uint32_t n);
float fby_c_dot(const float *x, const float *y, uint32_t n);

/* 2^t for t <= 0; 0 below -126. At most 1.3 ulp off. */
float fby_c_exp2(float t);
/* x (n) = activation(x). */
void fby_c_activate(fby_activation activation, float *x, uint32_t n);

#endif
