/* SPDX-License-Identifier: Apache-2.0 */
/* Attention on bf16, of the narrow tables that have AVX512-BF16. Contract: compute/narrow.h. */
#ifndef FBY_COMPUTE_AVX512_ATTENTION_BF16_H
#define FBY_COMPUTE_AVX512_ATTENTION_BF16_H

#include <stddef.h>
#include <stdint.h>

size_t fby_avx512_attention_bf16_scratch(uint32_t tokens, uint32_t head_dim);
void fby_avx512_attention_bf16(const uint16_t *q, const uint16_t *k, const uint16_t *v, size_t ld,
                               uint32_t tokens, uint32_t heads, uint32_t head_dim, float scale,
                               void *scratch, float *out, size_t ldo);

#endif
