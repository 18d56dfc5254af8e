/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "serve/http_parts.h"
#include "serve/listen.h"
#include "serve/log.h"
#include "serve/probe.h"

static ssize_t read_answer(void *cls, uint64_t position, char *out, size_t size)
{
    fby_connection *connection = cls;
    (void)position;
    size_t n = fby_exchange_read(&connection->exchange, out, size);
    connection->answered_bytes += n;
    return n > 0 ? (ssize_t)n : MHD_CONTENT_READER_END_OF_STREAM;
}

static const char *allowed_origin(const fby_connection *connection)
{
    const fby_serve_config *config = fby_connection_config(connection);
    const char *origin =
        config->cors_count > 0
            ? MHD_lookup_connection_value(connection->mhd, MHD_HEADER_KIND, "origin")
            : NULL;
    for (uint32_t i = 0; origin != NULL && i < config->cors_count; i++)
        if (strcmp(config->cors_origins[i], "*") == 0 ||
            strcasecmp(config->cors_origins[i], origin) == 0)
            return config->cors_origins[i];
    return NULL;
}

static void add_headers(const fby_connection *connection, struct MHD_Response *response)
{
    MHD_add_response_header(response, "x-request-id", connection->id);
    if (connection->traceparent[0] != '\0')
        MHD_add_response_header(response, "traceparent", connection->traceparent);
    const char *origin = allowed_origin(connection);
    if (origin != NULL) {
        MHD_add_response_header(response, "access-control-allow-origin", origin);
        MHD_add_response_header(response, "access-control-expose-headers",
                                "x-request-id, x-forebay-truncated, x-forebay-ignored");
        MHD_add_response_header(response, "vary", "origin");
    }
    if (connection->http->draining || connection->last)
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
    bool pooled =
        connection->exchange.state == FBY_EXCHANGE_READY && !fby_connection_refused(connection);
    fby_connection_enter(connection, FBY_PHASE_SENDING,
                         pooled ? fby_connection_config(connection)->slow_write_ms
                                : fby_connection_config(connection)->write_timeout_ms);
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
    if (response != NULL && allowed_origin(connection) != NULL) {
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

enum MHD_Result fby_http_answer(fby_connection *connection)
{
    if (fby_connection_refused(connection))
        return send_error(connection);
    if (connection->route == NULL)
        return send_preflight(connection);
    if (connection->route->kind == FBY_ROUTE_API)
        return send_answer(connection);
    return send_probe(connection);
}

/* ---- it is out ---- */

static void count_request(const fby_connection *connection)
{
    fby_agent_metrics *metrics = connection->http->agent->metrics;
    const fby_route *route = connection->route;
    const fby_call *call = &connection->exchange.call;
    fby_counter_add(&metrics->requests[route != NULL ? route->counted : FBY_COUNT_OTHER], 1);
    if (fby_connection_refused(connection) || connection->exchange.state != FBY_EXCHANGE_READY ||
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
    const fby_exchange *exchange = &connection->exchange;
    bool embedded = exchange->state == FBY_EXCHANGE_READY && !fby_connection_refused(connection) &&
                    exchange->call.kind != FBY_CALL_AT_ONCE;
    const union MHD_ConnectionInfo *client =
        MHD_get_connection_info(connection->mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    char address[INET6_ADDRSTRLEN + 1];
    fby_log_request_line(&(fby_log_request){
        .method = connection->method,
        .path = connection->path,
        .id = connection->id,
        .traceparent = connection->traceparent[0] != '\0' ? connection->traceparent : NULL,
        .address = fby_address_text(client != NULL ? client->client_addr : NULL, address),
        .key = connection->key_name[0] != '\0' ? connection->key_name : NULL,
        .refusal =
            fby_connection_refused(connection) ? fby_refusal_name(exchange->error.reason) : NULL,
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

/* The answer is out, or the connection broke. */
void fby_http_completed(void *cls, struct MHD_Connection *mhd, void **begun,
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
    if (answered && fby_connection_refused(connection))
        fby_counter_add(&agent->metrics->refused[exchange->error.reason], 1);
    fby_counter_add(&agent->metrics->sent_bytes, connection->answered_bytes);
    if (exchange->state == FBY_EXCHANGE_READY && connection->phase == FBY_PHASE_SENDING) {
        uint64_t now_ns = fby_now_ns();
        fby_time_observe(&agent->metrics->write, now_ns - connection->sending_ns);
        fby_time_observe(&agent->metrics->total, now_ns - exchange->received_ns);
    }
    if (agent->config->log_requests)
        log_request(connection);
    fby_connection_drop_body(connection);
    *begun = NULL;
    if (fby_exchange_under_way(exchange)) { /* broken off before it could wait */
        fby_exchange_cancel(exchange, FBY_REFUSED_INTERNAL, "the client is gone");
        if (fby_exchange_under_way(exchange))
            return;
    }
    fby_exchange_end(exchange);
    exchange->error.reason = FBY_REFUSED_NOT;
    fby_connection_enter(connection, FBY_PHASE_IDLE, agent->config->keepalive_ms);
    if (connection->http->draining)
        fby_connection_cut_off(connection);
}
