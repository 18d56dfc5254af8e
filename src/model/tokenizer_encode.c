/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text to ids, in one pass over the bytes:
 *
 *     bytes --> raw added tokens --> normalizer --> normalized added tokens --> words --> pieces
 *        \________________ ASCII letters, digits, spaces, punctuation ___________^
 *
 * Plain ASCII goes straight into the word; everything else takes the long way,
 * a code point at a time. What is kept between bytes is bounded: the word, the
 * marks that wait for their order, and as much normalized text as could become
 * an added token.
 */
#include <string.h>

#include "base/assert.h"
#include "base/bits.h"
#include "base/platform.h"
#include "model/tokenizer_internal.h"
#include "model/utf8.h"

enum {
    STRIDE = 8, /* bytes that the fast loop takes at once */
    WORD_BYTES = FBY_WORD_CHARS_MAX * FBY_UTF8_MAX,
    WINDOW_BYTES = FBY_ADDED_BYTES_MAX + FBY_UTF8_MAX
};

/* Part of the text: the prefix, then the text. */
typedef struct span {
    const unsigned char *begin, *end;
} span;

typedef struct encoder {
    const fby_tokenizer *tokenizer;

    const unsigned char *at, *end; /* what is left of spans[current] */
    span spans[2];
    int current;

    /* The word so far. Its characters are size + extra: bytes that continue a character count
     * negative there, those of a word too long to keep positive. */
    size_t word_size;
    ptrdiff_t extra;

    uint32_t *ids;
    size_t count; /* of pieces so far */
    size_t room;  /* the first so many are kept … */
    size_t ring;  /* … or the last, the next one here; */
    bool left;
    size_t stop; /* the count at which no more is read */
    size_t replaced;

    bool after_word; /* a \w stands before the window */
    size_t window_size;
    unsigned char window[WINDOW_BYTES];
    fby_normalizing normalizing;
    uint32_t pieces[FBY_WORD_CHARS_MAX];
    unsigned char word[WORD_BYTES + STRIDE + FBY_WORD_HASHED];
} encoder;

/* ---- ids ---- */

static inline void emit(encoder *e, uint32_t id)
{
    if (FBY_LIKELY(e->count < e->room)) {
        e->ids[e->count] = id;
    } else if (e->left && e->room > 0) {
        e->ids[e->ring] = id;
        e->ring = e->ring + 1 == e->room ? 0 : e->ring + 1;
    }
    e->count++;
}

static void reverse(uint32_t *ids, size_t from, size_t to)
{
    for (; from + 1 < to; from++, to--) {
        uint32_t id = ids[from];
        ids[from] = ids[to - 1];
        ids[to - 1] = id;
    }
}

/* Puts the ring's oldest id first. */
static void ring_straighten(encoder *e)
{
    reverse(e->ids, 0, e->ring);
    reverse(e->ids, e->ring, e->room);
    reverse(e->ids, 0, e->room);
}

/* ---- words ---- */

static FBY_NOINLINE void word_split(encoder *e, size_t size)
{
    const fby_tokenizer *t = e->tokenizer;
    uint32_t count = fby_vocabulary_split(&t->vocabulary, e->word, size, e->pieces);
    if (count == 0)
        emit(e, t->unk_id);
    for (uint32_t i = 0; i < count; i++)
        emit(e, e->pieces[i]); /* NOLINT(clang-analyzer-core.CallAndMessage): split wrote them */
}

/* Ends the word, whose size is passed so that the fast loop may keep it in a register. */
static inline void word_end(encoder *e, size_t size)
{
    const fby_tokenizer *t = e->tokenizer;
    size_t chars = size + (size_t)e->extra;
    uint32_t id;
    if (chars == 0)
        return;
    if (FBY_UNLIKELY(chars > t->chars_max))
        emit(e, t->unk_id);
    else if (size <= FBY_WORD_HASHED && fby_vocabulary_word(&t->vocabulary, e->word, size, &id))
        emit(e, id);
    else
        word_split(e, size);
    e->extra = 0;
}

static void word_flush(encoder *e)
{
    word_end(e, e->word_size);
    e->word_size = 0;
}

/* The size that a word goes on from when `size` bytes of it are there: from 0 if they are surely
 * more characters than a word may have. */
static inline size_t word_bounded(encoder *e, size_t size)
{
    if (FBY_UNLIKELY(size > e->tokenizer->chars_max * (size_t)FBY_UTF8_MAX)) {
        e->extra += (ptrdiff_t)size;
        return 0;
    }
    return size;
}

