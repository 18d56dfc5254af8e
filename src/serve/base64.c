/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/base64.h"

#include <stdint.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "words are read and written as they lie");

static inline uint64_t bytes_of(uint8_t x)
{
    return 0x0101010101010101u * x;
}

/* In each byte of `x` (at most 63) 1 if it is at least `least`. */
static inline uint64_t at_least(uint64_t x, uint8_t least)
{
    return (x + bytes_of((uint8_t)(0x80 - least))) >> 7 & bytes_of(1);
}

/* Eight values below 64, a byte each, as characters. No byte leaves 0 … 255 on the way, so none
 * disturbs its neighbour: 'A' + x, then what each range of the alphabet is off by. */
static inline uint64_t characters(uint64_t x)
{
    uint64_t text = x + bytes_of('A');
    text += at_least(x, 26) * ('a' - 'A' - 26);
    text -= at_least(x, 52) * ('a' - '0' + 26);
    text -= at_least(x, 62) * ('0' + 10 - '+');
    text += at_least(x, 63) * ('/' - '+' - 1);
    return text;
}

/* The low 48 bits of `x` as eight groups of 6, the first in the highest byte. */
static inline uint64_t spread(uint64_t x)
{
    x = (x << 8 & 0x00ffffff00000000u) | (x & 0x0000000000ffffffu);
    x = (x << 4 & 0x0fff00000fff0000u) | (x & 0x00000fff00000fffu);
    return (x << 2 & 0x3f003f003f003f00u) | (x & 0x003f003f003f003fu);
}

size_t fby_base64(const void *bytes, size_t size, char *text)
{
    const unsigned char *from = bytes;
    char *to = text;

    for (; size >= 8; from += 6, size -= 6, to += 8) {
        uint64_t word;
        memcpy(&word, from, sizeof word);
        word = __builtin_bswap64(characters(spread(__builtin_bswap64(word) >> 16)));
        memcpy(to, &word, sizeof word);
    }
    while (size > 0) {
        size_t taken = size < 3 ? size : 3;
        uint64_t word = (uint64_t)from[0] << 16;
        word |= taken > 1 ? (uint64_t)from[1] << 8 : 0;
        word |= taken > 2 ? (uint64_t)from[2] : 0;
        word = __builtin_bswap64(characters(spread(word << 24)));
        memcpy(to, &word, 4);
        memset(to + taken + 1, '=', 3 - taken);
        from += taken;
        size -= taken;
        to += 4;
    }
    return (size_t)(to - text);
}
