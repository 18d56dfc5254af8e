/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tokens with their places, by the plain way that tokenizer_encode.c avoids: a
 * stretch of text between raw added tokens is normalized as a whole, each code
 * point of the result with the place of the character that it comes from
 * (`tokenizers` calls that alignment), and then cut.
 *
 *     text --> raw added tokens
 *               `--> stretch --> code points with places --> normalized added tokens
 *                                                             `--> words --> pieces
 */
#include <string.h>

#include "base/assert.h"
#include "base/bits.h"
#include "model/tokenizer_internal.h"
#include "model/utf8.h"

typedef struct placed { /* a code point of the normalized text */
    uint32_t c, start, stop;
} placed;

typedef struct placing {
    const fby_tokenizer *t;
    const unsigned char *text;
    size_t size;
    fby_token_sink *sink;
    void *context;

    placed *chars; /* the stretch's; NULL: only counted */
    size_t count;
    uint32_t start, stop; /* of the character that is being normalized */
    /* Marks come out when the next character goes in, in another order; places keep theirs. */
    uint32_t waiting, waited[FBY_NORMALIZER_MARKS_MAX][2];
    uint32_t flushed;
    fby_normalizing normalizing;

    uint32_t pieces[FBY_WORD_CHARS_MAX];
    unsigned char word[FBY_WORD_CHARS_MAX * FBY_UTF8_MAX];
} placing;

static void emit(const placing *p, uint32_t id, uint32_t start, uint32_t stop)
{
    const fby_token_place token = {id, false, start, stop};
    p->sink(p->context, &token);
}

/* ---- a stretch's code points ---- */

static void normalized_put(void *context, uint32_t c, uint32_t flags)
{
    placing *p = context;
    (void)flags;
    if (p->chars != NULL) {
        bool waited = p->flushed < p->waiting;
        p->chars[p->count] = (placed){c, waited ? p->waited[p->flushed][0] : p->start,
                                      waited ? p->waited[p->flushed][1] : p->stop};
    }
    p->flushed++;
    p->count++;
}

/* Takes note of the marks that wait since the last character. */
static void note_waiting(placing *p, uint32_t before)
{
    uint32_t now = p->normalizing.mark_count;
    for (uint32_t i = now < before ? 0 : before; i < now; i++) {
        p->waited[i][0] = p->start;
        p->waited[i][1] = p->stop;
    }
    p->waiting = now;
    p->flushed = 0;
}

static void normalize(placing *p, size_t begin, size_t end)
{
    uint32_t length;
    p->count = 0;
    p->waiting = 0;
    p->flushed = 0;
    fby_normalizing_init(&p->normalizing, &p->t->normalizer, normalized_put, p);
    for (size_t at = begin; at < end; at += length) {
        uint32_t before = p->normalizing.mark_count;
        int32_t c = fby_utf8_decode(p->text + at, end - at, &length);
        p->start = (uint32_t)at;
        p->stop = (uint32_t)at + length;
        fby_normalize(&p->normalizing, c < 0 ? FBY_UTF8_REPLACEMENT : (uint32_t)c);
        note_waiting(p, before);
    }
    fby_normalize_flush(&p->normalizing);
}

/* ---- words ---- */

/* Bytes of the word that a piece stands for. */
static size_t piece_bytes(const fby_tokenizer *t, uint32_t id, bool first)
{
    size_t size;
    const char *piece = fby_tokenizer_piece(t, id, &size);
    fby_assert(piece != NULL);
    return first ? size : size - t->vocabulary.prefix_size;
}

static void put_pieces(placing *p, const placed *chars, uint32_t count)
{
    unsigned char bytes[FBY_UTF8_MAX];
    size_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        size_t left = piece_bytes(p->t, p->pieces[i], i == 0), first = at;
        for (; left > 0; at++)
            left -= fby_utf8_encode(chars[at].c, bytes);
        emit(p, p->pieces[i], chars[first].start, chars[at - 1].stop);
    }
}

static void put_word(placing *p, size_t begin, size_t end)
{
    const fby_tokenizer *t = p->t;
    const placed *chars = p->chars + begin;
    size_t size = 0, count = end - begin;
    if (count == 0)
        return;
    uint32_t pieces = 0;
    if (count <= t->chars_max) {
        for (size_t i = 0; i < count; i++)
            size += fby_utf8_encode(chars[i].c, p->word + size);
        pieces = fby_vocabulary_split(&t->vocabulary, p->word, size, p->pieces);
    }
    if (pieces == 0)
        emit(p, t->unk_id, chars[0].start, chars[count - 1].stop);
    put_pieces(p, chars, pieces);
}

/* BertPreTokenizer: white space parts words, punctuation is one. */
static void put_words(placing *p, size_t begin, size_t end)
{
    size_t word = begin;
    for (size_t i = begin; i < end; i++) {
        uint32_t flags = fby_unicode_flags(&p->t->unicode, p->chars[i].c);
        if ((flags & (FBY_UNICODE_SPACE | FBY_UNICODE_PUNCT)) == 0)
            continue;
        put_word(p, word, i);
        if ((flags & FBY_UNICODE_SPACE) == 0)
            put_word(p, i, i + 1);
        word = i + 1;
    }
    put_word(p, word, end);
}

