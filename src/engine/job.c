/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/job.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"

void fby_job_init(fby_job *job, fby_engine *engine)
{
    memset(job, 0, sizeof *job);
    job->engine = engine;
    atomic_init(&job->next, 0);
    atomic_init(&job->cancel, false);
    pthread_mutex_init(&job->failure_lock, NULL);

    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&job->finished, &attributes);
    pthread_condattr_destroy(&attributes);
}

void fby_job_destroy(fby_job *job)
{
    pthread_cond_destroy(&job->finished);
    pthread_mutex_destroy(&job->failure_lock);
}

void fby_job_start(fby_job *job, const fby_request *request, fby_job_done *done, void *context)
{
    job->request = *request;
    job->done = done;
    job->context = context;
    atomic_store_explicit(&job->next, 0, memory_order_relaxed);
    atomic_store_explicit(&job->cancel, false, memory_order_relaxed);
    job->state = FBY_JOB_RUNNING;
    job->status = FBY_OK;
    job->failed_text = SIZE_MAX;
    job->message[0] = '\0';
}

void fby_job_fail(fby_job *job, fby_status status, const char *message, size_t text)
{
    fby_assert(status != FBY_OK);
    pthread_mutex_lock(&job->failure_lock);
    if (job->status == FBY_OK || text < job->failed_text) {
        job->status = status;
        job->failed_text = text;
        snprintf(job->message, sizeof job->message, "%s", message);
    }
    pthread_mutex_unlock(&job->failure_lock);
    /* Nobody reads anything through `next`: a claim is only an index, so no
     * order is needed. */
    atomic_store_explicit(&job->next, job->request.count, memory_order_relaxed);
}

fby_status fby_job_result(fby_job *job)
{
    if (job->status == FBY_OK)
        return FBY_OK;
    return fby_error(job->status, "%s", job->message);
}
