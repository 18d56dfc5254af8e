/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.1 for one agent: connections, their deadlines, their requests. The
 * protocol itself is libmicrohttpd's, run by the agent's loop without threads.
 *
 *     idle ─header─► body ─last byte─► waiting ─ready─► sending ─last byte─► idle
 *      └── keepalive ──┘  body_timeout   request_timeout  slow_write, write_timeout
 *
 * A connection waits suspended; epoll tells the agent when its client is gone.
 * A connection over its deadline is shut down, whatever it does meanwhile, so a
 * client that sends or takes a byte a second holds nothing for long.
 *
 * Threads: the agent's.
 */
#ifndef FBY_SERVE_HTTP_H
#define FBY_SERVE_HTTP_H

#include <stdbool.h>
#include <stdint.h>

#include "serve/agent.h"

typedef struct fby_connection fby_connection;

/* Takes `listen_fd` over once it succeeds. `cert` and `key`: PEM; NULL: no TLS. */
fby_status fby_http_open(fby_agent *agent, int listen_fd, const char *cert, const char *key,
                         fby_http **http);
/* No exchange is admitted any more. */
void fby_http_close(fby_http *http);

/* Readable when there is something for fby_http_run(). */
int fby_http_fd(const fby_http *http);
/* Serves what is there. True: call it again before sleeping. */
bool fby_http_run(fby_http *http);
/* Shuts down and cancels what is over its deadline; returns the earliest deadline to come, in
 * monotonic nanoseconds, UINT64_MAX for none. */
uint64_t fby_http_expire(fby_http *http, uint64_t now_ns);

/* Accepts nothing new from here on; idle connections are closed. */
void fby_http_drain(fby_http *http);
/* Takes on the keys of `config`; the agent has it from then on. FBY_ENOMEM: nothing changed. */
fby_status fby_http_reconfigure(fby_http *http, const fby_serve_config *config);
bool fby_http_draining(const fby_http *http);
/* Cancels every exchange. */
void fby_http_abandon(fby_http *http);
uint32_t fby_http_connections(const fby_http *http);

/* From the loop: the client of `owner` is gone; its exchange is ready. */
void fby_http_hung_up(void *owner);
void fby_http_ready(void *owner);

#endif
