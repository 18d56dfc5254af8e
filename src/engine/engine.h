/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs jobs on a fixed number of contexts. A thread with a context works; a
 * caller that waits takes one itself if one is free, the workers take the rest.
 *
 * One lock guards the queue, the free contexts and every job's state; it is
 * taken a few times a job and batch of texts, never a text.
 */
#ifndef FBY_ENGINE_ENGINE_H
#define FBY_ENGINE_ENGINE_H

#include "engine/context.h"
#include "engine/job.h"

/* `threads` contexts of `budget` tokens a batch, `max_jobs` jobs for fby_engine_submit(). */
fby_status fby_engine_create(const fby_encoder *encoder, const fby_kernels *kernels,
                             uint32_t threads, uint32_t budget, uint32_t max_jobs,
                             fby_engine **engine);
/* No job may be unfinished. NULL is fine. */
void fby_engine_destroy(fby_engine *engine);

/* Runs `request` to its end, on the calling thread too. */
fby_status fby_engine_run(fby_engine *engine, const fby_request *request);

/* FBY_EAGAIN when every job is in use. */
fby_status fby_engine_submit(fby_engine *engine, const fby_request *request, fby_job_done *done,
                             void *context, fby_job **job);

/* FBY_EAGAIN if `job` is not done within `timeout_ms`. */
fby_status fby_engine_wait(fby_job *job, uint32_t timeout_ms);

/* As fby_job_failed_text(). */
size_t fby_engine_failed_text(fby_job *job);

/* Ends a job that nobody works on at once, another at its next layer. */
void fby_engine_cancel(fby_job *job);

/* Waits until `job` is done, its callback too, and gives it back. */
void fby_engine_release(fby_job *job);

#endif
