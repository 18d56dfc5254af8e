/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/http.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <inttypes.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/bits.h"
#include "base/clock.h"
#include "serve/keys.h"
#include "serve/listen.h"
#include "serve/log.h"
#include "serve/probe.h"

enum {
    CONNECTION_MEMORY = 32 << 10, /* libmicrohttpd's, of a connection: bounds the header */
    BODY_KEPT = 64 << 10,         /* buffers kept for bodies that come in parts */
    BODIES_KEPT = 32,
    ID_SIZE = 64
};

enum phase { PHASE_IDLE, PHASE_BODY, PHASE_WAITING, PHASE_READY, PHASE_SENDING };

struct fby_connection {
    fby_http *http;
    struct MHD_Connection *mhd;
    int fd;
    enum phase phase;
    bool suspended, hung_up, moved;
    bool left;               /* its client hung up while this request waited */
    bool gone;               /* closed while workers write for it */
    uint64_t deadline_ns;    /* of the phase */
    uint64_t sending_ns;     /* when it began to */
    uint64_t answered_bytes; /* of this answer */

    const fby_route *route;
    fby_dialect dialect;
    const char *allow_origin; /* of the configuration */
    uint32_t key;             /* index of the API key */
    char id[ID_SIZE], traceparent[ID_SIZE], param[ID_SIZE];
    char path[ID_SIZE], method[16]; /* cut, where they are longer */
    unsigned status;
    uint64_t received_bytes;

    char *body; /* in parts: from http->bodies, or own */
    size_t body_size, body_capacity;

    fby_exchange exchange;
    fby_connection *next, *previous; /* open, or free */
};

struct fby_http {
    fby_agent *agent;
    struct MHD_Daemon *daemon;
    int fd;
    bool draining;
    bool closed;                 /* a connection was, in this run */
    fby_connection *connections; /* (max_connections) */
    fby_connection *open, *unused;
    uint32_t open_count;
    uint64_t expire_ns; /* no deadline is earlier */
    char *bodies;       /* (BODIES_KEPT, BODY_KEPT) */
    char *bodies_unused[BODIES_KEPT];
    uint32_t bodies_left;
    fby_keys *keys;
    uint64_t next_id;
};

/* ---- connections ---- */

static void set_deadline(fby_connection *connection, uint64_t ms)
{
    fby_http *http = connection->http;
    connection->deadline_ns = fby_now_ns() + ms * 1000000u;
    if (connection->deadline_ns < http->expire_ns)
        http->expire_ns = connection->deadline_ns;
}

static void enter(fby_connection *connection, enum phase phase, uint64_t ms)
{
    connection->phase = phase;
    set_deadline(connection, ms);
}

static const fby_serve_config *config_of(const fby_connection *connection)
{
    return connection->http->agent->config;
}

/* The agent's epoll tells, once, when the client of `fd` has gone. */
static void watch(fby_connection *connection)
{
    struct epoll_event event = {.events = EPOLLRDHUP | EPOLLET, .data.ptr = connection};
    (void)epoll_ctl(connection->http->agent->epoll, EPOLL_CTL_ADD, connection->fd, &event);
}

static fby_connection *open_connection(fby_http *http, struct MHD_Connection *mhd)
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
    enter(connection, PHASE_IDLE, http->agent->config->header_timeout_ms);
    watch(connection);
    return connection;
}

static bool is_under_way(const fby_exchange *exchange)
{
    return exchange->state == FBY_EXCHANGE_TOKENIZING || exchange->state == FBY_EXCHANGE_EMBEDDING;
}

static void reuse_connection(fby_connection *connection)
{
    connection->next = connection->http->unused;
    connection->http->unused = connection;
}

static void close_connection(fby_connection *connection)
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
    connection->gone = is_under_way(&connection->exchange);
    if (!connection->gone)
        reuse_connection(connection);
}

