/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One embed call: what is asked, how far it is, how it ended.
 *
 *     free --submit--> queued --claimed--> running --last text--> calling --> done --free--> free
 *
 * Texts are claimed one by one through `next`; a context that finds none left
 * leaves the job, and the last to leave finishes it.
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
#include "forebay/embed.h"

typedef struct fby_engine fby_engine;

/* Which vector has length 1. */
typedef enum fby_unit {
    FBY_UNIT_NONE,
    FBY_UNIT_BEFORE_CUT, /* the model's; what is left of it after the cut is shorter */
    FBY_UNIT_AFTER_CUT   /* what is returned */
} fby_unit;

/* What is asked, checked and with every default resolved. */
typedef struct fby_request {
    const fby_text *texts;
    size_t count;
    float *vectors; /* (count, dimensions) */
    fby_text_info *infos;
    const char *prompt;
    size_t prompt_size;
    uint32_t dimensions;
    uint32_t limit; /* tokens a text */
    uint32_t threads;
    fby_unit normalize;
    bool truncate;
    bool left;
    bool strict_utf8;
} fby_request;

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

    /* Any thread. */
    _Atomic size_t next; /* first text not claimed; past `count` when all are */
    atomic_bool cancel;

    /* Under the engine's lock. */
    fby_job_state state;
    uint32_t active; /* contexts at work on it */
    bool queued;
    struct fby_job *queue_prev, *queue_next; /* when queued; queue_next links free jobs too */
    pthread_cond_t finished;

    /* Under `failure_lock` while running. */
    pthread_mutex_t failure_lock;
    fby_status status;
    size_t failed_text; /* lowest index that failed */
    char message[FBY_ERROR_SIZE];
};

void fby_job_init(fby_job *job, fby_engine *engine);
void fby_job_destroy(fby_job *job);

/* Makes an initialised job ready for `request`. */
void fby_job_start(fby_job *job, const fby_request *request, fby_job_done *done, void *context);

/* Keeps `status` and `message`, unless a failure of an earlier text is known; no text is claimed
 * any more. Any thread at work on the job. */
void fby_job_fail(fby_job *job, fby_status status, const char *message, size_t text);

/* The status of a finished job; its message becomes this thread's. */
fby_status fby_job_result(fby_job *job);

#endif
