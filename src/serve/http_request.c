/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "serve/http_parts.h"
#include "serve/keys.h"

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
        if (n == FBY_ID_SIZE - 1 || !isgraph((unsigned char)from[n]) || from[n] == '"')
            return;
    memcpy(to, from, n + 1);
}

static void name_request(fby_connection *connection)
{
    fby_http *http = connection->http;
    copy_id(connection->traceparent, header(connection, "traceparent"));
    copy_id(connection->id, header(connection, "x-request-id"));
    if (connection->id[0] == '\0')
        snprintf(connection->id, sizeof connection->id, "%08x-%x-%" PRIx64, http->id_seed,
                 http->agent->index, http->next_id++);
}

static bool check_key(fby_connection *connection)
{
    const char *bearer = header(connection, "authorization"),
               *key = header(connection, "x-api-key");
    if (bearer != NULL && strncasecmp(bearer, "bearer ", 7) == 0)
        key = bearer + 7;
    if (!fby_keys_find(connection->http->keys, key, &connection->key))
        return fby_connection_refuse(connection, FBY_REFUSED_NO_KEY, "no valid API key was given");
    if (connection->key != NULL)
        snprintf(connection->key_name, sizeof connection->key_name, "%s", connection->key->name);
    return true;
}

static bool refuse_rate(fby_connection *connection)
{
    return fby_connection_refuse(connection, FBY_REFUSED_RATE, "this key has used up its rate");
}

static bool check_size(fby_connection *connection)
{
    const char *length = header(connection, "content-length");
    return length == NULL ||
           strtoull(length, NULL, 10) <= fby_connection_config(connection)->max_body_bytes ||
           fby_connection_refuse(connection, FBY_REFUSED_BODY_TOO_LARGE,
                                 "the body is larger than max_body_bytes");
}

struct framing {
    unsigned lengths, codings, hosts;
    bool other_coding; /* than chunked */
};

static enum MHD_Result note_framing(void *cls, enum MHD_ValueKind kind, const char *name,
                                    const char *value)
{
    struct framing *framing = cls;
    (void)kind;
    framing->lengths += strcasecmp(name, "content-length") == 0;
    framing->hosts += strcasecmp(name, "host") == 0;
    if (strcasecmp(name, "transfer-encoding") == 0) {
        framing->codings++;
        framing->other_coding |= value == NULL || strcasecmp(value, "chunked") != 0;
    }
    return MHD_YES;
}

/* Where it is not clear how long a body is, a proxy in front may see other requests than we do
 * (RFC 9112, 6.1 and 6.3): nothing more is read of such a connection. */
static bool check_framing(fby_connection *connection, const char *version)
{
    struct framing framing = {0};
    MHD_get_connection_values(connection->mhd, MHD_HEADER_KIND, note_framing, &framing);
    const char *wrong = NULL;
    if (framing.lengths > 1)
        wrong = "more than one Content-Length";
    else if (framing.codings > 0 && framing.lengths > 0)
        wrong = "Content-Length and Transfer-Encoding exclude each other";
    else if (framing.codings > 1 || framing.other_coding)
        wrong = "a Transfer-Encoding other than chunked";
    else if (framing.hosts != 1 && strcmp(version, MHD_HTTP_VERSION_1_1) == 0)
        wrong = "exactly one Host header is wanted";
    if (wrong == NULL)
        return true;
    connection->last = true;
    return fby_connection_refuse(connection, FBY_REFUSED_BAD_FIELD, wrong);
}

static bool check_draining(fby_connection *connection)
{
    return !connection->http->draining || connection->route->kind != FBY_ROUTE_API ||
           fby_connection_refuse(connection, FBY_REFUSED_DRAINING, "the server is stopping");
}

/* Before the body is read: who has used up a rate costs no more than its header. */
static bool check_rate(fby_connection *connection)
{
    return connection->route->kind != FBY_ROUTE_API ||
           fby_keys_take_request(connection->http->keys, connection->key, fby_now_ns()) ||
           refuse_rate(connection);
}

static bool is_preflight(const char *method)
{
    return strcmp(method, MHD_HTTP_METHOD_OPTIONS) == 0;
}

/* The path of a target in absolute form, "http://host/path" (RFC 9112, 3.2.2). */
static const char *path_of(const char *url)
{
    if (strncasecmp(url, "http://", 7) != 0 && strncasecmp(url, "https://", 8) != 0)
        return url;
    const char *path = strchr(strchr(url, ':') + 3, '/');
    return path != NULL ? path : "/";
}

