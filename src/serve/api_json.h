/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON between bodies and the arena. Reading is jansson's, all of whose memory
 * comes from the arena and ends with it: nothing is ever released, no value
 * outlives the request. A body that needs more than the arena has is refused.
 *
 * Any thread, each with an arena of its own.
 */
#ifndef FBY_SERVE_API_JSON_H
#define FBY_SERVE_API_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "serve/api.h"

enum { FBY_API_DEPTH_MAX = 32 }; /* of lists and objects in a body */

/* What a body may hold at most, so that the memory it takes is in proportion. */
typedef struct fby_json_limits {
    size_t text_bytes; /* of a string, as it is meant */
    size_t values;     /* and keys */
    size_t containers; /* lists and objects */
} fby_json_limits;

/* Reads one value, with the last of members that have the same key. False: *error says why, by
 * FBY_REFUSED_BAD_JSON, FBY_REFUSED_TOO_LONG or FBY_REFUSED_BODY_TOO_LARGE. */
bool fby_api_json_read(const char *body, size_t size, const fby_json_limits *limits,
                       fby_arena *arena, json_t **root, fby_api_error *error);

/* Bytes of arena that suffice to read any body of `size` bytes within `limits`; SIZE_MAX if they
 * overflow. */
size_t fby_api_json_memory(const fby_json_limits *limits, size_t size);

/*
 * Text that is written to the end of a buffer, and no further: what does not
 * fit is left out, and `full` says so.
 */
typedef struct fby_sink {
    char *at, *end;
    bool full;
} fby_sink;

void fby_sink_bytes(fby_sink *sink, const char *bytes, size_t size);
void fby_sink_text(fby_sink *sink, const char *text);
void fby_sink_number(fby_sink *sink, uint64_t number);
void fby_sink_float(fby_sink *sink, float x); /* null where JSON has no such number */
/* Between quotes, escaped as RFC 8259 asks; what is not UTF-8 becomes U+FFFD, a code a byte. */
void fby_sink_string(fby_sink *sink, const char *bytes, size_t size);

/* Bytes that fby_sink_string() takes at most. */
static inline size_t fby_sink_string_max(size_t size)
{
    return 6 * size + 2;
}

#endif
