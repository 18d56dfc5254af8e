/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The watch: a thread that looks now and then whether batches move on. One that
 * has not for LOOKS looks in a row is given up: its job fails with FBY_ESTALLED,
 * its team is let go, everything else goes on. Its context stays with the
 * worker, who gives it back when it returns.
 *
 * Looks are counted, not time: a process that was stopped, or a machine that
 * slept, comes back to one late look.
 *
 * It sleeps without end while nothing runs; a look that finds nothing at work
 * ends its watch.
 */
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "engine/engine_internal.h"

enum { LOOKS = 4 };

void fby_engine_wake_watch(fby_engine *engine)
{
    if (!engine->watching && engine->watched) {
        engine->watching = true;
        pthread_cond_signal(&engine->alarm);
    }
}

static void give_up(fby_engine *engine, fby_context *context)
{
    fby_job *job = context->job;
    uint32_t running = context->watched;
    /* P1, with P2: from here on its worker leaves the job alone; or it was faster. */
    if (!atomic_compare_exchange_strong_explicit(
            &context->phase, &running, running - FBY_CONTEXT_RUNNING + FBY_CONTEXT_ABANDONED,
            memory_order_acq_rel, memory_order_relaxed))
        return;
    char message[96];
    snprintf(message, sizeof message, "a worker made no progress on a batch for %u ms",
             engine->stall_ms);
    fby_tuner_stall(&engine->tuner);
    fby_job_fail(job, FBY_ESTALLED, message, context->indices[0]);
    atomic_store_explicit(&context->cancel, true, memory_order_relaxed);
    fby_team_break(&context->gathering.team);
    context->job = NULL;
    engine->abandoned++;
    fby_engine_post(engine, engine->context_count); /* there may be room now */
    fby_engine_leave(engine, job);
}

/* Whether anything runs. */
static bool look(fby_engine *engine)
{
    bool runs = false;
    for (uint32_t i = 0; i < engine->context_count; i++) {
        fby_context *context = &engine->contexts[i];
        if (context->job == NULL)
            continue;
        runs = true;
        uint32_t phase = atomic_load_explicit(&context->phase, memory_order_relaxed);
        bool still = phase == context->watched && phase % FBY_CONTEXT_NEXT == FBY_CONTEXT_RUNNING;
        context->watched = phase;
        context->stills = still ? context->stills + 1 : 0;
        if (context->stills >= LOOKS)
            give_up(engine, context);
    }
    return runs;
}

void *fby_engine_watch(void *argument)
{
    fby_engine *engine = argument;
    const uint64_t pause_ns = (uint64_t)engine->stall_ms * 1000000 / LOOKS;

    pthread_mutex_lock(&engine->lock);
    while (!engine->stopping) {
        if (!engine->watching) {
            pthread_cond_wait(&engine->alarm, &engine->lock);
            continue;
        }
        uint64_t at = fby_now_ns() + pause_ns;
        struct timespec until = {(time_t)(at / 1000000000), (long)(at % 1000000000)};
        int late = 0;
        while (!engine->stopping && late != ETIMEDOUT)
            late = pthread_cond_timedwait(&engine->alarm, &engine->lock, &until);
        engine->watching = !engine->stopping && look(engine);
    }
    pthread_mutex_unlock(&engine->lock);
    return NULL;
}
