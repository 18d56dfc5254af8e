/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lines of several files, or of standard input, one after another, in
 * memory bounded by the longest line.
 *
 *     fby_lines_open --> fby_lines_next ... until *end --> fby_lines_close
 *
 * A line ends with LF or CR LF, neither part of it; a CR elsewhere is. The last
 * line of a file need not end. An empty line is a line. A byte order mark of
 * UTF-8 at the start of a file is left out. All other bytes, NUL too, are kept.
 *
 * Threads: one.
 */
#ifndef FBY_CLI_LINES_H
#define FBY_CLI_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct fby_lines fby_lines;

typedef struct fby_line {
    const char *bytes; /* valid until the next call */
    size_t size;
    const char *file; /* as given; "standard input" for "-" */
    uint64_t number;  /* in its file, from 1 */
    bool replaced;    /* what was not UTF-8 has been replaced; false for a line as it was read */
} fby_line;

enum { FBY_LINE_LIMIT = 16 << 20 }; /* bytes of the longest line */

/* `files` (the array and its strings stay) are opened one after another, but looked at now:
 * FBY_ENOENT or FBY_EIO names the one that cannot be. No file means standard input, "-". `limit`
 * is at most FBY_LINE_LIMIT. */
fby_status fby_lines_open(char *const *files, size_t count, size_t limit, fby_lines **lines);
void fby_lines_close(fby_lines *lines);

/* The next line, or `*end`. FBY_ECANCELED when fby_stop_asked() while it waited; FBY_ETOOLONG,
 * FBY_EIO with file and line. */
fby_status fby_lines_next(fby_lines *lines, fby_line *line, bool *end);

/* Whether fby_lines_next() would answer without waiting, as far as one can know. */
bool fby_lines_ready(fby_lines *lines);

/* Bytes of the lines given so far; bytes of all files, 0 if one of them does not say. */
uint64_t fby_lines_position(const fby_lines *lines);
uint64_t fby_lines_total(const fby_lines *lines);

#endif
