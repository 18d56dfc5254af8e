/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file's text as passages: pieces of about `target` tokens that follow how it
 * was written.
 *
 *     lines --> blocks (paragraphs; code between blank lines) --> passages
 *                  a block that is too long: sentences, lines, words, bytes
 *
 * Prose (all that is not code by its name): Markdown and reStructuredText
 * headings begin a passage; what is small is put together with its neighbours
 * under the same heading, or under a lesser one that follows. Fenced code stays
 * in one piece where it fits. Code: blank lines part blocks, and a passage
 * rather ends before a line that is not indented.
 *
 * A passage is a run of bytes that begins and ends with what is not blank. One
 * that is not the first below its heading carries the heading, so that it can
 * be embedded with it.
 *
 * Time is linear in the text but for the counting. Any thread.
 */
#ifndef FBY_SEARCH_PASSAGES_H
#define FBY_SEARCH_PASSAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct fby_passage {
    size_t begin, end;                 /* bytes of the text, begin < end */
    uint32_t first_line, last_line;    /* from 1 */
    uint32_t tokens;                   /* as counted, the heading not among them */
    size_t heading_begin, heading_end; /* equal: it has none, or begins with it */
} fby_passage;

/* Tokens of some bytes, special ones not counted. Blank bytes between two texts should not matter
 * to their sum. */
typedef fby_status fby_count_tokens(void *context, const char *bytes, size_t size,
                                    uint32_t *tokens);

typedef struct fby_passage_limits {
    uint32_t target, max; /* tokens: 1 ≤ target ≤ max */
    fby_count_tokens *count;
    void *context;
} fby_passage_limits;

typedef struct fby_passages {
    fby_passage *list;
    size_t count, room;
} fby_passages;

/* Whether `path` is code by its suffix or name. */
bool fby_is_code(const char *path);

/* Whether bytes are no text: a NUL among the first 8 KiB, or of them more than one in ten not
 * UTF-8. */
bool fby_is_binary(const char *bytes, size_t size);

/*
 * Appends the passages of `text`, at most FBY_TEXT_MAX bytes, in order; none overlap. Text without
 * anything but blanks has none. What the counting or memory refuses is passed up; then `passages`
 * is as before.
 */
#define FBY_TEXT_MAX ((size_t)1 << 30)
fby_status fby_passages_split(const char *text, size_t size, bool code,
                              const fby_passage_limits *limits, fby_passages *passages);

void fby_passages_drop(fby_passages *passages);

#endif
