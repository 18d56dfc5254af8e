/* SPDX-License-Identifier: Apache-2.0 */
#include "compute/bf16.h"

#include "base/assert.h"
#include "compute/narrow.h"

size_t fby_bf16_packed_bytes(fby_bf16_shape shape, uint32_t n, uint32_t k)
{
    return fby_div_up_u32(n, shape.width) * fby_bf16_panel_bytes(shape, k);
}

void fby_bf16_pack(fby_bf16_shape shape, const float *w, const float *bias, uint32_t n, uint32_t k,
                   void *packed)
{
    fby_assert(n - 1 < FBY_LINEAR_MAX && k - 1 < FBY_NARROW_K_MAX);
    memset(packed, 0, fby_bf16_packed_bytes(shape, n, k));
    for (uint32_t column = 0; column < n; column++) {
        char *panel = (char *)packed + column / shape.width * fby_bf16_panel_bytes(shape, k);
        uint32_t at = column % shape.width;
        uint16_t *to = (uint16_t *)panel;
        for (size_t j = 0; j < k; j++)
            to[(j / shape.group * shape.width + at) * shape.group + j % shape.group] =
                fby_bf16_of(w[(size_t)column * k + j]);
        if (bias != NULL)
            ((float *)(panel + fby_bf16_bias_at(shape, k)))[at] = bias[column];
    }
}
