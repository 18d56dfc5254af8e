/* SPDX-License-Identifier: Apache-2.0 */
/* Any text, cut: in order, nothing twice, nothing but blanks left out. The first byte chooses the
 * sizes. */
#include "fuzz.h"

#include <stdbool.h>

#include "base/assert.h"
#include "search/passages.h"

static bool is_blank(uint8_t byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

static fby_status count(void *context, const char *bytes, size_t size, uint32_t *tokens)
{
    (void)context;
    *tokens = 0;
    for (size_t i = 0; i < size; i++)
        *tokens += !is_blank((uint8_t)bytes[i]) && (i == 0 || is_blank((uint8_t)bytes[i - 1]));
    return FBY_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fby_passages passages = {0};
    size_t at = 0;
    uint32_t line = 0;

    if (size == 0)
        return 0;
    uint32_t target = 1 + (data[0] & 31);
    fby_passage_limits limits = {target, target + (data[0] >> 5), count, NULL};
    data++;
    size--;
    (void)fby_is_binary((const char *)data, size);
    if (fby_passages_split((const char *)data, size, target % 2 == 0, &limits, &passages) != FBY_OK)
        return 0;
    for (size_t i = 0; i < passages.count; i++) {
        const fby_passage *passage = &passages.list[i];
        fby_assert(passage->begin >= at && passage->begin < passage->end && passage->end <= size);
        fby_assert(passage->first_line >= line && passage->first_line <= passage->last_line);
        fby_assert(passage->heading_begin <= passage->heading_end && passage->heading_end <= size);
        for (; at < passage->begin; at++)
            fby_assert(is_blank(data[at]));
        at = passage->end;
        line = passage->last_line;
    }
    for (; at < size; at++)
        fby_assert(is_blank(data[at]));
    fby_passages_drop(&passages);
    return 0;
}
