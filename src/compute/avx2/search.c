/* SPDX-License-Identifier: Apache-2.0 */
#include "compute/search_kernels.h"

#include <immintrin.h>

enum { AHEAD = 4096 }; /* bytes */
enum { TILE = 4 };     /* rows for one reading of the query: eight sums in registers */

/* Asks for what stands AHEAD of a row: with several rows read side by side the processor's own
 * prefetcher sees too little of each. It never faults, also beyond the end. */
static inline void prefetch(const int8_t *row)
{
    _mm_prefetch((const char *)((uintptr_t)row + AHEAD), _MM_HINT_T0);
}

static inline uint32_t sum_i32(__m256i x)
{
    __m128i y = _mm_add_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
    y = _mm_add_epi32(y, _mm_shuffle_epi32(y, 0x4e));
    y = _mm_add_epi32(y, _mm_shuffle_epi32(y, 0xb1));
    return (uint32_t)_mm_cvtsi128_si32(y);
}

/* Codes widen to 16 bits: |code query| pairs stay below 2^31, so nothing saturates. */
static inline void tile_i8(const int8_t *codes, size_t stride, size_t rows, const int16_t *query,
                           const int16_t *check, uint32_t n, uint32_t *dots, uint32_t *checks)
{
    __m256i dot[TILE], sum[TILE];
    for (size_t i = 0; i < rows; i++)
        dot[i] = sum[i] = _mm256_setzero_si256();
    for (uint32_t j = 0; j < n; j += 16) {
        for (size_t i = 0; i < rows && j % 64 == 0; i++)
            prefetch(codes + i * stride + j);
        __m256i q = _mm256_loadu_si256((const __m256i *)(query + j));
        __m256i c = _mm256_loadu_si256((const __m256i *)(check + j));
        for (size_t i = 0; i < rows; i++) {
            __m256i x =
                _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(codes + i * stride + j)));
            dot[i] = _mm256_add_epi32(dot[i], _mm256_madd_epi16(x, q));
            sum[i] = _mm256_add_epi32(sum[i], _mm256_madd_epi16(x, c));
        }
    }
    for (size_t i = 0; i < rows; i++) {
        dots[i] = sum_i32(dot[i]);
        checks[i] = sum_i32(sum[i]);
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

static inline __m256d widen(const float *x)
{
    return _mm256_cvtps_pd(_mm_loadu_ps(x));
}

static void dots_f32(const float *vectors, size_t stride, size_t rows, const float *query,
                     uint32_t n, double *dots)
{
    for (size_t i = 0; i < rows; i++, vectors += stride) {
        __m256d sums[FBY_SEARCH_LANES / 4];
        for (int k = 0; k < FBY_SEARCH_LANES / 4; k++)
            sums[k] = _mm256_setzero_pd();
        for (uint32_t j = 0; j < n; j += FBY_SEARCH_LANES)
            for (int k = 0; k < FBY_SEARCH_LANES / 4; k++)
                sums[k] =
                    _mm256_fmadd_pd(widen(vectors + j + 4 * k), widen(query + j + 4 * k), sums[k]);
        double lanes[FBY_SEARCH_LANES];
        for (int k = 0; k < FBY_SEARCH_LANES / 4; k++)
            _mm256_storeu_pd(lanes + 4 * k, sums[k]);
        dots[i] = fby_search_lanes_sum(lanes);
    }
}

const fby_search_kernels fby_search_kernels_avx2 = {
    .name = "avx2", .dots_i8 = dots_i8, .dots_f32 = dots_f32};
