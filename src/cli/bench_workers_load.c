/* SPDX-License-Identifier: Apache-2.0 */
/* What being able to stop costs, and how the workers follow a load that changes. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/pages.h"
#include "cli/bench_workers.h"
#include "model/encoder.h"

/* ---- cancellation ---- */

enum { PAIRS = 401, COST_TOKENS = 8, STOPS = 15 };

static double run_ns(const fby_encoder *encoder, const uint32_t *ids, const uint32_t *starts,
                     void *scratch, float *vector, const atomic_bool *cancel)
{
    float *const rows[1] = {vector};
    uint64_t began_ns = fby_now_ns();
    fby_encoder_run(encoder, ids, starts, 1, scratch, rows, cancel);
    return (double)(fby_now_ns() - began_ns);
}

/* The look between layers, on the shortest texts: the ratio of neighbouring runs, which of the two
 * goes first in turn. */
static fby_status cost_of_looking(const fby_encoder *encoder, fby_spread *ratio)
{
    static const uint32_t ids[COST_TOKENS], starts[2] = {0, COST_TOKENS};
    fby_encoder_info info;
    fby_encoder_get_info(encoder, &info);
    const size_t bytes = fby_encoder_scratch(encoder, COST_TOKENS);
    double ratios[PAIRS];
    atomic_bool cancel;
    atomic_init(&cancel, false);
    void *scratch = NULL;
    float *vector = calloc(info.dim, sizeof *vector);
    fby_status status = vector != NULL ? fby_pages_map(bytes, &scratch)
                                       : fby_error(FBY_ENOMEM, "no memory for a vector");
    for (int i = 0; status == FBY_OK && i < PAIRS; i++) {
        double with = 0, without = 0;
        if (i % 2 == 0)
            with = run_ns(encoder, ids, starts, scratch, vector, &cancel);
        without = run_ns(encoder, ids, starts, scratch, vector, NULL);
        if (i % 2 != 0)
            with = run_ns(encoder, ids, starts, scratch, vector, &cancel);
        ratios[i] = with / without;
    }
    if (status == FBY_OK)
        *ratio = fby_spread_of(ratios, PAIRS);
    fby_pages_unmap(scratch, bytes);
    free(vector);
    return status;
}

/* From fby_job_cancel() to the job's end, in layers of the batch that runs meanwhile. */
static fby_status time_to_stop(fby_model *model, fby_spread *stop_ms, double *layer_ms)
{
    enum { TEXTS = 64, LENGTH = 64, A_BATCH = 4 };
    fby_workers_texts texts;
    double stops[STOPS];
    fby_model_info info = {.struct_size = sizeof info};
    fby_status status = fby_model_get_info(model, &info);
    if (status == FBY_OK)
        status = fby_workers_texts_make(TEXTS, LENGTH, &texts);
    if (status != FBY_OK)
        return status;
    float *vectors = calloc((size_t)TEXTS * info.dim, sizeof *vectors);
    if (vectors == NULL)
        status = fby_error(FBY_ENOMEM, "no memory for vectors");
    fby_embed_options one = FBY_EMBED_OPTIONS_INIT;
    one.threads = 1;
    uint64_t began_ns = fby_now_ns();
    if (status == FBY_OK)
        status = fby_embed(model, texts.texts, A_BATCH, &one, vectors, NULL);
    *layer_ms = (double)(fby_now_ns() - began_ns) / 1e6 / info.layers;
    for (int i = 0; status == FBY_OK && i < STOPS; i++) {
        fby_job *job;
        status = fby_embed_submit(model, texts.texts, TEXTS, NULL, vectors, NULL, NULL, NULL, &job);
        if (status != FBY_OK)
            break;
        fby_job_wait(job, 5 + (uint32_t)i); /* the stop comes at any place of a layer */
        began_ns = fby_now_ns();
        fby_job_cancel(job);
        fby_job_wait(job, UINT32_MAX);
        stops[i] = (double)(fby_now_ns() - began_ns) / 1e6;
        fby_job_free(job);
    }
    if (status == FBY_OK)
        *stop_ms = fby_spread_of(stops, STOPS);
    free(vectors);
    fby_workers_texts_clear(&texts);
    return status;
}

fby_status fby_workers_cancellation(const fby_workers_options *options, fby_report *report)
{
    char dir[PATH_MAX];
    fby_isa isa;
    fby_encoder *encoder = NULL;
    fby_model *model = NULL;
    fby_spread ratio, stop_ms;
    double layer_ms;
    fby_status status = fby_model_choice_dir(&options->model, dir);
    if (status == FBY_OK)
        status = fby_isa_select(&isa);
    if (status == FBY_OK)
        status =
            fby_encoder_open(dir, isa, (fby_precision)options->model.precision, NULL, &encoder);
    if (status == FBY_OK)
        status = cost_of_looking(encoder, &ratio);
    if (status == FBY_OK)
        status = fby_workers_open(options, 0, FBY_PARALLELISM_AUTO, FBY_STRATEGY_AUTO, &model);
    if (status == FBY_OK)
        status = time_to_stop(model, &stop_ms, &layer_ms);
    if (status == FBY_OK) {
        FBY_REPORT_SPREAD(report, "with_to_without", ratio);
        FBY_REPORT_SPREAD(report, "stop_ms", stop_ms);
        fby_report_real(report, "layer_ms", layer_ms);
        fby_report_uint(report, "repetitions", PAIRS);
        fby_report_row(report);
    }
    fby_model_close(model);
    fby_encoder_close(encoder);
    return status;
}

