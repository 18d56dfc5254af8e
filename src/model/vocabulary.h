/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A WordPiece vocabulary: pieces by id, and a word's pieces.
 *
 *     init --> add, for each piece --> index --> word, split, find, piece --> free
 *
 * Short words are looked up whole in a hash table; what is not there is cut
 * into pieces, the longest first, by a trie.
 *
 * Constant after fby_vocabulary_index(): any thread may read it then.
 */
#ifndef FBY_MODEL_VOCABULARY_H
#define FBY_MODEL_VOCABULARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "base/status.h"
#include "model/trie.h"

enum {
    FBY_VOCABULARY_MAX = 1 << 22, /* ids are below it */
    FBY_WORD_HASHED = 16          /* bytes of a word that the hash table may hold */
};

typedef struct fby_piece {
    uint32_t start;
    uint32_t size; /* UINT32_MAX: no piece has this id */
} fby_piece;

typedef struct fby_word {
    uint64_t key[2]; /* its bytes, zeros behind */
    uint32_t size;   /* 0: a free place */
    uint32_t id;
} fby_word;

typedef struct fby_vocabulary {
    fby_piece *pieces;
    uint32_t count;   /* the highest id + 1 */
    uint32_t entries; /* ids in use */
    uint32_t capacity;
    char *bytes;
    size_t bytes_size, bytes_capacity;

    fby_word *words; /* power of two, at most 3/4 in use */
    uint64_t words_mask;
    uint32_t words_shift;

    fby_trie trie;
    char *prefix; /* of pieces that continue a word */
    size_t prefix_size;
    bool indexed;
} fby_vocabulary;

void fby_vocabulary_init(fby_vocabulary *vocabulary);
void fby_vocabulary_free(fby_vocabulary *vocabulary);

/* FBY_EFORMAT if the id is FBY_VOCABULARY_MAX or above or is taken. */
fby_status fby_vocabulary_add(fby_vocabulary *vocabulary, uint32_t id, const char *piece,
                              size_t size);

/*
 * Ends the adding of pieces that words are made of; pieces added later only
 * have a text. `prefix` marks those that continue a word. FBY_EFORMAT if two
 * ids have the same piece, unless `last_wins`.
 */
fby_status fby_vocabulary_index(fby_vocabulary *vocabulary, const char *prefix, size_t size,
                                bool last_wins);

/* The id of a whole piece, prefix included. */
bool fby_vocabulary_find(const fby_vocabulary *vocabulary, const char *piece, size_t size,
                         uint32_t *id);

/* Writes the ids of a word's pieces, at most one a character; returns how many, 0 if it has none.
 */
uint32_t fby_vocabulary_split(const fby_vocabulary *vocabulary, const unsigned char *word,
                              size_t size, uint32_t *ids);

static inline uint64_t fby_word_load(const unsigned char *bytes, size_t size)
{
    uint64_t eight;
    memcpy(&eight, bytes, sizeof eight);
    return size >= 8 ? eight : eight & (((uint64_t)1 << 8 * size) - 1);
}

static inline uint64_t fby_word_hash(const uint64_t key[2])
{
    return key[0] * 0x9E3779B97F4A7C15u ^ key[1] * 0xC2B2AE3D27D4EB4Fu;
}

/* The id of a word of 1 to FBY_WORD_HASHED bytes that is one piece; FBY_WORD_HASHED bytes of `word`
 * may be read. Little-endian as the keys are. */
static inline bool fby_vocabulary_word(const fby_vocabulary *vocabulary, const unsigned char *word,
                                       size_t size, uint32_t *id)
{
    /* Without a branch: the length of a word is hard to foretell. */
    uint64_t key[2];
    fby_assert_debug(size > 0 && size <= FBY_WORD_HASHED);
    memcpy(key, word, sizeof key);
    key[0] &= UINT64_MAX >> (size < 8 ? 64 - 8 * size : 0);
    key[1] &= size > 8 ? UINT64_MAX >> (128 - 8 * size) : 0;
    for (uint64_t i = fby_word_hash(key) >> vocabulary->words_shift;;
         i = (i + 1) & vocabulary->words_mask) {
        const fby_word *found = &vocabulary->words[i];
        if (found->size == size && found->key[0] == key[0] && found->key[1] == key[1]) {
            *id = found->id;
            return true;
        }
        if (found->size == 0)
            return false;
    }
}

#endif
