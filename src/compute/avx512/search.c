/* SPDX-License-Identifier: Apache-2.0 */
#include "compute/search_kernels.h"

#include <immintrin.h>

enum { AHEAD = 4096 }; /* bytes */
enum { TILE = 4 };     /* rows for one reading of the query */

/* As in avx2/search.c. */
static inline void prefetch(const int8_t *row)
{
    _mm_prefetch((const char *)((uintptr_t)row + AHEAD), _MM_HINT_T0);
}

/* As in avx2/search.c, twice as wide. */
static inline void tile_i8(const int8_t *codes, size_t stride, size_t rows, const int16_t *query,
                           const int16_t *check, uint32_t n, uint32_t *dots, uint32_t *checks)
{
    __m512i dot[TILE], sum[TILE];
    for (size_t i = 0; i < rows; i++)
        dot[i] = sum[i] = _mm512_setzero_si512();
    for (uint32_t j = 0; j < n; j += 32) {
        for (size_t i = 0; i < rows && j % 64 == 0; i++)
            prefetch(codes + i * stride + j);
        __m512i q = _mm512_loadu_si512(query + j);
        __m512i c = _mm512_loadu_si512(check + j);
        for (size_t i = 0; i < rows; i++) {
            __m512i x =
                _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)(codes + i * stride + j)));
            dot[i] = _mm512_add_epi32(dot[i], _mm512_madd_epi16(x, q));
            sum[i] = _mm512_add_epi32(sum[i], _mm512_madd_epi16(x, c));
        }
    }
    for (size_t i = 0; i < rows; i++) {
        dots[i] = (uint32_t)_mm512_reduce_add_epi32(dot[i]);
        checks[i] = (uint32_t)_mm512_reduce_add_epi32(sum[i]);
    }
}

static void dots_i8(const int8_t *codes, size_t stride, size_t rows, const int16_t *query,
                    const int16_t *check, uint32_t n, uint32_t *dots, uint32_t *checks)
{
    size_t i = 0;
    for (; i + TILE <= rows; i += TILE)
        tile_i8(codes + i * stride, stride, TILE, query, check, n, dots + i, checks + i);
    for (; i < rows; i++)
        tile_i8(codes + i * stride, stride, 1, query, check, n, dots + i, checks + i);
}

static inline __m512d widen(const float *x)
{
    return _mm512_cvtps_pd(_mm256_loadu_ps(x));
}

static void dots_f32(const float *vectors, size_t stride, size_t rows, const float *query,
                     uint32_t n, double *dots)
{
    for (size_t i = 0; i < rows; i++, vectors += stride) {
        __m512d low = _mm512_setzero_pd(), high = _mm512_setzero_pd();
        for (uint32_t j = 0; j < n; j += FBY_SEARCH_LANES) {
            low = _mm512_fmadd_pd(widen(vectors + j), widen(query + j), low);
            high = _mm512_fmadd_pd(widen(vectors + j + 8), widen(query + j + 8), high);
        }
        double lanes[FBY_SEARCH_LANES];
        _mm512_storeu_pd(lanes, low);
        _mm512_storeu_pd(lanes + 8, high);
        dots[i] = fby_search_lanes_sum(lanes);
    }
}

const fby_search_kernels fby_search_kernels_avx512 = {
    .name = "avx512", .dots_i8 = dots_i8, .dots_f32 = dots_f32};
