/* SPDX-License-Identifier: Apache-2.0 */
/* Bits of AVX2 that several kernels use. */
#ifndef FBY_COMPUTE_AVX2_VECTOR_H
#define FBY_COMPUTE_AVX2_VECTOR_H

#include <immintrin.h>
#include <stdint.h>

#include "compute/coefficients.h"
#include "compute/unroll.h"

/* All bits set in the first `count` lanes, all 8 where count is more. */
FBY_INLINE __m256i fby_avx2_lanes(uint32_t count)
{
    const __m256i number = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(count < 8 ? (int)count : 8), number);
}

/* The first `count` floats, zeros beyond; nothing else is read. */
FBY_INLINE __m256 fby_avx2_load(const float *x, uint32_t count)
{
    return count >= 8 ? _mm256_loadu_ps(x) : _mm256_maskload_ps(x, fby_avx2_lanes(count));
}

FBY_INLINE void fby_avx2_store(float *x, __m256 y, uint32_t count)
{
    if (count >= 8)
        _mm256_storeu_ps(x, y);
    else
        _mm256_maskstore_ps(x, fby_avx2_lanes(count), y);
}

/* Lanes 0 + 4, 1 + 5, … first, then the halves of what is left. */
FBY_INLINE float fby_avx2_sum(__m256 x)
{
    __m128 y = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    y = _mm_add_ps(y, _mm_movehl_ps(y, y));
    return _mm_cvtss_f32(_mm_add_ss(y, _mm_movehdup_ps(y)));
}

FBY_INLINE float fby_avx2_largest(__m256 x)
{
    __m128 y = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    y = _mm_max_ps(y, _mm_movehl_ps(y, y));
    return _mm_cvtss_f32(_mm_max_ss(y, _mm_movehdup_ps(y)));
}

/* 2^t for t < 128: t's nearest integer goes to the exponent, the rest through the polynomial of
 * coefficients.h. At most 1.01 ulp off; 0 below -126. */
FBY_INLINE __m256 fby_avx2_exp2_of(__m256 t)
{
    const float *c = fby_exp2_coefficients;
    const __m256 least = _mm256_set1_ps(-126.0f);
    __m256 normal = _mm256_cmp_ps(t, least, _CMP_NLT_UQ); /* and NaN, which stays one */
    t = _mm256_max_ps(least, t);
    __m256 whole = _mm256_round_ps(t, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m256 r = _mm256_sub_ps(t, whole);
    __m256 p = _mm256_set1_ps(c[6]);
    FBY_UNROLL
    for (int i = 5; i >= 0; i--)
        p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(c[i]));
    __m256i exponent = _mm256_slli_epi32(_mm256_cvtps_epi32(whole), 23);
    p = _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), exponent));
    return _mm256_and_ps(p, normal);
}

#endif