static void notify(void *cls, struct MHD_Connection *mhd, void **context,
                   enum MHD_ConnectionNotificationCode code)
{
    if (code == MHD_CONNECTION_NOTIFY_STARTED)
        *context = open_connection(cls, mhd);
    else if (*context != NULL)
        close_connection(*context);
}

/* ---- bodies that come in parts ---- */

static void drop_body(fby_connection *connection)
{
    fby_http *http = connection->http;
    if (connection->body == NULL)
        return;
    if (connection->body_capacity == BODY_KEPT)
        http->bodies_unused[http->bodies_left++] = connection->body;
    else
        fby_agent_give_own(http->agent, connection->body, connection->body_capacity);
    connection->body = NULL;
    connection->body_size = connection->body_capacity = 0;
}

static bool grow_body(fby_connection *connection, size_t wanted)
{
    fby_http *http = connection->http;
    fby_agent *agent = http->agent;

    if (connection->body == NULL && wanted <= BODY_KEPT && http->bodies_left > 0) {
        connection->body = http->bodies_unused[--http->bodies_left];
        connection->body_capacity = BODY_KEPT;
        return true;
    }
    size_t capacity = fby_max_size(wanted, 2 * connection->body_capacity);
    capacity = fby_max_size(capacity, BODY_KEPT + 1);
    char *body = fby_agent_take_own(agent, capacity);
    if (body == NULL)
        return false;
    size_t size = connection->body_size;
    if (size > 0)
        memcpy(body, connection->body, size);
    drop_body(connection);
    connection->body = body;
    connection->body_size = size;
    connection->body_capacity = capacity;
    return true;
}

static bool refuse(fby_connection *connection, fby_refusal reason, const char *message)
{
    drop_body(connection);
    return fby_refuse(&connection->exchange.error, reason, NULL, "%s", message);
}

static bool refused(const fby_connection *connection)
{
    return connection->exchange.error.reason != FBY_REFUSED_NOT;
}

static void keep_part(fby_connection *connection, const char *part, size_t size)
{
    size_t most = config_of(connection)->max_body_bytes;

    /* SIGHUP may have lowered the limit meanwhile. */
    if (connection->body_size > most || size > most - connection->body_size) {
        refuse(connection, FBY_REFUSED_BODY_TOO_LARGE, "the body is larger than max_body_bytes");
        return;
    }
    size_t wanted = connection->body_size + size;
    if (wanted > connection->body_capacity && !grow_body(connection, wanted)) {
        refuse(connection, FBY_REFUSED_OVERLOADED, "no memory for a body this large now");
        return;
    }
    memcpy(connection->body + connection->body_size, part, size);
    connection->body_size = wanted;
}

/* ---- what a request says before its body ---- */

static const char *header(const fby_connection *connection, const char *name)
{
    return MHD_lookup_connection_value(connection->mhd, MHD_HEADER_KIND, name);
}

/* Copies what may stand in a log and in a header again; "" if it may not. */
static void copy_id(char *to, const char *from)
{
    size_t n = 0;
    to[0] = '\0';
    if (from == NULL)
        return;
    for (; from[n] != '\0'; n++)
        if (n == ID_SIZE - 1 || !isgraph((unsigned char)from[n]) || from[n] == '"')
            return;
    memcpy(to, from, n + 1);
}

static void name_request(fby_connection *connection)
{
    fby_http *http = connection->http;
    copy_id(connection->traceparent, header(connection, "traceparent"));
    copy_id(connection->id, header(connection, "x-request-id"));
    if (connection->id[0] == '\0')
        snprintf(connection->id, sizeof connection->id, "%x-%" PRIx64, http->agent->index,
                 http->next_id++);
}

static const char *allowed_origin(const fby_connection *connection)
{
    const fby_serve_config *config = config_of(connection);
    const char *origin = config->cors_count > 0 ? header(connection, "origin") : NULL;
    for (uint32_t i = 0; origin != NULL && i < config->cors_count; i++)
        if (strcmp(config->cors_origins[i], "*") == 0 ||
            strcasecmp(config->cors_origins[i], origin) == 0)
            return config->cors_origins[i];
    return NULL;
}

