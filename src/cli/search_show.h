/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A search's answers, for people or as JSON lines.
 *
 *     docs/guide.md:12  0.713
 *         the passage's lines
 *
 * For people, bytes that would steer a terminal are shown as '?'. Threads: one.
 */
#ifndef FBY_CLI_SEARCH_SHOW_H
#define FBY_CLI_SEARCH_SHOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/output.h"
#include "search/index.h"
#include "search/read_file.h"

typedef struct fby_show {
    fby_output *output;
    bool json, color;
    uint32_t context; /* lines before and behind a passage */
    uint64_t answers; /* shown so far */
    fby_file_text text;
} fby_show;

typedef struct fby_shown {
    const char *query;
    size_t query_size;
    uint32_t rank;    /* from 1 */
    const char *file; /* as the user would write it */
    const char *path; /* to read it by */
    double score;
    const fby_index_passage *passage;
    fby_hash content; /* of the file when its passages were made */
} fby_shown;

/* A line that says which of several questions is answered; none as JSON, whose lines name it. */
fby_status fby_show_query(fby_show *show, const char *query, size_t size);

fby_status fby_show_answer(fby_show *show, const fby_shown *shown);

void fby_show_end(fby_show *show);

#endif
