/* SPDX-License-Identifier: Apache-2.0 */
/* How a text was laid out: its headings, paragraphs and runs of code, in order. Any thread. */
#ifndef FBY_SEARCH_BLOCKS_H
#define FBY_SEARCH_BLOCKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef enum fby_block_kind { FBY_BLOCK_PROSE, FBY_BLOCK_CODE, FBY_BLOCK_HEADING } fby_block_kind;

typedef struct fby_block {
    size_t begin, end; /* whole lines, the last one's end of line left out */
    fby_block_kind kind;
    unsigned level;                    /* of a heading: 1 is the highest */
    size_t heading_begin, heading_end; /* of a heading: its words, in one line */
    bool outermost;                    /* of code: its first line opens something at the margin */
} fby_block;

/* Calls `take` for each block. What it refuses is passed up. */
typedef fby_status fby_take_block(void *context, const fby_block *block);

fby_status fby_blocks_find(const char *text, size_t size, bool code, fby_take_block *take,
                           void *context);

#endif
