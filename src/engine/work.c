/* SPDX-License-Identifier: Apache-2.0 */
/* How workers find work, and a job's way through a context. */
#include <sched.h>

#include "base/assert.h"
#include "base/bits.h"
#include "base/clock.h"
#include "base/platform.h"
#include "base/scheduling.h"
#include "engine/engine_internal.h"

/* Some 50 µs of pauses: what a wake-up costs. */
enum { LOOK_TURNS = 2500 };

/* ---- the queue and the free lists, under the lock ---- */

void fby_engine_enqueue(fby_engine *engine, fby_job *job)
{
    job->queue_prev = engine->queue.queue_prev;
    job->queue_next = &engine->queue;
    engine->queue.queue_prev->queue_next = job;
    engine->queue.queue_prev = job;
    job->queued = true;
}

void fby_engine_dequeue(fby_job *job)
{
    if (!job->queued)
        return;
    job->queue_prev->queue_next = job->queue_next;
    job->queue_next->queue_prev = job->queue_prev;
    job->queued = false;
}

static bool all_claimed(fby_job *job)
{
    return atomic_load_explicit(&job->claimed, memory_order_relaxed);
}

fby_job *fby_engine_find_work(fby_engine *engine)
{
    fby_job *job = engine->queue.queue_next;
    while (job != &engine->queue) {
        fby_job *next = job->queue_next;
        if (all_claimed(job))
            fby_engine_dequeue(job);
        else if (job->active < atomic_load_explicit(&job->wanted, memory_order_relaxed))
            return job;
        job = next;
    }
    return NULL;
}

uint32_t fby_engine_room(const fby_engine *engine)
{
    const fby_tuner *tuner = &engine->tuner;
    uint32_t idle = atomic_load_explicit(&tuner->idle, memory_order_relaxed);
    uint32_t used = engine->context_count - idle;
    uint32_t most = atomic_load_explicit(&tuner->workers, memory_order_relaxed);
    if (engine->abandoned > 0)
        return idle;
    return most > used ? fby_min_u32(most - used, idle) : 0;
}

/* Where there are several nodes, one of the thread's own if there is any. */
static fby_context **nearest(fby_engine *engine)
{
    unsigned node;
    if (engine->placed && getcpu(NULL, &node) == 0)
        for (fby_context **link = &engine->free_contexts; *link != NULL; link = &(*link)->next)
            if ((*link)->node == node)
                return link;
    return &engine->free_contexts;
}

fby_context *fby_engine_take_context(fby_engine *engine)
{
    fby_context **link = nearest(engine), *context = *link;
    if (context != NULL) {
        context->cpu = sched_getcpu();
        context->taken = true;
        *link = context->next;
        atomic_fetch_sub_explicit(&engine->tuner.idle, 1, memory_order_relaxed);
    }
    return context;
}

void fby_engine_give_context(fby_engine *engine, fby_context *context)
{
    context->taken = false;
    context->given_at = atomic_load_explicit(&engine->posts, memory_order_relaxed);
    context->next = engine->free_contexts;
    engine->free_contexts = context;
    atomic_fetch_add_explicit(&engine->tuner.idle, 1, memory_order_relaxed);
    if (fby_engine_find_work(engine) != NULL)
        fby_engine_post(engine, 1);
}

/* Who still looks is counted out: it will see that `posts` has changed. */
void fby_engine_post(fby_engine *engine, size_t count)
{
    size_t asleep = count > engine->looking ? count - engine->looking : 0;
    engine->looking = 0;
    atomic_fetch_add_explicit(&engine->posts, 1, memory_order_relaxed);
    for (size_t i = 0; i < asleep && i < engine->sleeping; i++)
        pthread_cond_signal(&engine->work);
}

/* ---- a job's run ---- */

void fby_engine_finish(fby_engine *engine, fby_job *job)
{
    fby_tuner_call(&engine->tuner, fby_now_ns() - job->started_ns);
    if (job->done != NULL) {
        job->state = FBY_JOB_CALLING;
        pthread_cond_broadcast(&job->finished);
        pthread_mutex_unlock(&engine->lock);
        job->done(job, job->status, job->context);
        pthread_mutex_lock(&engine->lock);
    }
    job->state = FBY_JOB_DONE;
    /* Only a hint to look: the state is read under the lock. */
    atomic_store_explicit(&job->over, true, memory_order_relaxed);
    pthread_cond_broadcast(&job->finished);
}

void fby_engine_leave(fby_engine *engine, fby_job *job)
{
    if (all_claimed(job))
        fby_engine_dequeue(job);
    if (--job->active == 0 && all_claimed(job))
        fby_engine_finish(engine, job);
}

