/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tokenizer's inside, shared by the files that make one (tokenizer.c, and
 * tokenizer_json.c, vocab_txt.c for it) and the one that uses it
 * (tokenizer_encode.c).
 *
 *     new --> add pieces, settings --> index --> add tokens, template --> finish
 */
#ifndef FBY_MODEL_TOKENIZER_INTERNAL_H
#define FBY_MODEL_TOKENIZER_INTERNAL_H

#include <jansson.h>

#include "model/normalizer.h"
#include "model/tokenizer.h"
#include "model/trie.h"
#include "model/unicode.h"
#include "model/vocabulary.h"

enum {
    FBY_WORD_CHARS_MAX = 1024,       /* of a file's max_input_chars_per_word */
    FBY_ADDED_BYTES_MAX = 256,       /* of an added token */
    FBY_TEMPLATE_MAX = 16,           /* special tokens before a text, and after it */
    FBY_TOKENIZER_SIZE_MAX = 1 << 28 /* bytes of a tokenizer.json or vocab.txt */
};
_Static_assert(FBY_WORD_CHARS_MAX <= FBY_NORMALIZER_MARKS_MAX,
               "a run of marks that is not put in order is no word");

/* Roots of the trie of added tokens. */
enum { FBY_ADDED_RAW = 0, FBY_ADDED_NORMALIZED = 1, FBY_ADDED_ROOTS = 2 };

/* What the fast loop does with a byte. */
enum { FBY_BYTE_WORD, FBY_BYTE_SPACE, FBY_BYTE_PUNCT, FBY_BYTE_DROP, FBY_BYTE_LOOK };

/*
 * A string that is found in the text before anything is done to it, or in its
 * normalized form. Its lstrip and rstrip, which take white space beside it,
 * change no id where no added token holds white space: it parts words and then
 * goes. Both together are refused.
 */
typedef struct fby_added_token {
    uint32_t id;
    bool single_word; /* not beside a \w */
    bool normalized;  /* found in the normalized text */
    bool special;     /* left out of decoded text where one asks for that */
} fby_added_token;

struct fby_tokenizer {
    fby_unicode unicode;
    fby_normalizer normalizer;
    fby_vocabulary vocabulary;
    uint32_t unk_id;
    uint32_t chars_max; /* of a word; one with more is unknown */

    fby_added_token *added;
    uint32_t added_count, added_capacity;
    fby_trie added_trie;    /* values: indices of `added` */
    bool added_normalized;  /* some are */
    bool added_single_word; /* some normalized ones are */
    bool added_spaces;      /* some hold white space */

    uint32_t before[FBY_TEMPLATE_MAX], after[FBY_TEMPLATE_MAX];
    uint32_t before_count, after_count;

    bool decodes_words; /* WordPiece's decoder: pieces that continue a word join it; … */
    bool decodes_clean; /* … and no space stands before a full stop */

    /* Made by fby_tokenizer_finish(). */
    bool plain;              /* the fast loop may run: no added token is in its way */
    uint8_t lower_bit;       /* or-ed to ASCII letters and digits: 0x20 or 0 */
    uint8_t bytes[256];      /* FBY_BYTE_* */
    bool added_first[256];   /* a raw added token begins with it */
    uint32_t ascii_ids[128]; /* of punctuation */
};

fby_status fby_tokenizer_new(fby_tokenizer **tokenizer);

/*
 * After the vocabulary was indexed and the normalizer set: a string of the
 * added vocabulary. FBY_EFORMAT if the vocabulary has it under another id;
 * FBY_EUNSUPPORTED for one that is too long, normalizes to nothing or to the
 * same as another.
 */
fby_status fby_tokenizer_add_token(fby_tokenizer *tokenizer, uint32_t id, const char *content,
                                   size_t size, bool single_word, bool normalized, bool special);

void fby_tokenizer_finish(fby_tokenizer *tokenizer);

/* Both fill a new tokenizer from bytes; `name` is for messages. */
fby_status fby_tokenizer_read_json(const char *name, const char *json, size_t size,
                                   fby_tokenizer *tokenizer);
/* `config` is tokenizer_config.json's object, NULL if there is none. A piece on several lines has
 * the last one's id, as in transformers. */
fby_status fby_tokenizer_read_vocab_txt(const char *name, const char *text, size_t size,
                                        const char *config_name, const json_t *config,
                                        fby_tokenizer *tokenizer);

#endif
