/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/load_answer.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/bits.h"

void fby_load_answer_begin(fby_load_answer *answer)
{
    answer->status = 0;
    answer->close = answer->chunked = answer->has_length = false;
    answer->body_size = answer->left = 0;
    answer->step = FBY_ANSWER_STATUS_LINE;
    answer->line_size = 0;
}

/* Takes up to and with the next LF. True: answer->line is a whole line, without its end. */
static bool take_line(fby_load_answer *answer, const char *bytes, size_t size, size_t *taken)
{
    const char *end = memchr(bytes, '\n', size);
    size_t n = end != NULL ? (size_t)(end - bytes) : size;
    size_t kept = fby_min_size(n, sizeof answer->line - 1 - answer->line_size);

    memcpy(answer->line + answer->line_size, bytes, kept);
    answer->line_size = (uint16_t)(answer->line_size + kept);
    *taken = n + (end != NULL);
    if (end == NULL)
        return false;
    if (answer->line_size > 0 && answer->line[answer->line_size - 1] == '\r')
        answer->line_size--;
    answer->line[answer->line_size] = '\0';
    return true;
}

static bool read_status(fby_load_answer *answer)
{
    const char *line = answer->line;
    if (strncmp(line, "HTTP/1.", 7) != 0 || answer->line_size < 12 || line[8] != ' ')
        return false;
    answer->status = (uint16_t)strtoul(line + 9, NULL, 10);
    answer->close = line[7] == '0';
    answer->step = FBY_ANSWER_HEADER;
    return answer->status >= 100 && answer->status <= 999;
}

/* What stands behind `name` and its colon; NULL if the line is another header. */
static const char *value_of(const fby_load_answer *answer, const char *name)
{
    size_t size = strlen(name);
    if (strncasecmp(answer->line, name, size) != 0 || answer->line[size] != ':')
        return NULL;
    const char *value = answer->line + size + 1;
    return value + strspn(value, " \t");
}

/* Behind the empty line. */
static fby_answer_state begin_body(fby_load_answer *answer)
{
    if (answer->status < 200) { /* 100 Continue: the answer itself follows */
        bool close = answer->close;
        fby_load_answer_begin(answer);
        answer->close = close;
        return FBY_ANSWER_PART;
    }
    if (answer->status == 204 || answer->status == 304)
        return FBY_ANSWER_WHOLE;
    answer->step = answer->chunked      ? FBY_ANSWER_CHUNK_SIZE
                   : answer->has_length ? FBY_ANSWER_BODY
                                        : FBY_ANSWER_TO_END;
    return answer->step == FBY_ANSWER_BODY && answer->left == 0 ? FBY_ANSWER_WHOLE
                                                                : FBY_ANSWER_PART;
}

static fby_answer_state read_header(fby_load_answer *answer)
{
    const char *value;
    if (answer->line_size == 0)
        return begin_body(answer);
    if ((value = value_of(answer, "content-length")) != NULL) {
        answer->left = strtoull(value, NULL, 10);
        answer->has_length = true;
    } else if ((value = value_of(answer, "transfer-encoding")) != NULL) {
        answer->chunked = strcasecmp(value, "chunked") == 0;
    } else if ((value = value_of(answer, "connection")) != NULL) {
        answer->close = strcasecmp(value, "close") == 0;
    }
    return FBY_ANSWER_PART;
}

static fby_answer_state read_chunk_size(fby_load_answer *answer)
{
    char *end;
    answer->left = strtoull(answer->line, &end, 16);
    if (end == answer->line)
        return FBY_ANSWER_BROKEN;
    answer->step = answer->left > 0 ? FBY_ANSWER_CHUNK : FBY_ANSWER_TRAILER;
    return FBY_ANSWER_PART;
}

/* A whole line of a step that is made of lines. */
static fby_answer_state read_line(fby_load_answer *answer)
{
    switch (answer->step) {
    case FBY_ANSWER_STATUS_LINE:
        return read_status(answer) ? FBY_ANSWER_PART : FBY_ANSWER_BROKEN;
    case FBY_ANSWER_HEADER:
        return read_header(answer);
    case FBY_ANSWER_CHUNK_SIZE:
        return read_chunk_size(answer);
    case FBY_ANSWER_CHUNK_END:
        answer->step = FBY_ANSWER_CHUNK_SIZE;
        return answer->line_size == 0 ? FBY_ANSWER_PART : FBY_ANSWER_BROKEN;
    default:
        return answer->line_size == 0 ? FBY_ANSWER_WHOLE : FBY_ANSWER_PART;
    }
}

static fby_answer_state take_body(fby_load_answer *answer, size_t size, size_t *taken)
{
    size_t n = answer->step == FBY_ANSWER_TO_END ? size : fby_min_size(size, answer->left);
    answer->body_size += n;
    *taken = n;
    if (answer->step == FBY_ANSWER_TO_END)
        return FBY_ANSWER_PART;
    answer->left -= n;
    if (answer->left > 0)
        return FBY_ANSWER_PART;
    if (answer->step == FBY_ANSWER_BODY)
        return FBY_ANSWER_WHOLE;
    answer->step = FBY_ANSWER_CHUNK_END;
    return FBY_ANSWER_PART;
}

fby_answer_state fby_load_answer_take(fby_load_answer *answer, const char *bytes, size_t size,
                                      size_t *taken)
{
    fby_answer_state state = FBY_ANSWER_PART;
    size_t used = 0;

    while (used < size && state == FBY_ANSWER_PART) {
        size_t n = 0;
        if (answer->step == FBY_ANSWER_BODY || answer->step == FBY_ANSWER_CHUNK ||
            answer->step == FBY_ANSWER_TO_END) {
            state = take_body(answer, size - used, &n);
        } else if (take_line(answer, bytes + used, size - used, &n)) {
            state = read_line(answer);
            answer->line_size = 0;
        }
        used += n;
    }
    *taken = used;
    return state;
}

bool fby_load_answer_ends(const fby_load_answer *answer)
{
    return answer->step == FBY_ANSWER_TO_END;
}
