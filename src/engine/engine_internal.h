/* SPDX-License-Identifier: Apache-2.0 */
/* The engine's inside: who has which context, which jobs and teams want somebody. */
#ifndef FBY_ENGINE_ENGINE_INTERNAL_H
#define FBY_ENGINE_ENGINE_INTERNAL_H

#include "engine/engine.h"

struct fby_engine {
    pthread_mutex_t lock;
    pthread_cond_t work;  /* a job or a team wants somebody and a context is free, or the end */
    pthread_cond_t alarm; /* the watch has something to watch, or the end */
    bool stopping;

    fby_job queue; /* head of the ring of jobs with texts left to claim, oldest first */
    fby_job *jobs, *free_jobs;
    uint32_t max_jobs;

    fby_heap_pool *pool; /* the contexts' memory */
    fby_context *contexts, *free_contexts;
    uint32_t context_count;
    bool placed;         /* contexts lie on the nodes that they name */
    uint32_t abandoned;  /* contexts with a batch that was given up, until all have left it */
    fby_gathering *open; /* teams that want members */

    /* Threads that wait for work: asleep, or still looking at `posts`. */
    uint32_t sleeping, looking;
    _Atomic uint32_t posts; /* grows with each call for somebody */

    fby_tuner tuner;

    bool watching; /* the watch is awake */
    uint32_t stall_ms;

    pthread_t *threads, watch;
    uint32_t thread_count;
    bool watched;
};

/* ---- under the lock ---- */

/* How many more contexts are to be used: no more are in use than the controller has decided, but
 * for those that are lost to a batch that was given up. */
uint32_t fby_engine_room(const fby_engine *engine);
fby_context *fby_engine_take_context(fby_engine *engine);
void fby_engine_give_context(fby_engine *engine, fby_context *context);
/* The oldest job that wants one more thread. */
fby_job *fby_engine_find_work(fby_engine *engine);
void fby_engine_enqueue(fby_engine *engine, fby_job *job);
void fby_engine_dequeue(fby_job *job);
/* Calls for `count` threads. */
void fby_engine_post(fby_engine *engine, size_t count);
/* A context leaves `job`, the last finishes it. May let the lock go meanwhile. */
void fby_engine_leave(fby_engine *engine, fby_job *job);

/* Calls back, wakes who waits. Lets the lock go meanwhile. */
void fby_engine_finish(fby_engine *engine, fby_job *job);

/* Claims and computes, batch after batch; entered and left with the lock held. `own`: the thread is
 * the job's caller. */
void fby_engine_work_on(fby_engine *engine, fby_job *job, fby_context *context, bool own);

void *fby_engine_worker(void *engine);

/* ---- teams: engine/members.c ---- */

/* The lock not held. Calls for members beside the leader; the number that make up the team then, or
 * 0 if somebody was called and nobody came. */
uint32_t fby_engine_gather(fby_engine *engine, fby_context *leader, uint32_t wanted,
                           uint64_t patience_ns);
/* Under the lock, which it lets go: takes a seat in the team of engine->open. */
void fby_engine_join(fby_engine *engine);
/* Under the lock: the worker of an abandoned context is back. */
void fby_engine_retire(fby_engine *engine, fby_context *context);

/* ---- the watch: engine/watch.c ---- */

void *fby_engine_watch(void *engine);
/* Under the lock: something runs. */
void fby_engine_wake_watch(fby_engine *engine);

#endif
