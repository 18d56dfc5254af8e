/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The products of an encoder layer on narrow numbers: bf16, or int8 with a scale.
 *
 *     weights (n, k) --pack, once--------------------> fby_linear --+
 *     x (rows, k) f32 --operand--> rows as a product takes them ----+--> f32, or the next operand
 *
 * An operand is a left side: rows of numbers of the table's own kind, each
 * operand_bytes(k) bytes after the one before. What a product gives is f32, and
 * where another product reads it, its operand is written by the same call while
 * the row is near. Residuals, LayerNorm, activations and softmax are f32.
 *
 * An operand is made for one layer, whose packed weights say which inputs it
 * keeps apart (compute/int8.h); layers packed with the same `sizes` share it.
 *
 * Sameness, bounds, threads, and what becomes of NaN and infinity in a row: as in
 * compute/kernels.h. Weights are finite (model/weights.c refuses others).
 */
#ifndef FBY_COMPUTE_NARROW_H
#define FBY_COMPUTE_NARROW_H

#include "compute/kernels.h"
#include "forebay/embed.h"

/* The most inputs of a layer: sums of products fit into 32 bits. */
#define FBY_NARROW_K_MAX (1u << 15)

struct fby_narrow {
    const char *name;      /* the instruction set's */
    const char *precision; /* "bf16", "int8" */
    uint32_t version;      /* of what pack() writes; grows with each change */
    uint32_t panel_width;  /* output columns in a panel */
    uint32_t row_tile;     /* rows in a full tile */
    bool wants_sizes;      /* pack() reads `sizes` */

    /* Bytes that pack() writes for weights (n, k), a multiple of 64. k is at most
     * FBY_NARROW_K_MAX. */
    size_t (*packed_bytes)(uint32_t n, uint32_t k);
    /* As fby_kernels.pack(). sizes (k): how large each input is in practice, in any unit. */
    void (*pack)(const float *w, const float *bias, const float *sizes, uint32_t n, uint32_t k,
                 void *packed);

    /* Bytes of a row of a left side, a multiple of 64. */
    size_t (*operand_bytes)(uint32_t k);
    /* x (rows, next->k) as `next` takes it. out: 64-byte aligned. */
    void (*operand)(const fby_linear *next, const float *x, size_t ldx, uint32_t rows, void *out);

    /* out (rows, n) = activation(x Wᵀ + bias). */
    void (*linear)(const fby_linear *linear, fby_activation activation, const void *x,
                   uint32_t rows, float *out, size_t ldo);
    /* The same as an operand of `next`; next->k is linear->n. wide (rows, n), ldw apart, is
     * scratch. */
    void (*linear_operand)(const fby_linear *linear, fby_activation activation, const void *x,
                           uint32_t rows, const fby_linear *next, float *wide, size_t ldw,
                           void *out);
    /* out (rows, n) = LayerNorm(x Wᵀ + bias + residual (rows, n)), which `out` may be, and unless
     * `next` is NULL the same as its operand. */
    void (*linear_residual_norm)(const fby_linear *linear, const fby_layer_norm *norm,
                                 const void *x, const float *residual, size_t ldr, uint32_t rows,
                                 float *out, size_t ldo, const fby_linear *next, void *operand);

    /*
     * Attention on bf16, or NULL where it runs on f32 as everywhere else; then so are the other
     * two. linear_bf16: linear() without an activation, its rows rounded to bf16, ldo numbers
     * apart. attention: as fby_kernels.attention(); head_dim and ld are even, rows 4-byte aligned.
     */
    void (*linear_bf16)(const fby_linear *linear, const void *x, uint32_t rows, uint16_t *out,
                        size_t ldo);
    size_t (*attention_scratch)(uint32_t tokens, uint32_t head_dim);
    void (*attention)(const uint16_t *q, const uint16_t *k, const uint16_t *v, size_t ld,
                      uint32_t tokens, uint32_t heads, uint32_t head_dim, float scale,
                      void *scratch, float *out, size_t ldo);

    /* As those of compute/tables.h, with the instructions that the products run on; NULL: they are
     * those of f32. */
    uint64_t (*peak_loop)(uint64_t rounds, float *sink);
};

/* The table of `precision` for the widest instruction set that `isa` includes; NULL for f32. */
const fby_narrow *fby_narrow_for(fby_precision precision, fby_isa isa);

/* As fby_kernels_block_rows(). */
uint32_t fby_narrow_block_rows(const fby_narrow *narrow, uint32_t rows, uint32_t widest);

/* As fby_kernels_peak(), with the instructions of a precision's products. */
double fby_narrow_peak(fby_precision precision, fby_isa isa);

/* "f32", "bf16", "int8". */
const char *fby_precision_name(fby_precision precision);

#endif