/* After a plan: others that have something to do. */
static void call_others(fby_engine *engine, fby_job *job)
{
    uint32_t wanted = atomic_load_explicit(&job->wanted, memory_order_relaxed);
    if (wanted <= 1)
        return;
    pthread_mutex_lock(&engine->lock);
    if (!job->queued && !all_claimed(job))
        fby_engine_enqueue(engine, job);
    if (wanted > job->active)
        fby_engine_post(engine, wanted - job->active);
    pthread_mutex_unlock(&engine->lock);
}

/* Who found no room before may find some now. */
static void call_all(fby_engine *engine)
{
    pthread_mutex_lock(&engine->lock);
    fby_engine_post(engine, engine->context_count);
    pthread_mutex_unlock(&engine->lock);
}

/* Computes the context's batch, by a team if `wanted` are to share it; false when it was given up
 * meanwhile: the job is none of ours any more. `*status` is the encoder's. */
static bool compute(fby_engine *engine, fby_context *context, uint32_t wanted, fby_status *status)
{
    fby_tuner *tuner = &engine->tuner;
    fby_batch_seen seen = {.tokens = fby_context_tokens(context),
                           .pairs = fby_context_pairs(context)};
    const uint64_t started_ns = fby_now_ns();
    const uint32_t idle = atomic_load_explicit(&context->phase, memory_order_relaxed);
    /* P2, with P1: the batch is seen by who gives it up. */
    atomic_store_explicit(&context->phase, idle + FBY_CONTEXT_NEXT + FBY_CONTEXT_RUNNING,
                          memory_order_release);

    uint32_t size = 1;
    if (wanted > 1 && fby_tuner_splits(tuner)) {
        size = fby_engine_gather(engine, context, wanted, fby_tuner_patience_ns(tuner, &seen));
        seen.unmet = size == 0;
        size = seen.unmet ? 1 : size;
    }
    const uint32_t others = atomic_fetch_add_explicit(&tuner->at_work, size, memory_order_relaxed);
    *status = size > 1 ? fby_gather_lead(&context->gathering, context->rows, &context->cancel)
                       : fby_encoder_run(context->encoder, context->ids, context->starts,
                                         context->texts_used, context->scratch, context->rows,
                                         &context->cancel);
    atomic_fetch_sub_explicit(&tuner->at_work, size, memory_order_relaxed);
    uint32_t running = idle + FBY_CONTEXT_NEXT + FBY_CONTEXT_RUNNING;
    /* P1, with P2. */
    if (!atomic_compare_exchange_strong_explicit(&context->phase, &running, idle + FBY_CONTEXT_NEXT,
                                                 memory_order_acq_rel, memory_order_relaxed))
        return false;
    seen.team = size;
    seen.at_work = others + size;
    seen.ns = fby_now_ns() - started_ns;
    if (*status == FBY_OK && fby_tuner_batch(tuner, &seen, context->texts_used))
        call_all(engine);
    return true;
}

/* The batch that stands in the context; false as of compute(). `text` is that which the batch began
 * with, for a failure that is of no text. */
static bool run_batch(fby_engine *engine, fby_job *job, fby_context *context, uint32_t team,
                      size_t text)
{
    fby_status status = FBY_OK;
    if (context->texts_used == 0)
        return true;
    if (!compute(engine, context, team, &status))
        return false;
    if (status == FBY_OK)
        status = fby_context_finish(context, &job->request, &text);
    if (status != FBY_OK)
        fby_job_fail(job, status, fby_last_error(), text);
    return true;
}

static bool cancelled(fby_job *job)
{
    return atomic_load_explicit(&job->cancel, memory_order_relaxed);
}

/* Tokens were estimated: what does not fit any more begins a batch of its own. False as of
 * compute(). */
static bool run_claimed(fby_engine *engine, fby_job *job, fby_context *context,
                        const fby_claim *claim)
{
    fby_context_clear(context);
    for (uint32_t i = 0; i < claim->texts; i++) {
        const size_t index = claim->indices[i];
        uint32_t tokens = 0;
        fby_status status = cancelled(job) ? fby_error(FBY_ECANCELED, "cancelled")
                                           : fby_context_add(context, &job->request, index, &tokens,
                                                             &engine->tuner);
        if (status == FBY_EAGAIN) {
            if (!run_batch(engine, job, context, claim->team, index))
                return false;
            fby_context_turn(context, index, tokens);
        } else if (status != FBY_OK) {
            fby_job_fail(job, status, fby_last_error(), index);
            return true;
        }
    }
    return run_batch(engine, job, context, claim->team,
                     context->texts_used > 0 ? context->indices[0] : 0);
}

