/* SPDX-License-Identifier: Apache-2.0 */
#include "model/vocab_json.h"

#include <stdint.h>
#include <string.h>

#include "model/utf8.h"

enum {
    DIGITS_MAX = 9,   /* of an id; below 2^32 */
    ESCAPED_MAX = 256 /* bytes of a piece that is written with escapes */
};

typedef struct reader {
    const char *at, *end;
} reader;

/* Moves past white space and takes `c`, if it is there. */
static bool take(reader *r, char c)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\n' || *r->at == '\r' || *r->at == '\t'))
        r->at++;
    if (r->at == r->end || *r->at != c)
        return false;
    r->at++;
    return true;
}

/* ---- finding ---- */

/* Past a string, the first quote of which was taken. */
static bool string_skip(reader *r)
{
    for (; r->at < r->end; r->at++) {
        if (*r->at == '"') {
            r->at++;
            return true;
        }
        if (*r->at == '\\')
            r->at++;
    }
    return false;
}

/* A key as it is written, and its colon. */
static bool key_take(reader *r, const char **key, size_t *size)
{
    if (!take(r, '"'))
        return false;
    *key = r->at;
    if (!string_skip(r))
        return false;
    *size = (size_t)(r->at - 1 - *key);
    return take(r, ':');
}

/* Past a value: to the comma or bracket behind it. */
static bool value_skip(reader *r)
{
    size_t depth = 0;
    while (r->at < r->end) {
        switch (*r->at) {
        case '"':
            r->at++;
            if (!string_skip(r))
                return false;
            continue;
        case '{':
        case '[':
            depth++;
            break;
        case '}':
        case ']':
            if (depth == 0)
                return true;
            depth--;
            break;
        case ',':
            if (depth == 0)
                return true;
            break;
        default:
            break;
        }
        r->at++;
    }
    return false;
}

/* Goes into the object here, to the value of `name`. A key that is written with escapes is not
 * known again: the answer is no then. */
static bool enter(reader *r, const char *name)
{
    const char *key;
    size_t size;
    if (!take(r, '{'))
        return false;
    while (key_take(r, &key, &size)) {
        if (size == strlen(name) && memcmp(key, name, size) == 0)
            return true;
        if (!value_skip(r) || !take(r, ','))
            return false;
    }
    return false;
}

bool fby_vocab_json_find(const char *json, size_t size, fby_vocab_span *span)
{
    reader r = {json, json + size};
    if (!enter(&r, "model") || !enter(&r, "vocab") || !take(&r, '{'))
        return false;
    r.at--;
    span->begin = (size_t)(r.at - json);
    if (!value_skip(&r))
        return false;
    while (r.at - json > (ptrdiff_t)span->begin && r.at[-1] != '}') /* white space behind it */
        r.at--;
    if (r.at - json <= (ptrdiff_t)span->begin)
        return false;
    span->end = (size_t)(r.at - json);
    return true;
}

/* ---- reading ---- */

static bool hex_take(reader *r, uint32_t *value)
{
    *value = 0;
    for (int i = 0; i < 4; i++, r->at++) {
        if (r->at == r->end)
            return false;
        char c = *r->at;
        uint32_t digit = c >= '0' && c <= '9'   ? (uint32_t)(c - '0')
                         : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10)
                         : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A' + 10)
                                                : 16;
        if (digit == 16)
            return false;
        *value = *value << 4 | digit;
    }
    return true;
}

/* What follows a backslash and a u, a surrogate pair included. */
static bool unicode_take(reader *r, uint32_t *c)
{
    uint32_t low;
    if (!hex_take(r, c) || *c == 0)
        return false;
    if (*c < 0xD800 || *c > 0xDFFF)
        return true;
    if (*c > 0xDBFF || r->end - r->at < 2 || r->at[0] != '\\' || r->at[1] != 'u')
        return false;
    r->at += 2;
    if (!hex_take(r, &low) || low < 0xDC00 || low > 0xDFFF)
        return false;
    *c = 0x10000 + ((*c - 0xD800) << 10) + (low - 0xDC00);
    return true;
}

/* What follows a backslash. */
static bool escape_take(reader *r, uint32_t *c)
{
    static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    if (r->at == r->end)
        return false;
    char letter = *r->at++;
    if (letter == 'u')
        return unicode_take(r, c);
    const char *found = letter == '\0' ? NULL : strchr(letters, letter);
    if (found == NULL)
        return false;
    *c = (unsigned char)meanings[found - letters];
    return true;
}

/* Takes one character of a string. */
static bool char_take(reader *r, uint32_t *c)
{
    uint32_t length;
    if (*r->at == '\\') {
        r->at++;
        return escape_take(r, c);
    }
    int32_t decoded =
        fby_utf8_decode((const unsigned char *)r->at, (size_t)(r->end - r->at), &length);
    r->at += length;
    *c = (uint32_t)decoded;
    return decoded >= 0x20;
}

/* A string whose first quote was taken: where it is written, or copied to `copy` if that differs.
 */
static bool piece_take(reader *r, unsigned char copy[ESCAPED_MAX], const char **piece, size_t *size)
{
    const char *begin = r->at;
    while (r->at < r->end && *r->at != '"' && *r->at != '\\') {
        uint32_t c;
        if (!char_take(r, &c))
            return false;
    }
    *piece = begin;
    *size = (size_t)(r->at - begin);
    if (r->at < r->end && *r->at == '\\') {
        if (*size > ESCAPED_MAX)
            return false;
        memcpy(copy, begin, *size);
        while (r->at < r->end && *r->at != '"') {
            uint32_t c;
            if (*size + FBY_UTF8_MAX > ESCAPED_MAX || !char_take(r, &c))
                return false;
            *size += fby_utf8_encode(c, copy + *size);
        }
        *piece = (const char *)copy;
    }
    if (r->at == r->end)
        return false;
    r->at++;
    return true;
}

static bool id_take(reader *r, uint32_t *id)
{
    const char *begin = r->at;
    *id = 0;
    for (; r->at < r->end && *r->at >= '0' && *r->at <= '9'; r->at++) {
        if (r->at - begin == DIGITS_MAX)
            return false;
        *id = *id * 10 + (uint32_t)(*r->at - '0');
    }
    return r->at > begin && (*begin != '0' || r->at - begin == 1);
}

static bool member_take(reader *r, fby_vocabulary *vocabulary)
{
    unsigned char copy[ESCAPED_MAX];
    const char *piece;
    size_t size;
    uint32_t id;
    if (!take(r, '"') || !piece_take(r, copy, &piece, &size) || !take(r, ':'))
        return false;
    while (r->at < r->end && *r->at == ' ')
        r->at++;
    return id_take(r, &id) && fby_vocabulary_add(vocabulary, id, piece, size) == FBY_OK;
}

bool fby_vocab_json_read(const char *json, const fby_vocab_span *span, fby_vocabulary *vocabulary)
{
    reader r = {json + span->begin + 1, json + span->end};
    do {
        if (!member_take(&r, vocabulary))
            return false;
    } while (take(&r, ','));
    return take(&r, '}') && r.at == r.end;
}