static bool check_key(fby_connection *connection)
{
    const char *bearer = header(connection, "authorization"),
               *key = header(connection, "x-api-key");
    if (bearer != NULL && strncasecmp(bearer, "bearer ", 7) == 0)
        key = bearer + 7;
    return fby_keys_find(connection->http->keys, key, &connection->key) ||
           refuse(connection, FBY_REFUSED_NO_KEY, "no valid API key was given");
}

static bool check_size(fby_connection *connection)
{
    const char *length = header(connection, "content-length");
    return length == NULL || strtoull(length, NULL, 10) <= config_of(connection)->max_body_bytes ||
           refuse(connection, FBY_REFUSED_BODY_TOO_LARGE, "the body is larger than max_body_bytes");
}

/* Both at once are how requests are smuggled past proxies (RFC 9112, 6.1). */
static bool check_framing(fby_connection *connection)
{
    return header(connection, "transfer-encoding") == NULL ||
           header(connection, "content-length") == NULL ||
           refuse(connection, FBY_REFUSED_BAD_FIELD,
                  "Content-Length and Transfer-Encoding exclude each other");
}

static bool check_draining(fby_connection *connection)
{
    return !connection->http->draining || connection->route->kind != FBY_ROUTE_API ||
           refuse(connection, FBY_REFUSED_DRAINING, "the server is stopping");
}

static bool is_preflight(const char *method)
{
    return strcmp(method, MHD_HTTP_METHOD_OPTIONS) == 0;
}

static void begin_request(fby_connection *connection, const char *url, const char *method)
{
    fby_exchange *exchange = &connection->exchange;

    exchange->error.reason = FBY_REFUSED_NOT;
    connection->dialect = FBY_DIALECT_NATIVE;
    connection->route = NULL;
    connection->moved = connection->left = false;
    connection->answered_bytes = 0;
    connection->key = 0;
    snprintf(connection->path, sizeof connection->path, "%s", url);
    snprintf(connection->method, sizeof connection->method, "%s", method);
    connection->received_bytes = 0;
    exchange->received_ns = fby_now_ns();
    name_request(connection);
    connection->allow_origin = allowed_origin(connection);
    enter(connection, PHASE_BODY, config_of(connection)->body_timeout_ms);
    if (is_preflight(method))
        return;
    connection->route = fby_api_route(method, url, &connection->dialect, &exchange->error);
    if (connection->route == NULL)
        return;
    connection->dialect = connection->route->dialect;
    if (check_size(connection) && check_framing(connection) &&
        (connection->route->open || check_key(connection)))
        check_draining(connection);
}

/* ---- the whole request is there ---- */

static bool parse(fby_connection *connection, const char *body, size_t size, fby_arena *arena)
{
    fby_http *http = connection->http;
    fby_agent *agent = http->agent;
    fby_exchange *exchange = &connection->exchange;

    uint64_t start_ns = fby_now_ns();
    exchange->received_ns = start_ns;
    exchange->call.dialect = connection->dialect;
    bool parsed = fby_api_parse(agent->api, connection->route, body, size, arena, &exchange->call,
                                &exchange->error);
    connection->dialect = exchange->call.dialect;
    if (!parsed && exchange->error.param != NULL) { /* may lie in the arena */
        snprintf(connection->param, sizeof connection->param, "%s", exchange->error.param);
        exchange->error.param = connection->param;
    }
    fby_time_observe(&agent->metrics->parse, fby_now_ns() - start_ns);
    return parsed;
}

