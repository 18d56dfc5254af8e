/* SPDX-License-Identifier: Apache-2.0 */
#include "search/rank.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bits.h"
#include "base/cpu.h"
#include "compute/search_kernels.h"

enum {
    BLOCK = 64,        /* rows between two looks at the bound */
    CANDIDATES = 8192, /* kept before they are scored */
    THREADS_MAX = 64,
    PART_BYTES = 2u << 20 /* of codes that are worth a thread of their own */
};

#define NO_ROW SIZE_MAX

/* What all threads of a search read, and the one thing that they write. */
struct search {
    const fby_search_rows *rows;
    const fby_search_kernels *kernels;
    size_t top;
    bool plain;
    float *query; /* padded with zeros */
    fby_query_codes *codes;
    double per_error, per_scale; /* m = per_error · row.error + per_scale · row.scale */
    _Atomic float bound;         /* no greater than the score of the top-th best */
};

struct candidate {
    double upper;
    size_t row;
};

/* One thread's part of the rows. */
struct part {
    struct search *search;
    pthread_t thread;
    size_t begin, end;
    fby_top best;   /* scored */
    fby_top lowers; /* lower bounds, of which the worst kept is a bound for all */
    struct candidate *candidates;
    size_t candidate_count;
    size_t scored;
    size_t damaged; /* a row that failed its check, or NO_ROW */
};

static bool is_hidden(const fby_search_rows *rows, size_t row)
{
    return rows->hidden != NULL && (rows->hidden[row / 64] >> (row % 64) & 1) != 0;
}

/* Relaxed: a value that is late only lets a few more candidates through. */
static double bound_now(struct search *search)
{
    return (double)atomic_load_explicit(&search->bound, memory_order_relaxed);
}

