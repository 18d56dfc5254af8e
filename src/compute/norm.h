/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FBY_COMPUTE_NORM_H
#define FBY_COMPUTE_NORM_H

#include <math.h>

/* What LayerNorm multiplies a row's differences from the mean by. NaN where their squares overflow:
 * by 0 the row would become beta. */
static inline float fby_norm_factor(float variance, float epsilon)
{
    return variance < INFINITY ? 1.0f / sqrtf(variance + epsilon) : NAN;
}

#endif
