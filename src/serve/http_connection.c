/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/bits.h"
#include "base/clock.h"
#include "serve/http_parts.h"

void fby_connection_deadline(fby_connection *connection, uint64_t ms)
{
    fby_http *http = connection->http;
    connection->deadline_ns = fby_now_ns() + ms * 1000000u;
    if (connection->deadline_ns < http->expire_ns)
        http->expire_ns = connection->deadline_ns;
}

void fby_connection_enter(fby_connection *connection, fby_phase phase, uint64_t ms)
{
    connection->phase = phase;
    fby_connection_deadline(connection, ms);
}

/* The agent's epoll tells, once, when the client of `fd` has gone. */
static void watch(fby_connection *connection)
{
    struct epoll_event event = {.events = EPOLLRDHUP | EPOLLET, .data.ptr = connection};
    (void)epoll_ctl(connection->http->agent->epoll, EPOLL_CTL_ADD, connection->fd, &event);
}

fby_connection *fby_connection_open(fby_http *http, struct MHD_Connection *mhd)
{
    fby_connection *connection = http->unused;
    if (connection == NULL) /* libmicrohttpd's limit is ours, but some may not be done with */
        return NULL;
    http->unused = connection->next;
    connection->mhd = mhd;
    connection->fd = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    connection->hung_up = connection->suspended = connection->gone = false;
    connection->previous = NULL;
    connection->next = http->open;
    if (http->open != NULL)
        http->open->previous = connection;
    http->open = connection;
    http->open_count++;
    fby_counter_add(&http->agent->metrics->connections_opened, 1);
    fby_connection_enter(connection, FBY_PHASE_IDLE, http->agent->config->header_timeout_ms);
    watch(connection);
    return connection;
}

void fby_connection_reuse(fby_connection *connection)
{
    connection->next = connection->http->unused;
    connection->http->unused = connection;
}

void fby_connection_close(fby_connection *connection)
{
    fby_http *http = connection->http;
    if (connection->previous != NULL)
        connection->previous->next = connection->next;
    else
        http->open = connection->next;
    if (connection->next != NULL)
        connection->next->previous = connection->previous;
    http->open_count--;
    http->closed = true;
    fby_counter_add(&http->agent->metrics->connections_closed, 1);
    connection->gone = fby_exchange_under_way(&connection->exchange);
    if (!connection->gone) {
        fby_exchange_end(&connection->exchange);
        fby_connection_reuse(connection);
    }
}

void fby_connection_cut_off(fby_connection *connection)
{
    shutdown(connection->fd, SHUT_RDWR); /* libmicrohttpd finds it closed */
    connection->deadline_ns = UINT64_MAX;
}

void fby_connection_leave(fby_connection *connection)
{
    connection->left = true;
    fby_exchange_cancel(&connection->exchange, FBY_REFUSED_INTERNAL, "the client is gone");
}

bool fby_connection_refuse(fby_connection *connection, fby_refusal reason, const char *message)
{
    fby_connection_drop_body(connection);
    return fby_refuse(&connection->exchange.error, reason, NULL, "%s", message);
}

/* ---- bodies that come in parts ---- */

void fby_connection_drop_body(fby_connection *connection)
{
    fby_http *http = connection->http;
    if (connection->body == NULL)
        return;
    if (connection->body_capacity == FBY_BODY_KEPT) {
        http->bodies_unused[http->bodies_left++] = connection->body;
    } else {
        fby_agent_give_own(http->agent, connection->body, connection->body_capacity);
        http->body_bytes -= connection->body_capacity;
    }
    connection->body = NULL;
    connection->body_size = connection->body_capacity = 0;
}

static bool grow_body(fby_connection *connection, size_t wanted)
{
    fby_http *http = connection->http;
    fby_agent *agent = http->agent;

    if (connection->body == NULL && wanted <= FBY_BODY_KEPT && http->bodies_left > 0) {
        connection->body = http->bodies_unused[--http->bodies_left];
        connection->body_capacity = FBY_BODY_KEPT;
        return true;
    }
    size_t capacity = fby_max_size(wanted, 2 * connection->body_capacity);
    capacity = fby_max_size(capacity, FBY_BODY_KEPT + 1);
    /* Bodies that still come leave half of it to requests that are there. */
    if (http->body_bytes + capacity > agent->plan->large_bytes / 2)
        return false;
    char *body = fby_agent_take_own(agent, capacity);
    if (body == NULL)
        return false;
    http->body_bytes += capacity;
    size_t size = connection->body_size;
    if (size > 0)
        memcpy(body, connection->body, size);
    fby_connection_drop_body(connection);
    connection->body = body;
    connection->body_size = size;
    connection->body_capacity = capacity;
    return true;
}

void fby_connection_keep(fby_connection *connection, const char *part, size_t size)
{
    size_t most = fby_connection_config(connection)->max_body_bytes;

    /* SIGHUP may have lowered the limit meanwhile. */
    if (connection->body_size > most || size > most - connection->body_size) {
        fby_connection_refuse(connection, FBY_REFUSED_BODY_TOO_LARGE,
                              "the body is larger than max_body_bytes");
        return;
    }
    size_t wanted = connection->body_size + size;
    if (wanted > connection->body_capacity && !grow_body(connection, wanted)) {
        fby_connection_refuse(connection, FBY_REFUSED_OVERLOADED,
                              "no memory for a body this large now");
        return;
    }
    memcpy(connection->body + connection->body_size, part, size);
    connection->body_size = wanted;
}
