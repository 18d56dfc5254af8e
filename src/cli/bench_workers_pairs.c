/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pairs that are measured in turns, and the ratio of each: all workers against
 * one on 128 texts, with what a bare loop of multiplications and additions on as
 * many threads gains in the same rounds; one text shared by all against one
 * worker; one short text as chosen against one worker.
 */
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/bits.h"
#include "base/clock.h"
#include "base/platform.h"
#include "cli/bench_workers.h"
#include "cli/say.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { TURNS = 9, TURNS_ONE_TEXT = 5 /* times as many for single texts */, BATCH = 128 };
enum { LANES = 10, BLOCK = 10000, FMA_MS = 20, THREADS_MAX = 256 };

/* ---- the bare loop ---- */

#if defined(__x86_64__)
/* Enough chains that neither unit waits for a result. */
__attribute__((target("avx2,fma"))) static float loop_fma(uint64_t blocks)
{
    const __m256 x = _mm256_set1_ps(0.999F), y = _mm256_set1_ps(0.001F);
    __m256 sums[LANES];
    for (int lane = 0; lane < LANES; lane++)
        sums[lane] = _mm256_set1_ps((float)lane);
    for (uint64_t i = 0; i < blocks * BLOCK; i++)
        for (int lane = 0; lane < LANES; lane++)
            sums[lane] = _mm256_fmadd_ps(sums[lane], x, y);
    for (int lane = 1; lane < LANES; lane++)
        sums[0] = _mm256_add_ps(sums[0], sums[lane]);
    return _mm256_cvtss_f32(sums[0]);
}
#endif

static float loop_plain(uint64_t blocks)
{
    float sums[LANES];
    for (int lane = 0; lane < LANES; lane++)
        sums[lane] = (float)lane;
    for (uint64_t i = 0; i < blocks * BLOCK; i++)
        for (int lane = 0; lane < LANES; lane++)
            sums[lane] = sums[lane] * 0.999F + 0.001F;
    float sum = 0;
    for (int lane = 0; lane < LANES; lane++)
        sum += sums[lane];
    return sum;
}

static float loop(uint64_t blocks)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("fma") && __builtin_cpu_supports("avx2"))
        return loop_fma(blocks);
#endif
    return loop_plain(blocks);
}

typedef struct fma_thread {
    _Atomic uint32_t *there;
    uint32_t threads;
    uint64_t blocks, began_ns, ended_ns;
    float sum; /* kept, so that the loop is */
} fma_thread;

static void *run_fma(void *argument)
{
    fma_thread *t = argument;
    atomic_fetch_add(t->there, 1);
    while (atomic_load(t->there) < t->threads)
        fby_relax();
    t->began_ns = fby_now_ns();
    t->sum = loop(t->blocks);
    t->ended_ns = fby_now_ns();
    return NULL;
}

/* From the first that began to the last that ended. */
static fby_status time_fma(uint32_t threads, uint64_t blocks, double *ns)
{
    pthread_t ids[THREADS_MAX];
    fma_thread all[THREADS_MAX];
    _Atomic uint32_t there;
    atomic_init(&there, 0);
    fby_status status = FBY_OK;
    uint32_t started = 1;
    for (uint32_t i = 0; i < threads; i++)
        all[i] = (fma_thread){.there = &there, .threads = threads, .blocks = blocks};
    for (; status == FBY_OK && started < threads; started += status == FBY_OK)
        if (pthread_create(&ids[started], NULL, run_fma, &all[started]) != 0)
            status = fby_error(FBY_ENOMEM, "no memory for a thread");
    atomic_fetch_add(&there, threads - started); /* for those who will not come */
    run_fma(&all[0]);
    uint64_t first = all[0].began_ns, last = all[0].ended_ns;
    for (uint32_t i = 1; i < started; i++) {
        pthread_join(ids[i], NULL);
        first = all[i].began_ns < first ? all[i].began_ns : first;
        last = all[i].ended_ns > last ? all[i].ended_ns : last;
    }
    *ns = (double)(last - first);
    return status;
}

