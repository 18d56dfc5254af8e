/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A model directory as something that can be run: packed weights, the
 * architecture's forward pass, pooling and the modules after it.
 *
 *     directory --fby_encoder_open--> fby_encoder --fby_encoder_run--> vectors
 *
 * Constant after opening, weights mapped read-only and shared between
 * processes: any number of threads may run it, each with scratch of its own.
 */
#ifndef FBY_MODEL_ENCODER_H
#define FBY_MODEL_ENCODER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "compute/kernels.h"
#include "forebay/embed.h"
#include "model/bert.h"
#include "model/tokenizer.h"

typedef struct fby_encoder fby_encoder;

/* `cache_dir` as in fby_model_options: NULL is the user's, "" is none. */
fby_status fby_encoder_open(const char *dir, fby_isa isa, fby_precision precision,
                            const char *cache_dir, fby_encoder **encoder);
void fby_encoder_close(fby_encoder *encoder);

/* Where the pages of a copy go: called before any is touched. NULL `place`: anywhere. */
typedef struct fby_encoder_place {
    void (*place)(void *memory, size_t bytes, void *context);
    void *context;
} fby_encoder_place;

/* The same model with its weights in memory of their own; everything else is `encoder`'s, which
 * outlives it. FBY_ENOMEM. */
fby_status fby_encoder_copy(const fby_encoder *encoder, const fby_encoder_place *place,
                            fby_encoder **copy);

typedef struct fby_encoder_info {
    const char *architecture, *pooling, *fingerprint, *packed_path; /* live as the encoder */
    const char *precision, *products;                               /* "int8", "avx512vnni" */
    uint32_t dim;          /* of what fby_encoder_run() writes */
    uint32_t truncate_dim; /* floats that sentence-transformers keeps of it by default; 0: all */
    uint32_t layers, heads, hidden, intermediate;
    uint32_t max_tokens; /* of a text, special ones included */
    bool normalizes;
    uint64_t weight_bytes;
    uint64_t flops_per_token, flops_per_token_pair;
} fby_encoder_info;

void fby_encoder_get_info(const fby_encoder *encoder, fby_encoder_info *info);
const fby_tokenizer *fby_encoder_tokenizer(const fby_encoder *encoder);

/* The text of a prompt by name; the model's default prompt (or "") for NULL. FBY_ENOENT for a
 * name that the model does not have ("query" and "document" are always there, as in
 * sentence-transformers); the message lists those it has. FBY_EUNSUPPORTED if pooling would have
 * to leave the prompt's tokens out. */
fby_status fby_encoder_prompt(const fby_encoder *encoder, const char *name, const char **prompt,
                              size_t *size);

/* Bytes of 64-byte aligned scratch for a batch of at most `tokens` rows in all. */
size_t fby_encoder_scratch(const fby_encoder *encoder, uint32_t tokens);

/*
 * Runs `texts` texts, at least 1, whose ids stand one after another: text i has
 * ids[starts[i]] … ids[starts[i + 1] - 1], at least 1 and at most max_tokens;
 * starts[0] is 0. vectors[i] points to `dim` floats, any alignment, written
 * before any cut or normalisation. `*cancel`, unless `cancel` is NULL, is read
 * between layers; FBY_ECANCELED if it was found set. FBY_EINVAL for an id that
 * the model has no row for.
 */
fby_status fby_encoder_run(const fby_encoder *encoder, const uint32_t *ids, const uint32_t *starts,
                           uint32_t texts, void *scratch, float *const *vectors,
                           const atomic_bool *cancel);

/* As fby_encoder_run(), by a team: every member calls it with the same arguments, `scratch` being
 * shared and member->own as large. Member 0 writes the vectors. */
fby_status fby_encoder_run_team(const fby_encoder *encoder, const uint32_t *ids,
                                const uint32_t *starts, uint32_t texts, void *scratch,
                                const fby_bert_member *member, float *const *vectors,
                                const atomic_bool *cancel);

/* One text of `tokens` ids: its rows (tokens, hidden) as the last layer gives them, not pooled,
 * one after the other. Otherwise as fby_encoder_run(). */
fby_status fby_encoder_run_rows(const fby_encoder *encoder, const uint32_t *ids, uint32_t tokens,
                                void *scratch, float *rows, const atomic_bool *cancel);

#endif
