/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/api_json.h"

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

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

/* Whether brackets outside of strings are nested at most FBY_API_DEPTH_MAX deep: what follows reads
 * them by recursion. Bodies that are no JSON may pass. */
static bool is_shallow(const char *body, size_t size)
{
    const char *end = body + size;
    int depth = 0;
    for (const char *at = body; at < end; at++) {
        if (*at == '[' || *at == '{') {
            if (++depth > FBY_API_DEPTH_MAX)
                return false;
        } else if (*at == ']' || *at == '}') {
            depth--;
        } else if (*at == '"') {
            for (at++; at < end && *at != '"'; at++)
                at += *at == '\\';
        }
    }
    return true;
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

bool fby_api_json_read(const char *body, size_t size, fby_arena *arena, json_t **root,
                       fby_api_error *error)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    json_error_t why;

    pthread_once(&once, install);
    if (size == 0)
        return fby_refuse(error, FBY_REFUSED_BAD_JSON, NULL, "the body is empty; JSON is expected");
    if (!is_shallow(body, size))
        return fby_refuse(error, FBY_REFUSED_BAD_JSON, NULL, "the body is nested more than %d deep",
                          FBY_API_DEPTH_MAX);
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
