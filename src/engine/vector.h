/* SPDX-License-Identifier: Apache-2.0 */
/* What is done with a vector on its way out. Pure; any thread. */
#ifndef FBY_ENGINE_VECTOR_H
#define FBY_ENGINE_VECTOR_H

#include <math.h>
#include <stdbool.h>

#include "compute/kernels.h"

/* ‖x‖₂, which is finite exactly when all of x (n) is: where squares overflow they are summed in
 * doubles. */
static inline double fby_vector_length(const fby_kernels *kernels, const float *x, uint32_t n)
{
    float squares = kernels->dot(x, x, n);
    if (isfinite(squares))
        return (double)sqrtf(squares);
    double sum = 0.0;
    for (uint32_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    return sqrt(sum);
}

/* x (n) / max(‖x‖₂, 1e-12), as torch.nn.functional.normalize does. False when x is not finite. */
static inline bool fby_vector_normalize(const fby_kernels *kernels, float *x, uint32_t n)
{
    double length = fby_vector_length(kernels, x, n);
    kernels->scale(x, 1.0f / fmaxf((float)length, 1e-12f), n);
    return isfinite(length);
}

#endif
