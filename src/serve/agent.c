/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/agent.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/scheduling.h"
#include "serve/http.h"
#include "serve/log.h"

enum {
    SLOT = 64,
    READY_MAX = 64, /* of epoll, in a turn */
    LAST_RUNS = 64,
    COUNT_NS = 100000000, /* between two looks at the gauges */
    HELD_UP_NS = 1000000
};

/* ---- memory ---- */

static fby_status make_completions(fby_agent *agent)
{
    fby_disruptor_options options = FBY_DISRUPTOR_OPTIONS_INIT;
    options.slot_bytes = SLOT;
    options.capacity = agent->plan->max_events;
    options.producers = agent->plan->workers > 1 ? FBY_DISRUPTOR_MULTI : FBY_DISRUPTOR_SINGLE;
    options.wait = FBY_WAIT_SPIN; /* the bell wakes the agent, not the ring */
    fby_status status = fby_disruptor_create(&options, &agent->completions);
    return status == FBY_OK
               ? fby_disruptor_add_consumer(agent->completions, NULL, 0, &agent->completed)
               : status;
}

/* Called on the agent's own thread, so that all of it lies near. */
static fby_status make_pool(fby_agent *agent)
{
    fby_ring_pool_options options = FBY_RING_POOL_OPTIONS_INIT;
    options.kind = FBY_RING_LOCAL_UNORDERED;
    options.capacity_bytes = agent->plan->pool_bytes;
    agent->pool_eighth = agent->plan->pool_bytes / 8;
    return fby_ring_pool_create(&options, &agent->pool);
}

static void *touched(size_t size)
{
    void *memory = malloc(size);
    if (memory != NULL)
        memset(memory, 0, size);
    return memory;
}

fby_status fby_agent_init(fby_agent *agent)
{
    agent->epoll = agent->bell.fd = -1;
    agent->arena.size = fby_api_arena_size(agent->api, FBY_SMALL_BYTES);
    agent->arena.bytes = touched(agent->arena.size);
    agent->scratch_ids = touched(FBY_SCRATCH_IDS * sizeof *agent->scratch_ids);
    agent->scratch_infos = touched(FBY_SMALL_TEXTS * sizeof *agent->scratch_infos);
    if (agent->arena.bytes == NULL || agent->scratch_ids == NULL || agent->scratch_infos == NULL)
        return fby_error(FBY_ENOMEM, "no memory for an agent");
    agent->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (agent->epoll < 0)
        return fby_error_errno(FBY_ENOMEM, errno, "an epoll instance");
    fby_status status = fby_bell_init(&agent->bell);
    return status == FBY_OK ? make_completions(agent) : status;
}

void fby_agent_clear(fby_agent *agent)
{
    fby_http_close(agent->http);
    fby_ring_pool_destroy(agent->pool);
    fby_disruptor_destroy(agent->completions);
    fby_bell_close(&agent->bell);
    if (agent->epoll >= 0)
        close(agent->epoll);
    free(agent->arena.bytes);
    free(agent->scratch_ids);
    free(agent->scratch_infos);
}

/* In front of a block: what gives it back. */
struct own_header {
    _Alignas(FBY_CACHELINE) fby_heap_block block;
};

void *fby_agent_take_own(fby_agent *agent, size_t size)
{
    if (size > agent->plan->large_bytes || agent->own_bytes > agent->plan->large_bytes - size)
        return NULL;
    fby_heap_block block;
    fby_heap_place place;
    if (size > SIZE_MAX - sizeof(struct own_header) ||
        fby_heap_acquire(agent->heap_pool, size + sizeof(struct own_header), 0, "large", &block,
                         &place) != FBY_OK)
        return NULL;
    struct own_header *header = place.address;
    header->block = block;
    agent->own_bytes += size;
    return header + 1;
}

void fby_agent_give_own(fby_agent *agent, void *block, size_t size)
{
    if (block == NULL)
        return;
    agent->own_bytes -= size;
    fby_heap_release(agent->heap_pool, ((const struct own_header *)block - 1)->block);
}

/* ---- the loop ---- */

static bool complete(fby_agent *agent)
{
    uint64_t sequence;
    uint32_t count = fby_consumer_poll(agent->completed, &sequence);

    for (uint32_t i = 0; i < count; i++) {
        const fby_completion done =
            *(fby_completion *)fby_disruptor_event(agent->completions, sequence + i);
        fby_exchange_complete(done.exchange, &done);
    }
    if (count > 0)
        fby_consumer_release(agent->completed, count);
    return count > 0;
}

/* Once round those that have something to publish, and on while any of them gets anywhere: one that
 * waits for its lane holds up nobody else. */
