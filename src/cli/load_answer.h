/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where an HTTP/1.1 answer ends, found while its bytes come in: nothing of it
 * is kept but the status (RFC 9112, sections 4 to 7.1).
 *
 *     fby_load_answer_begin --> fby_load_answer_take ... until FBY_ANSWER_WHOLE
 *
 * Threads: one an answer.
 */
#ifndef FBY_CLI_LOAD_ANSWER_H
#define FBY_CLI_LOAD_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum fby_answer_state {
    FBY_ANSWER_PART = 0, /* there is more to come */
    FBY_ANSWER_WHOLE,
    FBY_ANSWER_BROKEN /* no HTTP that we know: the connection is of no more use */
} fby_answer_state;

typedef struct fby_load_answer {
    uint16_t status;       /* 200; 0 until the status line is there */
    bool close;            /* the server will close the connection behind it */
    uint64_t body_size;    /* bytes of the body so far */
    enum fby_answer_step { /* what the next byte belongs to */
                           FBY_ANSWER_STATUS_LINE,
                           FBY_ANSWER_HEADER,
                           FBY_ANSWER_BODY,
                           FBY_ANSWER_TO_END, /* of the connection: no length was given */
                           FBY_ANSWER_CHUNK_SIZE,
                           FBY_ANSWER_CHUNK,
                           FBY_ANSWER_CHUNK_END,
                           FBY_ANSWER_TRAILER
    } step;
    uint64_t left; /* of the body or chunk */
    bool chunked, has_length;
    uint16_t line_size;
    char line[256]; /* one in parts; the rest of a longer one is of no interest */
} fby_load_answer;

void fby_load_answer_begin(fby_load_answer *answer);

/* Takes from `size` bytes what belongs to this answer and says how many in `*taken`; what is left
 * belongs to the next. */
fby_answer_state fby_load_answer_take(fby_load_answer *answer, const char *bytes, size_t size,
                                      size_t *taken);

/* The connection was closed: whether the answer is whole for it. */
bool fby_load_answer_ends(const fby_load_answer *answer);

#endif
