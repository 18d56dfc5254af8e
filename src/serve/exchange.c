/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/exchange.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bits.h"
#include "base/clock.h"
#include "engine/vector.h"
#include "serve/agent.h"

enum {
    OUT_WHOLE = 64 << 10,     /* answers up to this are rendered at once */
    TOKENIZE_TEXTS = 64,      /* of an event that tokenises, at most */
    TOKENIZE_BYTES = 64 << 10 /* and so many bytes, or one text */
};

/* ---- memory ---- */

static uint32_t dim_of(const fby_exchange *exchange)
{
    const fby_encoder_info *info = &exchange->call.served->info;
    return exchange->call.kind == FBY_CALL_TOKENS ? info->hidden : info->dim;
}

static uint64_t rows_of(const fby_exchange *exchange, uint64_t ids)
{
    return exchange->call.kind == FBY_CALL_TOKENS ? ids : exchange->call.count;
}

typedef struct layout {
    size_t infos, offsets, ids, vectors, out, out_capacity, size;
    bool streamed;
} layout;

static bool place(size_t *used, size_t count, size_t each, size_t *at)
{
    size_t bytes;
    *at = *used;
    return fby_mul_size(count, each, &bytes) && bytes <= SIZE_MAX / 2 &&
           fby_add_size(*used, fby_align_up(bytes, FBY_CACHELINE), used);
}

/* Where everything lies for `ids` token ids; false when no machine has that much. */
static bool lay_out(const fby_exchange *exchange, uint64_t ids, layout *at)
{
    const fby_call *call = &exchange->call;
    uint64_t rows = rows_of(exchange, ids);
    size_t whole = fby_answer_max(call, rows), piece = fby_answer_piece_max(call), floats;

    *at = (layout){.streamed = whole > OUT_WHOLE};
    at->out_capacity = at->streamed ? fby_max_size(piece, OUT_WHOLE) : whole;
    return fby_mul_size(rows, dim_of(exchange), &floats) &&
           place(&at->size, call->count, sizeof *exchange->infos, &at->infos) &&
           place(&at->size, call->count, sizeof *exchange->offsets, &at->offsets) &&
           place(&at->size, ids, sizeof *exchange->ids, &at->ids) &&
           place(&at->size, floats, sizeof *exchange->vectors, &at->vectors) &&
           place(&at->size, at->out_capacity, 1, &at->out);
}

