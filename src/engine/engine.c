/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/engine.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "base/assert.h"
#include "base/bits.h"
#include "base/clock.h"

struct fby_engine {
    pthread_mutex_t lock;
    pthread_cond_t work; /* a job is queued and a context is free, or the end has come */
    bool stopping;

    fby_job queue; /* head of the ring of jobs with texts left to claim, oldest first */
    fby_job *jobs, *free_jobs;
    uint32_t max_jobs;

    fby_heap_pool *pool; /* the contexts' memory */
    fby_context *contexts, *free_contexts;
    uint32_t context_count;

    pthread_t *threads;
    uint32_t thread_count;
};

/* ---- the queue and the free lists, under the lock ---- */

static void enqueue(fby_engine *engine, fby_job *job)
{
    job->queue_prev = engine->queue.queue_prev;
    job->queue_next = &engine->queue;
    engine->queue.queue_prev->queue_next = job;
    engine->queue.queue_prev = job;
    job->queued = true;
}

static void dequeue(fby_job *job)
{
    if (!job->queued)
        return;
    job->queue_prev->queue_next = job->queue_next;
    job->queue_next->queue_prev = job->queue_prev;
    job->queued = false;
}

static bool all_claimed(fby_job *job)
{
    return atomic_load_explicit(&job->next, memory_order_relaxed) >= job->request.count;
}

/* The oldest job that wants one more thread. */
static fby_job *find_work(fby_engine *engine)
{
    fby_job *job = engine->queue.queue_next;
    while (job != &engine->queue) {
        fby_job *next = job->queue_next;
        if (all_claimed(job))
            dequeue(job);
        else if (job->active < job->request.threads)
            return job;
        job = next;
    }
    return NULL;
}

static fby_context *take_context(fby_engine *engine)
{
    fby_context *context = engine->free_contexts;
    if (context != NULL)
        engine->free_contexts = context->next;
    return context;
}

static void give_context(fby_engine *engine, fby_context *context)
{
    context->next = engine->free_contexts;
    engine->free_contexts = context;
    if (find_work(engine) != NULL)
        pthread_cond_signal(&engine->work);
}

/* ---- a job's run ---- */

static void finish(fby_engine *engine, fby_job *job)
{
    if (job->done != NULL) {
        job->state = FBY_JOB_CALLING;
        pthread_cond_broadcast(&job->finished);
        pthread_mutex_unlock(&engine->lock);
        job->done(job, job->status, job->context);
        pthread_mutex_lock(&engine->lock);
    }
    job->state = FBY_JOB_DONE;
    pthread_cond_broadcast(&job->finished);
}

/* Entered and left with the lock held. */
static void work_on(fby_engine *engine, fby_job *job, fby_context *context)
{
    job->active++;
    pthread_mutex_unlock(&engine->lock);
    fby_context_run(context, job);
    pthread_mutex_lock(&engine->lock);
    give_context(engine, context);
    dequeue(job);
    if (--job->active == 0)
        finish(engine, job);
}

static void *worker(void *argument)
{
    fby_engine *engine = argument;

    pthread_mutex_lock(&engine->lock);
    while (!engine->stopping) {
        fby_job *job = engine->free_contexts != NULL ? find_work(engine) : NULL;
        if (job != NULL)
            work_on(engine, job, take_context(engine));
        else
            pthread_cond_wait(&engine->work, &engine->lock);
    }
    pthread_mutex_unlock(&engine->lock);
    return NULL;
}

/* Wakes as many workers as have something to do for `job`. */
static void wake_workers(fby_engine *engine, const fby_job *job, uint32_t already_at_work)
{
    size_t useful = fby_min_size(job->request.threads, job->request.count);
    for (size_t i = already_at_work; i < useful; i++)
        pthread_cond_signal(&engine->work);
}

static void wait_until_done(fby_engine *engine, fby_job *job)
{
    while (job->state != FBY_JOB_DONE)
        pthread_cond_wait(&job->finished, &engine->lock);
}

fby_status fby_engine_run(fby_engine *engine, const fby_request *request)
{
    if (request->count == 0)
        return FBY_OK;
    fby_job job;
    fby_job_init(&job, engine);
    fby_job_start(&job, request, NULL, NULL);

    pthread_mutex_lock(&engine->lock);
    fby_context *context = take_context(engine);
    if (context == NULL || request->count > 1)
        enqueue(engine, &job);
    wake_workers(engine, &job, context != NULL ? 1 : 0);
    if (context != NULL)
        work_on(engine, &job, context);
    wait_until_done(engine, &job);
    pthread_mutex_unlock(&engine->lock);

    fby_status status = fby_job_result(&job);
    fby_job_destroy(&job);
    return status;
}

