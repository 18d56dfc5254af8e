/* SPDX-License-Identifier: Apache-2.0 */
/* What attention does across lanes: 16 rows turned into columns, or summed up each. */
#ifndef FBY_COMPUTE_AVX512_SHUFFLE_H
#define FBY_COMPUTE_AVX512_SHUFFLE_H

#include <stdbool.h>

#include "compute/avx512/vector.h"

/* x's 16 rows become its columns: pairs of lanes, pairs of pairs, then quarters. */
FBY_INLINE void fby_avx512_transpose(__m512 x[16])
{
    __m512 y[16];
    FBY_UNROLL
    for (int i = 0; i < 16; i += 2) {
        y[i] = _mm512_unpacklo_ps(x[i], x[i + 1]);
        y[i + 1] = _mm512_unpackhi_ps(x[i], x[i + 1]);
    }
    /* x[4 i + j], quarter q: column 4 q + j of rows 4 i … 4 i + 3. */
    FBY_UNROLL
    for (int i = 0; i < 16; i += 4) {
        __m512d a = _mm512_castps_pd(y[i]), b = _mm512_castps_pd(y[i + 2]);
        __m512d c = _mm512_castps_pd(y[i + 1]), d = _mm512_castps_pd(y[i + 3]);
        x[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
        x[i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
        x[i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(c, d));
        x[i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(c, d));
    }
    FBY_UNROLL
    for (int j = 0; j < 4; j++) {
        __m512 low01 = _mm512_shuffle_f32x4(x[j], x[4 + j], 0x44);
        __m512 high01 = _mm512_shuffle_f32x4(x[j], x[4 + j], 0xee);
        __m512 low23 = _mm512_shuffle_f32x4(x[8 + j], x[12 + j], 0x44);
        __m512 high23 = _mm512_shuffle_f32x4(x[8 + j], x[12 + j], 0xee);
        y[j] = _mm512_shuffle_f32x4(low01, low23, 0x88);
        y[4 + j] = _mm512_shuffle_f32x4(low01, low23, 0xdd);
        y[8 + j] = _mm512_shuffle_f32x4(high01, high23, 0x88);
        y[12 + j] = _mm512_shuffle_f32x4(high01, high23, 0xdd);
    }
    FBY_UNROLL
    for (int i = 0; i < 16; i++)
        x[i] = y[i];
}

FBY_INLINE __m512 fby_avx512_meet(__m512 a, __m512 b, const bool sum)
{
    return sum ? _mm512_add_ps(a, b) : _mm512_max_ps(a, b);
}

/* a's halves met in the low half, b's in the high one. */
FBY_INLINE __m512 fby_avx512_fold_halves(__m512 a, __m512 b, const bool sum)
{
    return fby_avx512_meet(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee), sum);
}

/* In each quarter: a's pairs met in the low half, b's in the high one. */
FBY_INLINE __m512 fby_avx512_fold_pairs(__m512 a, __m512 b, const bool sum)
{
    return fby_avx512_meet(_mm512_shuffle_ps(a, b, 0x44), _mm512_shuffle_ps(a, b, 0xee), sum);
}

/* Lane i is the sum, or the largest, of rows[i]'s lanes, in one order for all: lane l and l + 8,
 * then l and l + 4, l + 2, l + 1. */
FBY_INLINE __m512 fby_avx512_fold(const __m512 rows[16], const bool sum)
{
    __m512 x[4];
    FBY_UNROLL
    for (int j = 0; j < 4; j++) { /* quarters of x[j]: rows j, 4 + j, 8 + j, 12 + j */
        __m512 a = fby_avx512_fold_halves(rows[j], rows[4 + j], sum);
        __m512 b = fby_avx512_fold_halves(rows[8 + j], rows[12 + j], sum);
        __m512 even = _mm512_shuffle_f32x4(a, b, 0x88), odd = _mm512_shuffle_f32x4(a, b, 0xdd);
        x[j] = fby_avx512_meet(even, odd, sum);
    }
    __m512 low = fby_avx512_fold_pairs(x[0], x[1], sum),
           high = fby_avx512_fold_pairs(x[2], x[3], sum);
    __m512 even = _mm512_shuffle_ps(low, high, 0x88), odd = _mm512_shuffle_ps(low, high, 0xdd);
    return fby_avx512_meet(even, odd, sum);
}

#endif
