/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of an agent's HTTP share, and nobody else calls:
 *
 *     http.c               the daemon, and what the agent's loop calls
 *     http_connection.c    a connection, its deadline, a body that comes in parts
 *     http_request.c       what comes in, up to the exchange
 *     http_answer.c        what goes out, counted and logged
 *
 * Threads: the agent's.
 */
#ifndef FBY_SERVE_HTTP_PARTS_H
#define FBY_SERVE_HTTP_PARTS_H

#include <microhttpd.h>

#include "serve/http.h"

typedef struct fby_keys fby_keys;

enum {
    FBY_BODY_KEPT = 64 << 10, /* buffers kept for bodies that come in parts */
    FBY_BODIES_KEPT = 32,
    FBY_ID_SIZE = 64,
    FBY_SLOWEST = 256 << 10 /* bytes/s: who takes an answer so fast is not cut off */
};

typedef enum fby_phase {
    FBY_PHASE_IDLE,
    FBY_PHASE_BODY,
    FBY_PHASE_WAITING,
    FBY_PHASE_READY,
    FBY_PHASE_SENDING
} fby_phase;

struct fby_connection {
    fby_http *http;
    struct MHD_Connection *mhd;
    int fd;
    fby_phase phase;
    bool suspended, hung_up, moved;
    bool left;               /* its client hung up while this request waited */
    bool last;               /* it is closed after this answer */
    bool gone;               /* closed while workers write for it */
    uint64_t deadline_ns;    /* of the phase */
    uint64_t sending_ns;     /* when it began to */
    uint64_t answered_bytes; /* of this answer */
    uint64_t asked_bytes;    /* of them, when the deadline was last put off */

    const fby_route *route;
    fby_dialect dialect;
    const char *allow_origin;   /* of the configuration */
    const fby_config_key *key;  /* NULL: none was asked for, or given; only compared */
    uint64_t charged;           /* tokens that the key was counted with */
    char key_name[FBY_ID_SIZE]; /* for the log; cut */
    char id[FBY_ID_SIZE], traceparent[FBY_ID_SIZE], param[FBY_ID_SIZE];
    char path[FBY_ID_SIZE], method[16]; /* cut, where they are longer */
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
    char *bodies;       /* (FBY_BODIES_KEPT, FBY_BODY_KEPT) */
    char *bodies_unused[FBY_BODIES_KEPT];
    uint32_t bodies_left;
    fby_keys *keys;
    uint32_t id_seed; /* so that no two servers' requests have one id */
    uint64_t next_id;
    size_t body_bytes; /* of bodies larger than the kept buffers */
};

/* ---- a connection ---- */

/* One that libmicrohttpd has accepted; NULL: none is left. */
fby_connection *fby_connection_open(fby_http *http, struct MHD_Connection *mhd);
void fby_connection_close(fby_connection *connection);
/* To the free ones, once workers are done with it. */
void fby_connection_reuse(fby_connection *connection);

void fby_connection_enter(fby_connection *connection, fby_phase phase, uint64_t ms);
void fby_connection_deadline(fby_connection *connection, uint64_t ms);
/* Shuts it down; libmicrohttpd finds it closed. */
void fby_connection_cut_off(fby_connection *connection);
/* Its client is gone. */
void fby_connection_leave(fby_connection *connection);

static inline const fby_serve_config *fby_connection_config(const fby_connection *connection)
{
    return connection->http->agent->config;
}

/* False, for the caller to return. */
bool fby_connection_refuse(fby_connection *connection, fby_refusal reason, const char *message);

static inline bool fby_connection_refused(const fby_connection *connection)
{
    return connection->exchange.error.reason != FBY_REFUSED_NOT;
}

/* Adds a part to the body that has come so far, or refuses the request. */
void fby_connection_keep(fby_connection *connection, const char *part, size_t size);
void fby_connection_drop_body(fby_connection *connection);

/* ---- a request and its answer ---- */

/* libmicrohttpd's MHD_AccessHandlerCallback and MHD_RequestCompletedCallback. */
enum MHD_Result fby_http_handle(void *cls, struct MHD_Connection *mhd, const char *url,
                                const char *method, const char *version, const char *part,
                                size_t *part_size, void **begun);
void fby_http_completed(void *cls, struct MHD_Connection *mhd, void **begun,
                        enum MHD_RequestTerminationCode code);
/* Queues the answer that is there, or the refusal. */
enum MHD_Result fby_http_answer(fby_connection *connection);

#endif
