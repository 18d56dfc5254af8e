/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/assert.h"
#include "base/bits.h"
#include "engine/vector.h"
#include "serve/agent.h"
#include "serve/exchange_parts.h"

/* The rows that the call asked for, one after the other: cut, then normalised. */
static void finish_vectors(fby_exchange *exchange)
{
    const fby_call *call = &exchange->call;
    uint32_t dim = fby_exchange_dim(exchange), kept = call->dimensions;
    uint64_t to = 0;

    for (uint32_t i = 0; i < call->count; i++) {
        bool rows = call->kind == FBY_CALL_TOKENS;
        uint64_t from = rows ? exchange->offsets[i] : i;
        uint64_t count = rows ? exchange->infos[i].tokens : 1;
        for (uint64_t r = 0; r < count; r++, to++) {
            float *row = exchange->vectors + to * kept;
            if (row != exchange->vectors + (from + r) * dim)
                memmove(row, exchange->vectors + (from + r) * dim, kept * sizeof *row);
            if (call->normalize)
                fby_vector_normalize(exchange->agent->kernels, row, kept);
        }
    }
}

static bool fill(fby_exchange *exchange)
{
    size_t piece_max = fby_answer_piece_max(&exchange->call), size = 0;
    while (exchange->out_capacity - size >= piece_max) {
        size_t piece = fby_answer_next(&exchange->answer, exchange->out + size);
        if (piece == 0)
            break;
        size += piece;
    }
    exchange->out_size = size;
    exchange->out_used = 0;
    return size > 0;
}

/* The whole of it: its pieces are known to fit. */
static void fill_whole(fby_exchange *exchange)
{
    size_t size = 0, piece;
    while ((piece = fby_answer_next(&exchange->answer, exchange->out + size)) > 0)
        size += piece;
    fby_assert(size <= exchange->out_capacity);
    exchange->out_size = size;
    exchange->out_used = 0;
}

void fby_exchange_render(fby_exchange *exchange)
{
    uint64_t tokens = 0;
    exchange->truncated = 0;
    for (uint32_t i = 0; i < exchange->call.count; i++) {
        tokens += exchange->infos[i].tokens;
        exchange->truncated += exchange->infos[i].truncated;
        fby_size_observe(&exchange->agent->metrics->text_tokens, exchange->infos[i].tokens);
    }
    finish_vectors(exchange);
    exchange->answer = (fby_answer){
        .call = &exchange->call,
        .vectors = exchange->vectors,
        .infos = exchange->infos,
        .tokens = tokens,
        .total_ns = exchange->ready_ns - exchange->received_ns,
        .tokenize_ns = exchange->tokenize_ns,
        .queue_ns = exchange->queue_ns,
        .compute_ns = exchange->compute_ns,
    };
    if (exchange->streamed)
        fill(exchange);
    else
        fill_whole(exchange);
}

size_t fby_exchange_size(const fby_exchange *exchange)
{
    return exchange->streamed ? SIZE_MAX : exchange->out_size;
}

size_t fby_exchange_read(fby_exchange *exchange, char *out, size_t size)
{
    if (exchange->out_used == exchange->out_size && (!exchange->streamed || !fill(exchange)))
        return 0;
    size_t n = fby_min_size(size, exchange->out_size - exchange->out_used);
    memcpy(out, exchange->out + exchange->out_used, n);
    exchange->out_used += n;
    return n;
}