/* `own`: the arena that was parsed into, if it is the exchange's alone. */
static void admit(fby_connection *connection, fby_arena *own)
{
    fby_exchange *exchange = &connection->exchange;
    fby_agent_metrics *metrics = connection->http->agent->metrics;

    if (exchange->call.kind == FBY_CALL_AT_ONCE) {
        if (!fby_keys_take(connection->http->keys, connection->key, 0, fby_now_ns()))
            refuse(connection, FBY_REFUSED_RATE, "this key has used up its rate");
        else
            fby_exchange_answer_at_once(exchange, exchange->call.body, exchange->call.body_size);
        return;
    }
    fby_counter_add(exchange->call.single ? &metrics->single : &metrics->batch, 1);
    if (fby_exchange_admit(exchange, own) &&
        !fby_keys_take(connection->http->keys, connection->key, exchange->queued, fby_now_ns()))
        fby_exchange_cancel(exchange, FBY_REFUSED_RATE, "this key has used up its rate");
}

/* With an arena of its own, as a large request's texts stay until workers have made ids of them. */
static void take_large(fby_connection *connection, const char *body, size_t size)
{
    fby_agent *agent = connection->http->agent;
    fby_arena arena = {.size = fby_api_arena_size(agent->api, size)};

    arena.bytes = fby_agent_take_own(agent, arena.size);
    if (arena.bytes == NULL) {
        refuse(connection, FBY_REFUSED_OVERLOADED, "no memory for a request this large now");
        return;
    }
    if (parse(connection, body, size, &arena))
        admit(connection, fby_exchange_is_small(&connection->exchange.call) ? NULL : &arena);
    fby_agent_give_own(agent, arena.bytes, arena.size);
}

/* `body` need not stay once this returns. */
static void take_request(fby_connection *connection, const char *body, size_t size)
{
    fby_agent *agent = connection->http->agent;

    fby_counter_add(&agent->metrics->received_bytes, size);
    connection->received_bytes = size;
    /* What the agent computes itself must not hold up its other connections. */
    if (size > FBY_SMALL_BYTES && connection->route->counted == FBY_COUNT_TOKENIZE) {
        refuse(connection, FBY_REFUSED_BODY_TOO_LARGE,
               "the body is larger than 65536 bytes, the most that is tokenised at once");
        return;
    }
    if (size > FBY_SMALL_BYTES) {
        take_large(connection, body, size);
        return;
    }
    fby_arena_reset(&agent->arena);
    if (!parse(connection, body, size, &agent->arena))
        return;
    const fby_call *call = &connection->exchange.call;
    if (call->kind == FBY_CALL_AT_ONCE || fby_exchange_is_small(call))
        admit(connection, NULL);
    else
        take_large(connection, body, size); /* short, but of many texts: once more */
}

static void suspend(fby_connection *connection)
{
    connection->suspended = true;
    MHD_suspend_connection(connection->mhd);
}

/* ---- answers ---- */

static ssize_t read_answer(void *cls, uint64_t position, char *out, size_t size)
{
    fby_connection *connection = cls;
    (void)position;
    size_t n = fby_exchange_read(&connection->exchange, out, size);
    connection->answered_bytes += n;
    return n > 0 ? (ssize_t)n : MHD_CONTENT_READER_END_OF_STREAM;
}

static void add_headers(const fby_connection *connection, struct MHD_Response *response)
{
    MHD_add_response_header(response, "x-request-id", connection->id);
    if (connection->traceparent[0] != '\0')
        MHD_add_response_header(response, "traceparent", connection->traceparent);
    if (connection->allow_origin != NULL) {
        MHD_add_response_header(response, "access-control-allow-origin", connection->allow_origin);
        MHD_add_response_header(response, "vary", "origin");
    }
    if (connection->http->draining)
        MHD_add_response_header(response, "connection", "close");
}

