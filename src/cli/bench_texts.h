/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The texts that a bench works on: a whole file in memory, so that reading is
 * not in the clock.
 *
 *     fby_bench_texts texts = {0}; --> fby_bench_texts_load --> fby_bench_texts_clear
 *
 * Threads: constant after loading.
 */
#ifndef FBY_CLI_BENCH_TEXTS_H
#define FBY_CLI_BENCH_TEXTS_H

#include <stddef.h>

#include "base/status.h"
#include "forebay/embed.h"

typedef struct fby_bench_texts {
    fby_text *texts; /* (count): the lines, in their order */
    char *bytes;     /* of all texts, one after another */
    size_t count, capacity, used, size;
} fby_bench_texts;

/* Reads `file`, whose size is known. FBY_EFORMAT where it holds no text, else as fby_lines_open()
 * and fby_lines_next() fail. */
fby_status fby_bench_texts_load(char *file, fby_bench_texts *texts);

/* Also after a failed load. */
void fby_bench_texts_clear(fby_bench_texts *texts);

#endif
