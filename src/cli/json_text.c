/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/json_text.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { LONGEST = 6 }; /* \u0000 */

/* Bytes of the UTF-8 sequence at `s` (RFC 3629: no surrogates, nothing overlong, at most
 * U+10FFFF); 0 if there is none. */
static size_t sequence(const unsigned char *s, size_t size)
{
    unsigned char low = 0x80, high = 0xbf;
    size_t length = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;

    if (s[0] > 0xf4 || length > size)
        return 0;
    if (s[0] == 0xe0)
        low = 0xa0;
    else if (s[0] == 0xed)
        high = 0x9f;
    else if (s[0] == 0xf0)
        low = 0x90;
    else if (s[0] == 0xf4)
        high = 0x8f;
    for (size_t i = 1; i < length; i++, low = 0x80, high = 0xbf)
        if (s[i] < low || s[i] > high)
            return 0;
    return length;
}

/* Writes the form of the sequence at `s` to `text`, the number of its own bytes to `*taken`. */
static size_t escape(const unsigned char *s, size_t size, char text[LONGEST + 1], size_t *taken)
{
    size_t length = sequence(s, size);

    *taken = length > 0 ? length : 1;
    if (length == 0) {
        memcpy(text, "\xef\xbf\xbd", 3);
        return 3;
    }
    if (s[0] == '"' || s[0] == '\\') {
        text[0] = '\\';
        text[1] = (char)s[0];
        return 2;
    }
    if (s[0] < 0x20)
        return (size_t)snprintf(text, LONGEST + 1, "\\u%04x", s[0]);
    memcpy(text, s, length);
    return length;
}

fby_status fby_json_text(fby_output *output, const char *bytes, size_t size)
{
    fby_status status = fby_output_write(output, "\"", 1);

    for (size_t at = 0, taken; at < size && status == FBY_OK; at += taken) {
        char text[LONGEST + 1];
        size_t used = escape((const unsigned char *)bytes + at, size - at, text, &taken);
        status = fby_output_write(output, text, used);
    }
    return status == FBY_OK ? fby_output_write(output, "\"", 1) : status;
}