/* What `threads` do together over what one does. */
static fby_status fma_gain(uint32_t threads, double *gain)
{
    static uint64_t blocks;
    if (blocks == 0) {
        const uint64_t began_ns = fby_now_ns();
        volatile float kept = 0;
        while (fby_now_ns() - began_ns < (uint64_t)FMA_MS * 1000000) {
            kept = kept + loop(1);
            blocks++;
        }
    }
    double one, all;
    fby_status status = time_fma(1, blocks, &one);
    if (status == FBY_OK)
        status = time_fma(threads, blocks, &all);
    if (status == FBY_OK)
        *gain = threads * one / all;
    return status;
}

/* ---- pairs ---- */

typedef struct bench {
    const fby_workers_options *options;
    fby_report *report;
    fby_model *one, *fine, *automatic;
    uint32_t threads;
    float *vectors; /* (BATCH, dim) */
} bench;

/* A call, of those that are made for sample_ms. */
static fby_status time_calls(bench *b, fby_model *model, const fby_workers_texts *texts, double *ns)
{
    const uint64_t began_ns = fby_now_ns();
    uint64_t now_ns;
    uint32_t calls = 0;
    do {
        fby_status status = fby_embed(model, texts->texts, texts->count, NULL, b->vectors, NULL);
        if (status != FBY_OK)
            return status;
        calls++;
        now_ns = fby_now_ns();
    } while ((double)(now_ns - began_ns) < b->options->sample_ms * 1e6);
    *ns = (double)(now_ns - began_ns) / calls;
    return FBY_OK;
}

/* A call by `model` over one by a single worker. */
static fby_status time_pair(bench *b, fby_model *model, const fby_workers_texts *texts,
                            uint32_t turn, double *ns, double *ratio)
{
    double one, other = 0;
    fby_status status = FBY_OK;
    if (turn % 2 == 0)
        status = time_calls(b, model, texts, &other);
    if (status == FBY_OK)
        status = time_calls(b, b->one, texts, &one);
    if (status == FBY_OK && turn % 2 != 0)
        status = time_calls(b, model, texts, &other);
    if (status == FBY_OK) {
        *ns = other;
        *ratio = other / one;
    }
    return status;
}

typedef struct pair {
    const char *what;
    uint32_t batch, length;
    bool rate;    /* the ratio is of texts/s, not of the latency */
    double bound; /* the issue's */
} pair;

static void report_pair(bench *b, const pair *p, fby_spread ms, fby_spread ratio, fby_spread fma,
                        uint32_t turns)
{
    const bool met = p->rate ? ratio.median >= p->bound || ratio.median >= 0.97 * fma.median
                             : ratio.median <= p->bound;
    fby_report_text(b->report, "pair", p->what);
    fby_report_uint(b->report, "workers", b->threads);
    fby_report_uint(b->report, "batch", p->batch);
    fby_report_uint(b->report, "length", p->length);
    FBY_REPORT_SPREAD(b->report, "call_ms", ms);
    FBY_REPORT_SPREAD(b->report, "ratio", ratio);
    FBY_REPORT_SPREAD(b->report, "fma_ratio", fma);
    fby_report_real(b->report, "bound", p->bound);
    fby_report_bool(b->report, "met", met);
    fby_report_uint(b->report, "repetitions", turns);
    fby_report_row(b->report);
    if (p->rate)
        fby_say("%s, %u texts of %u tokens (0: mixed): %.3f x the texts/s (%.3f to %.3f); a bare "
                "FMA loop %.3f x; bound %.2f x or 0.97 of that: %s",
                p->what, p->batch, p->length, ratio.median, ratio.q1, ratio.q3, fma.median,
                p->bound, met ? "met" : "not met");
    else
        fby_say("%s, %u text of %u tokens: %.3f x the latency (%.3f to %.3f); bound %.2f x: %s",
                p->what, p->batch, p->length, ratio.median, ratio.q1, ratio.q3, p->bound,
                met ? "met" : "not met");
}