/* BertPreTokenizer: white space parts words, punctuation is one. */
static void word_put(encoder *e, uint32_t c, uint32_t flags)
{
    if (flags & (FBY_UNICODE_SPACE | FBY_UNICODE_PUNCT))
        word_flush(e);
    if (flags & FBY_UNICODE_SPACE)
        return;
    uint32_t length = fby_utf8_encode(c, e->word + e->word_size);
    e->extra -= (ptrdiff_t)(length - 1);
    e->word_size = word_bounded(e, e->word_size + length);
    if (flags & FBY_UNICODE_PUNCT)
        word_flush(e);
}

/* ---- added tokens in the normalized text ---- */

static uint32_t window_char(const encoder *e, size_t at, uint32_t *length)
{
    int32_t c = fby_utf8_decode(e->window + at, e->window_size - at, length);
    fby_assert_debug(c >= 0);
    return (uint32_t)c;
}

static void window_drop(encoder *e, size_t size)
{
    e->window_size -= size;
    memmove(e->window, e->window + size, e->window_size);
}

/* Passes `size` bytes of the window on as text. */
static void window_pass(encoder *e, size_t size)
{
    uint32_t c = 0, length;
    for (size_t at = 0; at < size; at += length) {
        c = window_char(e, at, &length);
        word_put(e, c, fby_unicode_flags(&e->tokenizer->unicode, c));
    }
    e->after_word = e->tokenizer->added_single_word && fby_unicode_is_word(c);
    window_drop(e, size);
}

/* The longest added token that the window begins with: its value and length. False as long as more
 * text may make it longer, or make it one. */
static bool window_match(const encoder *e, bool last, uint32_t *value, size_t *length)
{
    const fby_trie *trie = &e->tokenizer->added_trie;
    uint32_t node = FBY_ADDED_NORMALIZED;
    *value = 0;
    for (size_t i = 0; i < e->window_size; i++) {
        node = fby_trie_child(trie, node, e->window[i]);
        if (node == 0)
            return true;
        if (trie->values[node] != 0) {
            *value = trie->values[node];
            *length = i + 1;
        }
    }
    return last;
}

static void window_added(encoder *e, const fby_added_token *added, size_t size)
{
    uint32_t length;
    bool before_word = added->single_word && size < e->window_size &&
                       fby_unicode_is_word(window_char(e, size, &length));
    if (added->single_word && (e->after_word || before_word)) {
        window_pass(e, size);
        return;
    }
    size_t last = size - 1;
    while ((e->window[last] & 0xC0) == 0x80)
        last--;
    e->after_word =
        e->tokenizer->added_single_word && fby_unicode_is_word(window_char(e, last, &length));
    word_flush(e);
    emit(e, added->id);
    window_drop(e, size);
}

/* Settles what can be settled; all of it if this is the `last` of the text. */
static void window_settle(encoder *e, bool last)
{
    uint32_t value, length;
    size_t size = 0;
    while (e->window_size > 0 && window_match(e, last, &value, &size)) {
        if (value != 0) {
            window_added(e, &e->tokenizer->added[value - 1], size);
        } else {
            window_char(e, 0, &length);
            window_pass(e, length);
        }
    }
}

/* The normalizer's sink. */
static void normalized_put(void *context, uint32_t c, uint32_t flags)
{
    encoder *e = context;
    if (!e->tokenizer->added_normalized) {
        word_put(e, c, flags);
        return;
    }
    e->window_size += fby_utf8_encode(c, e->window + e->window_size);
    window_settle(e, false);
}

/* Ends a part of the text that is normalized by itself. */
static void segment_end(encoder *e)
{
    fby_normalize_flush(&e->normalizing);
    window_settle(e, true);
    word_flush(e);
    e->after_word = false;
}

/* ---- bytes ---- */

/* Moves on by `size` bytes, of which there are as many. */
static void advance(encoder *e, size_t size)
{
    size_t left = (size_t)(e->end - e->at);
    if (size < left || e->current == 1) {
        e->at += size;
        return;
    }
    e->current = 1;
    e->at = e->spans[1].begin + (size - left);
    e->end = e->spans[1].end;
}

/* Copies at most `size` bytes from `skip` bytes ahead; returns how many there are. */
static size_t look_ahead(const encoder *e, size_t skip, unsigned char *out, size_t size)
{
    size_t left = (size_t)(e->end - e->at), taken = 0;
    if (skip < left) {
        taken = fby_min_size(size, left - skip);
        memcpy(out, e->at + skip, taken);
        skip = left;
    }
    size_t rest = e->current == 0 ? (size_t)(e->spans[1].end - e->spans[1].begin) : 0;
    if (skip - left < rest && taken < size) {
        size_t more = fby_min_size(size - taken, rest - (skip - left));
        memcpy(out + taken, e->spans[1].begin + (skip - left), more);
        taken += more;
    }
    return taken;
}

