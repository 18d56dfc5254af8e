/* SPDX-License-Identifier: Apache-2.0 */
/* The generated tables, as their script writes them; used by unicode.c alone. */
#ifndef FBY_MODEL_UNICODE_TABLES_H
#define FBY_MODEL_UNICODE_TABLES_H

#include <stddef.h>
#include <stdint.h>

/* Code points `first` to `last` share a value. Runs are sorted; what lies between has value 0. */
typedef struct fby_unicode_run {
    uint32_t first, last, value;
} fby_unicode_run;

/* Every `stride`th code point from `first` to `last` becomes itself + `delta` in lower case. */
typedef struct fby_unicode_lower_run {
    uint32_t first, last, stride;
    int32_t delta;
} fby_unicode_lower_run;

/* `to` is a code point; or, where its top byte is not 0, that many of fby_unicode_sequences from
 * the index in its lower bytes. */
typedef struct fby_unicode_strip {
    uint32_t from, to;
} fby_unicode_strip;

extern const fby_unicode_run fby_unicode_runs[]; /* value: the flags of unicode.h */
extern const size_t fby_unicode_run_count;
/* Canonical combining classes of what stripping keeps. */
extern const fby_unicode_run fby_unicode_classes[];
extern const size_t fby_unicode_class_count;
extern const fby_unicode_lower_run fby_unicode_lowers[];
extern const size_t fby_unicode_lower_count;
/* Canonical decompositions without the marks that are stripped; Hangul syllables not among them. */
extern const fby_unicode_strip fby_unicode_strips[];
extern const size_t fby_unicode_strip_count;
extern const uint32_t fby_unicode_sequences[];

#endif
