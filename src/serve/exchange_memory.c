/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/exchange_parts.h"

#include <string.h>

#include "base/bits.h"
#include "serve/agent.h"

enum { OUT_WHOLE = 64 << 10 }; /* answers up to this are rendered at once */

uint32_t fby_exchange_dim(const fby_exchange *exchange)
{
    const fby_encoder_info *info = &exchange->call.served->info;
    return exchange->call.kind == FBY_CALL_TOKENS ? info->hidden : info->dim;
}

static uint64_t rows_of(const fby_exchange *exchange, uint64_t ids)
{
    return exchange->call.kind == FBY_CALL_TOKENS ? ids : exchange->call.count;
}

static bool place(size_t *used, size_t count, size_t each, size_t *at)
{
    size_t bytes;
    *at = *used;
    return fby_mul_size(count, each, &bytes) && bytes <= SIZE_MAX / 2 &&
           fby_add_size(*used, fby_align_up(bytes, FBY_CACHELINE), used);
}

/* Where everything lies for `ids` token ids; false when no machine has that much. */
bool fby_exchange_lay_out(const fby_exchange *exchange, uint64_t ids, fby_exchange_layout *at)
{
    const fby_call *call = &exchange->call;
    uint64_t rows = rows_of(exchange, ids);
    size_t whole = fby_answer_max(call, rows), piece = fby_answer_piece_max(call), floats;

    *at = (fby_exchange_layout){.streamed = whole > OUT_WHOLE};
    at->out_capacity = at->streamed ? fby_max_size(piece, OUT_WHOLE) : whole;
    return fby_mul_size(rows, fby_exchange_dim(exchange), &floats) &&
           place(&at->size, call->count, sizeof *exchange->infos, &at->infos) &&
           place(&at->size, call->count, sizeof *exchange->offsets, &at->offsets) &&
           place(&at->size, ids, sizeof *exchange->ids, &at->ids) &&
           place(&at->size, floats, sizeof *exchange->vectors, &at->vectors) &&
           place(&at->size, at->out_capacity, 1, &at->out);
}

bool fby_exchange_take_own(fby_exchange *exchange, size_t size)
{
    fby_agent *agent = exchange->agent;
    if (size > agent->plan->large_bytes)
        return fby_refuse(&exchange->error, FBY_REFUSED_TOO_MANY, NULL,
                          "the answer would take %zu MB, at most %zu are allowed", size >> 20,
                          agent->plan->large_bytes >> 20);
    void *block = fby_agent_take_own(agent, size);
    if (block == NULL)
        return fby_refuse(&exchange->error, FBY_REFUSED_OVERLOADED, NULL,
                          "no memory for a request this large now");
    exchange->memory = block;
    exchange->memory_size = size;
    exchange->own = true;
    fby_counter_add(&agent->metrics->large_requests, 1);
    return true;
}

bool fby_exchange_take_memory(fby_exchange *exchange, size_t size)
{
    fby_agent *agent = exchange->agent;
    void *slice = NULL;

    if (size > agent->pool_eighth)
        return fby_exchange_take_own(exchange, size);
    if (fby_ring_alloc(agent->pool, fby_max_size(size, 1), &slice) != FBY_OK)
        return fby_refuse(&exchange->error, FBY_REFUSED_OVERLOADED, NULL,
                          "no room for another request now");
    exchange->memory = slice;
    exchange->memory_size = size;
    exchange->own = false;
    return true;
}

void fby_exchange_give_memory(fby_exchange *exchange)
{
    if (exchange->memory == NULL)
        return;
    if (exchange->own) {
        fby_agent_give_own(exchange->agent, exchange->memory, exchange->memory_size);
    } else {
        fby_ring_release_unordered(exchange->agent->pool, exchange->memory);
    }
    exchange->memory = NULL;
}

void fby_exchange_bind(fby_exchange *exchange, const fby_exchange_layout *at)
{
    unsigned char *memory = exchange->memory;
    exchange->infos = (fby_text_info *)(void *)(memory + at->infos);
    exchange->offsets = (uint64_t *)(void *)(memory + at->offsets);
    exchange->ids = (uint32_t *)(void *)(memory + at->ids);
    exchange->vectors = (float *)(void *)(memory + at->vectors);
    exchange->out = (char *)memory + at->out;
    exchange->out_capacity = at->out_capacity;
    exchange->streamed = at->streamed;
}

void fby_exchange_give_texts(fby_exchange *exchange)
{
    if (exchange->large.bytes == NULL)
        return;
    fby_agent_give_own(exchange->agent, exchange->large.bytes, exchange->large.size);
    exchange->large = (fby_arena){0};
}

bool fby_exchange_move(fby_exchange *exchange)
{
    fby_agent *agent = exchange->agent;
    size_t size = exchange->memory_size;

    if (exchange->own || exchange->memory == NULL)
        return true;
    unsigned char *block = fby_agent_take_own(agent, size);
    if (block == NULL)
        return false;
    unsigned char *from = exchange->memory;
    memcpy(block, from, size);
    exchange->out = (char *)block + ((unsigned char *)exchange->out - from);
    if (exchange->streamed) {
        exchange->infos = (void *)(block + ((unsigned char *)exchange->infos - from));
        exchange->vectors = (void *)(block + ((unsigned char *)exchange->vectors - from));
        exchange->answer.infos = exchange->infos;
        exchange->answer.vectors = exchange->vectors;
    }
    fby_ring_release_unordered(agent->pool, from);
    exchange->memory = block;
    exchange->own = true;
    fby_counter_add(&agent->metrics->slow_writes, 1);
    return true;
}
