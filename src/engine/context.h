/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one worker needs to run a batch, all of it taken at start: token ids,
 * row pointers, the encoder's scratch. Used by one thread at a time, and where
 * it leads a team, by the team.
 *
 *     idle --fill--> running --computed--> idle --finish--> vectors where they are wanted
 *                       |
 *                       +--the watch: no progress--> abandoned --its worker returns--> idle
 *
 * While it runs it touches nothing of the job: a batch that never ends can be
 * given up, its caller told, and its worker return whenever it does.
 */
#ifndef FBY_ENGINE_CONTEXT_H
#define FBY_ENGINE_CONTEXT_H

#include <stddef.h>
#include <stdint.h>

#include "engine/gather.h"
#include "engine/job.h"
#include "forebay/heap_pool.h"
#include "model/encoder.h"

typedef enum fby_context_phase {
    FBY_CONTEXT_IDLE,
    FBY_CONTEXT_RUNNING,
    FBY_CONTEXT_ABANDONED,
    FBY_CONTEXT_NEXT = 4 /* what the batches are counted by, above the phase */
} fby_context_phase;

typedef struct fby_context {
    const fby_encoder *encoder;
    const fby_kernels *kernels;
    uint32_t budget;     /* tokens a batch */
    uint32_t texts_max;  /* texts a batch */
    uint32_t texts_used; /* texts in the batch being filled */
    uint32_t dim;
    uint32_t node; /* the system's number of where it lies; the engine's to set */

    uint32_t *ids;    /* (budget + max_tokens): the batch, then a text that did not fit */
    uint32_t *starts; /* (texts_max + 1) */
    size_t *claimed;  /* (texts_max): texts of the job that are to be computed together */
    size_t *indices;  /* (texts_max): which of them are in the batch */
    float **rows;     /* (texts_max): where a text's vector is computed */
    float *full;      /* (texts_max, dim): there */
    void *scratch;    /* the encoder's */

    fby_heap_block block; /* all of the above, pinned */

    /* The batch that runs. */
    _Atomic uint32_t phase; /* fby_context_phase, and which batch: so that the watch gives up none
                               but the one that it looked at */
    atomic_bool cancel;     /* the encoder is to stop */

    fby_gathering gathering; /* as the leader of a team */

    /* Under the engine's lock. */
    fby_job *job;             /* at work on */
    int cpu;                  /* the processor on which it was taken; -1: never */
    bool taken;               /* somebody has it */
    uint32_t given_at;        /* the engine's `posts` when it was given back */
    bool retired;             /* abandoned; to be given back by the last member */
    uint32_t watched, stills; /* phase at the watch's last look, looks without a change */
    struct fby_context *next; /* in the engine's list of free contexts */
} fby_context;

/* Bytes of a context's memory. `budget` is at least the encoder's max_tokens. */
size_t fby_context_size(const fby_encoder *encoder, uint32_t budget);

/* `memory` has that many, aligned to FBY_CACHELINE, and outlives the context, whose `block` and
 * `next` are the caller's. */
void fby_context_init(fby_context *context, const fby_encoder *encoder, const fby_kernels *kernels,
                      uint32_t budget, void *memory);

void fby_context_clear(fby_context *context); /* of its batch */

/*
 * Tokenises text `index` behind the batch. FBY_EAGAIN: the batch has no room for
 * it; it stands behind it, `*tokens` long, and fby_context_turn() makes it the
 * first of the next.
 */
fby_status fby_context_add(fby_context *context, const fby_request *request, size_t index,
                           uint32_t *tokens, fby_tuner *tuner);
void fby_context_turn(fby_context *context, size_t index, uint32_t tokens);

uint32_t fby_context_tokens(const fby_context *context);
uint64_t fby_context_pairs(const fby_context *context); /* the sum of the texts' squares */

/* Cuts, normalises and copies the computed vectors to where `request` wants them. `*text` is the
 * number of one that is not finite (FBY_ENOTFINITE). */
fby_status fby_context_finish(const fby_context *context, const fby_request *request, size_t *text);

#endif
