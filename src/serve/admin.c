/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/admin.h"

#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "serve/listen.h"

enum { CONNECTIONS = 256, TIMEOUT_S = 5, CONNECTION_MEMORY = 16 << 10 };

struct fby_admin {
    fby_admin_source source;
    struct MHD_Daemon *daemon;
    uint16_t port;
};

static enum MHD_Result send_response(struct MHD_Connection *connection, unsigned status,
                                     const char *type, struct MHD_Response *response)
{
    if (response == NULL)
        return MHD_NO; /* no memory: the connection is closed */
    if (type != NULL)
        MHD_add_response_header(response, "content-type", type);
    MHD_add_response_header(response, "cache-control", "no-store");
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(response, "allow", "GET, HEAD");
    enum MHD_Result queued = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return queued;
}

static enum MHD_Result send_text(struct MHD_Connection *connection, unsigned status,
                                 const char *type, const char *text)
{
    return send_response(connection, status, type,
                         MHD_create_response_from_buffer(strlen(text), (void *)(uintptr_t)text,
                                                         MHD_RESPMEM_MUST_COPY));
}

static enum MHD_Result send_health(struct MHD_Connection *connection, const fby_health *health)
{
    return send_text(connection, health->status, "application/json", health->body);
}

static enum MHD_Result send_metrics(struct MHD_Connection *connection,
                                    const fby_admin_source *source)
{
    size_t used;
    char *text = source->metrics(source->context, &used);
    if (text == NULL)
        return send_text(connection, MHD_HTTP_SERVICE_UNAVAILABLE, "text/plain", "no memory\n");
    struct MHD_Response *response =
        MHD_create_response_from_buffer(used, text, MHD_RESPMEM_MUST_FREE);
    if (response == NULL)
        free(text);
    return send_response(connection, MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8",
                         response);
}

static enum MHD_Result answer(void *context, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *body,
                              size_t *body_size, void **begun)
{
    const fby_admin_source *source = &((const fby_admin *)context)->source;
    static char once;

    (void)version;
    (void)body;
    if (*begun == NULL) { /* the header is there; the answer waits for the end of a body */
        *begun = &once;
        return MHD_YES;
    }
    if (*body_size > 0) { /* of no interest */
        *body_size = 0;
        return MHD_YES;
    }
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
        return send_text(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "text/plain", "GET only\n");
    if (strcmp(url, "/live") == 0) {
        fby_health health = source->live(source->context);
        return send_health(connection, &health);
    }
    if (strcmp(url, "/health") == 0) {
        fby_health health = source->ready(source->context);
        return send_health(connection, &health);
    }
    if (strcmp(url, "/metrics") == 0)
        return send_metrics(connection, source);
    return send_text(connection, MHD_HTTP_NOT_FOUND, "text/plain", "/live, /health, /metrics\n");
}

fby_status fby_admin_open(const char *host, uint16_t port, const fby_admin_source *source,
                          fby_admin **out)
{
    int fd;
    fby_admin *admin = malloc(sizeof *admin);
    if (admin == NULL)
        return fby_error(FBY_ENOMEM, "no memory for the admin port");
    *admin = (fby_admin){.source = *source};
    fby_status status = fby_listen_tcp(host, port, false, &admin->port, &fd);
    if (status != FBY_OK) {
        fby_error_prefix(status, "admin port");
        goto free_admin;
    }
    admin->daemon = MHD_start_daemon(
        MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_EPOLL, 0, NULL, NULL, answer, admin,
        MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)TIMEOUT_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)CONNECTION_MEMORY, MHD_OPTION_END);
    if (admin->daemon == NULL) {
        status = fby_error(FBY_EIO, "admin port: libmicrohttpd does not start");
        goto close_fd;
    }
    *out = admin;
    return FBY_OK;

close_fd:
    close(fd);
free_admin:
    free(admin);
    return status;
}

uint16_t fby_admin_port(const fby_admin *admin)
{
    return admin->port;
}

void fby_admin_close(fby_admin *admin)
{
    if (admin == NULL)
        return;
    MHD_stop_daemon(admin->daemon); /* closes the socket, too */
    free(admin);
}
