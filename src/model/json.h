/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON from a model directory: read, bounded, and its members asked for by
 * name and range, so that each refusal names the file and the key.
 *
 * `name` is what messages call the file. Any thread.
 */
#ifndef FBY_MODEL_JSON_H
#define FBY_MODEL_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/status.h"

/* Bytes of the largest file that fby_json_load() reads. */
#define FBY_JSON_SIZE_MAX (4u << 20)

/*
 * Whether there is memory to parse `size` bytes. jansson 2.14 does not survive an allocation that
 * fails inside a string: it drops characters, writes beyond what it has or stops at an assertion.
 * So nothing is given to it that this has not allowed.
 */
bool fby_json_memory_suffices(size_t size);

/* `size` is bounded by the caller. Duplicate keys are refused. `flags` are jansson's:
 * JSON_DECODE_INT_AS_REAL where integers may be beyond 64 bits. FBY_EFORMAT with "`name`:LINE: what
 * is wrong"; json_decref() ends the value. */
fby_status fby_json_parse(const char *name, const char *text, size_t size, size_t flags,
                          json_t **root);

/* The same from a file; FBY_ENOENT if there is none. */
fby_status fby_json_load(const char *path, size_t flags, json_t **root);

/*
 * Members of `object`. A missing or null one gives `otherwise`, or FBY_EFORMAT
 * for the *_required forms; one of another type or outside the range is
 * FBY_EFORMAT. Strings live as long as `object`.
 */
fby_status fby_json_u32(const char *name, const json_t *object, const char *key, uint32_t min,
                        uint32_t max, uint32_t otherwise, uint32_t *value);
fby_status fby_json_u32_required(const char *name, const json_t *object, const char *key,
                                 uint32_t min, uint32_t max, uint32_t *value);
fby_status fby_json_bool(const char *name, const json_t *object, const char *key, bool otherwise,
                         bool *value);
fby_status fby_json_string(const char *name, const json_t *object, const char *key,
                           const char *otherwise, const char **value);

/* Whether `root` is an object; FBY_EFORMAT if not. */
fby_status fby_json_object(const char *name, const json_t *root);

#endif
