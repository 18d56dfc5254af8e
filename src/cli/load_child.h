/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `forebay serve` as a child on a free port of 127.0.0.1, from the same
 * executable; its stderr is ours. It ends when we do, however that comes.
 *
 * Threads: the main thread only.
 */
#ifndef FBY_CLI_LOAD_CHILD_H
#define FBY_CLI_LOAD_CHILD_H

#include <stdint.h>
#include <sys/types.h>

#include "base/status.h"

typedef struct fby_load_child_options {
    const char *model; /* a directory */
    const char *wait;  /* "adaptive" or "spin" */
    uint64_t threads;  /* 0: as the server chooses */
    const char *precision;
} fby_load_child_options;

typedef struct fby_load_child {
    pid_t pid; /* 0: none */
    uint16_t port;
} fby_load_child;

/* Returns once it takes connections. FBY_EIO when it ends before that, or does not come up. */
fby_status fby_load_child_start(const fby_load_child_options *options, fby_load_child *child);

/* SIGTERM, and waits for its end. Fine without a child. */
void fby_load_child_stop(fby_load_child *child);

#endif
