/* SPDX-License-Identifier: Apache-2.0 */
#include "model/normalizer.h"

#include <string.h>

static void lowered(fby_normalizing *n, uint32_t c, uint32_t flags)
{
    if (!n->normalizer->lowercase || !(flags & FBY_UNICODE_LOWER)) {
        n->sink(n->context, c, flags);
    } else if (c == FBY_UNICODE_I_DOT) {
        n->sink(n->context, 'i', 0);
        n->sink(n->context, 0x307, 0);
    } else {
        /* No lower case differs from its upper case in SPACE or PUNCT: the tables' script checks.
         */
        n->sink(n->context, fby_unicode_lower(c), flags);
    }
}

void fby_normalize_flush(fby_normalizing *n)
{
    for (uint32_t i = 0; i < n->mark_count; i++) {
        uint32_t c = n->marks[i] & 0xFFFFFF;
        lowered(n, c, fby_unicode_flags(n->normalizer->unicode, c));
    }
    n->mark_count = 0;
}

/* Canonical ordering, Unicode 15.0, D109: a stable sort of marks by class. */
static void mark_insert(fby_normalizing *n, uint32_t c)
{
    if (n->mark_count == FBY_NORMALIZER_MARKS_MAX)
        fby_normalize_flush(n);
    uint32_t class = fby_unicode_class(c), at = n->mark_count;
    while (at > 0 && n->marks[at - 1] >> 24 > class)
        at--;
    memmove(n->marks + at + 1, n->marks + at, (n->mark_count - at) * sizeof *n->marks);
    n->marks[at] = class << 24 | c;
    n->mark_count++;
}

/* A code point that no longer decomposes. */
static void ordered(fby_normalizing *n, uint32_t c, uint32_t flags)
{
    if (flags & FBY_UNICODE_ORDERED) {
        mark_insert(n, c);
        return;
    }
    fby_normalize_flush(n);
    lowered(n, c, flags);
}

static void stripped(fby_normalizing *n, uint32_t c, uint32_t flags)
{
    if (!n->normalizer->strip_accents) {
        lowered(n, c, flags);
    } else if (flags & FBY_UNICODE_MARK) {
        /* One of class 0 goes too, but nothing is ordered across it. */
        if (!(flags & FBY_UNICODE_ORDERED))
            fby_normalize_flush(n);
    } else if (flags & FBY_UNICODE_STRIPS) {
        uint32_t form[FBY_UNICODE_STRIPPED_MAX];
        uint32_t count = fby_unicode_stripped(c, form);
        for (uint32_t i = 0; i < count; i++)
            ordered(n, form[i], fby_unicode_flags(n->normalizer->unicode, form[i]));
    } else {
        ordered(n, c, flags);
    }
}

void fby_normalize(fby_normalizing *n, uint32_t c)
{
    const fby_normalizer *normalizer = n->normalizer;
    uint32_t flags = fby_unicode_flags(normalizer->unicode, c);
    if (normalizer->clean_text) {
        if (flags & FBY_UNICODE_DROP)
            return;
        if (flags & FBY_UNICODE_SPACE) {
            c = ' ';
            flags = FBY_UNICODE_SPACE;
        }
    }
    bool apart = normalizer->chinese_chars && flags & FBY_UNICODE_CJK;
    if (apart)
        stripped(n, ' ', FBY_UNICODE_SPACE);
    stripped(n, c, flags);
    if (apart)
        stripped(n, ' ', FBY_UNICODE_SPACE);
}