fby_status fby_engine_submit(fby_engine *engine, const fby_request *request, fby_job_done *done,
                             void *context, fby_job **out)
{
    pthread_mutex_lock(&engine->lock);
    fby_job *job = engine->free_jobs;
    if (job == NULL) {
        pthread_mutex_unlock(&engine->lock);
        return FBY_EAGAIN;
    }
    engine->free_jobs = job->queue_next;
    fby_job_start(job, request, done, context);
    *out = job; /* before a worker can call `done` */
    if (request->count == 0) {
        finish(engine, job);
    } else {
        enqueue(engine, job);
        wake_workers(engine, job, 0);
    }
    pthread_mutex_unlock(&engine->lock);
    return FBY_OK;
}

static struct timespec deadline_after_ms(uint32_t timeout_ms)
{
    uint64_t at = fby_now_ns() + (uint64_t)timeout_ms * 1000000u;
    return (struct timespec){(time_t)(at / 1000000000u), (long)(at % 1000000000u)};
}

fby_status fby_engine_wait(fby_job *job, uint32_t timeout_ms)
{
    fby_engine *engine = job->engine;
    struct timespec deadline = deadline_after_ms(timeout_ms);
    int late = timeout_ms == 0 ? ETIMEDOUT : 0;

    pthread_mutex_lock(&engine->lock);
    while (job->state == FBY_JOB_RUNNING && late != ETIMEDOUT)
        late = timeout_ms == UINT32_MAX
                   ? pthread_cond_wait(&job->finished, &engine->lock)
                   : pthread_cond_timedwait(&job->finished, &engine->lock, &deadline);
    fby_status status = job->state != FBY_JOB_RUNNING ? fby_job_result(job) : FBY_EAGAIN;
    pthread_mutex_unlock(&engine->lock);
    return status;
}

size_t fby_engine_failed_text(fby_job *job)
{
    size_t text = SIZE_MAX;
    pthread_mutex_lock(&job->engine->lock);
    if (job->state != FBY_JOB_RUNNING &&
        (job->status == FBY_ETOOLONG || job->status == FBY_EENCODING ||
         job->status == FBY_ENOTFINITE))
        text = job->failed_text;
    pthread_mutex_unlock(&job->engine->lock);
    return text;
}

void fby_engine_cancel(fby_job *job)
{
    fby_engine *engine = job->engine;
    /* Nothing is read through the flag; the lock orders what follows it. */
    atomic_store_explicit(&job->cancel, true, memory_order_relaxed);

    pthread_mutex_lock(&engine->lock);
    if (job->queued && job->active == 0) { /* no context would look at the flag for a while */
        dequeue(job);
        fby_job_fail(job, FBY_ECANCELED, "cancelled", 0);
        finish(engine, job);
    }
    pthread_mutex_unlock(&engine->lock);
}

void fby_engine_release(fby_job *job)
{
    fby_engine *engine = job->engine;

    pthread_mutex_lock(&engine->lock);
    fby_assert(job->state != FBY_JOB_FREE); /* freed once */
    wait_until_done(engine, job);
    job->state = FBY_JOB_FREE;
    job->queue_next = engine->free_jobs;
    engine->free_jobs = job;
    pthread_mutex_unlock(&engine->lock);
}

/* ---- start and end ---- */

/* Heaps just large enough for `count` contexts of `bytes` bytes. */
static fby_status create_pool(uint32_t count, size_t bytes, fby_heap_pool **pool)
{
    fby_heap_pool_options options = FBY_HEAP_POOL_OPTIONS_INIT;
    uint64_t *parts = calloc(count, sizeof *parts);
    if (parts == NULL)
        return fby_error(FBY_ENOMEM, "no memory to size the pool of %u contexts", count);
    for (uint32_t i = 0; i < count; i++)
        parts[i] = bytes;
    options.parts = parts;
    options.part_count = count;
    fby_status status = fby_heap_pool_create(&options, pool);
    free(parts);
    return status == FBY_OK ? FBY_OK : fby_error_prefix(status, "memory of %u contexts", count);
}

