/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One embed call: what is asked, how far it is, how it ended.
 *
 *     free --submit--> queued --claimed--> running --last text--> calling --> done --free--> free
 *
 * Its texts are planned FBY_PLAN_TEXTS at a time, by whoever claims the first
 * batch of such a window; batches are claimed one by one. A context that finds
 * none left leaves the job, and the last to leave finishes it.
 */
#ifndef FBY_ENGINE_JOB_H
#define FBY_ENGINE_JOB_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/platform.h"
#include "base/status.h"
#include "engine/request.h"
#include "engine/tuner.h"

typedef struct fby_engine fby_engine;

typedef enum fby_job_state {
    FBY_JOB_FREE,
    FBY_JOB_RUNNING,
    FBY_JOB_CALLING, /* ended; `done` is being called */
    FBY_JOB_DONE
} fby_job_state;

struct fby_job {
    /* Constant while the job runs. */
    fby_request request;
    fby_engine *engine;
    fby_job_done *done;
    void *context;
    uint64_t started_ns;

    /* Any thread. Nothing is read through them. */
    atomic_bool claimed;     /* no batch is left, or the job has failed */
    _Atomic uint32_t wanted; /* contexts that have something to do, the window's plan says */
    atomic_bool cancel;
    atomic_bool over; /* done */

    /* Under the engine's lock. */
    fby_job_state state;
    uint32_t active; /* contexts at work on it */
    bool queued;
    struct fby_job *queue_prev, *queue_next; /* when queued; queue_next links free jobs too */
    pthread_cond_t finished;

    /* Under `own_lock` while running; taken with the engine's lock held or without. */
    pthread_mutex_t own_lock;
    size_t planned;      /* texts of the windows so far */
    size_t window;       /* first text of the last one */
    uint32_t next_batch; /* of it */
    fby_plan plan;
    fby_status status;
    size_t failed_text; /* lowest index that failed */
    char message[FBY_ERROR_SIZE];
};

void fby_job_init(fby_job *job, fby_engine *engine);
void fby_job_destroy(fby_job *job);

/* Makes an initialised job ready for `request`. */
void fby_job_start(fby_job *job, const fby_request *request, fby_job_done *done, void *context);

/* Texts of the batch that has been claimed, by their number in the request. */
typedef struct fby_claim {
    size_t *indices;
    uint32_t texts;
    uint32_t team;   /* members that are wanted for it */
    bool new_window; /* others may be called for what else it has */
} fby_claim;

/* The next batch; false when there is none. `claim->indices` has room for the batch. */
bool fby_job_claim(fby_job *job, fby_tuner *tuner, fby_claim *claim);

/* Keeps `status` and `message`, unless a failure of an earlier text is known; no text is claimed
 * any more. Any thread at work on the job. */
void fby_job_fail(fby_job *job, fby_status status, const char *message, size_t text);

/* The status of a finished job; its message becomes this thread's. */
fby_status fby_job_result(fby_job *job);

#endif
