/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Made-up texts that show how large a model's activations are, for weights that
 * are packed by it (compute/narrow.h): random tokens between the special ones,
 * the same in every run.
 */
#ifndef FBY_MODEL_SAMPLE_H
#define FBY_MODEL_SAMPLE_H

#include <stdint.h>

enum { FBY_SAMPLE_TEXTS = 24, FBY_SAMPLE_TOKENS = 1024 };

typedef struct fby_sample {
    uint32_t ids[FBY_SAMPLE_TOKENS];
    uint32_t starts[FBY_SAMPLE_TEXTS + 1]; /* text i: ids[starts[i]] … ids[starts[i + 1] - 1] */
} fby_sample;

/* Texts of 8 to 96 tokens, at most `max_tokens`, with ids below `vocabulary`. The `count` special
 * ids are those of a text of no tokens: the first begins each text, the last ends it. */
void fby_sample_make(uint32_t vocabulary, uint32_t max_tokens, const uint32_t *special,
                     uint32_t count, fby_sample *sample);

#endif