static enum MHD_Result send_response(fby_connection *connection, unsigned status,
                                     struct MHD_Response *response)
{
    if (response == NULL)
        return MHD_NO; /* libmicrohttpd has no memory: it closes the connection */
    add_headers(connection, response);
    connection->status = status;
    /* Only what lies in the pool is to be moved out of it. */
    bool pooled = connection->exchange.state == FBY_EXCHANGE_READY && !refused(connection);
    enter(connection, PHASE_SENDING,
          pooled ? config_of(connection)->slow_write_ms : config_of(connection)->write_timeout_ms);
    connection->sending_ns = fby_now_ns();
    enum MHD_Result queued = MHD_queue_response(connection->mhd, status, response);
    MHD_destroy_response(response);
    return queued;
}

static enum MHD_Result send_error(fby_connection *connection)
{
    const fby_api_error *error = &connection->exchange.error;
    char body[FBY_API_ERROR_MAX];
    size_t size = fby_api_error_body(connection->dialect, error, body);
    unsigned status = (unsigned)fby_refusal_status(connection->dialect, error->reason);

    struct MHD_Response *response =
        MHD_create_response_from_buffer(size, body, MHD_RESPMEM_MUST_COPY);
    if (response != NULL && size > 0)
        MHD_add_response_header(response, "content-type", "application/json");
    if (response != NULL && (status == 429 || status == 503))
        MHD_add_response_header(response, "retry-after", "1");
    if (response != NULL && status == 401)
        MHD_add_response_header(response, "www-authenticate", "Bearer");
    if (response != NULL && error->reason == FBY_REFUSED_METHOD)
        MHD_add_response_header(response, "allow", fby_api_allow(connection->path));
    connection->answered_bytes = size;
    return send_response(connection, status, response);
}

static enum MHD_Result send_preflight(fby_connection *connection)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(0, (void *)(uintptr_t) "", MHD_RESPMEM_PERSISTENT);
    if (response != NULL && connection->allow_origin != NULL) {
        MHD_add_response_header(response, "access-control-allow-methods", "GET, POST");
        MHD_add_response_header(
            response, "access-control-allow-headers",
            "authorization, content-type, x-api-key, x-request-id, traceparent");
        MHD_add_response_header(response, "access-control-max-age", "600");
    }
    return send_response(connection, 204, response);
}

static enum MHD_Result send_answer(fby_connection *connection)
{
    fby_exchange *exchange = &connection->exchange;
    fby_header headers[FBY_API_HEADERS_MAX];
    bool at_once = exchange->call.kind == FBY_CALL_AT_ONCE;
    size_t size = fby_exchange_size(exchange);

    struct MHD_Response *response = MHD_create_response_from_callback(
        size == SIZE_MAX ? MHD_SIZE_UNKNOWN : size, 16 << 10, read_answer, connection, NULL);
    if (response == NULL)
        return MHD_NO;
    unsigned count = fby_api_headers(&exchange->call, at_once ? NULL : &exchange->answer, headers);
    for (unsigned i = 0; i < count; i++)
        MHD_add_response_header(response, headers[i].name, headers[i].value);
    return send_response(connection, 200, response);
}

static enum MHD_Result send_probe(fby_connection *connection)
{
    fby_probe probe;
    fby_probe_answer(connection->http->agent, connection->route, &probe);

    struct MHD_Response *response = MHD_create_response_from_buffer(
        probe.size, (void *)(uintptr_t)probe.text, MHD_RESPMEM_MUST_COPY);
    if (response != NULL) {
        MHD_add_response_header(response, "content-type", probe.type);
        MHD_add_response_header(response, "cache-control", "no-cache");
    }
    if (response != NULL && probe.policy != NULL) {
        MHD_add_response_header(response, "content-security-policy", probe.policy);
        MHD_add_response_header(response, "referrer-policy", "no-referrer");
        MHD_add_response_header(response, "x-content-type-options", "nosniff");
    }
    connection->answered_bytes = probe.size;
    enum MHD_Result sent = send_response(connection, probe.status, response);
    fby_probe_end(&probe);
    return sent;
}

static enum MHD_Result answer(fby_connection *connection)
{
    if (refused(connection))
        return send_error(connection);
    if (connection->route == NULL)
        return send_preflight(connection);
    if (connection->route->kind == FBY_ROUTE_API)
        return send_answer(connection);
    return send_probe(connection);
}