/* ---- a load that changes ---- */

/* Each phase lasts PHASE_MS; what is reported of it begins SETTLE_MS after its beginning. */
enum { PHASES = 3, CALLERS_MAX = 32, SETTLE_MS = 2000, PHASE_MS = 4000, CALL_TEXTS = 4 };

typedef struct load {
    fby_model *model;
    const fby_workers_texts *texts;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint32_t callers; /* that are to call; the others sleep */
    bool over;
    _Atomic uint64_t done;
} load;

typedef struct caller {
    load *of;
    uint32_t index;
    pthread_t thread;
    float *vectors;
    fby_status status;
} caller;

/* False at the end. */
static bool wait_for_turn(load *l, uint32_t index)
{
    pthread_mutex_lock(&l->lock);
    while (!l->over && index >= l->callers)
        pthread_cond_wait(&l->changed, &l->lock);
    bool over = l->over;
    pthread_mutex_unlock(&l->lock);
    return !over;
}

static void change(load *l, uint32_t callers, bool over)
{
    pthread_mutex_lock(&l->lock);
    l->callers = callers;
    l->over = over;
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->lock);
}

static void *call(void *argument)
{
    caller *c = argument;
    load *l = c->of;
    while (wait_for_turn(l, c->index)) {
        fby_job *job;
        c->status = fby_embed_submit(l->model, l->texts->texts, l->texts->count, NULL, c->vectors,
                                     NULL, NULL, NULL, &job);
        if (c->status == FBY_OK) {
            c->status = fby_job_wait(job, UINT32_MAX);
            fby_job_free(job);
        }
        if (c->status != FBY_OK)
            return NULL;
        atomic_fetch_add(&l->done, 1);
    }
    return NULL;
}

static void pause_ms(uint64_t ms)
{
    const struct timespec time = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};
    nanosleep(&time, NULL);
}

/* texts/s of each phase, once it has settled. */
static fby_status follow(fby_model *model, const fby_workers_texts *texts, double rates[PHASES])
{
    static const uint32_t phases[PHASES] = {1, CALLERS_MAX, 1};
    static caller callers[CALLERS_MAX];
    load l = {.model = model,
              .texts = texts,
              .lock = PTHREAD_MUTEX_INITIALIZER,
              .changed = PTHREAD_COND_INITIALIZER};
    fby_status status = FBY_OK;
    uint32_t started = 0;
    for (; status == FBY_OK && started < CALLERS_MAX; started += status == FBY_OK) {
        caller *c = &callers[started];
        *c = (caller){.of = &l, .index = started};
        c->vectors = calloc((size_t)texts->count * fby_model_dim(model), sizeof *c->vectors);
        if (c->vectors == NULL || pthread_create(&c->thread, NULL, call, c) != 0) {
            free(c->vectors);
            status = fby_error(FBY_ENOMEM, "no memory for a caller");
        }
    }
    for (int phase = 0; status == FBY_OK && phase < PHASES; phase++) {
        change(&l, phases[phase], false);
        pause_ms(SETTLE_MS);
        uint64_t before = atomic_load(&l.done), began_ns = fby_now_ns();
        pause_ms(PHASE_MS - SETTLE_MS);
        rates[phase] = (double)(atomic_load(&l.done) - before) * texts->count * 1e9 /
                       (double)(fby_now_ns() - began_ns);
    }
    change(&l, 0, true);
    for (uint32_t i = 0; i < started; i++) {
        pthread_join(callers[i].thread, NULL);
        free(callers[i].vectors);
        status = status == FBY_OK ? callers[i].status : status;
    }
    return status;
}

fby_status fby_workers_load(const fby_workers_options *options, fby_report *report)
{
    static const struct {
        const char *name;
        uint32_t threads;
        fby_parallelism parallelism;
        fby_strategy strategy;
    } rows[] = {
        {"auto", 0, FBY_PARALLELISM_AUTO, FBY_STRATEGY_AUTO},
        {"fixed coarse", 1, FBY_PARALLELISM_COARSE, FBY_STRATEGY_FIXED},
        {"fixed coarse", 0, FBY_PARALLELISM_COARSE, FBY_STRATEGY_FIXED},
        {"fixed fine", 0, FBY_PARALLELISM_FINE, FBY_STRATEGY_FIXED},
    };
    fby_workers_texts texts;
    fby_status status = fby_workers_texts_make(CALL_TEXTS, 0, &texts);
    if (status != FBY_OK)
        return status;
    for (size_t i = 0; status == FBY_OK && i < sizeof rows / sizeof *rows; i++) {
        fby_model *model = NULL;
        double rates[PHASES];
        status = fby_workers_open(options, rows[i].threads, rows[i].parallelism, rows[i].strategy,
                                  &model);
        if (status == FBY_OK)
            status = follow(model, &texts, rates);
        fby_model_stats stats = {.struct_size = sizeof stats};
        if (status == FBY_OK)
            status = fby_model_get_stats(model, &stats);
        if (status == FBY_OK) {
            fby_report_text(report, "strategy", rows[i].name);
            fby_report_uint(report, "workers", rows[i].threads);
            fby_report_real(report, "one_texts_per_s", rates[0]);
            fby_report_real(report, "many_texts_per_s", rates[1]);
            fby_report_real(report, "one_again_texts_per_s", rates[2]);
            fby_report_uint(report, "decisions", stats.decisions);
            fby_report_row(report);
        }
        fby_model_close(model);
    }
    fby_workers_texts_clear(&texts);
    return status;
}
