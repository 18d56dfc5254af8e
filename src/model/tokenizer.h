/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text to token ids, as Hugging Face's `tokenizers` does it for the same
 * tokenizer.json: added tokens found in the raw text, then BertNormalizer,
 * BertPreTokenizer, WordPiece and the template's special tokens.
 *
 * Constant after opening: any number of threads may encode at once. Encoding
 * allocates nothing, whatever the text's size.
 */
#ifndef FBY_MODEL_TOKENIZER_H
#define FBY_MODEL_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct fby_tokenizer fby_tokenizer;

/* Reads `dir`/tokenizer.json, or vocab.txt (with tokenizer_config.json where present) if there is
 * none. Truncation and padding that tokenizer.json asks for are ignored, as sentence-transformers
 * does. */
fby_status fby_tokenizer_open(const char *dir, fby_tokenizer **tokenizer);
void fby_tokenizer_close(fby_tokenizer *tokenizer);

/* The same from bytes in memory: what the fuzz target calls. `name` is for messages. */
fby_status fby_tokenizer_from_json(const char *name, const char *json, size_t size,
                                   fby_tokenizer **tokenizer);

/* Entries, the highest id + 1. */
uint32_t fby_tokenizer_vocabulary(const fby_tokenizer *tokenizer);
/* NULL if there is no such id; not terminated. */
const char *fby_tokenizer_piece(const fby_tokenizer *tokenizer, uint32_t id, size_t *size);
/* Special tokens that the template puts around a text: 2 for [CLS] … [SEP]. */
uint32_t fby_tokenizer_special_count(const fby_tokenizer *tokenizer);

typedef struct fby_encode_options {
    uint32_t limit;  /* ids at most, special ones included; 0: no limit */
    bool left;       /* over the limit, the first ids go instead of the last */
    bool no_special; /* leave out the template's tokens */
    bool full_count; /* go on after the limit, to count every token */
} fby_encode_options;

typedef struct fby_encoding {
    size_t count;      /* ids of the text after truncation; at most `limit` if there is one */
    size_t full_count; /* before truncation; exact if asked for or if nothing was cut */
    bool truncated;
    size_t replaced; /* invalid UTF-8 sequences met in what was read */
} fby_encoding;

/*
 * Writes at most `capacity` ids, the first of the result, to `ids`; a capacity
 * of 0 only counts. Where ids go from the left, capacity is 0 or at least the
 * limit. `prefix` (a prompt; may be empty) and `text` are tokenised as one
 * concatenated text. Takes some 13 KiB of stack, whatever the text.
 */
void fby_tokenizer_encode(const fby_tokenizer *tokenizer, const char *prefix, size_t prefix_size,
                          const char *text, size_t size, const fby_encode_options *options,
                          uint32_t *ids, size_t capacity, fby_encoding *encoding);

/*
 * Ids as text again, as `tokenizers` decodes them: WordPiece's pieces joined to
 * words, words by spaces, no space before a full stop. Ids that the vocabulary
 * lacks are left out, special tokens where `skip_special` says so. Writes at
 * most `capacity` bytes, no NUL; returns how many there are.
 */
size_t fby_tokenizer_decode(const fby_tokenizer *tokenizer, const uint32_t *ids, size_t count,
                            bool skip_special, char *text, size_t capacity);

/* A token and where in the text it stands: bytes start … stop - 1. Of the template's tokens, which
 * stand nowhere, both are 0. */
typedef struct fby_token_place {
    uint32_t id;
    bool special; /* of the template */
    uint32_t start, stop;
} fby_token_place;

typedef void fby_token_sink(void *context, const fby_token_place *token);

/*
 * The ids that fby_tokenizer_encode() gives without a limit, each with its place
 * as `tokenizers` has it: that of the characters it was made of, before they
 * were normalized. Slower, and needs scratch of fby_tokenizer_places_scratch()
 * bytes, 4-byte aligned. `text` is UTF-8 of fewer than 2^32 bytes.
 */
size_t fby_tokenizer_places_scratch(const fby_tokenizer *tokenizer, const char *text, size_t size);
void fby_tokenizer_places(const fby_tokenizer *tokenizer, const char *text, size_t size,
                          bool no_special, void *scratch, fby_token_sink *sink, void *context);

/* A digest of everything that decides the ids: (vocabulary, settings), for the fingerprint. */
void fby_tokenizer_digest(const fby_tokenizer *tokenizer, uint64_t digest[2]);

#endif
