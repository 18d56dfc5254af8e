/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs jobs on a fixed number of contexts. A thread with a context works; a
 * caller that waits takes one itself if one is free, the workers take the rest.
 *
 *     job --claim--> batch --alone-----------------------------> computed --> vectors
 *                      |                                           ^
 *                      +--team: leader opens it, idle workers join-+
 *
 * One lock guards the queue, the free contexts, open teams and every job's state;
 * it is taken a few times a job and batch of texts, never a text. A worker that
 * has just worked looks for more for some tens of microseconds before it sleeps.
 */
#ifndef FBY_ENGINE_ENGINE_H
#define FBY_ENGINE_ENGINE_H

#include "engine/context.h"
#include "engine/job.h"
#include "engine/local.h"
#include "engine/topology.h"

typedef struct fby_engine_options {
    uint32_t threads;  /* contexts, and workers */
    uint32_t budget;   /* tokens a batch */
    uint32_t max_jobs; /* for fby_engine_submit() */
    uint32_t stall_ms; /* without progress until a batch is given up; UINT32_MAX: never */
    const fby_placement *placement; /* workers stay on the nodes it says; NULL: anywhere */
    const fby_topology *topology;   /* with a placement */
    const fby_local *local;         /* the same; outlives the engine */
    fby_tuner_options tuner;        /* but for texts_max */
    fby_costs costs;
} fby_engine_options;

fby_status fby_engine_create(const fby_encoder *encoder, const fby_kernels *kernels,
                             const fby_engine_options *options, fby_engine **engine);
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

fby_tuner *fby_engine_tuner(fby_engine *engine);

#endif
