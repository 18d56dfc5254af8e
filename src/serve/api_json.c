/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/api_json.h"

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/float_text.h"
#include "model/utf8.h"

/*
 * Where jansson's memory comes from on this thread: the arena of the body that
 * is being read, malloc where there is none. jansson 2.14 does not survive an
 * allocation that fails (model/json.c), so none is seen to fail: an arena that
 * is used up ends the reading at once. That leaves nothing behind, for all that
 * jansson holds lies in the arena.
 */
static _Thread_local struct {
    fby_arena *arena;
    jmp_buf used_up;
} reading;

static void *take(size_t size)
{
    if (reading.arena == NULL)
        return malloc(size);
    void *piece = fby_arena_take(reading.arena, size);
    if (piece == NULL)
        longjmp(reading.used_up, 1);
    return piece;
}

static void give_back(void *piece)
{
    if (reading.arena == NULL)
        free(piece);
}

static void install(void)
{
    json_object_seed(0); /* reads the system's random numbers once, here */
    json_set_alloc_funcs(take, give_back);
}

/* NULL if the arena is used up, error->text then empty; or what json_loadb() gives. */
static json_t *read_in_arena(const char *body, size_t size, fby_arena *arena, json_error_t *error)
{
    json_t *volatile root = NULL; /* outlives the jump */
    error->text[0] = '\0';
    reading.arena = arena;
    if (setjmp(reading.used_up) == 0)
        root = json_loadb(body, size, JSON_DECODE_ANY, error);
    reading.arena = NULL;
    return root;
}

/* ---- before it is read ---- */

typedef struct survey { /* of a body that need not be JSON */
    int depth;
    size_t values, containers, longest; /* the longest string, its quotes and escapes included */
} survey;

/* In the high bit of each byte that is `c`, which is ASCII; the lowest bit that is set is right. */
static inline uint64_t bytes_that_are(uint64_t eight, unsigned char c)
{
    uint64_t x = eight ^ c * (UINT64_MAX / 255);
    return (x - UINT64_MAX / 255) & ~x & 0x80 * (UINT64_MAX / 255);
}

/* The first quote or backslash from `at` on; `end` if there is none. */
static const char *string_stop(const char *at, const char *end)
{
    for (; end - at >= 8; at += 8) {
        uint64_t eight;
        memcpy(&eight, at, sizeof eight);
        uint64_t found = bytes_that_are(eight, '"') | bytes_that_are(eight, '\\');
        if (found != 0)
            return at + (unsigned)__builtin_ctzll(found) / 8;
    }
    while (at < end && *at != '"' && *at != '\\')
        at++;
    return at;
}

/* The quote that ends the string whose first quote is at `at`; `end` if it does not end. */
static const char *string_end(const char *at, const char *end)
{
    for (at = string_stop(at + 1, end); at < end && *at == '\\'; at = string_stop(at, end))
        at = end - at >= 2 ? at + 2 : end;
    return at;
}

/* Stops where brackets are too deep. */
static void survey_body(const char *body, size_t size, survey *out)
{
    const char *end = body + size;
    int depth = 0;
    *out = (survey){.values = 1};
    for (const char *at = body; at < end && out->depth <= FBY_API_DEPTH_MAX; at++) {
        switch (*at) {
        case '[':
        case '{':
            depth++;
            out->depth = depth > out->depth ? depth : out->depth;
            out->containers++;
            out->values++;
            break;
        case ']':
        case '}':
            depth--;
            break;
        case ',':
        case ':':
            out->values++;
            break;
        case '"': {
            const char *begin = at;
            at = string_end(at, end);
            out->longest = fby_max_size(out->longest, (size_t)(at - begin));
            break;
        }
        default:
            break;
        }
    }
}

/* A byte of a string is written by at most as many: \\u000a. */
enum { ESCAPE_MAX = 6 };

static bool check_body(const char *body, size_t size, const fby_json_limits *limits,
                       fby_api_error *error)
{
    survey found;
    survey_body(body, size, &found);
    if (found.depth > FBY_API_DEPTH_MAX)
        return fby_refuse(error, FBY_REFUSED_BAD_JSON, NULL, "the body is nested more than %d deep",
                          FBY_API_DEPTH_MAX);
    if (found.longest / ESCAPE_MAX > limits->text_bytes)
        return fby_refuse(error, FBY_REFUSED_TOO_LONG, NULL,
                          "the body holds a string of %zu bytes; a text may have %zu",
                          found.longest, limits->text_bytes);
    if (found.values > limits->values || found.containers > limits->containers)
        return fby_refuse(error, FBY_REFUSED_BODY_TOO_LARGE, NULL,
                          "the body holds %zu values, of them %zu lists and objects; it may hold "
                          "%zu, of them %zu",
                          found.values, found.containers, limits->values, limits->containers);
    return true;
}

/*
 * What jansson 2.14 takes, each piece rounded up to 16 bytes. A string: its
 * node (32) and its bytes, twice for a key until it is in its object. Where the
 * tokens are gathered: a buffer that doubles up to twice the longest, so four
 * times that in all. A value in a list: its slot, in a table that doubles, 32 in
 * all; in an object a pair (80) and its share of buckets that double, 64. A list:
 * 48 and its first table, 64; an object: 80 and its first buckets, 128.
 */
