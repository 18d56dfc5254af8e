/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/probe.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "serve/health.h"
#include "serve/page.h"

static void say(fby_probe *probe, unsigned status, const char *type, const char *text)
{
    *probe = (fby_probe){.status = status, .type = type, .text = text, .size = strlen(text)};
}

static void say_health(fby_probe *probe, const fby_health *health)
{
    char *text = strdup(health->body);
    if (text == NULL) {
        say(probe, 503, "application/json", "{\"status\":\"no memory\"}");
        return;
    }
    *probe = (fby_probe){.status = health->status,
                         .type = "application/json",
                         .text = text,
                         .size = strlen(text),
                         .own = text};
}

static fby_server_state state_of(const fby_agent *agent)
{
    if (atomic_load_explicit(&agent->draining, memory_order_relaxed))
        return FBY_SERVER_DRAINING;
    return fby_crew_is_warm(agent->crew) ? FBY_SERVER_READY : FBY_SERVER_STARTING;
}

static void say_metrics(fby_probe *probe, const fby_metrics *metrics, const char *type,
                        fby_metrics_writer *write)
{
    size_t size;
    char *text = fby_metrics_written(metrics, write, &size);
    if (text == NULL) {
        say(probe, 503, "text/plain", "no memory");
        return;
    }
    *probe = (fby_probe){.status = 200, .type = type, .text = text, .size = size, .own = text};
}

void fby_probe_answer(fby_agent *agent, const fby_route *route, fby_probe *probe)
{
    fby_health health;

    switch (route->kind) {
    case FBY_ROUTE_HEALTH:
        health = fby_ready(agent->all_metrics, state_of(agent), fby_now_ns());
        say_health(probe, &health);
        return;
    case FBY_ROUTE_LIVE:
        health = fby_live(agent->all_metrics, fby_now_ns());
        say_health(probe, &health);
        return;
    case FBY_ROUTE_METRICS:
        say_metrics(probe, agent->all_metrics, "text/plain; version=0.0.4; charset=utf-8",
                    fby_metrics_text);
        return;
    case FBY_ROUTE_STATUS:
        say_metrics(probe, agent->all_metrics, "application/json", fby_metrics_json);
        return;
    case FBY_ROUTE_PAGE:
        *probe = (fby_probe){.status = 200,
                             .type = fby_page_index.type,
                             .text = (const char *)fby_page_index.bytes,
                             .size = fby_page_index.size,
                             .policy = fby_page_index.policy};
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
