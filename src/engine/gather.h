/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a team comes together to compute a batch. The leader opens its team and
 * waits a few wake-ups long; who is idle takes a seat; whoever has come by then is
 * the team, and a leader to whom nobody came goes on alone. So no batch waits for
 * a thread that the system does not run.
 *
 *     leader: open ---------------> all seats taken, or patience over --> close --> call, run
 *     member:      take a seat --> take part: look for the call ---------------> run --> leave
 *
 * Open teams stand in a list of their owner's, under a lock of its own: seats are
 * taken and closed under it, so that who has taken one is counted in the size. Calling for
 * members is the owner's, too. tests/spin/workers.pml is this, and how the engine's
 * workers wait, as a model.
 *
 * Threads: a gathering has one leader; open, close, take_seat and leave under the
 * owner's lock, the others without it.
 */
#ifndef FBY_ENGINE_GATHER_H
#define FBY_ENGINE_GATHER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/team.h"
#include "model/encoder.h"

/* What is computed: as the arguments of fby_encoder_run(). */
typedef struct fby_batch {
    const fby_encoder *encoder;
    const uint32_t *ids, *starts;
    uint32_t texts;
    void *scratch;
} fby_batch;

typedef struct fby_gathering {
    fby_team team;
    fby_batch batch;          /* set before fby_gather_call() */
    _Atomic uint64_t stopped; /* fby_bert_member's */
    _Atomic uint64_t called;  /* grows when the team is complete: the run's number */
    _Atomic uint32_t joined;  /* members beside the leader */
    _Atomic uint32_t inside;  /* members that have not left; changed under the lock */

    /* Under the lock. */
    uint32_t seats; /* members still wanted */
    struct fby_gathering *next;
} fby_gathering;

/* A member's place. */
typedef struct fby_seat {
    fby_gathering *in;
    uint64_t before; /* in->called, until the leader calls */
    uint32_t index;
} fby_seat;

void fby_gather_init(fby_gathering *gathering);

/* ---- the leader ---- */

/* `seats` is at least 1. */
void fby_gather_open(fby_gathering **list, fby_gathering *gathering, uint32_t seats);

/* Until `seats` members have come, nobody is `idle` any more, `*cancel` (NULL: none) is set or the
 * patience is over. */
void fby_gather_wait(fby_gathering *gathering, uint32_t seats, const _Atomic uint32_t *idle,
                     const atomic_bool *cancel, uint64_t patience_ns);

/* The members that have come beside the leader. */
uint32_t fby_gather_close(fby_gathering **list, fby_gathering *gathering);

/* After closing, whoever has come: the members begin. */
void fby_gather_call(fby_gathering *gathering, const fby_batch *batch);

/* The leader's part, where somebody has come; status and vectors as of fby_encoder_run(). Waits a
 * moment for its members to leave, so that they are there for the next call. */
fby_status fby_gather_lead(fby_gathering *gathering, float *const *vectors,
                           const atomic_bool *cancel);

/* ---- a member ---- */

/* Of the list's first team, which has one. */
fby_seat fby_gather_take_seat(fby_gathering **list);

/* `scratch` is as large as the batch's. */
void fby_gather_take_part(const fby_seat *seat, void *scratch);

/* Whether it was the last to leave. */
bool fby_gather_leave(const fby_seat *seat);

#endif
