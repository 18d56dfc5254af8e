/* SPDX-License-Identifier: Apache-2.0 */
/* LayerNorm, and the small sums over vectors; a sum runs in eight lanes, then over those. */
#include "compute/c/c.h"
#include "compute/norm.h"

enum { LANES = 8 };

static float lane_sum(const float lanes[LANES])
{
    float sum = 0.0f;
    for (int i = 0; i < LANES; i++)
        sum += lanes[i];
    return sum;
}

static float sum_of(const float *x, uint32_t n)
{
    float lanes[LANES] = {0};
    for (uint32_t i = 0; i < n; i++)
        lanes[i % LANES] += x[i];
    return lane_sum(lanes);
}

static float squares_from(const float *x, float mean, uint32_t n)
{
    float lanes[LANES] = {0};
    for (uint32_t i = 0; i < n; i++)
        lanes[i % LANES] += (x[i] - mean) * (x[i] - mean);
    return lane_sum(lanes);
}

void fby_c_layer_norm(const fby_layer_norm *norm, float *x, size_t ldx, uint32_t rows)
{
    float count = (float)norm->n;
    for (uint32_t row = 0; row < rows; row++, x += ldx) {
        float mean = sum_of(x, norm->n) / count;
        float variance = squares_from(x, mean, norm->n) / count;
        float factor = fby_norm_factor(variance, norm->epsilon);
        for (uint32_t i = 0; i < norm->n; i++)
            x[i] = (x[i] - mean) * factor * norm->gamma[i] + norm->beta[i];
    }
}

void fby_c_add(float *x, const float *y, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        x[i] += y[i];
}

void fby_c_max(float *x, const float *y, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        x[i] = (x[i] > y[i] ? x[i] : y[i]) + x[i] * 0.0f + y[i] * 0.0f;
}

void fby_c_scale(float *x, float factor, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        x[i] *= factor;
}

float fby_c_dot(const float *x, const float *y, uint32_t n)
{
    float lanes[LANES] = {0};
    for (uint32_t i = 0; i < n; i++)
        lanes[i % LANES] += x[i] * y[i];
    return lane_sum(lanes);
}
