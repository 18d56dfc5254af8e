/* SPDX-License-Identifier: Apache-2.0 */
/* The engine's teams: how many members a leader calls, and a member's way through the batch of
 * another context (engine/gather.h). */
#include "base/bits.h"
#include "engine/engine_internal.h"

uint32_t fby_engine_gather(fby_engine *engine, fby_context *leader, uint32_t wanted,
                           uint64_t patience_ns)
{
    pthread_mutex_lock(&engine->lock);
    /* There are as many workers as contexts: for each free one somebody is asleep or on the way. */
    uint32_t seats = fby_min_u32(wanted - 1, fby_engine_room(engine));
    if (seats > 0) {
        fby_gather_open(&engine->open, &leader->gathering, seats);
        fby_engine_post(engine, seats);
    }
    pthread_mutex_unlock(&engine->lock);
    if (seats == 0)
        return 1;

    fby_gather_wait(&leader->gathering, seats, &engine->tuner.idle, &leader->cancel, patience_ns);

    pthread_mutex_lock(&engine->lock);
    uint32_t joined = fby_gather_close(&engine->open, &leader->gathering);
    pthread_mutex_unlock(&engine->lock);
    fby_gather_call(&leader->gathering, &(fby_batch){
                                            .encoder = leader->encoder,
                                            .ids = leader->ids,
                                            .starts = leader->starts,
                                            .texts = leader->texts_used,
                                            .scratch = leader->scratch,
                                        });
    return joined > 0 ? 1 + joined : 0;
}

static fby_context *leader_of(fby_gathering *gathering)
{
    return (fby_context *)(void *)((unsigned char *)gathering - offsetof(fby_context, gathering));
}

void fby_engine_join(fby_engine *engine)
{
    fby_context *own = fby_engine_take_context(engine);
    const fby_seat seat = fby_gather_take_seat(&engine->open);
    pthread_mutex_unlock(&engine->lock);

    fby_gather_take_part(&seat, own->scratch);

    pthread_mutex_lock(&engine->lock);
    fby_engine_give_context(engine, own);
    fby_context *leader = leader_of(seat.in);
    if (fby_gather_leave(&seat) && leader->retired)
        fby_engine_retire(engine, leader);
}

void fby_engine_retire(fby_engine *engine, fby_context *context)
{
    context->retired = atomic_load_explicit(&context->gathering.inside, memory_order_relaxed) > 0;
    if (context->retired)
        return;
    engine->abandoned--;
    fby_team_mend(&context->gathering.team);
    atomic_store_explicit(&context->cancel, false, memory_order_relaxed);
    const uint32_t phase = atomic_load_explicit(&context->phase, memory_order_relaxed);
    atomic_store_explicit(&context->phase, phase - phase % FBY_CONTEXT_NEXT, memory_order_relaxed);
    fby_engine_give_context(engine, context);
}