static void flush(fby_agent *agent)
{
    const fby_exchange *stuck = NULL; /* since whom nothing was published */
    agent->held_up = false;
    while (agent->publishing != NULL && agent->publishing != stuck) {
        fby_exchange *exchange = agent->publishing;
        uint32_t before = exchange->next_text;
        agent->publishing = exchange->next; /* the next one's turn comes next */
        bool more = fby_exchange_publish(exchange);
        if (!more || exchange->next_text != before)
            stuck = NULL;
        else if (stuck == NULL)
            stuck = exchange;
    }
}

static void count(fby_agent *agent)
{
    fby_agent_metrics *metrics = agent->metrics;
    fby_ring_pool_stats stats = {.struct_size = sizeof stats};
    fby_ring_pool_get_stats(agent->pool, &stats);
    atomic_store_explicit(&metrics->queued_tokens, agent->queued_tokens, memory_order_relaxed);
    atomic_store_explicit(&metrics->requests_in_flight, agent->admitted, memory_order_relaxed);
    atomic_store_explicit(&metrics->open_connections, fby_http_connections(agent->http),
                          memory_order_relaxed);
    atomic_store_explicit(&metrics->pool_capacity, stats.capacity_bytes, memory_order_relaxed);
    atomic_store_explicit(&metrics->pool_in_flight, stats.in_flight_bytes, memory_order_relaxed);
    atomic_store_explicit(&metrics->pool_span, stats.span_bytes, memory_order_relaxed);
    atomic_store_explicit(&metrics->pool_peak_span, stats.peak_span_bytes, memory_order_relaxed);
    atomic_store_explicit(&metrics->pool_window, stats.window_bytes, memory_order_relaxed);
    atomic_store_explicit(&metrics->pool_wraps, stats.wraps, memory_order_relaxed);
    atomic_store_explicit(&metrics->pool_exhausted, stats.exhausted, memory_order_relaxed);
}

/* Told to do something, and not yet at it. */
static bool told(const fby_agent *agent)
{
    return atomic_load_explicit(&agent->next_config, memory_order_relaxed) != NULL ||
           (atomic_load_explicit(&agent->draining, memory_order_relaxed) &&
            !fby_http_draining(agent->http)) ||
           atomic_load_explicit(&agent->stopping, memory_order_relaxed);
}

/* Sleeps at most until `until_ns`, or not at all where something is left to do. Returns whether
 * there is something for the sockets. */
static bool wait_for_events(fby_agent *agent, bool busy, uint64_t until_ns)
{
    struct epoll_event ready[READY_MAX];
    int timeout_ms = 0;
    bool sleeps = !busy && agent->config->wait != FBY_WAIT_SPIN;

    if (sleeps) {
        fby_bell_prepare(&agent->bell);
        uint64_t sequence, now_ns = fby_now_ns();
        if (fby_consumer_poll(agent->completed, &sequence) > 0 || told(agent))
            timeout_ms = 0;
        else if (until_ns == UINT64_MAX)
            timeout_ms = -1;
        else
            timeout_ms = until_ns > now_ns
                             ? (int)fby_min_size((until_ns - now_ns) / 1000000u + 1, 60000)
                             : 0;
        if (timeout_ms != 0) {
            count(agent);
            fby_counter_add(&agent->metrics->sleeps, 1);
            atomic_store_explicit(&agent->metrics->asleep, 1, memory_order_relaxed);
        }
    }
    int n = epoll_wait(agent->epoll, ready, READY_MAX, timeout_ms);
    if (sleeps) {
        fby_bell_awake(&agent->bell);
        atomic_store_explicit(&agent->metrics->turned_ns, fby_now_ns(), memory_order_relaxed);
        /* S1, with S2 in health.c: it is not taken for one that has long been awake. */
        atomic_store_explicit(&agent->metrics->asleep, 0, memory_order_release);
    }
    if (n == 0 && !sleeps) /* whom this thread keeps from the processor may be the one to send */
        sched_yield();
    bool sockets = false;
    for (int i = 0; i < n; i++) {
        if (ready[i].data.ptr == agent)
            sockets = true;
        else if (ready[i].data.ptr != &agent->bell)
            fby_http_hung_up(ready[i].data.ptr);
    }
    return sockets;
}

/* Told to stop, it ends once no worker writes for it any more; told to drain, once its clients are
 * gone too. */
static bool at_end(const fby_agent *agent)
{
    if (agent->admitted > 0)
        return false;
    return atomic_load_explicit(&agent->stopping, memory_order_relaxed) ||
           (atomic_load_explicit(&agent->draining, memory_order_relaxed) &&
            fby_http_connections(agent->http) == 0);
}