static void leave(fby_connection *connection)
{
    connection->left = true;
    fby_exchange_cancel(&connection->exchange, FBY_REFUSED_INTERNAL, "the client is gone");
}

/* The last byte is there: computes, waits, or answers. */
static enum MHD_Result end_of_request(fby_connection *connection)
{
    fby_exchange *exchange = &connection->exchange;

    if (!refused(connection) && connection->route != NULL &&
        connection->route->kind == FBY_ROUTE_API && connection->phase == PHASE_BODY &&
        exchange->state == FBY_EXCHANGE_IDLE) {
        take_request(connection, connection->body, connection->body_size);
        drop_body(connection);
    }
    if (refused(connection) || exchange->state == FBY_EXCHANGE_READY ||
        exchange->state == FBY_EXCHANGE_IDLE)
        return answer(connection);
    enter(connection, PHASE_WAITING, config_of(connection)->request_timeout_ms);
    suspend(connection);
    if (connection->hung_up)
        leave(connection);
    return MHD_YES;
}

static bool is_whole(const fby_connection *connection, size_t size)
{
    const char *length = header(connection, "content-length");
    return connection->body_size == 0 && length != NULL && strtoull(length, NULL, 10) == size &&
           header(connection, "transfer-encoding") == NULL;
}

static void take_part(fby_connection *connection, const char *part, size_t size)
{
    if (refused(connection) || connection->route == NULL ||
        connection->route->kind != FBY_ROUTE_API || connection->exchange.state != FBY_EXCHANGE_IDLE)
        return;
    if (is_whole(connection, size))
        take_request(connection, part, size);
    else
        keep_part(connection, part, size);
}

static enum MHD_Result handle(void *cls, struct MHD_Connection *mhd, const char *url,
                              const char *method, const char *version, const char *part,
                              size_t *part_size, void **begun)
{
    (void)cls;
    (void)version;
    fby_connection *connection =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;

    if (connection == NULL)
        return MHD_NO;
    if (*begun == NULL) {
        *begun = connection;
        begin_request(connection, url, method);
        /* What is too large is not waited for. */
        bool at_once = connection->exchange.error.reason == FBY_REFUSED_BODY_TOO_LARGE;
        return at_once ? answer(connection) : MHD_YES;
    }
    if (*part_size > 0) {
        take_part(connection, part, *part_size);
        *part_size = 0;
        return MHD_YES;
    }
    return end_of_request(connection);
}

static void count_request(const fby_connection *connection)
{
    fby_agent_metrics *metrics = connection->http->agent->metrics;
    const fby_route *route = connection->route;
    const fby_call *call = &connection->exchange.call;
    fby_counter_add(&metrics->requests[route != NULL ? route->counted : FBY_COUNT_OTHER], 1);
    if (refused(connection) || connection->exchange.state != FBY_EXCHANGE_READY ||
        call->kind == FBY_CALL_AT_ONCE)
        return;
    fby_counter_add(call->single ? &metrics->single_answered : &metrics->batch_answered, 1);
    fby_counter_add(&metrics->texts, call->count);
    fby_counter_add(&metrics->tokens, connection->exchange.answer.tokens);
    fby_counter_add(&metrics->truncated_texts, connection->exchange.truncated);
    fby_size_observe(&metrics->request_texts, call->count);
}

