/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The forward pass of a BERT (Devlin et al. 2018), as transformers' BertModel
 * computes it without its pooler.
 *
 * Texts stand one after another in packed rows, without padding; attention runs
 * text by text, everything else row by row. So a text's bits do not depend on
 * what stands beside it.
 *
 * A team runs one batch together. No sum is split, so the bits are those of one
 * thread alone:
 *     many rows   each member has rows of its own; they meet before and after
 *                 attention, of which each takes heads
 *     few rows    each member has output columns of every product, so that the
 *                 weights are read once by all together; they meet after each
 *
 * Threads: a pure function of its arguments, each thread with scratch of its
 * own. Nothing allocates.
 */
#ifndef FBY_MODEL_BERT_H
#define FBY_MODEL_BERT_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/team.h"
#include "model/weights.h"

typedef struct fby_bert {
    const fby_config *config;
    const fby_kernels *kernels;
    const fby_weights *weights;
} fby_bert;

/* Bytes of 64-byte aligned scratch for at most `tokens` rows. */
size_t fby_bert_scratch(const fby_bert *bert, uint32_t tokens);

/*
 * ids and starts as in fby_encoder_run(). `*hidden` (starts[texts], hidden), in
 * the scratch, is the last layer's output, weights->ld_hidden floats from row to
 * row. FBY_EINVAL for an id outside the vocabulary; FBY_ECANCELED if `*cancel`,
 * read between layers unless `cancel` is NULL, was found set.
 */
fby_status fby_bert_run(const fby_bert *bert, const uint32_t *ids, const uint32_t *starts,
                        uint32_t texts, void *scratch, const atomic_bool *cancel,
                        const float **hidden);

/* One member of a team that runs a batch. */
typedef struct fby_bert_member {
    fby_team *team;
    uint32_t index; /* below team->size; 0 reads `cancel` */
    void *own;      /* scratch of its own, as large as the shared one; member 0's is that */
    /* The team's: the last run that was stopped. Never set back, so that who leaves a stopped run
     * late still finds it so while the next is under way. */
    _Atomic uint64_t *stopped;
    uint64_t run; /* the team's runs are numbered from 1 up */
} fby_bert_member;

/*
 * As fby_bert_run(), called by every member with the same arguments, `scratch`
 * being shared. All return the same status, unless the team is broken: then
 * FBY_ECANCELED for those that find it so.
 */
fby_status fby_bert_run_team(const fby_bert *bert, const uint32_t *ids, const uint32_t *starts,
                             uint32_t texts, void *scratch, const fby_bert_member *member,
                             const atomic_bool *cancel, const float **hidden);

#endif
