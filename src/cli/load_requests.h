/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP requests that ask for embeddings, written out before the clock runs.
 *
 *     fby_load_requests r = {0}; --> fby_load_requests_make --> fby_load_requests_clear
 *
 * Threads: constant once made.
 */
#ifndef FBY_CLI_LOAD_REQUESTS_H
#define FBY_CLI_LOAD_REQUESTS_H

#include <stddef.h>

#include "base/status.h"
#include "forebay/embed.h"

typedef enum fby_load_encoding {
    FBY_LOAD_BASE64 = 0, /* POST /v1/embeddings, little-endian floats as base64 */
    FBY_LOAD_FLOAT,      /* POST /v1/embeddings, numbers */
    FBY_LOAD_TEI         /* POST /embed, numbers */
} fby_load_encoding;

typedef struct fby_load_target {
    const char *host; /* for the header: "127.0.0.1:8080" */
    const char *base; /* before the route: "" */
    const char *key;  /* API key; NULL: none */
    fby_load_encoding encoding;
} fby_load_target;

typedef struct fby_load_requests {
    char *bytes;
    size_t *starts; /* (count + 1): request i is bytes[starts[i]] … bytes[starts[i + 1]] */
    size_t count;
} fby_load_requests;

/* A request for every `batch` texts in a row (the last may have fewer); a batch of 1 is sent as a
 * string, not as a list. The model is not named: the first that is served answers. FBY_ENOMEM. */
fby_status fby_load_requests_make(const fby_text *texts, size_t count, size_t batch,
                                  const fby_load_target *target, fby_load_requests *requests);

void fby_load_requests_clear(fby_load_requests *requests);

#endif
