/* SPDX-License-Identifier: Apache-2.0 */
#include "compute/search_kernels.h"

static void dots_i8(const int8_t *codes, size_t stride, size_t rows, const int16_t *query,
                    const int16_t *check, uint32_t n, uint32_t *dots, uint32_t *checks)
{
    for (size_t i = 0; i < rows; i++, codes += stride) {
        uint32_t dot = 0, sum = 0;
        for (uint32_t j = 0; j < n; j++) {
            dot += (uint32_t)(codes[j] * query[j]);
            sum += (uint32_t)(codes[j] * check[j]);
        }
        dots[i] = dot;
        checks[i] = sum;
    }
}

static void dots_f32(const float *vectors, size_t stride, size_t rows, const float *query,
                     uint32_t n, double *dots)
{
    for (size_t i = 0; i < rows; i++, vectors += stride) {
        double lanes[FBY_SEARCH_LANES] = {0};
        for (uint32_t j = 0; j < n; j += FBY_SEARCH_LANES)
            for (uint32_t l = 0; l < FBY_SEARCH_LANES; l++)
                lanes[l] += (double)vectors[j + l] * (double)query[j + l];
        dots[i] = fby_search_lanes_sum(lanes);
    }
}

const fby_search_kernels fby_search_kernels_c = {
    .name = "c", .dots_i8 = dots_i8, .dots_f32 = dots_f32};
