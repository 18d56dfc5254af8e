/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/http.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "serve/http_parts.h"
#include "serve/keys.h"

enum { CONNECTION_MEMORY = 32 << 10 }; /* libmicrohttpd's, of a connection: bounds the header */

/* ---- what the agent calls ---- */

static void resume(fby_connection *connection)
{
    connection->suspended = false;
    fby_connection_enter(connection, FBY_PHASE_READY,
                         fby_connection_config(connection)->write_timeout_ms);
    MHD_resume_connection(connection->mhd);
}

void fby_http_ready(void *owner)
{
    fby_connection *connection = owner;
    fby_agent *agent = connection->http->agent;
    const fby_exchange *exchange = &connection->exchange;

    if (!fby_connection_refused(connection)) {
        fby_time_observe(&agent->metrics->tokenize, exchange->tokenize_ns);
        fby_time_observe(&agent->metrics->queue, exchange->queue_ns);
        fby_time_observe(&agent->metrics->compute, exchange->compute_ns);
        if (connection->charged != exchange->answer.tokens)
            fby_keys_correct(connection->http->keys, connection->key, connection->charged,
                             exchange->answer.tokens);
    }
    if (connection->gone) {
        fby_exchange_end(&connection->exchange);
        fby_connection_reuse(connection);
    }
    if (connection->suspended)
        resume(connection);
}

void fby_http_hung_up(void *owner)
{
    fby_connection *connection = owner;
    connection->hung_up = true;
    if (connection->phase == FBY_PHASE_WAITING)
        fby_connection_leave(connection);
}

/* Whether its client has taken enough since it was last asked, or since the answer began. */
static bool keeps_up(fby_connection *connection)
{
    uint64_t now_ns = fby_now_ns(), since_ns = now_ns - connection->sending_ns;
    uint64_t taken = connection->answered_bytes - connection->asked_bytes;
    connection->sending_ns = now_ns;
    connection->asked_bytes = connection->answered_bytes;
    return (double)taken * 1e9 >= (double)since_ns * FBY_SLOWEST;
}

static void expire(fby_connection *connection)
{
    const fby_serve_config *config = fby_connection_config(connection);

    switch (connection->phase) {
    case FBY_PHASE_IDLE:
    case FBY_PHASE_BODY:
    case FBY_PHASE_READY:
        fby_counter_add(&connection->http->agent->metrics->slow_reads,
                        connection->phase != FBY_PHASE_IDLE);
        fby_connection_cut_off(connection);
        break;
    case FBY_PHASE_WAITING:
        connection->deadline_ns = UINT64_MAX;
        fby_exchange_cancel(&connection->exchange, FBY_REFUSED_SLOW,
                            "not done within request_timeout_ms");
        if (connection->suspended) { /* a worker is at it: the exchange is its until then */
            connection->last = true;
            resume(connection);
        }
        break;
    case FBY_PHASE_SENDING:
        if (!connection->moved && connection->exchange.state == FBY_EXCHANGE_READY &&
            fby_exchange_move(&connection->exchange)) {
            connection->moved = true;
            uint64_t left = config->write_timeout_ms > config->slow_write_ms
                                ? config->write_timeout_ms - config->slow_write_ms
                                : 0;
            fby_connection_deadline(connection, left);
            break;
        }
        if (keeps_up(connection)) {
            fby_connection_deadline(connection, config->write_timeout_ms);
            break;
        }
        fby_counter_add(&connection->http->agent->metrics->slow_reads, 1);
        fby_connection_cut_off(connection);
        break;
    }
}

uint64_t fby_http_expire(fby_http *http, uint64_t now_ns)
{
    if (now_ns < http->expire_ns)
        return http->expire_ns;
    http->expire_ns = UINT64_MAX;
    for (fby_connection *c = http->open, *next; c != NULL; c = next) {
        next = c->next;
        if (c->deadline_ns <= now_ns)
            expire(c);
    }
    for (fby_connection *c = http->open; c != NULL; c = c->next)
        if (c->deadline_ns < http->expire_ns)
            http->expire_ns = c->deadline_ns;
    return http->expire_ns;
}

int fby_http_fd(const fby_http *http)
{
    return http->fd;
}

bool fby_http_run(fby_http *http)
{
    MHD_UNSIGNED_LONG_LONG wait_ms;
    http->closed = false;
    MHD_run(http->daemon);
    /* Where accept() found no descriptor left, libmicrohttpd is deaf until the run after the one in
     * which a connection ended: nothing else might bring that about. */
    return http->closed || (MHD_get_timeout(http->daemon, &wait_ms) == MHD_YES && wait_ms == 0);
}

void fby_http_drain(fby_http *http)
{
    if (http->draining)
        return;
    (void)fby_http_run(http); /* what has come by now is taken */
    http->draining = true;
    int listening = MHD_quiesce_daemon(http->daemon); /* the caller's from here on */
    if (listening >= 0)
        close(listening);
    for (fby_connection *c = http->open; c != NULL; c = c->next)
        if (c->phase == FBY_PHASE_IDLE)
            fby_connection_cut_off(c);
}