static bool take_own(fby_exchange *exchange, size_t size)
{
    fby_agent *agent = exchange->agent;
    if (size > agent->max_own_bytes)
        return fby_refuse(&exchange->error, FBY_REFUSED_TOO_MANY, NULL,
                          "the answer would take %zu MB, at most %zu are allowed", size >> 20,
                          (size_t)agent->max_own_bytes >> 20);
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

static bool take_memory(fby_exchange *exchange, size_t size)
{
    fby_agent *agent = exchange->agent;
    void *slice = NULL;

    if (size > agent->pool_eighth)
        return take_own(exchange, size);
    if (fby_ring_alloc(agent->pool, fby_max_size(size, 1), &slice) != FBY_OK)
        return fby_refuse(&exchange->error, FBY_REFUSED_OVERLOADED, NULL,
                          "no room for another request now");
    exchange->memory = slice;
    exchange->memory_size = size;
    exchange->own = false;
    return true;
}

static void give_memory(fby_exchange *exchange)
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

static void bind(fby_exchange *exchange, const layout *at)
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

static void give_large(fby_exchange *exchange)
{
    if (exchange->large.bytes == NULL)
        return;
    fby_agent_give_own(exchange->agent, exchange->large.bytes, exchange->large.size);
    exchange->large = (fby_arena){0};
}

/* ---- texts to ids ---- */

/* An upper bound of a text's ids: a token has at least one byte. */
static uint32_t ids_max(const fby_call *call, const fby_api_text *text)
{
    if (text->bytes == NULL)
        return fby_min_u32(text->id_count, call->limit);
    size_t special = fby_tokenizer_special_count(fby_encoder_tokenizer(call->served->encoder));
    size_t most = call->prompt_size + special;
    return text->size < call->limit && most < call->limit - text->size
               ? (uint32_t)(text->size + most)
               : call->limit;
}

static uint64_t ids_bound(const fby_call *call)
{
    uint64_t bound = 0;
    for (uint32_t i = 0; i < call->count; i++)
        bound += ids_max(call, &call->texts[i]);
    return bound;
}

/* Ids that the client gave: cut as a text would be. */
static fby_status take_ids(const fby_call *call, const fby_api_text *text, uint32_t *ids,
                           fby_text_info *info)
{
    uint32_t count = fby_min_u32(text->id_count, call->limit);
    const uint32_t *from = text->ids + (call->left ? text->id_count - count : 0);
    memcpy(ids, from, count * sizeof *ids);
    *info = (fby_text_info){count, count < text->id_count, false};
    return info->truncated && !call->truncate ? FBY_ETOOLONG : FBY_OK;
}

/* At most ids_max() ids. FBY_ETOOLONG, info->truncated set, where a text may not be cut. */
static fby_status encode(const fby_call *call, const fby_api_text *text, uint32_t *ids,
                         fby_text_info *info)
{
    if (text->bytes == NULL)
        return take_ids(call, text, ids, info);
    const fby_encode_options options = {
        .limit = call->limit,
        .left = call->left,
        .no_special = text->no_special,
    };
    fby_encoding encoding;
    fby_tokenizer_encode(fby_encoder_tokenizer(call->served->encoder), call->prompt,
                         call->prompt_size, text->bytes, text->size, &options, ids, call->limit,
                         &encoding);
    *info = (fby_text_info){(uint32_t)encoding.count, encoding.truncated, encoding.replaced > 0};
    return encoding.truncated && !call->truncate ? FBY_ETOOLONG : FBY_OK;
}

static bool refuse_too_long(fby_exchange *exchange, uint32_t text)
{
    return fby_api_refuse_too_long(&exchange->call, text, &exchange->error);
}

fby_status fby_exchange_tokenize(fby_exchange *exchange, uint32_t i)
{
    return encode(&exchange->call, &exchange->call.texts[i], exchange->ids + exchange->offsets[i],
                  &exchange->infos[i]);
}

/* ---- admission ---- */

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

static void enlist(fby_exchange *exchange)
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

static void delist(fby_exchange *exchange)
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

static void begin(fby_exchange *exchange, fby_exchange_state state)
{
    exchange->state = state;
    exchange->admitted_ns = fby_now_ns();
    exchange->next_text = 0;
    exchange->under_way = 0;
    exchange->agent->admitted++;
    enlist(exchange);
}

/* Tokenised here and now, in the agent's scratch; then what it takes is known exactly. */
static bool admit_small(fby_exchange *exchange)
{
    fby_agent *agent = exchange->agent;
    const fby_call *call = &exchange->call;
    uint64_t tokens = 0;
    layout at;

    uint64_t start_ns = fby_now_ns();
    for (uint32_t i = 0; i < call->count; i++) {
        fby_text_info *info = &agent->scratch_infos[i];
        if (encode(call, &call->texts[i], agent->scratch_ids + tokens, info) != FBY_OK)
            return refuse_too_long(exchange, i);
        tokens += info->tokens;
    }
    exchange->tokenize_ns = fby_now_ns() - start_ns;
    if (!lay_out(exchange, tokens, &at))
        return fby_refuse(&exchange->error, FBY_REFUSED_TOO_MANY, "input", "too large");
    if (!admit_tokens(exchange, tokens) || !take_memory(exchange, at.size))
        return false;
    bind(exchange, &at);
    memcpy(exchange->infos, agent->scratch_infos, call->count * sizeof *exchange->infos);
    memcpy(exchange->ids, agent->scratch_ids, tokens * sizeof *exchange->ids);
    uint64_t offset = 0;
    for (uint32_t i = 0; i < call->count; i++) {
        exchange->offsets[i] = offset;
        offset += exchange->infos[i].tokens;
    }
    exchange->bulk = tokens > agent->batch_tokens;
    begin(exchange, FBY_EXCHANGE_EMBEDDING);
    return true;
}

/* Sized by bounds; workers tokenise. */
static bool admit_large(fby_exchange *exchange, fby_arena *arena)
{
    const fby_call *call = &exchange->call;
    uint64_t bound = ids_bound(call);
    layout at;

    if (!lay_out(exchange, bound, &at))
        return fby_refuse(&exchange->error, FBY_REFUSED_TOO_MANY, "input", "too large");
    if (!admit_tokens(exchange, bound) || !take_own(exchange, at.size))
        return false;
    exchange->large = *arena;
    arena->bytes = NULL;
    bind(exchange, &at);
    uint64_t offset = 0;
    for (uint32_t i = 0; i < call->count; i++) {
        exchange->offsets[i] = offset;
        offset += ids_max(call, &call->texts[i]);
    }
    exchange->bulk = true;
    begin(exchange, FBY_EXCHANGE_TOKENIZING);
    return true;
}

static void give_tokens(fby_exchange *exchange, uint64_t tokens)
{
    exchange->queued -= tokens;
    exchange->agent->queued_tokens -= tokens;
}

bool fby_exchange_is_small(const fby_call *call)
{
    uint64_t bytes = 0;
    if (call->limit >= FBY_SCRATCH_IDS)
        return false;
    for (uint32_t i = 0; i < call->count; i++)
        bytes += call->texts[i].size;
    return call->count <= FBY_SMALL_TEXTS && bytes <= FBY_SMALL_BYTES &&
           ids_bound(call) <= FBY_SCRATCH_IDS - call->limit;
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
    if (!take_memory(exchange, size))
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

/* ---- publishing ---- */

static bool has_room(const fby_agent *agent)
{
    return agent->out_events < agent->max_events;
}

/* Whether another text may stand in `lane`, in front of those that come after it. */
static bool lane_has_room(const fby_agent *agent, fby_lane lane)
{
    return lane == FBY_LANE_LONG ? agent->out_long < agent->max_long
                                 : agent->out_tokens[lane] < agent->ahead_tokens;
}

static bool claim(fby_disruptor *lane, uint64_t *sequence)
{
    return fby_disruptor_claim(lane, 1, sequence) == FBY_OK;
}

static void put(fby_disruptor *lane, uint64_t sequence, const fby_event *event, uint32_t cost)
{
    *(fby_event *)fby_disruptor_event(lane, sequence) = *event;
    fby_disruptor_publish_cost(lane, sequence, cost);
}

/* False: no room now. What goes to another lane is followed by a LOOK in the main one. */
static bool publish_event(fby_agent *agent, fby_event *event)
{
    fby_crew *crew = agent->crew;
    fby_disruptor *lane = crew->lanes[event->lane];
    uint64_t sequence, look_sequence = 0;

    if (!has_room(agent) || !lane_has_room(agent, (fby_lane)event->lane))
        return false;
    if (event->lane != FBY_LANE_MAIN && !claim(crew->lanes[FBY_LANE_MAIN], &look_sequence))
        return false;
    bool room = claim(lane, &sequence);
    fby_assert(room); /* a lane has room for all that may be under way */
    event->published_ns = fby_now_ns();
    if (event->lane == FBY_LANE_MAIN)
        atomic_fetch_add_explicit(&crew->waiting_tokens, event->tokens, memory_order_relaxed);
    put(lane, sequence, event, event->tokens);
    if (event->lane == FBY_LANE_LONG) {
        agent->out_long++;
        /* Before the event that brings somebody to look. */
        atomic_fetch_add_explicit(&crew->long_waiting, 1, memory_order_relaxed);
    } else {
        agent->out_tokens[event->lane] += event->tokens;
    }
    if (event->lane != FBY_LANE_MAIN) {
        const fby_event look = {.kind = FBY_EVENT_LOOK, .agent = agent->index};
        put(crew->lanes[FBY_LANE_MAIN], look_sequence, &look, 1);
    }
    agent->out_events++;
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
    uint32_t dim = dim_of(exchange);
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
        if (published >= agent->batch_tokens)
            return true;
        fby_event event = event_of(exchange, i);
        event.kind = call->kind == FBY_CALL_TOKENS ? FBY_EVENT_ROWS : FBY_EVENT_EMBED;
        event.tokens = tokens;
        event.ids = exchange->ids + exchange->offsets[i];
        event.out = out;
        event.lane = tokens > agent->long_tokens ? FBY_LANE_LONG
                     : exchange->bulk            ? FBY_LANE_BULK
                                                 : FBY_LANE_MAIN;
        if (!publish_event(agent, &event))
            return true;
        published += tokens;
    }
    return false;
}

static void become_ready(fby_exchange *exchange);

bool fby_exchange_publish(fby_exchange *exchange)
{
    bool more = exchange->state == FBY_EXCHANGE_TOKENIZING ? publish_texts(exchange)
                                                           : publish_ids(exchange);
    if (!more) {
        delist(exchange);
        if (exchange->under_way == 0 && exchange->state == FBY_EXCHANGE_EMBEDDING)
            become_ready(exchange); /* no text had a token */
    }
    return more;
}

/* ---- the answer ---- */

/* The rows that the call asked for, one after the other: cut, then normalised. */
static void finish_vectors(fby_exchange *exchange)
{
    const fby_call *call = &exchange->call;
    uint32_t dim = dim_of(exchange), kept = call->dimensions;
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

static void render(fby_exchange *exchange)
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

static void become_ready(fby_exchange *exchange)
{
    delist(exchange);
    give_tokens(exchange, exchange->queued);
    give_large(exchange);
    exchange->agent->admitted--;
    exchange->state = FBY_EXCHANGE_READY;
    exchange->ready_ns = fby_now_ns();
    if (exchange->error.reason == FBY_REFUSED_NOT)
        render(exchange);
    fby_agent_ready(exchange->agent, exchange);
}

/* All texts of a large request are ids: now their number is known. */
static void tokenized(fby_exchange *exchange)
{
    uint64_t tokens = 0;
    for (uint32_t i = 0; i < exchange->call.count; i++)
        tokens += exchange->infos[i].tokens;
    give_tokens(exchange, exchange->queued - tokens);
    give_large(exchange);
    exchange->tokenize_ns = fby_now_ns() - exchange->admitted_ns;
    exchange->state = FBY_EXCHANGE_EMBEDDING;
    exchange->next_text = 0;
    enlist(exchange);
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
    delist(exchange);
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
        become_ready(exchange);
}

void fby_exchange_cancel(fby_exchange *exchange, fby_refusal reason, const char *message)
{
    if (exchange->state != FBY_EXCHANGE_TOKENIZING && exchange->state != FBY_EXCHANGE_EMBEDDING)
        return;
    if (exchange->error.reason == FBY_REFUSED_NOT)
        fby_refuse(&exchange->error, reason, NULL, "%s", message);
    drop(exchange);
    if (exchange->under_way == 0)
        become_ready(exchange);
}

/* ---- reading it ---- */

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

void fby_exchange_end(fby_exchange *exchange)
{
    fby_assert(exchange->state == FBY_EXCHANGE_IDLE || exchange->state == FBY_EXCHANGE_READY);
    give_tokens(exchange, exchange->queued);
    give_large(exchange);
    give_memory(exchange);
    exchange->state = FBY_EXCHANGE_IDLE;
    exchange->out_size = exchange->out_used = 0;
    exchange->streamed = false;
}
