/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/lanes.h"

static bool put(fby_disruptor *lane, const fby_event *event, uint32_t cost)
{
    uint64_t sequence;
    if (fby_disruptor_claim(lane, 1, &sequence) != FBY_OK)
        return false;
    *(fby_event *)fby_disruptor_event(lane, sequence) = *event;
    fby_disruptor_publish_cost(lane, sequence, cost);
    return true;
}

bool fby_lanes_put(fby_crew *crew, const fby_event *event)
{
    if (event->lane == FBY_LANE_MAIN)
        atomic_fetch_add_explicit(&crew->waiting_tokens, event->tokens, memory_order_relaxed);
    bool room = put(crew->lanes[event->lane], event, event->tokens);
    if (!room && event->lane == FBY_LANE_MAIN)
        atomic_fetch_sub_explicit(&crew->waiting_tokens, event->tokens, memory_order_relaxed);
    if (room && event->lane == FBY_LANE_LONG) /* before the LOOK */
        atomic_fetch_add_explicit(&crew->long_waiting, 1, memory_order_relaxed);
    return room;
}

bool fby_lanes_look(fby_crew *crew, uint8_t agent)
{
    uint32_t looks = atomic_load_explicit(&crew->looks, memory_order_relaxed);
    bool needed;
    do
        needed = looks < crew->threads;
    /* K1, with K2: what this agent put before is seen by the worker that takes a LOOK out. */
    while (!atomic_compare_exchange_weak_explicit(&crew->looks, &looks, looks + needed,
                                                  memory_order_acq_rel, memory_order_relaxed));
    if (!needed)
        return true;
    const fby_event look = {.kind = FBY_EVENT_LOOK, .agent = agent};
    if (put(crew->lanes[FBY_LANE_MAIN], &look, 1))
        return true;
    /* Others may have counted on this one: it is owed, whatever they did. */
    atomic_fetch_sub_explicit(&crew->looks, 1, memory_order_acq_rel);
    return false;
}

void fby_lanes_looked(fby_crew *crew, uint32_t count)
{
    /* K2, with K1. */
    if (count > 0)
        atomic_fetch_sub_explicit(&crew->looks, count, memory_order_acq_rel);
}
