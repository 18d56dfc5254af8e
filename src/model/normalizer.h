/* SPDX-License-Identifier: Apache-2.0 */
/*
 * BertNormalizer of Hugging Face's `tokenizers`, one code point at a time:
 *
 *     clean_text --> handle_chinese_chars --> NFD, marks stripped --> lowercase --> sink
 *
 * NFD brings marks in order of their canonical class, so those that are not
 * stripped wait here until a character of class 0 comes or the text ends.
 *
 * One fby_normalizing a text and thread; nothing is allocated.
 */
#ifndef FBY_MODEL_NORMALIZER_H
#define FBY_MODEL_NORMALIZER_H

#include <stdbool.h>
#include <stdint.h>

#include "model/unicode.h"

/*
 * Marks that wait for their order. A longer run comes out in parts, each in
 * order: who reads on must not care for the order of marks within a run longer
 * than this.
 */
#define FBY_NORMALIZER_MARKS_MAX 1024

typedef struct fby_normalizer {
    const fby_unicode *unicode;
    bool clean_text;
    bool chinese_chars;
    bool strip_accents;
    bool lowercase;
} fby_normalizer;

/* Takes a code point of the result; `flags` hold its SPACE and PUNCT. */
typedef void fby_normalizer_sink(void *context, uint32_t c, uint32_t flags);

typedef struct fby_normalizing {
    const fby_normalizer *normalizer;
    fby_normalizer_sink *sink;
    void *context;
    uint32_t mark_count;
    uint32_t marks[FBY_NORMALIZER_MARKS_MAX]; /* class << 24 | code point, in order of class */
} fby_normalizing;

static inline void fby_normalizing_init(fby_normalizing *normalizing,
                                        const fby_normalizer *normalizer, fby_normalizer_sink *sink,
                                        void *context)
{
    normalizing->normalizer = normalizer;
    normalizing->sink = sink;
    normalizing->context = context;
    normalizing->mark_count = 0;
}

/* The next code point of the text, not a surrogate. */
void fby_normalize(fby_normalizing *normalizing, uint32_t c);

/* Gives out the marks that wait: at the end of a text, and before anything that goes to the sink's
 * reader past the normalizer. */
void fby_normalize_flush(fby_normalizing *normalizing);

#endif
