/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vocabulary of a tokenizer.json, nearly all of its bytes, read without a
 * tree: a JSON library spends most of the time of opening a model on it.
 *
 * Only what is surely right is taken here: a plain JSON object of strings and
 * small integers. For everything else the answer is no, and the JSON library
 * reads the whole and says what is wrong with it.
 */
#ifndef FBY_MODEL_VOCAB_JSON_H
#define FBY_MODEL_VOCAB_JSON_H

#include <stdbool.h>
#include <stddef.h>

#include "model/vocabulary.h"

typedef struct fby_vocab_span {
    size_t begin, end; /* of the object, braces included */
} fby_vocab_span;

/* Finds the object "vocab" of the object "model" of `json`, if that is JSON. */
bool fby_vocab_json_find(const char *json, size_t size, fby_vocab_span *span);

/* Adds the members of the object to an empty vocabulary. False if it is not such an object, has
 * an id twice, or memory ran out; some members may have been added then. Two ids for one piece
 * show when the vocabulary is indexed. */
bool fby_vocab_json_read(const char *json, const fby_vocab_span *span, fby_vocabulary *vocabulary);

#endif
