/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/json_text.h"

#include <stdint.h>
#include <stdio.h>

#include "model/utf8.h"

enum { LONGEST = 6 }; /* \u0000 */

/* Writes the form of what begins at `s` to `text`, the number of its own bytes to `*taken`. */
static size_t escape(const unsigned char *s, size_t size, char text[LONGEST + 1], size_t *taken)
{
    uint32_t length;
    int32_t c = fby_utf8_decode(s, size, &length);

    *taken = length;
    if (c == '"' || c == '\\') {
        text[0] = '\\';
        text[1] = (char)c;
        return 2;
    }
    if (c >= 0 && c < 0x20)
        return (size_t)snprintf(text, LONGEST + 1, "\\u%04x", (unsigned)c);
    return fby_utf8_encode(c == FBY_UTF8_INVALID ? FBY_UTF8_REPLACEMENT : (uint32_t)c,
                           (unsigned char *)text);
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