fby_status fby_http_reconfigure(fby_http *http, const fby_serve_config *config)
{
    fby_keys *keys;
    fby_status status = fby_keys_open(config, http->keys, &keys);
    if (status != FBY_OK)
        return status;
    fby_keys_close(http->keys);
    http->keys = keys;
    return FBY_OK;
}

bool fby_http_draining(const fby_http *http)
{
    return http->draining;
}

void fby_http_abandon(fby_http *http)
{
    for (fby_connection *c = http->open; c != NULL; c = c->next)
        if (c->phase == FBY_PHASE_WAITING)
            fby_exchange_cancel(&c->exchange, FBY_REFUSED_DRAINING, "the server is stopping");
}

uint32_t fby_http_connections(const fby_http *http)
{
    return http->open_count;
}

/* ---- opening ---- */

static void notify(void *cls, struct MHD_Connection *mhd, void **context,
                   enum MHD_ConnectionNotificationCode code)
{
    if (code != MHD_CONNECTION_NOTIFY_STARTED) {
        if (*context != NULL)
            fby_connection_close(*context);
        return;
    }
    *context = fby_connection_open(cls, mhd);
    if (*context == NULL) /* nobody would see to its deadline */
        shutdown(MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd,
                 SHUT_RDWR);
}

static fby_status take_memory(fby_http *http, uint32_t connections)
{
    http->connections = calloc(connections, sizeof *http->connections);
    http->bodies = malloc((size_t)FBY_BODIES_KEPT * FBY_BODY_KEPT);
    if (http->connections == NULL || http->bodies == NULL)
        return fby_error(FBY_ENOMEM, "no memory for %u connections", connections);
    memset(http->bodies, 0, (size_t)FBY_BODIES_KEPT * FBY_BODY_KEPT); /* touched */
    for (; http->bodies_left < FBY_BODIES_KEPT; http->bodies_left++)
        http->bodies_unused[http->bodies_left] =
            http->bodies + (size_t)http->bodies_left * FBY_BODY_KEPT;
    for (uint32_t i = connections; i-- > 0;) {
        fby_connection *connection = &http->connections[i];
        connection->http = http;
        connection->exchange.agent = http->agent;
        connection->exchange.owner = connection;
        connection->next = http->unused;
        http->unused = connection;
    }
    return FBY_OK;
}

static fby_status start_daemon(fby_http *http, int listen_fd, const char *cert, const char *key)
{
    const struct MHD_OptionItem tls[] = {
        {MHD_OPTION_HTTPS_MEM_CERT, 0, (void *)(uintptr_t)cert},
        {MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)(uintptr_t)key},
        {MHD_OPTION_END, 0, NULL},
    };
    const struct MHD_OptionItem options[] = {
        {MHD_OPTION_LISTEN_SOCKET, listen_fd, NULL},
        {MHD_OPTION_CONNECTION_LIMIT, (intptr_t)http->agent->plan->connections, NULL},
        {MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY, NULL},
        {MHD_OPTION_NOTIFY_CONNECTION, (intptr_t)notify, http},
        {MHD_OPTION_NOTIFY_COMPLETED, (intptr_t)fby_http_completed, http},
        {MHD_OPTION_ARRAY, 0, (void *)(uintptr_t)(cert != NULL ? tls : tls + 2)},
        {MHD_OPTION_END, 0, NULL},
    };
    unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | (cert != NULL ? MHD_USE_TLS : 0);
    http->daemon = MHD_start_daemon(flags, 0, NULL, NULL, fby_http_handle, http, MHD_OPTION_ARRAY,
                                    options, MHD_OPTION_END);
    if (http->daemon == NULL)
        return fby_error(FBY_EIO, cert != NULL
                                      ? "the HTTP server did not start: are tls_cert and tls_key "
                                        "PEM, and do they belong together?"
                                      : "the HTTP server did not start");
    http->fd = MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
    return FBY_OK;
}

fby_status fby_http_open(fby_agent *agent, int listen_fd, const char *cert, const char *key,
                         fby_http **out)
{
    fby_http *http = calloc(1, sizeof *http);
    if (http == NULL)
        return fby_error(FBY_ENOMEM, "no memory for a server");
    http->agent = agent;
    http->id_seed = (uint32_t)(agent->api->started_unix_s ^ ((uint64_t)getpid() << 20));
    http->expire_ns = UINT64_MAX;
    fby_status status = take_memory(http, agent->plan->connections);
    if (status == FBY_OK)
        status = fby_keys_open(agent->config, NULL, &http->keys);
    if (status == FBY_OK)
        status = start_daemon(http, listen_fd, cert, key);
    if (status != FBY_OK) {
        fby_http_close(http);
        return status;
    }
    *out = http;
    return FBY_OK;
}

void fby_http_close(fby_http *http)
{
    if (http == NULL)
        return;
    if (http->daemon != NULL)
        MHD_stop_daemon(http->daemon);
    fby_keys_close(http->keys);
    free(http->connections);
    free(http->bodies);
    free(http);
}