static fby_status create_contexts(fby_engine *engine, const fby_encoder *encoder,
                                  const fby_kernels *kernels, uint32_t threads, uint32_t budget)
{
    const size_t bytes = fby_context_size(encoder, budget);
    engine->contexts = calloc(threads, sizeof *engine->contexts);
    if (engine->contexts == NULL)
        return fby_error(FBY_ENOMEM, "no memory for %u contexts", threads);
    fby_status status = create_pool(threads, bytes, &engine->pool);
    if (status != FBY_OK)
        return status;
    for (; engine->context_count < threads; engine->context_count++) {
        fby_context *context = &engine->contexts[engine->context_count];
        fby_heap_block block;
        fby_heap_place place;
        status =
            fby_heap_acquire(engine->pool, bytes, FBY_HEAP_ALIGN_MAX, "context", &block, &place);
        if (status != FBY_OK)
            return status;
        fby_context_init(context, encoder, kernels, budget, place.address);
        context->block = block;
        context->next = engine->free_contexts;
        engine->free_contexts = context;
    }
    return FBY_OK;
}

static fby_status create_jobs(fby_engine *engine, uint32_t max_jobs)
{
    engine->jobs = calloc(max_jobs, sizeof *engine->jobs);
    if (engine->jobs == NULL)
        return fby_error(FBY_ENOMEM, "no memory for %u jobs", max_jobs);
    for (; engine->max_jobs < max_jobs; engine->max_jobs++) {
        fby_job *job = &engine->jobs[engine->max_jobs];
        fby_job_init(job, engine);
        job->queue_next = engine->free_jobs;
        engine->free_jobs = job;
    }
    return FBY_OK;
}

/* The program's signals are for its own threads: a worker takes none but those of its own faults.
 */
static void block_signals(sigset_t *before)
{
    sigset_t set;
    sigfillset(&set);
    sigdelset(&set, SIGSEGV);
    sigdelset(&set, SIGBUS);
    sigdelset(&set, SIGFPE);
    sigdelset(&set, SIGILL);
    pthread_sigmask(SIG_SETMASK, &set, before);
}

static fby_status create_threads(fby_engine *engine, uint32_t threads)
{
    engine->threads = calloc(threads, sizeof *engine->threads);
    if (engine->threads == NULL)
        return fby_error(FBY_ENOMEM, "no memory for %u threads", threads);
    sigset_t before;
    int failed = 0;
    block_signals(&before);
    for (; failed == 0 && engine->thread_count < threads; engine->thread_count += failed == 0)
        failed = pthread_create(&engine->threads[engine->thread_count], NULL, worker, engine);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed != 0)
        return fby_error_errno(FBY_ENOMEM, failed, "starting worker %u of %u",
                               engine->thread_count + 1, threads);
    return FBY_OK;
}

fby_status fby_engine_create(const fby_encoder *encoder, const fby_kernels *kernels,
                             uint32_t threads, uint32_t budget, uint32_t max_jobs, fby_engine **out)
{
    fby_engine *engine = calloc(1, sizeof *engine);
    if (engine == NULL)
        return fby_error(FBY_ENOMEM, "no memory for the engine");
    pthread_mutex_init(&engine->lock, NULL);
    pthread_cond_init(&engine->work, NULL);
    engine->queue.queue_prev = engine->queue.queue_next = &engine->queue;

    fby_status status = create_contexts(engine, encoder, kernels, threads, budget);
    if (status == FBY_OK)
        status = create_jobs(engine, max_jobs);
    if (status == FBY_OK)
        status = create_threads(engine, threads);
    if (status != FBY_OK) {
        fby_engine_destroy(engine);
        return status;
    }
    *out = engine;
    return FBY_OK;
}

void fby_engine_destroy(fby_engine *engine)
{
    if (engine == NULL)
        return;
    pthread_mutex_lock(&engine->lock);
    engine->stopping = true;
    pthread_cond_broadcast(&engine->work);
    pthread_mutex_unlock(&engine->lock);
    for (uint32_t i = 0; i < engine->thread_count; i++)
        pthread_join(engine->threads[i], NULL);

    for (uint32_t i = 0; i < engine->max_jobs; i++)
        fby_job_destroy(&engine->jobs[i]);
    for (uint32_t i = 0; i < engine->context_count; i++)
        fby_heap_release(engine->pool, engine->contexts[i].block);
    fby_heap_pool_close(engine->pool, NULL);
    free(engine->threads);
    free(engine->jobs);
    free(engine->contexts);
    pthread_cond_destroy(&engine->work);
    pthread_mutex_destroy(&engine->lock);
    free(engine);
}
