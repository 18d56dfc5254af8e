/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs as their callers see them, and the engine's start and end. */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>

#include "base/assert.h"
#include "base/bits.h"
#include "base/clock.h"
#include "base/platform.h"
#include "engine/engine_internal.h"
#include "engine/threads.h"

/* Some 20 µs of pauses: the last batches of a job end nearly at once. */
enum { SPIN_TURNS = 1000 };

/* With the lock held, which it lets go. */
static void wait_until_done(fby_engine *engine, fby_job *job)
{
    if (job->state == FBY_JOB_RUNNING) {
        pthread_mutex_unlock(&engine->lock);
        for (int turn = 0;
             turn < SPIN_TURNS && !atomic_load_explicit(&job->over, memory_order_relaxed); turn++)
            fby_relax();
        pthread_mutex_lock(&engine->lock);
    }
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
    fby_context *context = fby_engine_room(engine) > 0 ? fby_engine_take_context(engine) : NULL;
    if (context != NULL) {
        fby_engine_work_on(engine, &job, context, true);
    } else {
        fby_engine_enqueue(engine, &job);
        fby_engine_post(engine, 1);
    }
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
        fby_engine_finish(engine, job);
    } else {
        fby_engine_enqueue(engine, job);
        fby_engine_post(engine, fby_min_u32(request->threads, 2)); /* one may lead a team */
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
    for (uint32_t i = 0; i < engine->context_count; i++)
        if (engine->contexts[i].job == job)
            atomic_store_explicit(&engine->contexts[i].cancel, true, memory_order_relaxed);
    if (job->queued && job->active == 0) { /* no context would look at the flag for a while */
        fby_engine_dequeue(job);
        fby_job_fail(job, FBY_ECANCELED, "cancelled", 0);
        fby_engine_finish(engine, job);
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
    options.trace_file = secure_getenv("FBY_HEAP_TRACE");
    fby_status status = fby_heap_pool_create(&options, pool);
    free(parts);
    return status == FBY_OK ? FBY_OK : fby_error_prefix(status, "memory of %u contexts", count);
}

/* With weights that are near, in memory of the node of one worker. */
static void init_context(fby_engine *engine, fby_context *context, const fby_encoder *encoder,
                         const fby_kernels *kernels, const fby_engine_options *options,
                         void *memory)
{
    const fby_placement *placement = options->placement;
    if (placement == NULL || placement->workers == 0) {
        fby_context_init(context, encoder, kernels, options->budget, memory);
        return;
    }
    const uint32_t node = placement->node[engine->context_count % placement->workers];
    fby_local_context(options->topology, node, memory, fby_context_size(encoder, options->budget));
    fby_context_init(context, fby_local_encoder(options->local, encoder, node), kernels,
                     options->budget, memory);
    context->node = options->topology->node_number[node];
    engine->placed = true;
}

static fby_status create_contexts(fby_engine *engine, const fby_encoder *encoder,
                                  const fby_kernels *kernels, const fby_engine_options *options)
{
    const uint32_t threads = options->threads;
    const size_t bytes = fby_context_size(encoder, options->budget);
    engine->contexts = aligned_alloc(FBY_CACHELINE, threads * sizeof *engine->contexts);
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
        init_context(engine, context, encoder, kernels, options, place.address);
        context->block = block;
        context->next = engine->free_contexts;
        engine->free_contexts = context;
    }
    atomic_store_explicit(&engine->tuner.idle, threads, memory_order_relaxed);
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

/* To all that is allowed on the node: which processor of it is free is the system's to see, and
 * another process that does the same shares no core with this one for long. */
static void pin(pthread_t thread, const fby_topology *topology, uint32_t node)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    for (uint32_t i = 0; i < topology->count; i++) {
        const fby_cpu_place *cpu = &topology->cpus[i];
        if (cpu->allowed && cpu->node == node && cpu->cpu < CPU_SETSIZE)
            CPU_SET(cpu->cpu, &set);
    }
    (void)pthread_setaffinity_np(thread, sizeof set, &set); /* it runs anywhere else */
}

