/* SPDX-License-Identifier: Apache-2.0 */
#include "model/unicode.h"

#include <string.h>

#include "model/unicode_tables.h"

/* Unicode 15.0, section 3.12, "Hangul Syllable Decomposition". */
enum {
    HANGUL_FIRST = 0xAC00,
    HANGUL_COUNT = 11172,
    HANGUL_LEAD = 0x1100,
    HANGUL_VOWEL = 0x1161,
    HANGUL_TAIL = 0x11A7,
    HANGUL_VOWELS = 21,
    HANGUL_TAILS = 28
};

/* The value of the run that holds `c`; 0 if none does. */
static uint32_t run_value(const fby_unicode_run *runs, size_t count, uint32_t c)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (runs[middle].last < c)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && runs[low].first <= c ? runs[low].value : 0;
}

void fby_unicode_init(fby_unicode *unicode)
{
    memset(unicode->flags, 0, sizeof unicode->flags);
    for (size_t i = 0; i < fby_unicode_run_count; i++) {
        const fby_unicode_run *run = &fby_unicode_runs[i];
        for (uint32_t c = run->first; c <= run->last && c < FBY_UNICODE_FLAT; c++)
            unicode->flags[c] = (uint8_t)run->value;
    }
    for (size_t i = 0; i < fby_unicode_strip_count; i++) {
        if (fby_unicode_strips[i].from < FBY_UNICODE_FLAT)
            unicode->flags[fby_unicode_strips[i].from] |= FBY_UNICODE_STRIPS;
    }
    for (uint32_t i = 0; i < HANGUL_COUNT; i++)
        unicode->flags[HANGUL_FIRST + i] |= FBY_UNICODE_STRIPS;
    for (size_t i = 0; i < fby_unicode_lower_count; i++) {
        const fby_unicode_lower_run *run = &fby_unicode_lowers[i];
        for (uint32_t c = run->first; c <= run->last; c += run->stride)
            unicode->flags[c] |= FBY_UNICODE_LOWER;
    }
    unicode->flags[FBY_UNICODE_I_DOT] |= FBY_UNICODE_LOWER;
}

uint32_t fby_unicode_flags_far(uint32_t c)
{
    return run_value(fby_unicode_runs, fby_unicode_run_count, c) & ~(uint32_t)FBY_UNICODE_WORD;
}

bool fby_unicode_is_word(uint32_t c)
{
    return (run_value(fby_unicode_runs, fby_unicode_run_count, c) & FBY_UNICODE_WORD) != 0;
}

uint32_t fby_unicode_class(uint32_t c)
{
    return run_value(fby_unicode_classes, fby_unicode_class_count, c);
}

uint32_t fby_unicode_lower(uint32_t c)
{
    size_t low = 0, high = fby_unicode_lower_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (fby_unicode_lowers[middle].last < c)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == fby_unicode_lower_count)
        return c;
    const fby_unicode_lower_run *run = &fby_unicode_lowers[low];
    if (c < run->first || (c - run->first) % run->stride != 0)
        return c;
    return (uint32_t)((int32_t)c + run->delta);
}

static uint32_t hangul_stripped(uint32_t index, uint32_t *out)
{
    uint32_t tail = index % HANGUL_TAILS;
    out[0] = HANGUL_LEAD + index / (HANGUL_VOWELS * HANGUL_TAILS);
    out[1] = HANGUL_VOWEL + index / HANGUL_TAILS % HANGUL_VOWELS;
    out[2] = HANGUL_TAIL + tail;
    return tail != 0 ? 3 : 2;
}

uint32_t fby_unicode_stripped(uint32_t c, uint32_t out[FBY_UNICODE_STRIPPED_MAX])
{
    if (c - HANGUL_FIRST < HANGUL_COUNT)
        return hangul_stripped(c - HANGUL_FIRST, out);

    size_t low = 0, high = fby_unicode_strip_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (fby_unicode_strips[middle].from < c)
            low = middle + 1;
        else
            high = middle;
    }
    out[0] = c;
    if (low == fby_unicode_strip_count || fby_unicode_strips[low].from != c)
        return 1;
    uint32_t to = fby_unicode_strips[low].to, count = to >> 24;
    if (count == 0) {
        out[0] = to;
        return 1;
    }
    memcpy(out, fby_unicode_sequences + (to & 0xFFFFFF), count * sizeof *out);
    return count;
}
