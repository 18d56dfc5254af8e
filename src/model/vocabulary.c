/* SPDX-License-Identifier: Apache-2.0 */
#include "model/vocabulary.h"

#include <stdlib.h>

#include "base/bits.h"
#include "model/file.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "keys of words are little-endian");

enum { WHOLE = 0, CONTINUING = 1, ROOTS = 2 };

void fby_vocabulary_init(fby_vocabulary *vocabulary)
{
    *vocabulary = (fby_vocabulary){0};
}

void fby_vocabulary_free(fby_vocabulary *vocabulary)
{
    free(vocabulary->pieces);
    free(vocabulary->bytes);
    free(vocabulary->words);
    free(vocabulary->prefix);
    if (vocabulary->indexed)
        fby_trie_free(&vocabulary->trie);
}

static fby_status ids_reserve(fby_vocabulary *v, uint32_t count)
{
    if (count <= v->capacity)
        return FBY_OK;
    uint32_t capacity = v->capacity * 2 > count ? v->capacity * 2 : count;
    capacity = capacity < 1024 ? 1024 : capacity;
    fby_piece *pieces = realloc(v->pieces, capacity * sizeof *pieces);
    if (pieces == NULL)
        return fby_error(FBY_ENOMEM, "no memory for a vocabulary of %u", count);
    for (uint32_t i = v->capacity; i < capacity; i++)
        pieces[i] = (fby_piece){0, UINT32_MAX};
    v->pieces = pieces;
    v->capacity = capacity;
    return FBY_OK;
}

static fby_status bytes_reserve(fby_vocabulary *v, size_t more)
{
    size_t size;
    if (!fby_add_size(v->bytes_size, more, &size) || size > UINT32_MAX / 2)
        return fby_error(FBY_EUNSUPPORTED, "a vocabulary of more than %u bytes", UINT32_MAX / 2);
    if (size <= v->bytes_capacity)
        return FBY_OK;
    size_t capacity = fby_max_size(fby_max_size(2 * v->bytes_capacity, size), 1 << 16);
    char *bytes = realloc(v->bytes, capacity);
    if (bytes == NULL)
        return fby_error(FBY_ENOMEM, "no memory for %zu bytes of vocabulary", capacity);
    v->bytes = bytes;
    v->bytes_capacity = capacity;
    return FBY_OK;
}

fby_status fby_vocabulary_add(fby_vocabulary *v, uint32_t id, const char *piece, size_t size)
{
    if (id >= FBY_VOCABULARY_MAX)
        return fby_error(FBY_EFORMAT, "id %u is not below %d", id, FBY_VOCABULARY_MAX);
    if (id < v->capacity && v->pieces[id].size != UINT32_MAX)
        return fby_error(FBY_EFORMAT, "id %u is given twice", id);
    fby_status status = ids_reserve(v, id + 1);
    if (status == FBY_OK)
        status = bytes_reserve(v, size);
    if (status != FBY_OK)
        return status;

    if (size > 0)
        memcpy(v->bytes + v->bytes_size, piece, size);
    v->pieces[id] = (fby_piece){(uint32_t)v->bytes_size, (uint32_t)size};
    v->bytes_size += size;
    v->entries++;
    if (id >= v->count)
        v->count = id + 1;
    return FBY_OK;
}

static fby_status words_allocate(fby_vocabulary *v)
{
    uint32_t bits = 4;
    while (((size_t)3 << bits) / 4 <= v->count)
        bits++;
    v->words = calloc((size_t)1 << bits, sizeof *v->words);
    if (v->words == NULL)
        return fby_error(FBY_ENOMEM, "no memory for %zu words", (size_t)1 << bits);
    v->words_mask = ((uint64_t)1 << bits) - 1;
    v->words_shift = 64 - bits;
    return FBY_OK;
}

/* Early ids are frequent words in most vocabularies: they come first and lie where they hash. */
static void word_insert(fby_vocabulary *v, const char *piece, uint32_t size, uint32_t id)
{
    fby_word word = {.size = size, .id = id};
    memcpy(word.key, piece, size);
    uint64_t i = fby_word_hash(word.key) >> v->words_shift;
    while (v->words[i].size != 0)
        i = (i + 1) & v->words_mask;
    v->words[i] = word;
}

