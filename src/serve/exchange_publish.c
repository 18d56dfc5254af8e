/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/bits.h"
#include "base/clock.h"
#include "serve/agent.h"
#include "serve/exchange_parts.h"
#include "serve/lanes.h"

enum {
    TOKENIZE_TEXTS = 64,      /* of an event that tokenises, at most */
    TOKENIZE_BYTES = 64 << 10 /* and so many bytes, or one text */
};

void fby_exchange_enlist(fby_exchange *exchange)
{
    fby_agent *agent = exchange->agent;
    if (agent->publishing == NULL) {
        exchange->next = exchange->previous = exchange;
        agent->publishing = exchange;
        return;
    }
    exchange->next = agent->publishing;
    exchange->previous = agent->publishing->previous;
    exchange->previous->next = exchange->next->previous = exchange;
}

void fby_exchange_delist(fby_exchange *exchange)
{
    fby_agent *agent = exchange->agent;
    if (exchange->next == NULL)
        return;
    if (agent->publishing == exchange)
        agent->publishing = exchange->next != exchange ? exchange->next : NULL;
    exchange->previous->next = exchange->next;
    exchange->next->previous = exchange->previous;
    exchange->next = exchange->previous = NULL;
}

static bool has_room(const fby_agent *agent)
{
    return agent->out_events < agent->plan->max_events;
}

/* Whether another text may stand in `lane`, in front of those that come after it. */
static bool lane_has_room(const fby_agent *agent, fby_lane lane)
{
    return lane == FBY_LANE_LONG ? agent->out_long < agent->plan->max_long
                                 : agent->out_tokens[lane] < agent->plan->ahead_tokens;
}

/* False: no room now. */
static bool publish_event(fby_agent *agent, fby_event *event)
{
    if (!has_room(agent) || !lane_has_room(agent, (fby_lane)event->lane))
        return false;
    event->published_ns = fby_now_ns();
    if (!fby_lanes_put(agent->crew, event)) {
        agent->held_up = true;
        return false;
    }
    agent->out_events++;
    if (event->lane == FBY_LANE_LONG)
        agent->out_long++;
    else
        agent->out_tokens[event->lane] += event->tokens;
    event->exchange->under_way++;
    return true;
}

static fby_event event_of(fby_exchange *exchange, uint32_t text)
{
    return (fby_event){
        .served = exchange->served,
        .agent = exchange->agent->index,
        .text = text,
        .texts = 1,
        .exchange = exchange,
    };
}

/* Events that tokenise, about a batch's worth. */
static bool publish_texts(fby_exchange *exchange)
{
    const fby_call *call = &exchange->call;
    uint32_t i = exchange->next_text, end = i;
    size_t bytes = 0;

    while (end < call->count && end - i < TOKENIZE_TEXTS &&
           (end == i || bytes + call->texts[end].size <= TOKENIZE_BYTES))
        bytes += call->texts[end++].size;
    fby_event event = event_of(exchange, i);
    event.kind = FBY_EVENT_TOKENIZE;
    event.texts = end - i;
    event.tokens = (uint32_t)(fby_min_size(bytes, TOKENIZE_BYTES) / 512) + 1;
    event.lane = FBY_LANE_BULK;
    if (publish_event(exchange->agent, &event))
        exchange->next_text = end;
    return exchange->next_text < call->count;
}

static bool publish_ids(fby_exchange *exchange)
{
    fby_agent *agent = exchange->agent;
    const fby_call *call = &exchange->call;
    uint32_t dim = fby_exchange_dim(exchange);
    uint64_t published = 0;

    for (; exchange->next_text < call->count; exchange->next_text++) {
        uint32_t i = exchange->next_text, tokens = exchange->infos[i].tokens;
        uint64_t row = call->kind == FBY_CALL_TOKENS ? exchange->offsets[i] : i;
        float *out = exchange->vectors + row * dim;
        if (tokens == 0) { /* nothing to pool */
            if (call->kind == FBY_CALL_EMBED)
                memset(out, 0, dim * sizeof *out);
            continue;
        }
        if (published >= agent->plan->batch_tokens)
            return true;
        fby_event event = event_of(exchange, i);
        event.kind = call->kind == FBY_CALL_TOKENS ? FBY_EVENT_ROWS : FBY_EVENT_EMBED;
        event.tokens = tokens;
        event.ids = exchange->ids + exchange->offsets[i];
        event.out = out;
        event.lane = tokens > agent->config->long_tokens ? FBY_LANE_LONG
                     : exchange->bulk                    ? FBY_LANE_BULK
                                                         : FBY_LANE_MAIN;
        if (!publish_event(agent, &event))
            return true;
        published += tokens;
    }
    return false;
}

bool fby_exchange_publish(fby_exchange *exchange)
{
    bool more = exchange->state == FBY_EXCHANGE_TOKENIZING ? publish_texts(exchange)
                                                           : publish_ids(exchange);
    if (!more) {
        fby_exchange_delist(exchange);
        if (exchange->under_way == 0 && exchange->state == FBY_EXCHANGE_EMBEDDING)
            fby_exchange_become_ready(exchange); /* no text had a token */
    }
    return more;
}
