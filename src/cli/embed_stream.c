/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/embed_stream.h"

#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "cli/stop.h"

/*
 * A batch is full at so many texts, at so much text, or at so much work: bytes
 * that a model will read, a part of a second for each thread, so that a stop is
 * quick and every thread has its share.
 */
enum {
    BATCH_TEXTS = 512,
    BATCH_BYTES = 4 << 20,
    BATCH_WORK_PER_THREAD = 16 << 10,
    BYTES_PER_TOKEN = 8, /* more than most texts have */
    IN_FLIGHT = 2,
    BATCHES = IN_FLIGHT + 1,
    WAIT_MS = 50 /* between two looks at the stop flag */
};

struct place {
    const char *file;
    uint64_t line;
};

struct batch {
    fby_job *job; /* NULL: not submitted */
    size_t count;
    char *bytes; /* of all texts, one after another */
    size_t used, capacity;
    size_t work;
    uint64_t position; /* of the input, after the last text */
    size_t starts[BATCH_TEXTS];
    struct place places[BATCH_TEXTS];
    bool replaced[BATCH_TEXTS]; /* before the model saw it */
    fby_text texts[BATCH_TEXTS];
    fby_text_info infos[BATCH_TEXTS];
    float *vectors; /* (BATCH_TEXTS, dim) */
};

struct stream {
    fby_model *model;
    const fby_embed_options *options;
    fby_input *input;
    fby_rows *rows;
    fby_progress *progress;
    fby_stream_totals *totals;
    size_t text_work, batch_work; /* at most */
    unsigned oldest, in_flight;   /* batches, taking turns */
    struct batch batches[BATCHES];
};

static bool is_full(const struct stream *stream, const struct batch *batch)
{
    return batch->count == BATCH_TEXTS || batch->used >= BATCH_BYTES ||
           batch->work >= stream->batch_work;
}

static fby_status add_text(struct stream *stream, struct batch *batch, const fby_line *text)
{
    size_t needed = batch->used + text->size; /* BATCH_BYTES and a line: no overflow */

    if (needed > batch->capacity) {
        size_t capacity = fby_max_size(2 * batch->capacity, needed);
        char *bytes = realloc(batch->bytes, capacity);
        if (bytes == NULL)
            return fby_error(FBY_ENOMEM, "%s:%llu: no memory for the text", text->file,
                             (unsigned long long)text->number);
        batch->bytes = bytes;
        batch->capacity = capacity;
    }
    if (text->size > 0)
        memcpy(batch->bytes + batch->used, text->bytes, text->size);
    batch->starts[batch->count] = batch->used;
    batch->places[batch->count] = (struct place){text->file, text->number};
    batch->replaced[batch->count] = text->replaced;
    batch->texts[batch->count].size = text->size;
    batch->count++;
    batch->used = needed;
    batch->work += fby_min_size(text->size, stream->text_work);
    batch->position = fby_lines_position(fby_input_lines(stream->input));
    return FBY_OK;
}

/* Adds texts until the batch is full, the input ends or, with something in the batch, would have
 * to be waited for. */
static fby_status fill(struct stream *stream, struct batch *batch, bool *end)
{
    *end = false;
    while (!is_full(stream, batch)) {
        fby_line text;
        if (fby_stop_asked())
            return FBY_ECANCELED;
        if (batch->count > 0 && !fby_lines_ready(fby_input_lines(stream->input)))
            return FBY_OK;
        fby_status status = fby_input_next(stream->input, &text, end);
        if (status != FBY_OK || *end)
            return status;
        status = add_text(stream, batch, &text);
        if (status != FBY_OK)
            return status;
    }
    return FBY_OK;
}

static fby_status submit(struct stream *stream, struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++)
        batch->texts[i].bytes = batch->bytes + batch->starts[i];
    fby_status status = fby_embed_submit(stream->model, batch->texts, batch->count, stream->options,
                                         batch->vectors, batch->infos, NULL, NULL, &batch->job);
    stream->in_flight += status == FBY_OK;
    return status;
}

static fby_status write_rows(struct stream *stream, const struct batch *batch)
{
    fby_stream_totals *totals = stream->totals;

    for (size_t i = 0; i < batch->count; i++) {
        const fby_text_info *info = &batch->infos[i];
        fby_status status =
            fby_rows_add(stream->rows, batch->vectors + i * stream->rows->dim, info);
        if (status != FBY_OK)
            return status;
        totals->texts++;
        totals->tokens += info->tokens;
        totals->truncated += info->truncated;
        totals->replaced += info->replaced || batch->replaced[i];
    }
    fby_progress_update(stream->progress, batch->position, totals->texts, totals->tokens);
    return fby_output_flush(stream->rows->output);
}

