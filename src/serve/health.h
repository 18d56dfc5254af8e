/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether the server lives, and whether it should be sent requests: what /live
 * and /health say, wherever they are asked. Pure; any thread.
 */
#ifndef FBY_SERVE_HEALTH_H
#define FBY_SERVE_HEALTH_H

#include <stdbool.h>

#include "serve/metrics.h"

typedef enum fby_server_state {
    FBY_SERVER_STARTING = 0, /* models are opened, workers warmed */
    FBY_SERVER_READY,
    FBY_SERVER_DRAINING
} fby_server_state;

typedef struct fby_health {
    unsigned status; /* of HTTP: 200 or 503 */
    char body[160];  /* JSON: {"status":"ok"}, or {"status":"draining","reason":"..."} */
} fby_health;

/* 503 names the agent whose loop has not turned for stall_ms at monotonic `now_ns`. One that sleeps
 * is not stuck, nor is one that has not begun. */
fby_health fby_live(const fby_metrics *metrics, uint64_t now_ns);

/* 503 until the server is ready and once it drains; and where /live says 503. */
fby_health fby_ready(const fby_metrics *metrics, fby_server_state state, uint64_t now_ns);

#endif