static void raise_bound(struct search *search, double bound)
{
    float rounded = (float)bound;
    if ((double)rounded > bound)
        rounded = nextafterf(rounded, -INFINITY);
    float seen = atomic_load_explicit(&search->bound, memory_order_relaxed);
    while (rounded > seen &&
           !atomic_compare_exchange_weak_explicit(&search->bound, &seen, rounded,
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
}

static void score_row(struct part *part, size_t row)
{
    const struct search *search = part->search;
    const fby_search_rows *rows = search->rows;
    uint32_t n = (uint32_t)fby_vector_stride(rows->dim);
    const float *vector = rows->vectors + row * n;
    double score;

    if (!fby_search_row_vector_is_whole(&rows->rows[row], vector, rows->dim)) {
        part->damaged = row;
        return;
    }
    search->kernels->dots_f32(vector, n, 1, search->query, n, &score);
    fby_top_offer(&part->best, (fby_hit){score, row});
    part->scored++;
}

/* Drops what the bound has passed since; scores the rest if `all` or if they fill the buffer. */
static void settle(struct part *part, bool all)
{
    double bound = bound_now(part->search);
    size_t kept = 0;

    for (size_t i = 0; i < part->candidate_count; i++)
        if (!(part->candidates[i].upper < bound))
            part->candidates[kept++] = part->candidates[i];
    part->candidate_count = kept;
    if (!all && kept <= CANDIDATES / 2)
        return;
    for (size_t i = 0; i < kept; i++)
        score_row(part, part->candidates[i].row);
    part->candidate_count = 0;
    raise_bound(part->search, fby_top_threshold(&part->best));
}

static void add_candidate(struct part *part, size_t row, double middle, double margin)
{
    part->candidates[part->candidate_count++] = (struct candidate){middle + margin, row};
    fby_top_offer(&part->lowers, (fby_hit){middle - margin, row});
    raise_bound(part->search, fby_top_threshold(&part->lowers));
    if (part->candidate_count == CANDIDATES)
        settle(part, false);
}

static void look_at_block(struct part *part, size_t first, size_t count)
{
    struct search *search = part->search;
    const fby_search_rows *rows = search->rows;
    size_t stride = fby_code_stride(rows->dim);
    double scale = (double)search->codes->scale;
    uint32_t dots[BLOCK], checks[BLOCK];

    search->kernels->dots_i8(rows->codes + first * stride, stride, count, search->codes->codes,
                             fby_code_weights(), (uint32_t)stride, dots, checks);
    double bound = bound_now(search);
    for (size_t i = 0; i < count; i++) {
        const fby_search_row *row = &rows->rows[first + i];
        double middle = (double)row->scale * scale * (double)(int32_t)dots[i];
        double margin =
            search->per_error * (double)row->error + search->per_scale * (double)row->scale;
        if (checks[i] != row->code_check)
            part->damaged = first + i;
        if (middle + margin < bound || is_hidden(rows, first + i))
            continue;
        add_candidate(part, first + i, middle, margin);
        bound = bound_now(search);
    }
}

static void scan_codes(struct part *part)
{
    for (size_t row = part->begin; row < part->end && part->damaged == NO_ROW; row += BLOCK)
        look_at_block(part, row, fby_min_size(BLOCK, part->end - row));
    if (part->damaged == NO_ROW)
        settle(part, true);
}

static void scan_floats(struct part *part)
{
    const struct search *search = part->search;
    const fby_search_rows *rows = search->rows;
    uint32_t n = (uint32_t)fby_vector_stride(rows->dim);
    double scores[BLOCK];

    for (size_t row = part->begin; row < part->end; row += BLOCK) {
        size_t count = fby_min_size(BLOCK, part->end - row);
        search->kernels->dots_f32(rows->vectors + row * n, n, count, search->query, n, scores);
        for (size_t i = 0; i < count; i++)
            if (!is_hidden(rows, row + i))
                fby_top_offer(&part->best, (fby_hit){scores[i], row + i});
    }
}

static void *scan_part(void *argument)
{
    struct part *part = argument;

    if (part->search->plain)
        scan_floats(part);
    else
        scan_codes(part);
    return NULL;
}

static uint32_t threads_for(const fby_search_rows *rows, uint32_t asked)
{
    uint32_t threads = asked != 0 ? asked : fby_cpu_count();
    size_t worth = rows->count * fby_code_stride(rows->dim) / PART_BYTES + 1;
    return fby_min_u32(fby_min_u32(threads, THREADS_MAX), (uint32_t)fby_min_size(worth, 1u << 16));
}

static void end_part(struct part *part)
{
    free(part->best.hits);
    free(part->lowers.hits);
    free(part->candidates);
}

static fby_status begin_part(struct search *search, struct part *part, size_t begin, size_t end)
{
    size_t room = fby_min_size(search->top, end - begin);

    *part = (struct part){.search = search, .begin = begin, .end = end, .damaged = NO_ROW};
    /* The threshold of fewer than `top` rows says nothing about the whole. */
    part->best = (fby_top){malloc((room + 1) * sizeof(fby_hit)), search->top, 0};
    part->lowers = (fby_top){malloc((room + 1) * sizeof(fby_hit)), search->top, 0};
    part->candidates = malloc(CANDIDATES * sizeof *part->candidates);
    if (part->best.hits == NULL || part->lowers.hits == NULL || part->candidates == NULL) {
        end_part(part);
        return fby_error(FBY_ENOMEM, "no memory for a search");
    }
    return FBY_OK;
}

/* The calling thread takes the last part, and those for which no thread could be had. */
static void run_parts(struct part *parts, uint32_t count)
{
    bool started[THREADS_MAX];
    for (uint32_t i = 0; i + 1 < count; i++)
        started[i] = pthread_create(&parts[i].thread, NULL, scan_part, &parts[i]) == 0;
    scan_part(&parts[count - 1]);
    for (uint32_t i = 0; i + 1 < count; i++)
        if (started[i])
            pthread_join(parts[i].thread, NULL);
        else
            scan_part(&parts[i]);
}

static fby_status search_parts(struct search *search, uint32_t threads, fby_top *best,
                               fby_rank_stats *stats)
{
    struct part parts[THREADS_MAX];
    size_t count = search->rows->count, begin = 0;
    uint32_t begun = 0;
    fby_status status = FBY_OK;

    fby_assert(threads >= 1 && threads <= THREADS_MAX);
    for (; begun < threads; begun++) {
        size_t end = begun + 1 == threads ? count : count / threads * (begun + 1);
        status = begin_part(search, &parts[begun], begin, end);
        if (status != FBY_OK)
            break;
        begin = end;
    }
    if (status == FBY_OK)
        run_parts(parts, threads);
    for (uint32_t i = 0; i < begun; i++) {
        if (status == FBY_OK && parts[i].damaged != NO_ROW)
            status = fby_error(FBY_EFORMAT, "row %zu is damaged", parts[i].damaged);
        for (size_t j = 0; j < parts[i].best.count; j++)
            fby_top_offer(best, parts[i].best.hits[j]);
        stats->scored += parts[i].scored;
        end_part(&parts[i]);
    }
    stats->threads = threads;
    return status;
}

/*
 * The factors of the margin m. Relative errors, u = 2^-53: the scaled codes may exceed the largest
 * part of x by a rounding of scale, 2^-24, twice; dots_f32() is within n u √n · 127 · scale · ‖q‖
 * of the real product (Higham 2002, section 3.1); the double arithmetic of a bound adds a few u.
 * 2^-20 of each term covers them all for n ≤ FBY_DIM_MAX.
 */
static void set_margin(struct search *search)
{
    double slack = 1.0 + 0x1p-20;
    double reach = 127.0 * sqrt((double)search->rows->dim);

    search->per_error = search->codes->length * slack;
    search->per_scale = reach * (search->codes->error + 0x1p-20 * search->codes->length) * slack;
}

static fby_status rank(const fby_search_rows *rows, const float *query, size_t top,
                       uint32_t threads, bool plain, fby_hit *hits, size_t *found,
                       fby_rank_stats *stats)
{
    fby_isa isa;
    fby_status status = fby_isa_select(&isa);
    if (status != FBY_OK)
        return status;

    struct search search = {.rows = rows, .top = top, .plain = plain};
    search.kernels = fby_search_kernels_for(isa);
    atomic_init(&search.bound, -INFINITY);
    search.codes = aligned_alloc(64, sizeof *search.codes);
    search.query = calloc(fby_vector_stride(FBY_DIM_MAX), sizeof(float));
    if (search.codes == NULL || search.query == NULL) {
        status = fby_error(FBY_ENOMEM, "no memory for a query");
        goto free_query;
    }
    status = fby_query_quantize(query, rows->dim, search.codes);
    if (status != FBY_OK)
        goto free_query;
    memcpy(search.query, query, rows->dim * sizeof *query);
    set_margin(&search);

    fby_top best = {hits, top, 0};
    if (top > 0 && rows->count > 0)
        status = search_parts(&search, threads_for(rows, threads), &best, stats);
    if (status == FBY_OK) {
        fby_top_sort(&best);
        *found = best.count;
    }
free_query:
    free(search.query);
    free(search.codes);
    return status;
}

fby_status fby_rank(const fby_search_rows *rows, const float *query, size_t top, uint32_t threads,
                    fby_hit *hits, size_t *found, fby_rank_stats *stats)
{
    fby_rank_stats unused = {0};
    if (stats != NULL)
        *stats = unused;
    return rank(rows, query, top, threads, false, hits, found, stats != NULL ? stats : &unused);
}

fby_status fby_rank_plain(const fby_search_rows *rows, const float *query, size_t top,
                          uint32_t threads, fby_hit *hits, size_t *found)
{
    fby_rank_stats unused = {0};
    return rank(rows, query, top, threads, true, hits, found, &unused);
}
