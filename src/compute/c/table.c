/* SPDX-License-Identifier: Apache-2.0 */
#include "compute/tables.h"
#include "compute/c/c.h"

const fby_kernels fby_kernels_c = {
    .name = "c",
    .version = 1,
    .panel_width = FBY_C_PANEL,
    .row_tile = FBY_C_ROWS,
    .packed_bytes = fby_c_packed_bytes,
    .pack = fby_c_pack,
    .linear = fby_c_linear,
    .linear_residual_norm = fby_c_linear_residual_norm,
    .layer_norm = fby_c_layer_norm,
    .attention_scratch = fby_c_attention_scratch,
    .attention = fby_c_attention,
    .add = fby_c_add,
    .max = fby_c_max,
    .scale = fby_c_scale,
    .dot = fby_c_dot,
};