/* The byte `distance` before the place, -1 before the beginning. */
static int byte_behind(const encoder *e, size_t distance)
{
    size_t here = (size_t)(e->at - e->spans[e->current].begin);
    if (distance <= here)
        return e->at[-(ptrdiff_t)distance];
    distance -= here;
    if (e->current == 0 || distance > (size_t)(e->spans[0].end - e->spans[0].begin))
        return -1;
    return e->spans[0].end[-(ptrdiff_t)distance];
}

/* The code point `skip` bytes ahead, where there is one, U+FFFD for what is not UTF-8. */
static uint32_t peek(const encoder *e, size_t skip, uint32_t *length, bool *invalid)
{
    size_t left = (size_t)(e->end - e->at);
    int32_t c;
    if (FBY_LIKELY(skip == 0 && left >= FBY_UTF8_MAX)) {
        c = fby_utf8_decode(e->at, left, length);
    } else {
        unsigned char bytes[FBY_UTF8_MAX];
        size_t size = look_ahead(e, skip, bytes, sizeof bytes);
        fby_assert(size > 0);
        c = fby_utf8_decode(bytes, size, length);
    }
    *invalid = c < 0;
    return c < 0 ? FBY_UTF8_REPLACEMENT : (uint32_t)c;
}

static void char_take(encoder *e)
{
    uint32_t length;
    bool invalid;
    uint32_t c = peek(e, 0, &length, &invalid);
    e->replaced += invalid;
    advance(e, length);
    fby_normalize(&e->normalizing, c);
}

/* ---- added tokens in the raw text ---- */

/* Whether \w matches the character before the place. */
static bool word_behind(const encoder *e)
{
    unsigned char bytes[FBY_UTF8_MAX];
    for (size_t distance = 1; distance <= FBY_UTF8_MAX; distance++) {
        int byte = byte_behind(e, distance);
        if (byte < 0)
            return false;
        bytes[FBY_UTF8_MAX - distance] = (unsigned char)byte;
        if ((byte & 0xC0) == 0x80)
            continue;
        uint32_t length;
        int32_t c = fby_utf8_decode(bytes + FBY_UTF8_MAX - distance, distance, &length);
        return c >= 0 && length == distance && fby_unicode_is_word((uint32_t)c);
    }
    return false;
}

static bool word_ahead(const encoder *e, size_t skip)
{
    unsigned char byte;
    uint32_t length;
    bool invalid;
    return look_ahead(e, skip, &byte, 1) == 1 &&
           fby_unicode_is_word(peek(e, skip, &length, &invalid));
}

/* The longest raw added token here; NULL if there is none. */
static const fby_added_token *raw_match(const encoder *e, size_t *size)
{
    const fby_trie *trie = &e->tokenizer->added_trie;
    unsigned char copy[FBY_ADDED_BYTES_MAX];
    const unsigned char *bytes = e->at;
    size_t there = (size_t)(e->end - e->at);
    if (there < sizeof copy) {
        there = look_ahead(e, 0, copy, sizeof copy);
        bytes = copy;
    }
    uint32_t node = FBY_ADDED_RAW, value = 0;
    for (size_t i = 0; i < there; i++) {
        node = fby_trie_child(trie, node, bytes[i]);
        if (node == 0)
            break;
        if (trie->values[node] != 0) {
            value = trie->values[node];
            *size = i + 1;
        }
    }
    return value != 0 ? &e->tokenizer->added[value - 1] : NULL;
}

/* Takes an added token, or the next code point. */
static void look(encoder *e)
{
    size_t size = 0;
    const fby_added_token *added = e->tokenizer->added_first[*e->at] ? raw_match(e, &size) : NULL;
    if (added == NULL) {
        char_take(e);
    } else if (added->single_word && (word_behind(e) || word_ahead(e, size))) {
        /* Refused, but nothing is looked for inside it either. */
        for (size_t left = size; left > 0;) {
            uint32_t length;
            bool invalid;
            peek(e, 0, &length, &invalid);
            char_take(e);
            left -= length;
        }
    } else {
        segment_end(e);
        emit(e, added->id);
        advance(e, size);
    }
}

/* ---- the fast loop ---- */

static inline uint64_t broadcast(uint8_t byte)
{
    return byte * (UINT64_MAX / 255);
}

/* The high bit of each byte that is no ASCII letter or digit. The sums stay within their bytes: a
 * byte's 7 low bits plus a constant carry into its high bit from the constant's complement on. */
static inline uint64_t others_of(uint64_t eight)
{
    uint64_t low = eight & broadcast(0x7F);
    uint64_t lower = low | broadcast(0x20);
    uint64_t letter = (lower + broadcast(0x80 - 'a')) & ~(lower + broadcast(0x80 - 'z' - 1));
    uint64_t digit = (low + broadcast(0x80 - '0')) & ~(low + broadcast(0x80 - '9' - 1));
    return (~(letter | digit) | eight) & broadcast(0x80);
}

