/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the server adds to fby_embed(): one text at a time, some through one
 * connection, then as many through the library in this process, in turn, so
 * that both see the machine in the same state. A server of our own is stopped
 * while the library has its turn, so that one that spins takes no core from it.
 *
 * Threads: one at a time.
 */
#ifndef FBY_CLI_LOAD_LIBRARY_H
#define FBY_CLI_LOAD_LIBRARY_H

#include <sys/types.h>

#include "cli/bench_stats.h"
#include "cli/load.h"
#include "forebay/embed.h"

typedef struct fby_load_library_result {
    fby_spread server_us, library_us;     /* of the rounds' medians */
    fby_spread added_us;                  /* of the rounds' differences of them */
    double server_p99_us, library_p99_us; /* of all calls */
    uint64_t calls;                       /* of each */
} fby_load_library_result;

/* Request i of options->requests asks for texts[i]; `server` is the process to stop, 0 for none.
 * options->rate and ->connections have no meaning here. FBY_EIO where an answer is not 200; else as
 * fby_embed(). */
fby_status fby_load_library_run(const fby_load_options *options, fby_model *model,
                                const fby_text *texts, pid_t server,
                                fby_load_library_result *result);

#endif
