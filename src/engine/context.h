/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one worker needs to run a batch, all of it taken at start: token ids,
 * row pointers, the encoder's scratch. Used by one thread at a time.
 */
#ifndef FBY_ENGINE_CONTEXT_H
#define FBY_ENGINE_CONTEXT_H

#include <stddef.h>
#include <stdint.h>

#include "engine/job.h"
#include "forebay/heap_pool.h"
#include "model/encoder.h"

typedef struct fby_context {
    const fby_encoder *encoder;
    const fby_kernels *kernels;
    uint32_t budget;     /* tokens a batch */
    uint32_t texts_max;  /* texts a batch */
    uint32_t texts_used; /* texts in the batch being filled */

    uint32_t *ids;    /* (budget + max_tokens): the batch, then a text that did not fit */
    uint32_t *starts; /* (texts_max + 1) */
    size_t *indices;  /* (texts_max): which text of the job */
    float **rows;     /* (texts_max): where its vector goes */
    float *full;      /* (texts_max, dim): vectors to be cut, when the job asks for fewer floats */
    void *scratch;    /* the encoder's */

    fby_heap_block block;     /* all of the above, pinned */
    struct fby_context *next; /* in the engine's list of free contexts */
} fby_context;

/* Bytes of a context's memory. `budget` is at least the encoder's max_tokens. */
size_t fby_context_size(const fby_encoder *encoder, uint32_t budget);

/* `memory` has that many, aligned to FBY_CACHELINE, and outlives the context, whose `block` and
 * `next` are the caller's. */
void fby_context_init(fby_context *context, const fby_encoder *encoder, const fby_kernels *kernels,
                      uint32_t budget, void *memory);

/*
 * Claims texts of `job` and computes them, batch after batch, until none is
 * left to claim. The first failure, with its message, is kept in the job and
 * ends all further claims.
 */
void fby_context_run(fby_context *context, fby_job *job);

#endif