enum { A_VALUE = 192, A_CONTAINER = 256, A_BYTE = 6, SOME = 4096, AT_LEAST_A_BYTE = 96 };

size_t fby_api_json_memory(const fby_json_limits *limits, size_t size)
{
    size_t values = fby_min_size(limits->values, size), memory, more;
    size_t containers = fby_min_size(limits->containers, size);
    if (!fby_mul_size(size, A_BYTE, &memory) || !fby_mul_size(values, A_VALUE, &more) ||
        !fby_add_size(memory, more, &memory) || !fby_mul_size(containers, A_CONTAINER, &more) ||
        !fby_add_size(memory, more, &memory) || !fby_add_size(memory, SOME, &memory))
        return SIZE_MAX;
    /* However small, a value takes bytes of the body. */
    return size > SIZE_MAX / AT_LEAST_A_BYTE ? memory
                                             : fby_min_size(memory, size * AT_LEAST_A_BYTE + SOME);
}

static bool refuse_text(const json_error_t *error, fby_api_error *out)
{
    switch (json_error_code(error)) {
    case json_error_null_character:
        return fby_refuse(out, FBY_REFUSED_BAD_JSON, NULL,
                          "the body's line %d holds \\u0000, which no text may", error->line);
    case json_error_invalid_utf8:
        return fby_refuse(out, FBY_REFUSED_BAD_JSON, NULL, "the body's line %d is not UTF-8: %s",
                          error->line, error->text);
    default:
        return fby_refuse(out, FBY_REFUSED_BAD_JSON, NULL,
                          "the body is not JSON: line %d, column %d: %s", error->line,
                          error->column, error->text);
    }
}

bool fby_api_json_read(const char *body, size_t size, const fby_json_limits *limits,
                       fby_arena *arena, json_t **root, fby_api_error *error)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    json_error_t why;

    pthread_once(&once, install);
    if (size == 0)
        return fby_refuse(error, FBY_REFUSED_BAD_JSON, NULL, "the body is empty; JSON is expected");
    if (!check_body(body, size, limits, error))
        return false;
    json_t *value = read_in_arena(body, size, arena, &why);
    if (value == NULL && why.text[0] == '\0')
        return fby_refuse(error, FBY_REFUSED_BODY_TOO_LARGE, NULL,
                          "the body takes more than the %zu bytes of memory that a request has",
                          arena->size);
    if (value == NULL)
        return refuse_text(&why, error);
    *root = value;
    return true;
}

/* ---- writing ---- */

void fby_sink_bytes(fby_sink *sink, const char *bytes, size_t size)
{
    if (sink->full || size > (size_t)(sink->end - sink->at)) {
        sink->full = true;
        return;
    }
    memcpy(sink->at, bytes, size);
    sink->at += size;
}

void fby_sink_text(fby_sink *sink, const char *text)
{
    fby_sink_bytes(sink, text, strlen(text));
}

void fby_sink_number(fby_sink *sink, uint64_t number)
{
    char text[FBY_UINT_TEXT];
    fby_sink_bytes(sink, text, fby_uint_text(number, text));
}

void fby_sink_float(fby_sink *sink, float x)
{
    char text[FBY_FLOAT_TEXT];
    if (isfinite(x))
        fby_sink_bytes(sink, text, fby_float_text(x, text));
    else
        fby_sink_text(sink, "null");
}

/* A code unit that JSON does not take as it is. */
static void put_escape(fby_sink *sink, unsigned char c)
{
    static const char digits[] = "0123456789abcdef";
    char text[6] = {'\\', (char)c};
    size_t size = 2;
    if (c == '\n' || c == '\r' || c == '\t') {
        text[1] = c == '\n' ? 'n' : c == '\r' ? 'r' : 't';
    } else if (c < 0x20) {
        memcpy(text, "\\u00", 4);
        text[4] = digits[c >> 4];
        text[5] = digits[c & 15];
        size = 6;
    }
    fby_sink_bytes(sink, text, size);
}

void fby_sink_string(fby_sink *sink, const char *bytes, size_t size)
{
    const unsigned char *at = (const unsigned char *)bytes, *end = at + size;

    fby_sink_bytes(sink, "\"", 1);
    while (at < end) {
        const unsigned char *begin = at;
        while (at < end && *at >= 0x20 && *at < 0x80 && *at != '"' && *at != '\\')
            at++;
        fby_sink_bytes(sink, (const char *)begin, (size_t)(at - begin));
        if (at == end)
            break;
        uint32_t length;
        if (fby_utf8_decode(at, (size_t)(end - at), &length) == FBY_UTF8_INVALID)
            for (uint32_t i = 0; i < length; i++)
                fby_sink_bytes(sink, "\xef\xbf\xbd", 3);
        else if (*at < 0x80)
            put_escape(sink, *at);
        else
            fby_sink_bytes(sink, (const char *)at, length);
        at += length;
    }
    fby_sink_bytes(sink, "\"", 1);
}
