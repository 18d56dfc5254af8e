/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A line on the terminal that says how far a command is, how fast, and how
 * long it has yet. Silent where stderr is not a terminal. Threads: one.
 */
#ifndef FBY_CLI_PROGRESS_H
#define FBY_CLI_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct fby_progress {
    bool shown;                  /* stderr is a terminal that can */
    uint64_t started;            /* fby_now_ns() */
    uint64_t drawn;              /* the same, of the last drawing */
    uint64_t bytes, total_bytes; /* of the input; total 0: not known */
    uint64_t texts, tokens;
} fby_progress;

void fby_progress_begin(fby_progress *progress, uint64_t total_bytes);

/* Draws at most ten times a second. The counts are sums since the beginning. */
void fby_progress_update(fby_progress *progress, uint64_t bytes, uint64_t texts, uint64_t tokens);

/* Wipes the line. */
void fby_progress_end(fby_progress *progress);

/* The line itself, as after `seconds` > 0; at most 79 columns. */
void fby_progress_line(const fby_progress *progress, double seconds, char *line, size_t size);

#endif
