/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What Hugging Face's `tokenizers` makes of a code point: the tables of
 * unicode_tables.c, which were asked from the package itself, because it mixes
 * several versions of Unicode and no library has the same.
 *
 * An fby_unicode is constant after fby_unicode_init(): any thread may read it.
 */
#ifndef FBY_MODEL_UNICODE_H
#define FBY_MODEL_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    FBY_UNICODE_DROP = 0x01,    /* clean_text removes it; comes before SPACE */
    FBY_UNICODE_SPACE = 0x02,   /* white space */
    FBY_UNICODE_PUNCT = 0x04,   /* a word of its own */
    FBY_UNICODE_CJK = 0x08,     /* handle_chinese_chars puts spaces around it */
    FBY_UNICODE_MARK = 0x10,    /* strip_accents removes it */
    FBY_UNICODE_ORDERED = 0x20, /* its canonical combining class is not 0 */
    FBY_UNICODE_STRIPS = 0x40,  /* strip_accents may make something else of it */
    FBY_UNICODE_LOWER = 0x80,   /* lowercase makes something else of it */
    FBY_UNICODE_WORD = 0x100    /* \w of a regular expression */
};

enum {
    FBY_UNICODE_FLAT = 0x20000,   /* code points whose flags are looked up at once */
    FBY_UNICODE_STRIPPED_MAX = 3, /* code points that one becomes without its marks */
    FBY_UNICODE_I_DOT = 0x130     /* the one whose lower case is two: i and U+0307 */
};

typedef struct fby_unicode {
    uint8_t flags[FBY_UNICODE_FLAT]; /* all but WORD */
} fby_unicode;

void fby_unicode_init(fby_unicode *unicode);

/* Flags beyond the flat part, all but LOWER, which nothing there has. */
uint32_t fby_unicode_flags_far(uint32_t c);

/* All flags but WORD; `c` below 0x110000. */
static inline uint32_t fby_unicode_flags(const fby_unicode *unicode, uint32_t c)
{
    if (c < FBY_UNICODE_FLAT)
        return unicode->flags[c];
    return fby_unicode_flags_far(c);
}

/* Whether \w matches `c`. */
bool fby_unicode_is_word(uint32_t c);

/* The canonical combining class of an ORDERED code point that is no MARK. */
uint32_t fby_unicode_class(uint32_t c);

/* The lower case of `c`, itself if it has none; not for FBY_UNICODE_I_DOT. */
uint32_t fby_unicode_lower(uint32_t c);

/* NFD of `c` less the marks that strip_accents removes: returns how many code points (at least 1)
 * were written to `out`. For any `c` that is not a MARK. */
uint32_t fby_unicode_stripped(uint32_t c, uint32_t out[FBY_UNICODE_STRIPPED_MAX]);

#endif