static fby_status start_threads(fby_engine *engine, uint32_t threads)
{
    int failed = 0;
    for (; failed == 0 && engine->thread_count < threads; engine->thread_count += failed == 0)
        failed =
            pthread_create(&engine->threads[engine->thread_count], NULL, fby_engine_worker, engine);
    if (failed != 0)
        return fby_error_errno(FBY_ENOMEM, failed, "starting worker %u of %u",
                               engine->thread_count + 1, threads);
    if (engine->stall_ms == UINT32_MAX)
        return FBY_OK;
    failed = pthread_create(&engine->watch, NULL, fby_engine_watch, engine);
    engine->watched = failed == 0;
    return failed == 0 ? FBY_OK
                       : fby_error_errno(FBY_ENOMEM, failed, "starting the watch over workers");
}

static fby_status create_threads(fby_engine *engine, uint32_t threads)
{
    engine->threads = calloc(threads, sizeof *engine->threads);
    if (engine->threads == NULL)
        return fby_error(FBY_ENOMEM, "no memory for %u threads", threads);
    sigset_t before;
    fby_block_signals(&before);
    pthread_mutex_lock(&engine->lock); /* until all is said that they read */
    fby_status status = start_threads(engine, threads);
    pthread_mutex_unlock(&engine->lock);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return status;
}

static void init_alarm(fby_engine *engine)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&engine->alarm, &attributes);
    pthread_condattr_destroy(&attributes);
}

fby_status fby_engine_create(const fby_encoder *encoder, const fby_kernels *kernels,
                             const fby_engine_options *options, fby_engine **out)
{
    fby_engine *engine = calloc(1, sizeof *engine);
    if (engine == NULL)
        return fby_error(FBY_ENOMEM, "no memory for the engine");
    pthread_mutex_init(&engine->lock, NULL);
    pthread_cond_init(&engine->work, NULL);
    init_alarm(engine);
    engine->queue.queue_prev = engine->queue.queue_next = &engine->queue;
    engine->stall_ms = options->stall_ms;
    fby_tuner_options tuner = options->tuner;
    tuner.texts_max = options->budget / 2;
    fby_tuner_init(&engine->tuner, &tuner, &options->costs);

    fby_status status = create_contexts(engine, encoder, kernels, options);
    if (status == FBY_OK)
        status = create_jobs(engine, options->max_jobs);
    if (status == FBY_OK)
        status = create_threads(engine, options->threads);
    const fby_placement *placement = options->placement;
    for (uint32_t i = 0; status == FBY_OK && placement != NULL && i < placement->workers; i++)
        if (i < engine->thread_count)
            pin(engine->threads[i], options->topology, placement->node[i]);
    if (status != FBY_OK) {
        fby_engine_destroy(engine);
        return status;
    }
    *out = engine;
    return FBY_OK;
}

fby_tuner *fby_engine_tuner(fby_engine *engine)
{
    return &engine->tuner;
}

void fby_engine_destroy(fby_engine *engine)
{
    if (engine == NULL)
        return;
    pthread_mutex_lock(&engine->lock);
    engine->stopping = true;
    pthread_cond_broadcast(&engine->work);
    pthread_cond_signal(&engine->alarm);
    pthread_mutex_unlock(&engine->lock);
    for (uint32_t i = 0; i < engine->thread_count; i++)
        pthread_join(engine->threads[i], NULL);
    if (engine->watched)
        pthread_join(engine->watch, NULL);

    for (uint32_t i = 0; i < engine->max_jobs; i++)
        fby_job_destroy(&engine->jobs[i]);
    for (uint32_t i = 0; i < engine->context_count; i++)
        fby_heap_release(engine->pool, engine->contexts[i].block);
    fby_heap_closing closing = {.struct_size = sizeof closing};
    fby_heap_pool_close(engine->pool, &closing);
    if (FBY_DEBUG)
        fby_assert(closing.leaked == 0); /* every context gave its memory back */
    free(engine->threads);
    free(engine->jobs);
    free(engine->contexts);
    fby_tuner_destroy(&engine->tuner);
    pthread_cond_destroy(&engine->alarm);
    pthread_cond_destroy(&engine->work);
    pthread_mutex_destroy(&engine->lock);
    free(engine);
}
