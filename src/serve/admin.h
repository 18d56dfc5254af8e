/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A port and a thread of their own for those who watch the server: GET /live,
 * /health and /metrics, answered from counters that others write, so also when
 * every agent is stuck. No keys: it listens where only they reach it.
 *
 * Threads: open and close on one; the source's functions run on the admin's
 * thread, beside everything else.
 */
#ifndef FBY_SERVE_ADMIN_H
#define FBY_SERVE_ADMIN_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "serve/health.h"

typedef struct fby_admin fby_admin;

typedef struct fby_admin_source {
    void *context;
    fby_health (*live)(void *context);
    fby_health (*ready)(void *context);
    char *(*metrics)(void *context, size_t *size); /* malloc'ed; NULL: no memory */
} fby_admin_source;

/* Answers at host:port (0: the system chooses) once it returns. */
fby_status fby_admin_open(const char *host, uint16_t port, const fby_admin_source *source,
                          fby_admin **admin);
uint16_t fby_admin_port(const fby_admin *admin);

/* Ends its thread. NULL is fine. */
void fby_admin_close(fby_admin *admin);

#endif
