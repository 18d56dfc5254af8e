/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/probe.h"

#include <stdlib.h>
#include <string.h>

static void say(fby_probe *probe, unsigned status, const char *type, const char *text)
{
    *probe = (fby_probe){status, type, text, strlen(text), NULL};
}

void fby_probe_answer(fby_agent *agent, const char *path, const fby_route *route, fby_probe *probe)
{
    (void)path;
    bool draining = atomic_load_explicit(&agent->draining, memory_order_relaxed);
    switch (route->kind) {
    case FBY_ROUTE_HEALTH:
        if (draining)
            say(probe, 503, "application/json", "{\"status\":\"draining\"}");
        else if (atomic_load_explicit(&agent->crew->warm, memory_order_relaxed) <
                 agent->crew->threads)
            say(probe, 503, "application/json", "{\"status\":\"warming\"}");
        else
            say(probe, 200, "application/json", "{\"status\":\"ok\"}");
        return;
    case FBY_ROUTE_LIVE:
        say(probe, 200, "application/json", "{\"status\":\"ok\"}");
        return;
    default:
        say(probe, 404, "text/plain", "not here");
        return;
    }
}

void fby_probe_end(fby_probe *probe)
{
    free(probe->own);
}
