/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/gather.h"

#include <sched.h>

#include "base/clock.h"
#include "base/platform.h"

/* Pauses before the processor is offered to others: for a call that is sure to come, and of a
 * leader who waits for members, each with a look at the clock. */
enum { SPIN_TURNS = 1000, PATIENT_TURNS = 200 };

void fby_gather_init(fby_gathering *gathering)
{
    fby_team_init(&gathering->team);
    atomic_init(&gathering->stopped, 0);
    atomic_init(&gathering->called, 0);
    atomic_init(&gathering->joined, 0);
    atomic_init(&gathering->inside, 0);
    gathering->seats = 0;
    gathering->next = NULL;
}

static void remove_from(fby_gathering **list, const fby_gathering *gathering)
{
    while (*list != NULL && *list != gathering)
        list = &(*list)->next;
    if (*list != NULL)
        *list = gathering->next;
}

/* ---- the leader ---- */

void fby_gather_open(fby_gathering **list, fby_gathering *gathering, uint32_t seats)
{
    atomic_store_explicit(&gathering->joined, 0, memory_order_relaxed);
    gathering->seats = seats;
    gathering->next = *list;
    *list = gathering;
}

static bool may_still_come(const fby_gathering *gathering, uint32_t seats,
                           const _Atomic uint32_t *idle, const atomic_bool *cancel)
{
    return atomic_load_explicit(&gathering->joined, memory_order_relaxed) < seats &&
           atomic_load_explicit(idle, memory_order_relaxed) > 0 &&
           !(cancel != NULL && atomic_load_explicit(cancel, memory_order_relaxed));
}

void fby_gather_wait(fby_gathering *gathering, uint32_t seats, const _Atomic uint32_t *idle,
                     const atomic_bool *cancel, uint64_t patience_ns)
{
    const uint64_t until_ns = fby_now_ns() + patience_ns;
    /* The system may have put a member on this very processor: yield it now and then. */
    for (uint32_t turn = 0;
         may_still_come(gathering, seats, idle, cancel) && fby_now_ns() < until_ns; turn++) {
        if (turn < PATIENT_TURNS)
            fby_relax();
        else
            sched_yield();
    }
}

uint32_t fby_gather_close(fby_gathering **list, fby_gathering *gathering)
{
    remove_from(list, gathering);
    gathering->seats = 0;
    uint32_t joined = atomic_load_explicit(&gathering->joined, memory_order_relaxed);
    fby_team_form(&gathering->team, 1 + joined);
    return joined;
}

void fby_gather_call(fby_gathering *gathering, const fby_batch *batch)
{
    gathering->batch = *batch;
    /* G1, with G2: the batch and the team's size are seen by who reads it. */
    atomic_fetch_add_explicit(&gathering->called, 1, memory_order_release);
}

static fby_status run(fby_gathering *gathering, const fby_bert_member *member,
                      float *const *vectors, const atomic_bool *cancel)
{
    const fby_batch *batch = &gathering->batch;
    return fby_encoder_run_team(batch->encoder, batch->ids, batch->starts, batch->texts,
                                batch->scratch, member, vectors, cancel);
}

/* They have met for the last time: once they have left they are there for the next call, which may
 * come at once. Who is later than that does no harm: it only leaves. */
static void see_off(fby_gathering *gathering)
{
    for (int turn = 0;
         turn < SPIN_TURNS && atomic_load_explicit(&gathering->inside, memory_order_relaxed) > 0;
         turn++)
        fby_relax();
}

fby_status fby_gather_lead(fby_gathering *gathering, float *const *vectors,
                           const atomic_bool *cancel)
{
    const fby_bert_member leader = {
        .team = &gathering->team,
        .index = 0,
        .own = gathering->batch.scratch,
        .stopped = &gathering->stopped,
        .run = atomic_load_explicit(&gathering->called, memory_order_relaxed),
    };
    fby_status status = run(gathering, &leader, vectors, cancel);
    see_off(gathering);
    return status;
}

/* ---- a member ---- */

fby_seat fby_gather_take_seat(fby_gathering **list)
{
    fby_gathering *gathering = *list;
    const fby_seat seat = {
        .in = gathering,
        .before = atomic_load_explicit(&gathering->called, memory_order_relaxed),
        .index = 1 + atomic_fetch_add_explicit(&gathering->joined, 1, memory_order_relaxed),
    };
    if (--gathering->seats == 0)
        remove_from(list, gathering);
    atomic_fetch_add_explicit(&gathering->inside, 1, memory_order_relaxed);
    return seat;
}

static void wait_until_called(const fby_seat *seat)
{
    /* G2, with G1. The leader is awake and about to call. */
    for (uint32_t turn = 0;
         atomic_load_explicit(&seat->in->called, memory_order_acquire) == seat->before; turn++) {
        if (turn < SPIN_TURNS)
            fby_relax();
        else
            sched_yield();
    }
}

void fby_gather_take_part(const fby_seat *seat, void *scratch)
{
    wait_until_called(seat);
    const fby_bert_member member = {
        .team = &seat->in->team,
        .index = seat->index,
        .own = scratch,
        .stopped = &seat->in->stopped,
        .run = seat->before + 1,
    };
    (void)run(seat->in, &member, NULL, NULL); /* what it returns is the leader's to know */
}

bool fby_gather_leave(const fby_seat *seat)
{
    return atomic_fetch_sub_explicit(&seat->in->inside, 1, memory_order_relaxed) == 1;
}
