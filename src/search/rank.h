/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exact search: the rows whose dot product with a query is largest.
 *
 *     codes, 1 byte a dimension --> bounds --> candidates --> their floats --> the best
 *
 * Memory bandwidth is what such a search spends, so all rows are read as codes
 * and only the few that may matter as floats. Nothing is approximate: for a row
 * x = a c + e (search/quantize.h) and a query q = b d + f, c and d integers,
 *
 *     x·q = a b (c·d) + a (c·f) + e·q
 *     |x·q − a b (c·d)| ≤ a ‖c‖ ‖f‖ + ‖e‖ ‖q‖            (Cauchy and Schwarz)
 *                       ≤ a · 127 √n ‖f‖ + error ‖q‖ = m
 *
 * widened for the rounding of these terms themselves. A row whose upper bound
 * a b (c·d) + m lies below the `top`-th best lower bound a b (c·d) − m seen so
 * far cannot be among the best; every other row is a candidate and is scored
 * from its floats. Candidates that outgrow their buffer are scored at once, and
 * their scores are the better bound from then on: the worst case is a plain
 * search, its memory still bounded.
 *
 * A score is fby_search_kernels.dots_f32(): the same bits on each instruction
 * set. Equal scores go by row number. Threads share no result, only the best
 * bound: any of its values is a right one.
 */
#ifndef FBY_SEARCH_RANK_H
#define FBY_SEARCH_RANK_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "search/quantize.h"
#include "search/top.h"

typedef struct fby_search_rows {
    uint32_t dim; /* 1 … FBY_DIM_MAX */
    size_t count;
    const fby_search_row *rows; /* (count) */
    const int8_t *codes;        /* (count, fby_code_stride(dim)) */
    const float *vectors;       /* (count, fby_vector_stride(dim)) */
    const uint64_t *hidden;     /* bit i of the whole: row i is not asked; NULL: none */
} fby_search_rows;

typedef struct fby_rank_stats {
    uint32_t threads;
    size_t scored; /* rows whose floats were read */
} fby_rank_stats;

/*
 * Writes at most `top` hits, best first, and their number. `query` has `dim` floats, finite.
 * At most `threads` (0: this process's processors), fewer where rows are few. Allocates about
 * `top` hits a thread. FBY_EFORMAT when a row fails its check. `stats` may be NULL.
 */
fby_status fby_rank(const fby_search_rows *rows, const float *query, size_t top, uint32_t threads,
                    fby_hit *hits, size_t *found, fby_rank_stats *stats);

/* The same result from every row's floats alone: what fby_rank() is compared with. */
fby_status fby_rank_plain(const fby_search_rows *rows, const float *query, size_t top,
                          uint32_t threads, fby_hit *hits, size_t *found);

#endif
