/* SPDX-License-Identifier: Apache-2.0 */
#include "compute/tables.h"
#include "compute/avx2/avx2.h"

const fby_kernels fby_kernels_avx2 = {
    .name = "avx2",
    .version = 1,
    .panel_width = FBY_AVX2_PANEL,
    .row_tile = FBY_AVX2_ROWS,
    .packed_bytes = fby_avx2_packed_bytes,
    .pack = fby_avx2_pack,
    .linear = fby_avx2_linear,
    .linear_residual_norm = fby_avx2_linear_residual_norm,
    .layer_norm = fby_avx2_layer_norm,
    .attention_scratch = fby_avx2_attention_scratch,
    .attention = fby_avx2_attention,
    .add = fby_avx2_add,
    .max = fby_avx2_max,
    .scale = fby_avx2_scale,
    .dot = fby_avx2_dot,
};
