/* SPDX-License-Identifier: Apache-2.0 */
/* Ids to text: the WordPiece decoder of Hugging Face's `tokenizers`
 * (tokenizers/src/decoders/wordpiece.rs there). */
#include <string.h>

#include "base/bits.h"
#include "model/tokenizer_internal.h"

/* Text that is written as far as there is room and counted beyond. */
typedef struct out {
    char *text;
    size_t capacity, size;
} out;

static void put(out *to, const char *bytes, size_t size)
{
    if (to->size < to->capacity)
        memcpy(to->text + to->size, bytes, fby_min_size(size, to->capacity - to->size));
    to->size += size;
}

static bool begins_with(const char *piece, size_t size, const char *start)
{
    size_t length = strlen(start);
    return size >= length && memcmp(piece, start, length) == 0;
}

/* Whether `cleanup` takes the space before a piece away: " ." becomes ".". */
static bool is_close(const char *piece, size_t size)
{
    static const char *const close[] = {".", "?", "!", ",", "n't", "'m", "'s", "'ve", "'re"};
    for (size_t i = 0; i < sizeof close / sizeof close[0]; i++)
        if (begins_with(piece, size, close[i]))
            return true;
    return false;
}

static bool is_special(const fby_tokenizer *t, uint32_t id)
{
    for (uint32_t i = 0; i < t->added_count; i++)
        if (t->added[i].id == id)
            return t->added[i].special;
    return false;
}

static void put_piece(const fby_tokenizer *t, out *to, bool first, const char *piece, size_t size)
{
    const fby_vocabulary *vocabulary = &t->vocabulary;
    bool continues = t->decodes_words && size >= vocabulary->prefix_size &&
                     memcmp(piece, vocabulary->prefix, vocabulary->prefix_size) == 0;
    if (first) {
        put(to, piece, size);
    } else if (continues) {
        put(to, piece + vocabulary->prefix_size, size - vocabulary->prefix_size);
    } else {
        if (!t->decodes_clean || !is_close(piece, size))
            put(to, " ", 1);
        put(to, piece, size);
    }
}

size_t fby_tokenizer_decode(const fby_tokenizer *t, const uint32_t *ids, size_t count,
                            bool skip_special, char *text, size_t capacity)
{
    out to = {text, capacity, 0};
    bool first = true;
    for (size_t i = 0; i < count; i++) {
        size_t size;
        const char *piece = fby_tokenizer_piece(t, ids[i], &size);
        if (piece == NULL || (skip_special && is_special(t, ids[i])))
            continue;
        put_piece(t, &to, first, piece, size);
        first = false;
    }
    return to.size;
}
