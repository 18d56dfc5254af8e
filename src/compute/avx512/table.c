/* SPDX-License-Identifier: Apache-2.0 */
#include "compute/tables.h"
#include "compute/avx512/avx512.h"

const fby_kernels fby_kernels_avx512 = {
    .name = "avx512",
    .version = 1,
    .panel_width = FBY_AVX512_PANEL,
    .row_tile = FBY_AVX512_ROWS,
    .packed_bytes = fby_avx512_packed_bytes,
    .pack = fby_avx512_pack,
    .linear = fby_avx512_linear,
    .linear_residual_norm = fby_avx512_linear_residual_norm,
    .layer_norm = fby_avx512_layer_norm,
    .attention_scratch = fby_avx512_attention_scratch,
    .attention = fby_avx512_attention,
    .add = fby_avx512_add,
    .max = fby_avx512_max,
    .scale = fby_avx512_scale,
    .dot = fby_avx512_dot,
};
