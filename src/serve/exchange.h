/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request and its answer, from the call that a dialect made of its body until
 * the last byte has been taken.
 *
 *     idle ──fby_exchange_admit──► admitted ──publish, round-robin──► under way
 *       ▲        │ refused: error                                         │ completions
 *       │        ▼                                                        ▼
 *       └─end── ready ◄──────────────vectors cut, normalised, rendered── done
 *
 * All memory that the request will ever need is reserved when it is admitted:
 * token ids, what became of each text, vectors, the answer's text (or a piece of
 * it, where it is long and streamed). A small request's is one slice of the
 * agent's ring pool. A large one (above 256 texts, 64 KiB of text, or an eighth
 * of the pool) has a block of its own, bounded for all of them together, so that
 * what lives for seconds never holds the ring; its texts become ids on workers.
 * Nothing fails for lack of memory after that.
 *
 * Threads: the agent's, but for fby_exchange_tokenize() and the flag `cancelled`.
 */
#ifndef FBY_SERVE_EXCHANGE_H
#define FBY_SERVE_EXCHANGE_H

#include <stdatomic.h>

#include "serve/api.h"
#include "serve/event.h"

typedef struct fby_agent fby_agent;

typedef enum fby_exchange_state {
    FBY_EXCHANGE_IDLE,
    FBY_EXCHANGE_TOKENIZING, /* workers make ids of the texts */
    FBY_EXCHANGE_EMBEDDING,
    FBY_EXCHANGE_READY /* `error` or an answer is there */
} fby_exchange_state;

struct fby_exchange {
    fby_agent *agent;
    void *owner; /* whom fby_agent_ready() tells */
    fby_exchange_state state;
    fby_call call;
    fby_api_error error; /* reason FBY_REFUSED_NOT: none */
    uint8_t served;      /* index of call.served */

    unsigned char *memory; /* a slice, or a block of its own */
    size_t memory_size;
    bool own;
    fby_text_info *infos; /* (count) */
    uint64_t *offsets;    /* (count): of a text's ids in `ids`, of its rows for FBY_CALL_TOKENS */
    uint32_t *ids;
    float *vectors; /* rows of the model's dim */
    char *out;      /* (out_capacity): the answer or a piece of it */
    size_t out_capacity, out_size, out_used;
    bool bulk;     /* more than a batch: its texts stand in the bulk lane */
    bool streamed; /* `out` is filled again and again */

    fby_arena large; /* where the texts of a large request lie until they are ids */

    uint32_t next_text; /* the first that has not been published */
    uint32_t under_way; /* events published and not yet completed */
    uint64_t queued;    /* tokens that count against max_queued_tokens */
    atomic_bool cancelled;
    fby_exchange *next, *previous; /* in the agent's list of those to be published */

    uint64_t received_ns, admitted_ns, ready_ns;
    uint64_t tokenize_ns, queue_ns, compute_ns;
    uint32_t truncated; /* texts that were cut */
    fby_answer answer;
};

/* Admitted and not ready. */
static inline bool fby_exchange_under_way(const fby_exchange *exchange)
{
    return exchange->state == FBY_EXCHANGE_TOKENIZING || exchange->state == FBY_EXCHANGE_EMBEDDING;
}

/* Whether a call's texts become ids here and now, its memory a slice. */
bool fby_exchange_is_small(const fby_call *call);

/*
 * Takes exchange->call (EMBED or TOKENS) in. True: admitted; fby_agent_ready() is
 * called when it is done, perhaps before this returns. False: exchange->error.
 * `own` is NULL for a small call, whose texts are not looked at again. For
 * another it is the block that holds the texts, malloc'ed; taken over where
 * own->bytes is NULL on return.
 */
bool fby_exchange_admit(fby_exchange *exchange, fby_arena *own);

/* Answers with what is in `body`, copied: an answer at once. False: no memory, exchange->error. */
bool fby_exchange_answer_at_once(fby_exchange *exchange, const char *body, size_t size);

/* Publishes some of it, about one batch. True: there is more to publish, later. */
bool fby_exchange_publish(fby_exchange *exchange);

/* A worker is done with an event. */
void fby_exchange_complete(fby_exchange *exchange, const fby_completion *completion);

/* What has not been published never will be; what has is dropped by workers that find it before
 * they begin. It is ready, with `error`, when nothing is under way any more. */
void fby_exchange_cancel(fby_exchange *exchange, fby_refusal reason, const char *message);

/* The next at most `size` bytes of the answer; 0: that was all. */
size_t fby_exchange_read(fby_exchange *exchange, char *out, size_t size);
/* Bytes of the whole answer; SIZE_MAX where it is streamed and nobody knows. */
size_t fby_exchange_size(const fby_exchange *exchange);

/* Moves what is left of the answer out of the pool; false if there is no room for it. */
bool fby_exchange_move(fby_exchange *exchange);

/* Gives all memory back; idle again. Nothing may be under way. */
void fby_exchange_end(fby_exchange *exchange);

/* Makes ids of text `i` of a large request. A worker. FBY_ETOOLONG. */
fby_status fby_exchange_tokenize(fby_exchange *exchange, uint32_t i);

#endif