static void take_config(fby_agent *agent)
{
    /* F2, with F1. */
    const fby_serve_config *next =
        atomic_exchange_explicit(&agent->next_config, NULL, memory_order_acquire);
    if (next == NULL)
        return;
    if (fby_http_reconfigure(agent->http, next) != FBY_OK) {
        fby_log(FBY_LOG_ERROR, "an agent goes on with the configuration before",
                fby_log_text("reason", fby_last_error()));
        return;
    }
    agent->config = next;
    /* F3, with F4 in server.c: nothing of the one before is read any more. */
    atomic_store_explicit(&agent->taken, next, memory_order_release);
    agent->max_queued = next->max_queued_tokens / next->agents;
}

static void loop(fby_agent *agent)
{
    bool again = false, sockets = true;
    uint64_t counted_ns = 0;

    do {
        uint64_t now_ns = fby_now_ns();
        atomic_store_explicit(&agent->metrics->turned_ns, now_ns, memory_order_relaxed);
        fby_counter_add(&agent->metrics->loops, 1);
        if (now_ns - counted_ns > COUNT_NS) {
            count(agent);
            counted_ns = now_ns;
        }
        if (atomic_load_explicit(&agent->next_config, memory_order_relaxed) != NULL)
            take_config(agent);
        if (atomic_load_explicit(&agent->draining, memory_order_relaxed))
            fby_http_drain(agent->http);
        if (atomic_load_explicit(&agent->stopping, memory_order_relaxed))
            fby_http_abandon(agent->http);
        bool completed = complete(agent);
        if (sockets || again || completed)
            again = fby_http_run(agent->http);
        flush(agent);
        uint64_t until_ns = fby_http_expire(agent->http, now_ns);
        if (agent->held_up)
            until_ns = fby_min_u64(until_ns, now_ns + HELD_UP_NS);
        sockets = !at_end(agent) && wait_for_events(agent, again, until_ns);
    } while (!at_end(agent));
    /* What became ready in the last turn is written, as far as it goes without waiting. */
    for (int i = 0; i < LAST_RUNS && fby_http_run(agent->http); i++) {
    }
    atomic_store_explicit(&agent->metrics->turned_ns, 0, memory_order_relaxed); /* not stuck */
}

static fby_status add_to_epoll(fby_agent *agent, int fd, void *tag)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = tag};
    return epoll_ctl(agent->epoll, EPOLL_CTL_ADD, fd, &event) == 0
               ? FBY_OK
               : fby_error_errno(FBY_EIO, errno, "epoll_ctl");
}

/* What lies near the thread that uses it is taken by that thread. */
static fby_status set_up(fby_agent *agent)
{
    fby_status status = make_pool(agent);
    if (status == FBY_OK)
        status = fby_http_open(agent, agent->listen_fd, agent->cert, agent->key, &agent->http);
    if (status == FBY_OK)
        status = add_to_epoll(agent, fby_http_fd(agent->http), agent);
    if (status == FBY_OK)
        status = add_to_epoll(agent, agent->bell.fd, &agent->bell);
    return status;
}

static void *run(void *arg)
{
    fby_agent *agent = arg;
    (void)fby_sched_short_turns(); /* it goes before the workers, for a moment at a time */
    agent->start_status = set_up(agent);
    snprintf(agent->start_message, sizeof agent->start_message, "%s", fby_last_error());
    bool up = agent->start_status == FBY_OK;
    sem_post(&agent->up);
    if (up)
        loop(agent);
    /* E1, with E2 in server.c: everything that this thread did. */
    atomic_store_explicit(&agent->ended, true, memory_order_release);
    return NULL;
}

fby_status fby_agent_start(fby_agent *agent)
{
    sem_init(&agent->up, 0, 0);
    int failed = pthread_create(&agent->thread, NULL, run, agent);
    if (failed != 0)
        return fby_error_errno(FBY_ENOMEM, failed, "starting an agent");
    agent->started = true;
    while (sem_wait(&agent->up) != 0) {
    }
    return agent->start_status == FBY_OK
               ? FBY_OK
               : fby_error(agent->start_status, "%s", agent->start_message);
}

void fby_agent_reconfigure(fby_agent *agent, const fby_serve_config *config)
{
    /* F1, with F2: the config's contents. */
    atomic_store_explicit(&agent->next_config, config, memory_order_release);
    fby_bell_ring(&agent->bell);
}

void fby_agent_drain(fby_agent *agent)
{
    atomic_store_explicit(&agent->draining, true, memory_order_relaxed);
    fby_bell_ring(&agent->bell);
}

void fby_agent_stop(fby_agent *agent)
{
    atomic_store_explicit(&agent->stopping, true, memory_order_relaxed);
    fby_bell_ring(&agent->bell);
}

void fby_agent_ready(fby_agent *agent, fby_exchange *exchange)
{
    (void)agent;
    fby_http_ready(exchange->owner);
}
