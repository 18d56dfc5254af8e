/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/health.h"

#include <stdio.h>

static fby_health ok(void)
{
    return (fby_health){.status = 200, .body = "{\"status\":\"ok\"}"};
}

/* Milliseconds for which an agent has been stuck; 0: it is not. */
static uint64_t stuck_ms(const fby_agent_metrics *agent, uint64_t now_ns)
{
    /* S2, with S1 in agent.c: who sees it awake sees when it awoke. */
    bool asleep = atomic_load_explicit(&agent->asleep, memory_order_acquire) != 0;
    uint64_t turned_ns = fby_counter_get(&agent->turned_ns);

    return asleep || turned_ns == 0 || now_ns < turned_ns ? 0 : (now_ns - turned_ns) / 1000000u;
}

fby_health fby_live(const fby_metrics *metrics, uint64_t now_ns)
{
    for (uint32_t i = 0; i < metrics->agent_count; i++) {
        unsigned long long ms = stuck_ms(&metrics->agents[i], now_ns);
        if (ms <= atomic_load_explicit(&metrics->stall_ms, memory_order_relaxed))
            continue;
        fby_health health = {.status = 503};
        snprintf(health.body, sizeof health.body,
                 "{\"status\":\"stuck\",\"reason\":\"the loop of agent %u has not turned for %llu "
                 "ms\"}",
                 i, ms);
        return health;
    }
    return ok();
}

fby_health fby_ready(const fby_metrics *metrics, fby_server_state state, uint64_t now_ns)
{
    switch (state) {
    case FBY_SERVER_STARTING:
        return (fby_health){503,
                            "{\"status\":\"starting\",\"reason\":\"models are being opened\"}"};
    case FBY_SERVER_DRAINING:
        return (fby_health){503,
                            "{\"status\":\"draining\",\"reason\":\"the server is shutting down\"}"};
    case FBY_SERVER_READY:
        break;
    }
    return fby_live(metrics, now_ns);
}
