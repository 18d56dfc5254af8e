/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What follows from a server's configuration, its models and the machine: how
 * many workers, how large a batch, how much memory for what. Pure; any thread.
 */
#ifndef FBY_SERVE_PLAN_H
#define FBY_SERVE_PLAN_H

#include <stddef.h>

#include "serve/config.h"

typedef struct fby_serve_machine {
    uint32_t processors;
    uint64_t memory_bytes; /* that the process may use */
} fby_serve_machine;

typedef struct fby_serve_plan {
    uint32_t workers;
    uint64_t batch_tokens;
    uint32_t long_slots; /* of the long lane */
    size_t ready_bytes;  /* of all agents' large_bytes: there from the start */

    /* Of each agent. */
    uint32_t connections;  /* open at once */
    size_t pool_bytes;     /* its ring pool */
    size_t large_bytes;    /* large requests, and answers that wait for a slow client */
    uint64_t ahead_tokens; /* published before the workers have done what came before */
    uint64_t max_queued;   /* tokens, admitted and not done */
    uint32_t max_events;   /* published and not completed, a power of two */
    uint32_t max_long;     /* of them in the long lane */
} fby_serve_plan;

/* `dim`: the largest of the models'. The pool takes at most an eighth of the memory, large requests
 * a quarter and a gigabyte, where the configuration does not say how much. */
fby_serve_plan fby_serve_plan_make(const fby_serve_config *config, const fby_serve_machine *machine,
                                   uint32_t dim);

#endif
