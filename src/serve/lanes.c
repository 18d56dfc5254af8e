/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/lanes.h"

static bool put(fby_disruptor *lane, const fby_event *event)
{
    uint64_t sequence;
    if (fby_disruptor_claim(lane, 1, &sequence) != FBY_OK)
        return false;
    *(fby_event *)fby_disruptor_event(lane, sequence) = *event;
    fby_disruptor_publish_cost(lane, sequence, event->tokens);
    return true;
}

bool fby_lanes_put(fby_crew *crew, const fby_event *event)
{
    const bool in_main = event->lane == FBY_LANE_MAIN;
    if (in_main)
        atomic_fetch_add_explicit(&crew->waiting_tokens, event->tokens, memory_order_relaxed);
    bool room = put(crew->lanes[event->lane], event);
    if (!room && in_main)
        atomic_fetch_sub_explicit(&crew->waiting_tokens, event->tokens, memory_order_relaxed);
    if (!room || in_main)
        return room;
    if (event->lane == FBY_LANE_LONG) /* before the nudge */
        atomic_fetch_add_explicit(&crew->long_waiting, 1, memory_order_relaxed);
    fby_group_nudge(crew->groups[FBY_LANE_MAIN], 1);
    return true;
}