static void begin_request(fby_connection *connection, const char *url, const char *method,
                          const char *version)
{
    fby_exchange *exchange = &connection->exchange;

    exchange->error.reason = FBY_REFUSED_NOT;
    connection->dialect = FBY_DIALECT_NATIVE;
    connection->route = NULL;
    connection->moved = connection->left = false;
    connection->answered_bytes = connection->asked_bytes = 0;
    connection->key = NULL;
    connection->key_name[0] = '\0';
    connection->status = 0;
    connection->charged = 0;
    connection->last = false;
    snprintf(connection->path, sizeof connection->path, "%s", url);
    snprintf(connection->method, sizeof connection->method, "%s", method);
    connection->received_bytes = 0;
    exchange->received_ns = fby_now_ns();
    name_request(connection);
    fby_connection_enter(connection, FBY_PHASE_BODY,
                         fby_connection_config(connection)->body_timeout_ms);
    if (!is_preflight(method))
        connection->route = fby_api_route(method, url, &connection->dialect, &exchange->error);
    if (!check_framing(connection, version) || connection->route == NULL)
        return;
    if (check_size(connection) && (connection->route->open || check_key(connection)) &&
        check_draining(connection))
        check_rate(connection);
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
        fby_exchange_answer_at_once(exchange, exchange->call.body, exchange->call.body_size);
        return;
    }
    fby_counter_add(exchange->call.single ? &metrics->single : &metrics->batch, 1);
    if (!fby_exchange_admit(exchange, own))
        return;
    connection->charged = exchange->queued;
    if (!fby_keys_take_tokens(connection->http->keys, connection->key, exchange->queued,
                              fby_now_ns()))
        fby_exchange_cancel(exchange, FBY_REFUSED_RATE, "this key has used up its rate");
}

/* With an arena of its own, as a large request's texts stay until workers have made ids of them. */
static void take_large(fby_connection *connection, const char *body, size_t size)
{
    fby_agent *agent = connection->http->agent;
    fby_arena arena = {.size = fby_api_arena_size(agent->api, size)};

    arena.bytes = fby_agent_take_own(agent, arena.size);
    if (arena.bytes == NULL) {
        fby_connection_refuse(connection, FBY_REFUSED_OVERLOADED,
                              "no memory for a request this large now");
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
        fby_connection_refuse(
            connection, FBY_REFUSED_BODY_TOO_LARGE,
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

/* The last byte is there: computes, waits, or answers. */
static enum MHD_Result end_of_request(fby_connection *connection)
{
    fby_exchange *exchange = &connection->exchange;

    if (!fby_connection_refused(connection) && connection->route != NULL &&
        connection->route->kind == FBY_ROUTE_API && connection->phase == FBY_PHASE_BODY &&
        exchange->state == FBY_EXCHANGE_IDLE) {
        take_request(connection, connection->body, connection->body_size);
        fby_connection_drop_body(connection);
    }
    if (fby_connection_refused(connection) || exchange->state == FBY_EXCHANGE_READY ||
        exchange->state == FBY_EXCHANGE_IDLE)
        return fby_http_answer(connection);
    fby_connection_enter(connection, FBY_PHASE_WAITING,
                         fby_connection_config(connection)->request_timeout_ms);
    suspend(connection);
    if (connection->hung_up)
        fby_connection_leave(connection);
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
    if (fby_connection_refused(connection) || connection->route == NULL ||
        connection->route->kind != FBY_ROUTE_API ||
        connection->exchange.state != FBY_EXCHANGE_IDLE) {
        connection->received_bytes += size; /* of no use; but not without end */
        if (connection->received_bytes > fby_connection_config(connection)->max_body_bytes)
            fby_connection_cut_off(connection);
        return;
    }
    if (is_whole(connection, size))
        take_request(connection, part, size);
    else
        fby_connection_keep(connection, part, size);
}

enum MHD_Result fby_http_handle(void *cls, struct MHD_Connection *mhd, const char *url,
                                const char *method, const char *version, const char *part,
                                size_t *part_size, void **begun)
{
    (void)cls;
    fby_connection *connection =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;

    if (connection == NULL)
        return MHD_NO;
    if (*begun == NULL) {
        *begun = connection;
        begin_request(connection, path_of(url), method, version);
        /* What is too large, or how long nobody knows, is not waited for. */
        bool at_once =
            connection->exchange.error.reason == FBY_REFUSED_BODY_TOO_LARGE || connection->last;
        return at_once ? fby_http_answer(connection) : MHD_YES;
    }
    if (*part_size > 0) {
        take_part(connection, part, *part_size);
        *part_size = 0;
        return MHD_YES;
    }
    return end_of_request(connection);
}