static bool has_prefix(const fby_vocabulary *v, const char *piece, size_t size)
{
    return size > v->prefix_size && memcmp(piece, v->prefix, v->prefix_size) == 0;
}

/* A piece that begins as one that continues a word stands for a whole word too, in theory: not
 * where the prefix begins with punctuation, which is always a word of its own. */
static bool may_be_whole(const fby_vocabulary *v, const char *piece, size_t size)
{
    return size > 0 && (v->prefix_size == 0 || strchr("#@_", v->prefix[0]) == NULL ||
                        !has_prefix(v, piece, size));
}

static fby_status piece_index(fby_vocabulary *v, uint32_t id, bool last_wins)
{
    const char *piece = v->bytes + v->pieces[id].start;
    uint32_t size = v->pieces[id].size, first = id;
    fby_status status = FBY_OK;
    if (may_be_whole(v, piece, size)) {
        status = fby_trie_add(&v->trie, WHOLE, piece, size, id, &first);
        if (status == FBY_OK && size <= FBY_WORD_HASHED && first == id)
            word_insert(v, piece, size, id);
    }
    if (status == FBY_OK && has_prefix(v, piece, size))
        status = fby_trie_add(&v->trie, CONTINUING, piece + v->prefix_size, size - v->prefix_size,
                              id, &first);
    if (status == FBY_OK && first != id && !last_wins)
        return fby_error(FBY_EFORMAT, "ids %u and %u are the same piece", first, id);
    return status;
}

fby_status fby_vocabulary_index(fby_vocabulary *v, const char *prefix, size_t size, bool last_wins)
{
    v->prefix = malloc(size + 1);
    if (v->prefix == NULL)
        return fby_error(FBY_ENOMEM, "no memory for a prefix of %zu bytes", size);
    memcpy(v->prefix, prefix, size);
    v->prefix_size = size;

    fby_status status = words_allocate(v);
    if (status == FBY_OK)
        status = fby_trie_init(&v->trie, ROOTS, v->count * 3);
    if (status != FBY_OK)
        return status;
    v->indexed = true;
    /* The first to come stays, so where the last shall win, they come backwards. */
    for (uint32_t i = 0; status == FBY_OK && i < v->count; i++) {
        uint32_t id = last_wins ? v->count - 1 - i : i;
        if (v->pieces[id].size != UINT32_MAX)
            status = piece_index(v, id, last_wins);
    }
    return status;
}

/* The value of the longest string from `root` that begins `bytes`, and its length; false if none
 * does. */
static bool longest(const fby_trie *trie, uint32_t root, const unsigned char *bytes, size_t size,
                    uint32_t *value, size_t *length)
{
    uint32_t best = 0, node = root;
    for (size_t i = 0; i < size; i++) {
        node = fby_trie_child(trie, node, bytes[i]);
        if (node == 0)
            break;
        if (trie->values[node] != 0) {
            best = trie->values[node];
            *length = i + 1;
        }
    }
    *value = best - 1;
    return best != 0;
}

bool fby_vocabulary_find(const fby_vocabulary *v, const char *piece, size_t size, uint32_t *id)
{
    if (size == 0)
        return false;
    bool whole = may_be_whole(v, piece, size);
    const unsigned char *bytes = (const unsigned char *)piece;
    uint32_t found;
    size_t length;
    if (!whole) {
        bytes += v->prefix_size;
        size -= v->prefix_size;
    }
    if (!longest(&v->trie, whole ? WHOLE : CONTINUING, bytes, size, &found, &length) ||
        length != size)
        return false;
    *id = found;
    return true;
}

uint32_t fby_vocabulary_split(const fby_vocabulary *v, const unsigned char *word, size_t size,
                              uint32_t *ids)
{
    uint32_t count = 0, root = WHOLE;
    for (size_t at = 0, length; at < size; at += length, root = CONTINUING) {
        if (!longest(&v->trie, root, word + at, size - at, &ids[count], &length))
            return 0;
        count++;
    }
    return count;
}
