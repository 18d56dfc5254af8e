/* SPDX-License-Identifier: Apache-2.0 */
/* Bits of AVX-512 that several kernels use. */
#ifndef FBY_COMPUTE_AVX512_VECTOR_H
#define FBY_COMPUTE_AVX512_VECTOR_H

#include <immintrin.h>
#include <stdint.h>

#include "compute/coefficients.h"
#include "compute/unroll.h"

/* The lanes of vector `vector` that exist where there are `count` floats in all. */
FBY_INLINE __mmask16 fby_avx512_lanes(uint32_t count, uint32_t vector)
{
    uint32_t before = vector * 16;
    uint32_t left = count > before ? count - before : 0;
    return (__mmask16)(left < 16 ? (1u << left) - 1 : 0xffffu);
}

/* 2^t: t's nearest integer goes to the exponent, the rest through the polynomial of
 * coefficients.h. At most 1.01 ulp off; 0 below -149, infinity from 128 on. */
FBY_INLINE __m512 fby_avx512_exp2_of(__m512 t)
{
    const float *c = fby_exp2_coefficients;
    __m512 whole = _mm512_roundscale_ps(t, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m512 r = _mm512_sub_ps(t, whole);
    __m512 p = _mm512_set1_ps(c[6]);
    FBY_UNROLL
    for (int i = 5; i >= 0; i--)
        p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(c[i]));
    return _mm512_scalef_ps(p, whole);
}

#endif
