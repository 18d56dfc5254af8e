/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8, read as Python's bytes.decode("utf-8", errors="replace") reads it. */
#ifndef FBY_MODEL_UTF8_H
#define FBY_MODEL_UTF8_H

#include <stddef.h>
#include <stdint.h>

enum {
    FBY_UTF8_MAX = 4,      /* bytes of a code point at most */
    FBY_UTF8_INVALID = -1, /* in place of a code point */
    FBY_UTF8_REPLACEMENT = 0xFFFD
};

/*
 * Decodes what begins at `bytes`, of which `size` (at least 1) may be read, and
 * stores its length. FBY_UTF8_INVALID stands for a maximal subpart of an
 * ill-formed sequence (Unicode 15.0, section 3.9, "U+FFFD Substitution of
 * Maximal Subparts"), 1 to 3 bytes that become one U+FFFD.
 */
static inline int32_t fby_utf8_decode(const unsigned char *bytes, size_t size, uint32_t *length)
{
    uint32_t lead = bytes[0];
    *length = 1;
    if (lead < 0x80)
        return (int32_t)lead;
    if (lead < 0xC2 || lead > 0xF4)
        return FBY_UTF8_INVALID;

    uint32_t more = lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : 3;
    /* The second byte's range is narrower after some leads: no overlong forms, no surrogates,
     * nothing above U+10FFFF. */
    uint32_t low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    uint32_t high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    uint32_t c = lead & (0x3Fu >> more);
    for (uint32_t i = 1; i <= more; i++) {
        if (i >= size || bytes[i] < low || bytes[i] > high)
            return FBY_UTF8_INVALID;
        c = c << 6 | (bytes[i] & 0x3Fu);
        *length = i + 1;
        low = 0x80;
        high = 0xBF;
    }
    return (int32_t)c;
}

/* Writes a code point that is not a surrogate; returns its length. */
static inline uint32_t fby_utf8_encode(uint32_t c, unsigned char out[FBY_UTF8_MAX])
{
    if (c < 0x80) {
        out[0] = (unsigned char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (unsigned char)(0xC0 | c >> 6);
        out[1] = (unsigned char)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (unsigned char)(0xE0 | c >> 12);
        out[1] = (unsigned char)(0x80 | (c >> 6 & 0x3F));
        out[2] = (unsigned char)(0x80 | (c & 0x3F));
        return 3;
    }
    out[0] = (unsigned char)(0xF0 | c >> 18);
    out[1] = (unsigned char)(0x80 | (c >> 12 & 0x3F));
    out[2] = (unsigned char)(0x80 | (c >> 6 & 0x3F));
    out[3] = (unsigned char)(0x80 | (c & 0x3F));
    return 4;
}

#endif