/* ---- added tokens ---- */

/* The longest added token of the normalized text at `at`; the code point after it. */
static const fby_added_token *normalized_match(const placing *p, size_t at, size_t *end)
{
    const fby_trie *trie = &p->t->added_trie;
    uint32_t node = FBY_ADDED_NORMALIZED, value = 0;
    for (size_t i = at; i < p->count; i++) {
        unsigned char bytes[FBY_UTF8_MAX];
        uint32_t length = fby_utf8_encode(p->chars[i].c, bytes);
        for (uint32_t j = 0; j < length; j++) {
            node = fby_trie_child(trie, node, bytes[j]);
            if (node == 0)
                return value != 0 ? &p->t->added[value - 1] : NULL;
        }
        if (trie->values[node] != 0) {
            value = trie->values[node];
            *end = i + 1;
        }
    }
    return value != 0 ? &p->t->added[value - 1] : NULL;
}

static bool is_word_at(const placing *p, size_t at)
{
    return at < p->count && fby_unicode_is_word(p->chars[at].c);
}

static void put_stretch(placing *p, size_t begin, size_t end)
{
    normalize(p, begin, end);
    size_t words = 0, next = 0;
    for (size_t i = 0; i < p->count; i = next) {
        const fby_added_token *added =
            p->t->added_normalized ? normalized_match(p, i, &next) : NULL;
        if (added == NULL) {
            next = i + 1;
            continue;
        }
        /* Refused for its neighbours, it is text; nothing is looked for inside it either. */
        if (added->single_word && ((i > 0 && is_word_at(p, i - 1)) || is_word_at(p, next)))
            continue;
        put_words(p, words, i);
        emit(p, added->id, p->chars[i].start, p->chars[next - 1].stop);
        words = next;
    }
    put_words(p, words, p->count);
}

static const fby_added_token *raw_match(const placing *p, size_t at, size_t *end)
{
    const fby_trie *trie = &p->t->added_trie;
    uint32_t node = FBY_ADDED_RAW, value = 0;
    if (!p->t->added_first[p->text[at]])
        return NULL;
    for (size_t i = at; i < p->size; i++) {
        node = fby_trie_child(trie, node, p->text[i]);
        if (node == 0)
            break;
        if (trie->values[node] != 0) {
            value = trie->values[node];
            *end = i + 1;
        }
    }
    return value != 0 ? &p->t->added[value - 1] : NULL;
}

/* Whether \w matches the character that ends, or begins, at `at`. */
static bool raw_word_before(const placing *p, size_t at)
{
    size_t begin = at;
    uint32_t length;
    while (begin > 0 && at - begin < FBY_UTF8_MAX && (p->text[begin - 1] & 0xC0) == 0x80)
        begin--;
    if (begin == 0)
        return false;
    int32_t c = fby_utf8_decode(p->text + begin - 1, at - begin + 1, &length);
    return c >= 0 && length == at - begin + 1 && fby_unicode_is_word((uint32_t)c);
}

static bool raw_word_after(const placing *p, size_t at)
{
    uint32_t length;
    int32_t c = at < p->size ? fby_utf8_decode(p->text + at, p->size - at, &length) : -1;
    return c >= 0 && fby_unicode_is_word((uint32_t)c);
}

/* Calls `stretch` for what lies between raw added tokens, and emits those. */
static void cut(placing *p, void (*stretch)(placing *, size_t, size_t))
{
    size_t begin = 0, next = 0;
    for (size_t at = 0; at < p->size; at = next) {
        const fby_added_token *added = raw_match(p, at, &next);
        if (added == NULL) {
            next = at + 1;
            continue;
        }
        if (added->single_word && (raw_word_before(p, at) || raw_word_after(p, next)))
            continue;
        stretch(p, begin, at);
        if (p->sink != NULL)
            emit(p, added->id, (uint32_t)at, (uint32_t)next);
        begin = next;
    }
    stretch(p, begin, p->size);
}

/* ---- the whole ---- */

static void count_stretch(placing *p, size_t begin, size_t end)
{
    size_t *most = p->context;
    normalize(p, begin, end);
    *most = fby_max_size(*most, p->count);
}

size_t fby_tokenizer_places_scratch(const fby_tokenizer *t, const char *text, size_t size)
{
    size_t most = 0;
    placing p;
    p.t = t;
    p.text = (const unsigned char *)text;
    p.size = size;
    p.sink = NULL;
    p.context = &most;
    p.chars = NULL;
    cut(&p, count_stretch);
    return most * sizeof(placed);
}

static void put_special(const placing *p, const uint32_t *ids, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const fby_token_place token = {ids[i], true, 0, 0};
        p->sink(p->context, &token);
    }
}

void fby_tokenizer_places(const fby_tokenizer *t, const char *text, size_t size, bool no_special,
                          void *scratch, fby_token_sink *sink, void *context)
{
    placing p;
    p.t = t;
    p.text = (const unsigned char *)text;
    p.size = size;
    p.sink = sink;
    p.context = context;
    p.chars = scratch;
    if (!no_special)
        put_special(&p, t->before, t->before_count);
    cut(&p, put_stretch);
    if (!no_special)
        put_special(&p, t->after, t->after_count);
}
