/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of an exchange share, and nobody else calls:
 *
 *     exchange.c           its life: admitted, completed, cancelled, ended
 *     exchange_memory.c    where everything lies
 *     exchange_ids.c       texts to token ids
 *     exchange_publish.c   to the workers, round-robin
 *     exchange_answer.c    vectors to an answer
 *
 * Threads: the agent's.
 */
#ifndef FBY_SERVE_EXCHANGE_PARTS_H
#define FBY_SERVE_EXCHANGE_PARTS_H

#include "serve/exchange.h"

/* ---- memory ---- */

typedef struct fby_exchange_layout { /* offsets, in bytes */
    size_t infos, offsets, ids, vectors, out, out_capacity, size;
    bool streamed;
} fby_exchange_layout;

/* Floats of a row. */
uint32_t fby_exchange_dim(const fby_exchange *exchange);
/* Where everything lies for `ids` token ids; false when no machine has that much. */
bool fby_exchange_lay_out(const fby_exchange *exchange, uint64_t ids, fby_exchange_layout *at);
/* A slice of the pool, or a block of its own where it is large; or that in any case. False:
 * exchange->error. */
bool fby_exchange_take_memory(fby_exchange *exchange, size_t size);
bool fby_exchange_take_own(fby_exchange *exchange, size_t size);
void fby_exchange_bind(fby_exchange *exchange, const fby_exchange_layout *at);
void fby_exchange_give_memory(fby_exchange *exchange);
/* Gives the block back that the texts of a large request lie in. */
void fby_exchange_give_texts(fby_exchange *exchange);

/* ---- ids ---- */

/* An upper bound of a text's ids, and of all texts' together. */
uint32_t fby_exchange_ids_max(const fby_call *call, const fby_api_text *text);
uint64_t fby_exchange_ids_bound(const fby_call *call);
/* At most fby_exchange_ids_max() ids. FBY_ETOOLONG, info->truncated set, where a text may not be
 * cut. Any thread. */
fby_status fby_exchange_encode(const fby_call *call, const fby_api_text *text, uint32_t *ids,
                               fby_text_info *info);

/* ---- publishing ---- */

/* Into the agent's list of those to be published, at its end; and out of it. */
void fby_exchange_enlist(fby_exchange *exchange);
void fby_exchange_delist(fby_exchange *exchange);

/* ---- the answer ---- */

/* Nothing of it is under way any more: the answer, or the error, is there. */
void fby_exchange_become_ready(fby_exchange *exchange);
/* Vectors cut and normalised, the answer's first piece or all of it written. */
void fby_exchange_render(fby_exchange *exchange);

#endif