static void log_request(const fby_connection *connection)
{
    const fby_serve_config *config = config_of(connection);
    const fby_exchange *exchange = &connection->exchange;
    bool embedded = exchange->state == FBY_EXCHANGE_READY && !refused(connection) &&
                    exchange->call.kind != FBY_CALL_AT_ONCE;
    const union MHD_ConnectionInfo *client =
        MHD_get_connection_info(connection->mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    char address[INET6_ADDRSTRLEN + 1];
    bool has_key = connection->route != NULL && !connection->route->open &&
                   exchange->error.reason != FBY_REFUSED_NO_KEY &&
                   connection->key < config->key_count;

    fby_log_request_line(&(fby_log_request){
        .method = connection->method,
        .path = connection->path,
        .id = connection->id,
        .traceparent = connection->traceparent[0] != '\0' ? connection->traceparent : NULL,
        .address = fby_address_text(client != NULL ? client->client_addr : NULL, address),
        .key = has_key ? config->keys[connection->key].name : NULL,
        .refusal = refused(connection) ? fby_refusal_name(exchange->error.reason) : NULL,
        .status = connection->status,
        .texts = embedded ? exchange->call.count : 0,
        .tokens = embedded ? exchange->answer.tokens : 0,
        .received_bytes = connection->received_bytes,
        .sent_bytes = connection->answered_bytes,
        .total_ns = fby_now_ns() - exchange->received_ns,
        .queue_ns = embedded ? exchange->queue_ns : 0,
        .compute_ns = embedded ? exchange->compute_ns : 0,
    });
}

static void cut_off(fby_connection *connection)
{
    shutdown(connection->fd, SHUT_RDWR); /* libmicrohttpd finds it closed */
    connection->deadline_ns = UINT64_MAX;
}

/* The answer is out, or the connection broke. */
static void completed(void *cls, struct MHD_Connection *mhd, void **begun,
                      enum MHD_RequestTerminationCode code)
{
    (void)cls;
    fby_connection *connection =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
    if (*begun == NULL || connection == NULL)
        return;
    fby_agent *agent = connection->http->agent;
    fby_exchange *exchange = &connection->exchange;
    /* A short answer to a client that is gone may still go into its socket. */
    bool answered = code == MHD_REQUEST_TERMINATED_COMPLETED_OK && !connection->left;
    if (answered)
        count_request(connection);
    else
        fby_counter_add(&agent->metrics->hang_ups, 1);
    if (answered && refused(connection))
        fby_counter_add(&agent->metrics->refused[exchange->error.reason], 1);
    fby_counter_add(&agent->metrics->sent_bytes, connection->answered_bytes);
    if (exchange->state == FBY_EXCHANGE_READY && connection->phase == PHASE_SENDING) {
        uint64_t now_ns = fby_now_ns();
        fby_time_observe(&agent->metrics->write, now_ns - connection->sending_ns);
        fby_time_observe(&agent->metrics->total, now_ns - exchange->received_ns);
    }
    if (agent->config->log_requests)
        log_request(connection);
    drop_body(connection);
    *begun = NULL;
    if (is_under_way(exchange)) { /* broken off before it could wait */
        fby_exchange_cancel(exchange, FBY_REFUSED_INTERNAL, "the client is gone");
        if (is_under_way(exchange))
            return;
    }
    fby_exchange_end(exchange);
    exchange->error.reason = FBY_REFUSED_NOT;
    enter(connection, PHASE_IDLE, agent->config->keepalive_ms);
    if (connection->http->draining)
        cut_off(connection);
}

/* ---- what the agent calls ---- */

void fby_http_ready(void *owner)
{
    fby_connection *connection = owner;
    fby_agent *agent = connection->http->agent;
    const fby_exchange *exchange = &connection->exchange;

    if (!refused(connection)) {
        fby_time_observe(&agent->metrics->tokenize, exchange->tokenize_ns);
        fby_time_observe(&agent->metrics->queue, exchange->queue_ns);
        fby_time_observe(&agent->metrics->compute, exchange->compute_ns);
    }
    if (connection->gone) {
        fby_exchange_end(&connection->exchange);
        reuse_connection(connection);
    }
    if (!connection->suspended)
        return;
    connection->suspended = false;
    enter(connection, PHASE_READY, config_of(connection)->write_timeout_ms);
    MHD_resume_connection(connection->mhd);
}

void fby_http_hung_up(void *owner)
{
    fby_connection *connection = owner;
    connection->hung_up = true;
    if (connection->phase == PHASE_WAITING)
        leave(connection);
}

static void expire(fby_connection *connection)
{
    const fby_serve_config *config = config_of(connection);

    switch (connection->phase) {
    case PHASE_IDLE:
    case PHASE_BODY:
    case PHASE_READY:
        fby_counter_add(&connection->http->agent->metrics->slow_reads,
                        connection->phase != PHASE_IDLE);
        cut_off(connection);
        break;
    case PHASE_WAITING:
        connection->deadline_ns = UINT64_MAX;
        fby_exchange_cancel(&connection->exchange, FBY_REFUSED_SLOW,
                            "not done within request_timeout_ms");
        break;
    case PHASE_SENDING:
        if (!connection->moved && connection->exchange.state == FBY_EXCHANGE_READY &&
            fby_exchange_move(&connection->exchange)) {
            connection->moved = true;
            uint64_t left = config->write_timeout_ms > config->slow_write_ms
                                ? config->write_timeout_ms - config->slow_write_ms
                                : 0;
            set_deadline(connection, left);
            break;
        }
        fby_counter_add(&connection->http->agent->metrics->slow_reads, 1);
        cut_off(connection);
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
        if (c->phase == PHASE_IDLE)
            cut_off(c);
}

fby_status fby_http_reconfigure(fby_http *http, const fby_serve_config *config)
{
    fby_keys *keys;
    fby_status status = fby_keys_open(config, &keys);
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
        if (c->phase == PHASE_WAITING)
            fby_exchange_cancel(&c->exchange, FBY_REFUSED_DRAINING, "the server is stopping");
}

uint32_t fby_http_connections(const fby_http *http)
{
    return http->open_count;
}

/* ---- opening ---- */

static fby_status take_memory(fby_http *http, uint32_t connections)
{
    http->connections = calloc(connections, sizeof *http->connections);
    http->bodies = malloc((size_t)BODIES_KEPT * BODY_KEPT);
    if (http->connections == NULL || http->bodies == NULL)
        return fby_error(FBY_ENOMEM, "no memory for %u connections", connections);
    memset(http->bodies, 0, (size_t)BODIES_KEPT * BODY_KEPT); /* touched */
    for (; http->bodies_left < BODIES_KEPT; http->bodies_left++)
        http->bodies_unused[http->bodies_left] =
            http->bodies + (size_t)http->bodies_left * BODY_KEPT;
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
    const fby_serve_config *config = http->agent->config;
    const struct MHD_OptionItem tls[] = {
        {MHD_OPTION_HTTPS_MEM_CERT, 0, (void *)(uintptr_t)cert},
        {MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)(uintptr_t)key},
        {MHD_OPTION_END, 0, NULL},
    };
    const struct MHD_OptionItem options[] = {
        {MHD_OPTION_LISTEN_SOCKET, listen_fd, NULL},
        {MHD_OPTION_CONNECTION_LIMIT, (intptr_t)config->max_connections, NULL},
        {MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY, NULL},
        {MHD_OPTION_NOTIFY_CONNECTION, (intptr_t)notify, http},
        {MHD_OPTION_NOTIFY_COMPLETED, (intptr_t)completed, http},
        {MHD_OPTION_ARRAY, 0, (void *)(uintptr_t)(cert != NULL ? tls : tls + 2)},
        {MHD_OPTION_END, 0, NULL},
    };
    unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | (cert != NULL ? MHD_USE_TLS : 0);
    http->daemon = MHD_start_daemon(flags, 0, NULL, NULL, handle, http, MHD_OPTION_ARRAY, options,
                                    MHD_OPTION_END);
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
    http->expire_ns = UINT64_MAX;
    fby_status status = take_memory(http, (uint32_t)agent->config->max_connections);
    if (status == FBY_OK)
        status = fby_keys_open(agent->config, &http->keys);
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
