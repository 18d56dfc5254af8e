/* SPDX-License-Identifier: Apache-2.0 */
/* What being able to stop costs, and how long a stop takes. */
#include <stdlib.h>

#include "base/clock.h"
#include "base/pages.h"
#include "cli/bench_workers.h"
#include "model/encoder.h"

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
