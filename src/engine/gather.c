/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a team comes together. The leader opens its team and waits a few wake-ups
 * long; who is idle takes a seat; whoever has come by then is the team, and a
 * leader to whom nobody came goes on alone. So no batch waits for a thread that
 * the system does not run.
 *
 *     leader: open ---------------> joined = seats, or patience over --> close: size, `called`
 *     member:      take a seat, joined + 1 --> look at `called` ----------------> run, leave
 *
 * Seats are taken and closed under the engine's lock, so that who has taken one
 * is counted in the size. tests/spin/workers.pml is this, and how workers wait, as
 * a model.
 */
#include <sched.h>

#include "base/bits.h"
#include "base/clock.h"
#include "engine/engine_internal.h"

/* Pauses before the processor is offered to others: for a call that is sure to come, and of a
 * leader who waits for members, each with a look at the clock. */
enum { SPIN_TURNS = 1000, PATIENT_TURNS = 200 };

static void remove_open(fby_engine *engine, const fby_context *leader)
{
    fby_context **link = &engine->open;
    while (*link != NULL && *link != leader)
        link = &(*link)->next;
    if (*link != NULL)
        *link = leader->next;
}

static bool may_still_come(fby_engine *engine, fby_context *leader, uint32_t seats)
{
    return atomic_load_explicit(&leader->joined, memory_order_relaxed) < seats &&
           atomic_load_explicit(&engine->tuner.idle, memory_order_relaxed) > 0 &&
           !atomic_load_explicit(&leader->cancel, memory_order_relaxed);
}

uint32_t fby_engine_gather(fby_engine *engine, fby_context *leader, uint32_t wanted,
                           uint64_t patience_ns)
{
    atomic_store_explicit(&leader->joined, 0, memory_order_relaxed);

    pthread_mutex_lock(&engine->lock);
    /* There are as many workers as contexts: for each free one somebody is asleep or on the way. */
    uint32_t seats = fby_min_u32(wanted - 1, fby_engine_room(engine));
    if (seats > 0) {
        leader->seats = seats;
        leader->next = engine->open;
        engine->open = leader;
        fby_engine_post(engine, seats);
    }
    pthread_mutex_unlock(&engine->lock);
    if (seats == 0)
        return 1;

    const uint64_t until_ns = fby_now_ns() + patience_ns;
    /* The system may have put a member on this very processor: yield it now and then. */
    for (uint32_t turn = 0; may_still_come(engine, leader, seats) && fby_now_ns() < until_ns;
         turn++) {
        if (turn < PATIENT_TURNS)
            fby_relax();
        else
            sched_yield();
    }

    pthread_mutex_lock(&engine->lock);
    remove_open(engine, leader);
    leader->seats = 0;
    uint32_t joined = atomic_load_explicit(&leader->joined, memory_order_relaxed);
    fby_team_form(&leader->team, 1 + joined);
    pthread_mutex_unlock(&engine->lock);
    /* G1, with G2: the batch and the team's size are seen by who reads it. */
    atomic_fetch_add_explicit(&leader->called, 1, memory_order_release);
    return joined > 0 ? 1 + joined : 0;
}

static void wait_until_called(fby_context *leader, uint64_t before)
{
    /* G2, with G1. The leader is awake and about to call. */
    for (uint32_t turn = 0; atomic_load_explicit(&leader->called, memory_order_acquire) == before;
         turn++) {
        if (turn < SPIN_TURNS)
            fby_relax();
        else
            sched_yield();
    }
}

/* They have met for the last time: once they have left they are there for the next call, which may
 * come at once. Who is later than that does no harm: it only leaves. */
void fby_engine_see_off(fby_context *leader)
{
    for (int turn = 0;
         turn < SPIN_TURNS && atomic_load_explicit(&leader->inside, memory_order_relaxed) > 0;
         turn++)
        fby_relax();
}

void fby_engine_join(fby_engine *engine)
{
    fby_context *leader = engine->open, *own = fby_engine_take_context(engine);
    const uint64_t before = atomic_load_explicit(&leader->called, memory_order_relaxed);
    const uint32_t index = 1 + atomic_fetch_add_explicit(&leader->joined, 1, memory_order_relaxed);
    if (--leader->seats == 0)
        remove_open(engine, leader);
    atomic_fetch_add_explicit(&leader->inside, 1, memory_order_relaxed);
    pthread_mutex_unlock(&engine->lock);

    wait_until_called(leader, before);
    const fby_bert_member member = {&leader->team, index, own->scratch, &leader->stopped,
                                    before + 1};
    /* What it returns is the leader's to know. */
    (void)fby_encoder_run_team(leader->encoder, leader->ids, leader->starts, leader->texts_used,
                               leader->scratch, &member, NULL, NULL);

    pthread_mutex_lock(&engine->lock);
    fby_engine_give_context(engine, own);
    uint32_t inside = atomic_fetch_sub_explicit(&leader->inside, 1, memory_order_relaxed);
    if (inside == 1 && leader->retired)
        fby_engine_retire(engine, leader);
}

void fby_engine_retire(fby_engine *engine, fby_context *context)
{
    context->retired = atomic_load_explicit(&context->inside, memory_order_relaxed) > 0;
    if (context->retired)
        return;
    engine->abandoned--;
    fby_team_mend(&context->team);
    atomic_store_explicit(&context->cancel, false, memory_order_relaxed);
    const uint32_t phase = atomic_load_explicit(&context->phase, memory_order_relaxed);
    atomic_store_explicit(&context->phase, phase - phase % FBY_CONTEXT_NEXT, memory_order_relaxed);
    fby_engine_give_context(engine, context);
}
