/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/job.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"

void fby_job_init(fby_job *job, fby_engine *engine)
{
    memset(job, 0, sizeof *job);
    job->engine = engine;
    atomic_init(&job->claimed, false);
    atomic_init(&job->wanted, 1);
    atomic_init(&job->cancel, false);
    atomic_init(&job->over, false);
    pthread_mutex_init(&job->own_lock, NULL);

    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&job->finished, &attributes);
    pthread_condattr_destroy(&attributes);
}

void fby_job_destroy(fby_job *job)
{
    pthread_cond_destroy(&job->finished);
    pthread_mutex_destroy(&job->own_lock);
}

void fby_job_start(fby_job *job, const fby_request *request, fby_job_done *done, void *context)
{
    job->request = *request;
    job->done = done;
    job->context = context;
    job->started_ns = fby_now_ns();
    job->planned = job->window = 0;
    job->next_batch = 0;
    job->plan.batches = 0;
    atomic_store_explicit(&job->claimed, false, memory_order_relaxed);
    atomic_store_explicit(&job->wanted, 1, memory_order_relaxed);
    atomic_store_explicit(&job->cancel, false, memory_order_relaxed);
    atomic_store_explicit(&job->over, false, memory_order_relaxed);
    job->state = FBY_JOB_RUNNING;
    job->status = FBY_OK;
    job->failed_text = SIZE_MAX;
    job->message[0] = '\0';
}

/* Under the job's lock. */
static void plan_window(fby_job *job, fby_tuner *tuner)
{
    size_t left = job->request.count - job->planned;
    job->window = job->planned;
    job->planned += left < FBY_PLAN_TEXTS ? left : FBY_PLAN_TEXTS;
    job->next_batch = 0;
    fby_tuner_plan(tuner, &job->request, job->window, (uint32_t)(job->planned - job->window),
                   &job->plan);
    fby_assert(job->plan.batches > 0);
    atomic_store_explicit(&job->wanted, job->plan.workers / job->plan.team, memory_order_relaxed);
}

bool fby_job_claim(fby_job *job, fby_tuner *tuner, fby_claim *claim)
{
    const fby_plan *plan = &job->plan;
    pthread_mutex_lock(&job->own_lock);
    claim->new_window = false;
    bool found = job->status == FBY_OK &&
                 (job->next_batch < plan->batches || job->planned < job->request.count);
    if (found && job->next_batch == plan->batches) {
        plan_window(job, tuner);
        claim->new_window = true;
    }
    if (found) {
        uint32_t batch = job->next_batch++, first = batch > 0 ? plan->ends[batch - 1] : 0;
        claim->texts = plan->ends[batch] - first;
        claim->team = plan->team;
        for (uint32_t i = 0; i < claim->texts; i++)
            claim->indices[i] = job->window + plan->order[first + i];
    }
    if (!found || (job->next_batch == plan->batches && job->planned == job->request.count))
        atomic_store_explicit(&job->claimed, true, memory_order_relaxed);
    pthread_mutex_unlock(&job->own_lock);
    return found;
}

void fby_job_fail(fby_job *job, fby_status status, const char *message, size_t text)
{
    fby_assert(status != FBY_OK);
    pthread_mutex_lock(&job->own_lock);
    if (job->status == FBY_OK || text < job->failed_text) {
        job->status = status;
        job->failed_text = text;
        snprintf(job->message, sizeof job->message, "%s", message);
    }
    atomic_store_explicit(&job->claimed, true, memory_order_relaxed);
    pthread_mutex_unlock(&job->own_lock);
}

fby_status fby_job_result(fby_job *job)
{
    if (job->status == FBY_OK)
        return FBY_OK;
    return fby_error(job->status, "%s", job->message);
}
