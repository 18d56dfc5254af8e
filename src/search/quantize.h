/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vector in 8 bits a dimension beside its floats, and how far off that is.
 *
 *     x ≈ scale · codes,   scale = max |x| / 127,   error ≥ ‖x − scale · codes‖₂
 *
 * The error is measured, not estimated, so that a search over codes can say
 * what it cannot tell apart (search/rank.h). Each half carries a check of its
 * own: `code_check` costs a reader nothing, for it is a second dot product of
 * what the first has loaded; `vector_check` is made of the few floats that are
 * looked at.
 *
 * Any thread.
 */
#ifndef FBY_SEARCH_QUANTIZE_H
#define FBY_SEARCH_QUANTIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum { FBY_DIM_MAX = 8192 }; /* dimensions of a vector that is searched */

/* As it lies in an index file. */
typedef struct fby_search_row {
    float scale, error;
    uint32_t code_check;   /* Σ codes[j] fby_code_weights()[j] mod 2^32 */
    uint32_t vector_check; /* low half of XXH3-64 of the floats, padding included */
} fby_search_row;
_Static_assert(sizeof(fby_search_row) == 16, "rows lie in files");

/* Elements from one row to the next: dim rounded up to whole cache lines. */
static inline size_t fby_code_stride(uint32_t dim)
{
    return ((size_t)dim + 63) & ~(size_t)63;
}

static inline size_t fby_vector_stride(uint32_t dim)
{
    return ((size_t)dim + 15) & ~(size_t)15;
}

/* Fills `codes` (fby_code_stride(dim)) and `row` from `vector` (fby_vector_stride(dim)), whose
 * padding is zero. A vector with an infinity or a NaN gets an infinite error. */
void fby_search_row_make(const float *vector, uint32_t dim, int8_t *codes, fby_search_row *row);

/* FBY_DIM_MAX weights, none of them 0, that catch each changed code and all but one in 2^32 of
 * larger damage. */
const int16_t *fby_code_weights(void);

/* Whether `vector` (fby_vector_stride(dim)) is what `row` was made of. */
bool fby_search_row_vector_is_whole(const fby_search_row *row, const float *vector, uint32_t dim);

/* A query in as many bits as a 32-bit sum of `dim` products with codes allows, at most 16. */
typedef struct fby_query_codes {
    float scale;
    double length;                           /* ≥ ‖q‖₂ */
    double error;                            /* ≥ ‖q − scale · codes‖₂ */
    _Alignas(64) int16_t codes[FBY_DIM_MAX]; /* zeros up to fby_code_stride(dim) */
} fby_query_codes;

/* FBY_EINVAL unless all of `query` (dim) is finite and 0 < dim ≤ FBY_DIM_MAX. */
fby_status fby_query_quantize(const float *query, uint32_t dim, fby_query_codes *codes);

#endif
