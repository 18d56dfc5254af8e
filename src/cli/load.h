/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A load of HTTP requests over keep-alive connections, by one thread over epoll.
 *
 *     closed loop    each connection sends its next request once it has the answer
 *     open loop      request k is due at k / rate, whatever the server does; it goes
 *                    out on the next free connection
 *
 * In an open loop the latency counts from when a request was due, not from when
 * a connection was free for it: a server that stalls pays for all whom it kept
 * waiting (no coordinated omission). What is due before the end is waited for.
 *
 *     connect ──► warm-up ──► rounds, back to back ──► what is still out
 *
 * Threads: one at a time.
 */
#ifndef FBY_CLI_LOAD_H
#define FBY_CLI_LOAD_H

#include <stdint.h>
#include <sys/socket.h>

#include "base/status.h"
#include "cli/bench_stats.h"
#include "cli/load_requests.h"

enum {
    FBY_LOAD_ROUNDS = 999,
    FBY_LOAD_CONNECTIONS = 1024,
    FBY_LOAD_STATUSES = 600,
    FBY_LOAD_PATIENCE_S = 30
};

typedef struct fby_load_options {
    struct sockaddr_storage address;
    socklen_t address_size;
    const fby_load_requests *requests; /* sent in turn, from the first again after the last */
    uint32_t connections;
    uint32_t rounds;
    double rate; /* requests/s; 0: a closed loop */
    double warm_seconds, seconds;
} fby_load_options;

typedef struct fby_load_round {
    double requests_per_s; /* answered with 200 */
    double p50_ms, p90_ms, p99_ms;
} fby_load_round;

typedef struct fby_load_result {
    fby_load_round rounds[FBY_LOAD_ROUNDS]; /* (options->rounds) */
    double p50_ms, p90_ms, p99_ms, max_ms;  /* of all that was answered with 200 */
    double seconds;
    double cpu_seconds; /* of this process meanwhile */
    uint64_t answered;  /* with 200 */
    uint64_t statuses[FBY_LOAD_STATUSES];
    uint64_t broken;     /* connections that ended before the answer did */
    uint64_t unanswered; /* due, and not answered FBY_LOAD_PATIENCE_S after the end */
    double late_ms;      /* longest that a due request waited for a free connection */
} fby_load_result;

/* FBY_EIO: no connection, or nothing was answered with 200; says what was. FBY_ECANCELED when
 * fby_stop_asked(). */
fby_status fby_load_run(const fby_load_options *options, fby_load_result *result);

/* A connection as the load makes them, blocking. */
fby_status fby_load_connect(const fby_load_options *options, int *fd);

#endif