/* Takes ASCII letters, digits, white space and punctuation up to something else, the end of the
 * span, or the stop. No mark waits for its order. */
static void scan(encoder *e)
{
    const fby_tokenizer *t = e->tokenizer;
    const unsigned char *at = e->at, *end = e->end;
    const uint64_t lower = broadcast(t->lower_bit);
    size_t size = e->word_size;

    while (at < end && e->count <= e->stop) {
        uint64_t eight = 0; /* zeros are no letters: nothing behind the end is taken */
        memcpy(&eight, at, FBY_LIKELY(end - at >= STRIDE) ? STRIDE : (size_t)(end - at));
        uint64_t others = others_of(eight);
        size_t taken = others == 0 ? STRIDE : (unsigned)__builtin_ctzll(others) / 8;
        eight |= lower;
        memcpy(e->word + size, &eight, sizeof eight);
        size = word_bounded(e, size + taken);
        at += taken;
        if (others == 0 || at == end)
            continue;
        switch (t->bytes[*at]) {
        case FBY_BYTE_WORD: /* a control character that is kept */
            e->word[size] = *at;
            size = word_bounded(e, size + 1);
            break;
        case FBY_BYTE_SPACE:
            word_end(e, size);
            size = 0;
            break;
        case FBY_BYTE_PUNCT:
            word_end(e, size);
            size = 0;
            emit(e, t->ascii_ids[*at]);
            break;
        case FBY_BYTE_DROP:
            break;
        default:
            goto out;
        }
        at++;
    }
out:
    e->at = at;
    e->word_size = size;
}

static void encode_text(encoder *e)
{
    const fby_tokenizer *t = e->tokenizer;
    for (;;) {
        if (e->at == e->end) {
            if (e->current == 1)
                break;
            advance(e, 0);
            continue;
        }
        if (t->plain && e->normalizing.mark_count == 0)
            scan(e);
        if (e->count > e->stop)
            return;
        if (e->at < e->end)
            look(e);
    }
    segment_end(e);
}

/* ---- the whole ---- */

static size_t put_special(uint32_t *ids, size_t at, size_t end, const uint32_t *special,
                          uint32_t count)
{
    for (uint32_t i = 0; i < count && at + i < end; i++)
        ids[at + i] = special[i];
    return at + count;
}

void fby_tokenizer_encode(const fby_tokenizer *t, const char *prefix, size_t prefix_size,
                          const char *text, size_t size, const fby_encode_options *options,
                          uint32_t *ids, size_t capacity, fby_encoding *encoding)
{
    static const unsigned char none[1];
    uint32_t before = options->no_special ? 0 : t->before_count;
    uint32_t after = options->no_special ? 0 : t->after_count;
    size_t special = before + after;
    size_t limit = options->limit == 0 ? SIZE_MAX : options->limit;
    size_t text_limit = limit > special ? limit - special : 0;
    bool left = options->left && options->limit != 0 && capacity != 0;
    fby_assert(!left || capacity >= options->limit);

    encoder e; /* not initialized as a whole: its buffers are large */
    e.tokenizer = t;
    e.spans[0].begin = prefix_size > 0 ? (const unsigned char *)prefix : none;
    e.spans[0].end = e.spans[0].begin + prefix_size;
    e.spans[1].begin = size > 0 ? (const unsigned char *)text : none;
    e.spans[1].end = e.spans[1].begin + size;
    e.current = 0;
    e.at = e.spans[0].begin;
    e.end = e.spans[0].end;
    e.word_size = 0;
    e.extra = 0;
    e.ids = capacity > before ? ids + before : ids;
    e.count = 0;
    e.room = fby_min_size(text_limit, capacity > before ? capacity - before : 0);
    e.ring = 0;
    e.left = left;
    e.stop = e.left || options->full_count ? SIZE_MAX : text_limit;
    e.replaced = 0;
    e.after_word = false;
    e.window_size = 0;
    fby_normalizing_init(&e.normalizing, &t->normalizer, normalized_put, &e);
    encode_text(&e);
    if (e.left && e.count > e.room)
        ring_straighten(&e);

    size_t end = fby_min_size(capacity, limit);
    size_t at = put_special(ids, 0, end, t->before, before);
    at += fby_min_size(e.count, text_limit);
    at = put_special(ids, at, end, t->after, after);
    encoding->count = fby_min_size(at, limit);
    encoding->full_count = e.count + special;
    encoding->truncated = encoding->full_count > encoding->count;
    encoding->replaced = e.replaced;
}
