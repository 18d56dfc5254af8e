/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/exchange.h"

#include <string.h>

#include "base/assert.h"
#include "base/bits.h"
#include "base/clock.h"
#include "serve/agent.h"
#include "serve/exchange_parts.h"

/* ---- admission ---- */

static bool refuse_too_long(fby_exchange *exchange, uint32_t text)
{
    return fby_api_refuse_too_long(&exchange->call, text, &exchange->error);
}

static bool admit_tokens(fby_exchange *exchange, uint64_t tokens)
{
    fby_agent *agent = exchange->agent;
    if (tokens > agent->max_queued)
        return fby_refuse(&exchange->error, FBY_REFUSED_TOO_MANY, "input",
                          "a request of up to %llu tokens, at most %llu are taken",
                          (unsigned long long)tokens, (unsigned long long)agent->max_queued);
    /* SIGHUP may have lowered the limit below what waits. */
    if (agent->queued_tokens >= agent->max_queued ||
        tokens > agent->max_queued - agent->queued_tokens)
        return fby_refuse(&exchange->error, FBY_REFUSED_OVERLOADED, NULL,
                          "%llu tokens are waiting, there is no room for %llu more",
                          (unsigned long long)agent->queued_tokens, (unsigned long long)tokens);
    agent->queued_tokens += tokens;
    exchange->queued = tokens;
    return true;
}

static void give_tokens(fby_exchange *exchange, uint64_t tokens)
{
    exchange->queued -= tokens;
    exchange->agent->queued_tokens -= tokens;
}

static void begin(fby_exchange *exchange, fby_exchange_state state)
{
    exchange->state = state;
    exchange->admitted_ns = fby_now_ns();
    exchange->next_text = 0;
    exchange->under_way = 0;
    exchange->agent->admitted++;
    fby_exchange_enlist(exchange);
}

/* Tokenised here and now, in the agent's scratch; then what it takes is known exactly. */
static bool admit_small(fby_exchange *exchange)
{
    fby_agent *agent = exchange->agent;
    const fby_call *call = &exchange->call;
    uint64_t tokens = 0;
    fby_exchange_layout at;

    uint64_t start_ns = fby_now_ns();
    for (uint32_t i = 0; i < call->count; i++) {
        fby_text_info *info = &agent->scratch_infos[i];
        if (fby_exchange_encode(call, &call->texts[i], agent->scratch_ids + tokens, info) != FBY_OK)
            return refuse_too_long(exchange, i);
        tokens += info->tokens;
    }
    exchange->tokenize_ns = fby_now_ns() - start_ns;
    if (!fby_exchange_lay_out(exchange, tokens, &at))
        return fby_refuse(&exchange->error, FBY_REFUSED_TOO_MANY, "input", "too large");
    if (!admit_tokens(exchange, tokens) || !fby_exchange_take_memory(exchange, at.size))
        return false;
    fby_exchange_bind(exchange, &at);
    memcpy(exchange->infos, agent->scratch_infos, call->count * sizeof *exchange->infos);
    memcpy(exchange->ids, agent->scratch_ids, tokens * sizeof *exchange->ids);
    uint64_t offset = 0;
    for (uint32_t i = 0; i < call->count; i++) {
        exchange->offsets[i] = offset;
        offset += exchange->infos[i].tokens;
    }
    exchange->bulk = tokens > agent->plan->batch_tokens;
    begin(exchange, FBY_EXCHANGE_EMBEDDING);
    return true;
}

/* Sized by bounds; workers tokenise. */
static bool admit_large(fby_exchange *exchange, fby_arena *arena)
{
    const fby_call *call = &exchange->call;
    uint64_t bound = fby_exchange_ids_bound(call);
    fby_exchange_layout at;

    if (!fby_exchange_lay_out(exchange, bound, &at))
        return fby_refuse(&exchange->error, FBY_REFUSED_TOO_MANY, "input", "too large");
    if (!admit_tokens(exchange, bound) || !fby_exchange_take_own(exchange, at.size))
        return false;
    exchange->large = *arena;
    arena->bytes = NULL;
    fby_exchange_bind(exchange, &at);
    uint64_t offset = 0;
    for (uint32_t i = 0; i < call->count; i++) {
        exchange->offsets[i] = offset;
        offset += fby_exchange_ids_max(call, &call->texts[i]);
    }
    exchange->bulk = true;
    begin(exchange, FBY_EXCHANGE_TOKENIZING);
    return true;
}

bool fby_exchange_admit(fby_exchange *exchange, fby_arena *own)
{
    const fby_call *call = &exchange->call;

    fby_assert(exchange->state == FBY_EXCHANGE_IDLE);
    atomic_store_explicit(&exchange->cancelled, false, memory_order_relaxed);
    exchange->error.reason = FBY_REFUSED_NOT;
    exchange->served = (uint8_t)(call->served - exchange->agent->api->served);
    exchange->tokenize_ns = exchange->queue_ns = exchange->compute_ns = 0;
    bool admitted = own == NULL ? admit_small(exchange) : admit_large(exchange, own);
    if (!admitted)
        fby_exchange_end(exchange);
    return admitted;
}

