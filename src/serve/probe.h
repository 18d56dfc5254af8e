/* SPDX-License-Identifier: Apache-2.0 */
/* What an agent answers of itself: probes, metrics, the page. */
#ifndef FBY_SERVE_PROBE_H
#define FBY_SERVE_PROBE_H

#include "serve/agent.h"

typedef struct fby_probe {
    unsigned status;
    const char *type; /* content type */
    const char *text;
    size_t size;
    char *own;          /* to be freed, or NULL */
    const char *policy; /* Content-Security-Policy; NULL: none */
} fby_probe;

/* `route` is not of kind FBY_ROUTE_API. The agent's thread. */
void fby_probe_answer(fby_agent *agent, const fby_route *route, fby_probe *probe);
void fby_probe_end(fby_probe *probe);

#endif
