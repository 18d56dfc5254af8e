/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What travels between agents and workers, by value. A worker learns from an
 * event all that it needs: where the input lies, where the answer goes, whom to
 * tell. It never knows what protocol asked. Of the exchange it reads whether it was
 * cancelled, and has it make ids of texts.
 */
#ifndef FBY_SERVE_EVENT_H
#define FBY_SERVE_EVENT_H

#include <stdint.h>

#include "base/status.h"

typedef struct fby_exchange fby_exchange;

typedef enum fby_event_kind {
    FBY_EVENT_EMBED = 0, /* ids to one vector */
    FBY_EVENT_ROWS,      /* ids to a vector a token */
    FBY_EVENT_TOKENIZE   /* texts to ids */
} fby_event_kind;

typedef enum fby_lane {
    FBY_LANE_MAIN = 0,
    FBY_LANE_BULK, /* texts of requests that are more than a batch */
    FBY_LANE_LONG, /* texts above long_tokens */
    FBY_LANES
} fby_lane;

typedef struct fby_event {
    uint8_t kind;    /* fby_event_kind */
    uint8_t served;  /* which model */
    uint8_t agent;   /* to tell */
    uint8_t lane;    /* fby_lane, where it stands */
    uint32_t tokens; /* of the input; TOKENIZE: what it costs in tokens, about */
    uint32_t text;   /* of the exchange, the first one */
    uint32_t texts;
    const uint32_t *ids; /* (tokens) */
    float *out;          /* EMBED: (dim); ROWS: (tokens, hidden) */
    fby_exchange *exchange;
    uint64_t published_ns;
} fby_event;

typedef struct fby_completion {
    fby_exchange *exchange;
    uint32_t text, texts, tokens; /* as in the event */
    int16_t status;               /* fby_status */
    uint8_t kind, lane;           /* as in the event */
    uint64_t queued_ns;           /* from publishing to claiming */
    uint64_t compute_ns;          /* of the batch that it was part of */
} fby_completion;

/* Both fit a slot of 64 bytes, whose last 8 are the disruptor's. */
_Static_assert(sizeof(fby_event) <= 56 && sizeof(fby_completion) <= 56, "an event fits its slot");

#endif