bool fby_exchange_answer_at_once(fby_exchange *exchange, const char *body, size_t size)
{
    fby_assert(exchange->state == FBY_EXCHANGE_IDLE);
    exchange->error.reason = FBY_REFUSED_NOT;
    if (!fby_exchange_take_memory(exchange, size))
        return false;
    exchange->out = (char *)exchange->memory;
    memcpy(exchange->out, body, size);
    exchange->out_capacity = exchange->out_size = size;
    exchange->out_used = 0;
    exchange->streamed = false;
    exchange->state = FBY_EXCHANGE_READY;
    exchange->ready_ns = fby_now_ns();
    return true;
}

/* ---- completion ---- */

void fby_exchange_become_ready(fby_exchange *exchange)
{
    fby_exchange_delist(exchange);
    give_tokens(exchange, exchange->queued);
    fby_exchange_give_texts(exchange);
    exchange->agent->admitted--;
    exchange->state = FBY_EXCHANGE_READY;
    exchange->ready_ns = fby_now_ns();
    if (exchange->error.reason == FBY_REFUSED_NOT)
        fby_exchange_render(exchange);
    fby_agent_ready(exchange->agent, exchange);
}

/* All texts of a large request are ids: now their number is known. */
static void tokenized(fby_exchange *exchange)
{
    uint64_t tokens = 0;
    for (uint32_t i = 0; i < exchange->call.count; i++)
        tokens += exchange->infos[i].tokens;
    give_tokens(exchange, exchange->queued - tokens);
    fby_exchange_give_texts(exchange);
    exchange->tokenize_ns = fby_now_ns() - exchange->admitted_ns;
    exchange->state = FBY_EXCHANGE_EMBEDDING;
    exchange->next_text = 0;
    fby_exchange_enlist(exchange);
}

/* Nothing more of it is published, and what is under way is for nothing. */
static void drop(fby_exchange *exchange)
{
    if (atomic_load_explicit(&exchange->cancelled, memory_order_relaxed))
        return;
    /* Nothing is read through the flag: who sees it late has worked for nothing. */
    atomic_store_explicit(&exchange->cancelled, true, memory_order_relaxed);
    bool tokenizing = exchange->state == FBY_EXCHANGE_TOKENIZING; /* none of it is embedded yet */
    fby_counter_add(&exchange->agent->metrics->cancelled_texts,
                    exchange->call.count - (tokenizing ? 0 : exchange->next_text));
    fby_exchange_delist(exchange);
}

static void fail(fby_exchange *exchange, const fby_completion *completion)
{
    if (exchange->error.reason != FBY_REFUSED_NOT)
        return;
    if (completion->status == FBY_ETOOLONG) {
        uint32_t text = completion->text;
        while (text + 1 < completion->text + completion->texts && !exchange->infos[text].truncated)
            text++;
        refuse_too_long(exchange, text);
    } else {
        fby_refuse(&exchange->error, FBY_REFUSED_INTERNAL, NULL, "the model failed on text %u",
                   completion->text);
    }
    drop(exchange);
}

void fby_exchange_complete(fby_exchange *exchange, const fby_completion *completion)
{
    fby_agent *agent = exchange->agent;

    agent->out_events--;
    if (completion->lane == FBY_LANE_LONG)
        agent->out_long--;
    else
        agent->out_tokens[completion->lane] -= completion->tokens;
    exchange->under_way--;
    exchange->queue_ns = fby_max_size(exchange->queue_ns, completion->queued_ns);
    exchange->compute_ns = fby_max_size(exchange->compute_ns, completion->compute_ns);
    if (completion->kind != FBY_EVENT_TOKENIZE)
        give_tokens(exchange, completion->tokens);
    if (completion->status != FBY_OK)
        fail(exchange, completion);

    if (exchange->under_way > 0 || exchange->next != NULL)
        return;
    if (exchange->state == FBY_EXCHANGE_TOKENIZING && exchange->error.reason == FBY_REFUSED_NOT)
        tokenized(exchange);
    else
        fby_exchange_become_ready(exchange);
}

void fby_exchange_cancel(fby_exchange *exchange, fby_refusal reason, const char *message)
{
    if (!fby_exchange_under_way(exchange))
        return;
    if (exchange->error.reason == FBY_REFUSED_NOT)
        fby_refuse(&exchange->error, reason, NULL, "%s", message);
    drop(exchange);
    if (exchange->under_way == 0)
        fby_exchange_become_ready(exchange);
}

void fby_exchange_end(fby_exchange *exchange)
{
    fby_assert(exchange->state == FBY_EXCHANGE_IDLE || exchange->state == FBY_EXCHANGE_READY);
    give_tokens(exchange, exchange->queued);
    fby_exchange_give_texts(exchange);
    fby_exchange_give_memory(exchange);
    exchange->state = FBY_EXCHANGE_IDLE;
    exchange->out_size = exchange->out_used = 0;
    exchange->streamed = false;
}
