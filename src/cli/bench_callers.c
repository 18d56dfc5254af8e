/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/bench_callers.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"

enum { CALLS_KEPT = 1 << 16 };

typedef struct caller {
    fby_callers *of;
    uint32_t index;
    pthread_t thread;
    float *vectors;
} caller;

struct fby_callers {
    fby_model *model;
    const fby_workers_texts *texts;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* Under the lock. */
    uint32_t used;
    bool over;
    fby_status status;
    char message[256];
    uint64_t calls, began_ns;
    double call_ms[CALLS_KEPT]; /* of the first so many */
    uint32_t started;
    caller callers[];
};

/* False at the end. */
static bool wait_for_turn(fby_callers *all, uint32_t index)
{
    pthread_mutex_lock(&all->lock);
    while (!all->over && index >= all->used)
        pthread_cond_wait(&all->changed, &all->lock);
    bool over = all->over;
    pthread_mutex_unlock(&all->lock);
    return !over;
}

static void note(fby_callers *all, uint64_t ns)
{
    pthread_mutex_lock(&all->lock);
    if (all->calls < CALLS_KEPT)
        all->call_ms[all->calls] = (double)ns / 1e6;
    all->calls++;
    pthread_mutex_unlock(&all->lock);
}

static void fail(fby_callers *all, fby_status status)
{
    pthread_mutex_lock(&all->lock);
    if (all->status == FBY_OK) {
        all->status = status;
        snprintf(all->message, sizeof all->message, "%s", fby_last_error());
    }
    pthread_mutex_unlock(&all->lock);
}

static void *call(void *argument)
{
    caller *c = argument;
    const fby_workers_texts *texts = c->of->texts;
    while (wait_for_turn(c->of, c->index)) {
        fby_job *job;
        const uint64_t began_ns = fby_now_ns();
        fby_status status = fby_embed_submit(c->of->model, texts->texts, texts->count, NULL,
                                             c->vectors, NULL, NULL, NULL, &job);
        if (status == FBY_OK) {
            status = fby_job_wait(job, UINT32_MAX);
            fby_job_free(job);
        }
        if (status != FBY_OK) {
            fail(c->of, status);
            return NULL;
        }
        note(c->of, fby_now_ns() - began_ns);
    }
    return NULL;
}

fby_status fby_callers_start(fby_model *model, const fby_workers_texts *texts, uint32_t most,
                             fby_callers **out)
{
    fby_callers *all = calloc(1, sizeof *all + most * sizeof *all->callers);
    if (all == NULL)
        return fby_error(FBY_ENOMEM, "no memory for %u callers", most);
    all->model = model;
    all->texts = texts;
    pthread_mutex_init(&all->lock, NULL);
    pthread_cond_init(&all->changed, NULL);
    for (; all->started < most; all->started++) {
        caller *c = &all->callers[all->started];
        *c = (caller){.of = all, .index = all->started};
        c->vectors = calloc((size_t)texts->count * fby_model_dim(model), sizeof *c->vectors);
        if (c->vectors == NULL || pthread_create(&c->thread, NULL, call, c) != 0) {
            free(c->vectors);
            (void)fby_callers_end(all);
            return fby_error(FBY_ENOMEM, "no memory for a caller");
        }
    }
    *out = all;
    return FBY_OK;
}

void fby_callers_use(fby_callers *all, uint32_t count)
{
    pthread_mutex_lock(&all->lock);
    all->used = count;
    pthread_cond_broadcast(&all->changed);
    pthread_mutex_unlock(&all->lock);
}

void fby_callers_begin(fby_callers *all)
{
    pthread_mutex_lock(&all->lock);
    all->calls = 0;
    all->began_ns = fby_now_ns();
    pthread_mutex_unlock(&all->lock);
}

fby_callers_seen fby_callers_read(fby_callers *all, double over_ms)
{
    fby_callers_seen seen = {.p50_ms = NAN, .p99_ms = NAN, .over = NAN};
    pthread_mutex_lock(&all->lock);
    const double seconds = (double)(fby_now_ns() - all->began_ns) / 1e9;
    const size_t kept = all->calls < CALLS_KEPT ? (size_t)all->calls : CALLS_KEPT;
    seen.calls = all->calls;
    seen.texts_per_s = (double)all->calls * all->texts->count / seconds;
    if (kept > 0) {
        size_t within = 0;
        fby_sort(all->call_ms, kept);
        while (within < kept && all->call_ms[within] <= over_ms)
            within++;
        seen.over = (double)(kept - within) / (double)kept;
        seen.p50_ms = fby_quantile(all->call_ms, kept, 0.5);
        seen.p99_ms = fby_quantile(all->call_ms, kept, 0.99);
    }
    all->calls = 0; /* what was kept is in no order any more */
    pthread_mutex_unlock(&all->lock);
    return seen;
}

fby_status fby_callers_end(fby_callers *all)
{
    if (all == NULL)
        return FBY_OK;
    pthread_mutex_lock(&all->lock);
    all->over = true;
    pthread_cond_broadcast(&all->changed);
    pthread_mutex_unlock(&all->lock);
    for (uint32_t i = 0; i < all->started; i++) {
        pthread_join(all->callers[i].thread, NULL);
        free(all->callers[i].vectors);
    }
    fby_status status = all->status == FBY_OK ? FBY_OK : fby_error(all->status, "%s", all->message);
    pthread_cond_destroy(&all->changed);
    pthread_mutex_destroy(&all->lock);
    free(all);
    return status;
}
