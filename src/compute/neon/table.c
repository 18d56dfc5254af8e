/* SPDX-License-Identifier: Apache-2.0 */
#include "compute/tables.h"
#include "compute/neon/neon.h"

const fby_kernels fby_kernels_neon = {
    .name = "neon",
    .version = 1,
    .panel_width = FBY_NEON_PANEL,
    .row_tile = FBY_NEON_ROWS,
    .packed_bytes = fby_neon_packed_bytes,
    .pack = fby_neon_pack,
    .linear = fby_neon_linear,
    .linear_residual_norm = fby_neon_linear_residual_norm,
    .layer_norm = fby_neon_layer_norm,
    .attention_scratch = fby_neon_attention_scratch,
    .attention = fby_neon_attention,
    .add = fby_neon_add,
    .max = fby_neon_max,
    .scale = fby_neon_scale,
    .dot = fby_neon_dot,
};
