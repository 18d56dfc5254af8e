/* SPDX-License-Identifier: Apache-2.0 */
/* Where characters end. Any thread. */
#ifndef FBY_SEARCH_UTF8_H
#define FBY_SEARCH_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Bytes of the character at `bytes`, of which there are `size` ≥ 1; 0 if it is not well-formed
 * (Unicode 15, table 3-7). */
static inline size_t fby_utf8_size(const char *bytes, size_t size)
{
    const unsigned char *b = (const unsigned char *)bytes;
    size_t wanted = b[0] < 0x80 ? 1 : b[0] < 0xc2 ? 0 : b[0] < 0xe0 ? 2 : b[0] < 0xf0 ? 3 : 4;
    if (wanted < 2)
        return wanted;
    if (b[0] > 0xf4 || size < wanted)
        return 0;
    unsigned char low = b[0] == 0xe0 ? 0xa0 : b[0] == 0xf0 ? 0x90 : 0x80;
    unsigned char high = b[0] == 0xed ? 0x9f : b[0] == 0xf4 ? 0x8f : 0xbf;
    if (b[1] < low || b[1] > high)
        return 0;
    for (size_t i = 2; i < wanted; i++)
        if ((b[i] & 0xc0) != 0x80)
            return 0;
    return wanted;
}

#endif