static fby_status measure_pair(bench *b, const pair *p, fby_model *model)
{
    fby_workers_texts texts;
    fby_status status = fby_workers_texts_make(p->batch, p->length, &texts);
    if (status != FBY_OK)
        return status;
    double ratios[FBY_WORKERS_ROUNDS_MAX], gains[FBY_WORKERS_ROUNDS_MAX],
        ms[FBY_WORKERS_ROUNDS_MAX];
    uint32_t turns = fby_workers_rounds(b->options, TURNS);
    if (!p->rate)
        turns = fby_min_u32(turns * TURNS_ONE_TEXT, FBY_WORKERS_ROUNDS_MAX);
    double ns, ratio;
    status = time_pair(b, model, &texts, 0, &ns, &ratio); /* once outside */
    for (uint32_t turn = 0; status == FBY_OK && turn < turns; turn++) {
        gains[turn] = NAN;
        status = time_pair(b, model, &texts, turn, &ns, &ratio);
        if (status == FBY_OK && p->rate)
            status = fma_gain(b->threads, &gains[turn]);
        ms[turn] = ns / 1e6;
        ratios[turn] = p->rate ? 1 / ratio : ratio;
    }
    if (status == FBY_OK) {
        fby_spread fma = {NAN, NAN, NAN};
        if (p->rate)
            fma = fby_spread_of(gains, turns);
        report_pair(b, p, fby_spread_of(ms, turns), fby_spread_of(ratios, turns), fma, turns);
    }
    fby_workers_texts_clear(&texts);
    return status;
}

static fby_status measure_pairs(bench *b)
{
    static const pair all_64 = {"all workers, to one", BATCH, 64, true, 1.9};
    static const pair all_mixed = {"all workers, to one", BATCH, 0, true, 1.9};
    static const pair fine = {"shared by all, to one worker", 1, 256, false, 0.6};
    static const pair automatic = {"as chosen, to one worker", 1, 8, false, 1.02};
    fby_status status = measure_pair(b, &all_64, b->automatic);
    if (status == FBY_OK)
        status = measure_pair(b, &all_mixed, b->automatic);
    if (status == FBY_OK)
        status = measure_pair(b, &fine, b->fine);
    if (status == FBY_OK)
        status = measure_pair(b, &automatic, b->automatic);
    return status;
}

fby_status fby_workers_pairs(const fby_workers_options *options, fby_report *report)
{
    bench b = {.options = options, .report = report};
    fby_model_info info = {.struct_size = sizeof info};
    fby_status status =
        fby_workers_open(options, 1, FBY_PARALLELISM_COARSE, FBY_STRATEGY_FIXED, &b.one);
    if (status == FBY_OK)
        status = fby_workers_open(options, 0, FBY_PARALLELISM_FINE, FBY_STRATEGY_FIXED, &b.fine);
    if (status == FBY_OK)
        status =
            fby_workers_open(options, 0, FBY_PARALLELISM_AUTO, FBY_STRATEGY_AUTO, &b.automatic);
    if (status == FBY_OK)
        status = fby_model_get_info(b.automatic, &info);
    if (status == FBY_OK) {
        b.threads = fby_min_u32(info.threads, THREADS_MAX);
        b.vectors = calloc((size_t)BATCH * fby_model_dim(b.one), sizeof *b.vectors);
        status =
            b.vectors != NULL ? measure_pairs(&b) : fby_error(FBY_ENOMEM, "no memory for vectors");
    }
    free(b.vectors);
    fby_model_close(b.one);
    fby_model_close(b.fine);
    fby_model_close(b.automatic);
    return status;
}