/* The model refused a text of the batch: the message says which line that is. */
static fby_status blame(const struct batch *batch, fby_status refusal)
{
    size_t text = fby_job_failed_text(batch->job);
    if (text >= batch->count)
        return refusal;
    return fby_input_blame(refusal, batch->places[text].file, batch->places[text].line);
}

/* The status of the oldest batch, when it is done; cancels it when a stop is asked for. */
static fby_status wait_for(struct batch *batch)
{
    for (;;) {
        fby_status status = fby_job_wait(batch->job, WAIT_MS);
        if (status != FBY_EAGAIN)
            return status;
        if (fby_stop_asked())
            fby_job_cancel(batch->job);
    }
}

static void empty(struct batch *batch)
{
    fby_job_free(batch->job);
    batch->job = NULL;
    batch->count = batch->used = batch->work = 0;
}

static fby_status retire_oldest(struct stream *stream)
{
    struct batch *batch = &stream->batches[stream->oldest];
    fby_status status = wait_for(batch);

    if (status == FBY_OK)
        status = write_rows(stream, batch);
    else
        status = blame(batch, status);
    empty(batch);
    stream->oldest = (stream->oldest + 1) % BATCHES;
    stream->in_flight--;
    return status;
}

/* After a stop: keeps the batches that were done, in order, drops the rest. After a failure: drops
 * them all, and the message stays. Returns `status`, or what went wrong with a row to be kept. */
static fby_status drain(struct stream *stream, fby_status status)
{
    bool keep = status == FBY_ECANCELED;
    for (unsigned i = 0; i < stream->in_flight; i++)
        fby_job_cancel(stream->batches[(stream->oldest + i) % BATCHES].job);
    while (stream->in_flight > 0) {
        if (keep) {
            fby_status retired = retire_oldest(stream);
            keep = retired == FBY_OK;
            if (retired != FBY_OK)
                status = retired;
            continue;
        }
        empty(&stream->batches[stream->oldest]);
        stream->oldest = (stream->oldest + 1) % BATCHES;
        stream->in_flight--;
    }
    return status;
}

static fby_status run(struct stream *stream)
{
    bool end = false;

    while (!end || stream->in_flight > 0) {
        struct batch *batch = &stream->batches[(stream->oldest + stream->in_flight) % BATCHES];
        fby_status status = end ? FBY_OK : fill(stream, batch, &end);
        if (status != FBY_OK)
            return status;
        bool full = is_full(stream, batch);
        if (batch->count > 0 && (full || end || stream->in_flight == 0))
            status = submit(stream, batch);
        /* Nothing to read now, or no batch to read into: time to write. */
        bool idle = !full || stream->in_flight > IN_FLIGHT - 1;
        if (status == FBY_OK && stream->in_flight > 0 && idle)
            status = retire_oldest(stream);
        if (status != FBY_OK)
            return status;
    }
    return FBY_OK;
}

static fby_status make_batches(struct stream *stream)
{
    size_t floats, bytes;

    if (!fby_mul_size(BATCH_TEXTS, stream->rows->dim, &floats) ||
        !fby_mul_size(floats, sizeof(float), &bytes))
        return fby_error(FBY_ENOMEM, "vectors of %u numbers", stream->rows->dim);
    for (unsigned i = 0; i < BATCHES; i++) {
        struct batch *batch = &stream->batches[i];
        batch->vectors = malloc(bytes);
        batch->bytes = malloc(BATCH_WORK_PER_THREAD);
        batch->capacity = BATCH_WORK_PER_THREAD;
        if (batch->vectors == NULL || batch->bytes == NULL)
            return fby_error(FBY_ENOMEM, "no memory for %d vectors of %u numbers", BATCH_TEXTS,
                             stream->rows->dim);
    }
    return FBY_OK;
}

static void free_stream(struct stream *stream)
{
    for (unsigned i = 0; i < BATCHES; i++) {
        free(stream->batches[i].vectors);
        free(stream->batches[i].bytes);
    }
    free(stream);
}

fby_status fby_embed_stream(fby_model *model, const fby_embed_options *options, fby_input *input,
                            fby_rows *rows, fby_progress *progress, fby_stream_totals *totals)
{
    fby_model_info info = {.struct_size = sizeof info};
    struct stream *stream = calloc(1, sizeof *stream);

    *totals = (fby_stream_totals){0};
    if (stream == NULL)
        return fby_error(FBY_ENOMEM, "no memory for batches");
    stream->model = model;
    stream->options = options;
    stream->input = input;
    stream->rows = rows;
    stream->progress = progress;
    stream->totals = totals;

    fby_status status = fby_model_get_info(model, &info);
    stream->text_work = (size_t)info.max_tokens * BYTES_PER_TOKEN;
    stream->batch_work = (size_t)info.threads * BATCH_WORK_PER_THREAD;
    if (status == FBY_OK)
        status = make_batches(stream);
    if (status == FBY_OK)
        status = run(stream);
    status = drain(stream, status);
    free_stream(stream);
    return status;
}