/* Where calls are to be short, a worker is not kept by a long one while others wait. */
static bool gives_way(fby_engine *engine, fby_job *job)
{
    const fby_control_limits *limits = &engine->tuner.options.limits;
    if (limits->goal != FBY_GOAL_LATENCY && limits->target_ns == 0)
        return false;
    pthread_mutex_lock(&engine->lock);
    bool others = job->queued && engine->queue.queue_next != engine->queue.queue_prev;
    if (others) { /* behind them */
        fby_engine_dequeue(job);
        fby_engine_enqueue(engine, job);
    }
    pthread_mutex_unlock(&engine->lock);
    return others;
}

/* False when a batch was given up. */
static bool run(fby_engine *engine, fby_job *job, fby_context *context, bool own)
{
    fby_claim claim = {.indices = context->claimed};
    while (fby_job_claim(job, &engine->tuner, &claim)) {
        if (claim.new_window)
            call_others(engine, job);
        if (!run_claimed(engine, job, context, &claim))
            return false;
        if (!own && gives_way(engine, job))
            break;
    }
    return true;
}

void fby_engine_work_on(fby_engine *engine, fby_job *job, fby_context *context, bool own)
{
    job->active++;
    context->job = job;
    atomic_store_explicit(&context->cancel, cancelled(job), memory_order_relaxed);
    fby_engine_wake_watch(engine);
    pthread_mutex_unlock(&engine->lock);
    bool kept = run(engine, job, context, own);
    pthread_mutex_lock(&engine->lock);
    if (!kept) {
        fby_engine_retire(engine, context);
        return;
    }
    context->job = NULL;
    fby_engine_give_context(engine, context);
    fby_engine_leave(engine, job);
}

/* ---- workers ---- */

/* Under the lock, which it lets go: until somebody is called for. `warm`: the last work is not long
 * ago, more may come at once. */
static void wait_for_work(fby_engine *engine, bool warm)
{
    if (warm) {
        const uint32_t before = atomic_load_explicit(&engine->posts, memory_order_relaxed);
        engine->looking++;
        pthread_mutex_unlock(&engine->lock);
        for (int turn = 0; turn < LOOK_TURNS &&
                           atomic_load_explicit(&engine->posts, memory_order_relaxed) == before;
             turn++)
            fby_relax();
        pthread_mutex_lock(&engine->lock);
        if (atomic_load_explicit(&engine->posts, memory_order_relaxed) != before)
            return; /* who called has counted it out */
        engine->looking--;
        if (engine->stopping) /* said while this thread looked, not slept */
            return;
    }
    engine->sleeping++;
    pthread_cond_wait(&engine->work, &engine->lock);
    engine->sleeping--;
}

/* Under the lock: where others are at work, or have been since `posts` was `called_after`. */
static void find_busy(const fby_engine *engine, uint32_t called_after, cpu_set_t *busy)
{
    CPU_ZERO(busy);
    for (uint32_t i = 0; i < engine->context_count; i++) {
        const fby_context *context = &engine->contexts[i];
        const bool since = (int32_t)(context->given_at - called_after) > 0;
        if ((context->taken || since) && context->cpu >= 0 && context->cpu < CPU_SETSIZE)
            CPU_SET((size_t)context->cpu, busy);
    }
}

/*
 * Linux may wake a thread where it ran before, on the processor of the one that calls it, though
 * another idles (where processors that share a cache are mostly busy it does not look); there it
 * waits for a turn, milliseconds, comes when the work is done, and will be woken in that place
 * again. So who finds itself where another has been at work since it was called moves away, and is
 * there in time from the next call on. Under the lock, which it lets go.
 */
static void keep_apart(fby_engine *engine, uint32_t called_after)
{
    const int here = sched_getcpu();
    cpu_set_t busy;
    find_busy(engine, called_after, &busy);
    if (here < 0 || here >= CPU_SETSIZE || !CPU_ISSET((size_t)here, &busy))
        return;
    pthread_mutex_unlock(&engine->lock);
    (void)fby_sched_leave(&busy);
    pthread_mutex_lock(&engine->lock);
}

void *fby_engine_worker(void *argument)
{
    fby_engine *engine = argument;
    bool warm = false;

    pthread_mutex_lock(&engine->lock);
    while (!engine->stopping) {
        fby_job *job = fby_engine_room(engine) > 0 ? fby_engine_find_work(engine) : NULL;
        if (engine->free_contexts != NULL && engine->open != NULL) {
            fby_engine_join(engine);
            warm = true;
        } else if (job != NULL) {
            fby_engine_work_on(engine, job, fby_engine_take_context(engine), false);
            warm = true;
        } else {
            const uint32_t before = atomic_load_explicit(&engine->posts, memory_order_relaxed);
            wait_for_work(engine, warm);
            keep_apart(engine, before);
            warm =
                true; /* somebody is at work: if this thread was not needed yet, it may be soon */
        }
    }
    pthread_mutex_unlock(&engine->lock);
    return NULL;
}
