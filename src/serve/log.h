/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines on standard error: text for people, JSON for what gathers logs.
 *
 *     12:00:01.123 warn  slow client  address="127.0.0.1" waited_ms=100
 *     {"time":"2026-11-21T12:00:01.123Z","level":"warn","message":"slow client","address":...}
 *
 * A line is made on the caller's stack and written by one write(2); one that is
 * too long is cut at a field. Nothing is allocated, nothing locked; where whoever
 * reads the lines is behind, or gone, nobody waits: the line is dropped and counted.
 *
 * Threads: any may call anything here.
 */
#ifndef FBY_SERVE_LOG_H
#define FBY_SERVE_LOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "serve/config.h"

/* In the order of the setting's words. */
typedef enum fby_log_level {
    FBY_LOG_DEBUG = 0,
    FBY_LOG_INFO = 1,
    FBY_LOG_WARN = 2,
    FBY_LOG_ERROR = 3
} fby_log_level;

/* To `fd` from here on (at first standard error, text, info). FBY_LOG_AUTO is text on a terminal,
 * JSON otherwise. May be called again while others log. */
void fby_log_open(int fd, fby_log_format format, fby_log_level level);

bool fby_log_on(fby_log_level level);

/* Lines that could not be written. */
uint64_t fby_log_dropped(void);

typedef enum fby_log_kind {
    FBY_LOG_FIELD_TEXT, /* any bytes; what is not UTF-8 becomes U+FFFD; NULL: the field is left out
                         */
    FBY_LOG_FIELD_UINT,
    FBY_LOG_FIELD_MS /* nanoseconds, written as milliseconds with three decimals */
} fby_log_kind;

typedef struct fby_log_field {
    const char *name; /* an identifier */
    fby_log_kind kind;
    const char *text;
    size_t size;
    uint64_t number;
} fby_log_field;

/* `message` is a constant of ours: no character in it wants escaping. */
void fby_log_fields(fby_log_level level, const char *message, const fby_log_field *fields,
                    size_t count);

/* A field of fby_log(): its name and what it says. */
static inline fby_log_field fby_log_bytes(const char *name, const char *text, size_t size)
{
    return (fby_log_field){.name = name, .kind = FBY_LOG_FIELD_TEXT, .text = text, .size = size};
}
static inline fby_log_field fby_log_text(const char *name, const char *text)
{
    return fby_log_bytes(name, text, text != NULL ? __builtin_strlen(text) : 0);
}
static inline fby_log_field fby_log_uint(const char *name, uint64_t number)
{
    return (fby_log_field){.name = name, .kind = FBY_LOG_FIELD_UINT, .number = number};
}
static inline fby_log_field fby_log_ms(const char *name, uint64_t ns)
{
    return (fby_log_field){.name = name, .kind = FBY_LOG_FIELD_MS, .number = ns};
}

static inline void fby_log_say(fby_log_level level, const char *message)
{
    fby_log_fields(level, message, NULL, 0);
}

/* fby_log(FBY_LOG_INFO, "listening", fby_log_text("host", host), fby_log_uint("port", port)) */
#define fby_log(level, message, ...)                                                               \
    do {                                                                                           \
        if (fby_log_on(level)) {                                                                   \
            const fby_log_field fields_[] = {__VA_ARGS__};                                         \
            fby_log_fields((level), (message), fields_, sizeof fields_ / sizeof fields_[0]);       \
        }                                                                                          \
    } while (0)

/* What might be said a thousand times a second is said once in so long. */
enum { FBY_LOG_PAUSE_S = 10 };
typedef struct fby_log_limit { /* static, zero at first */
    _Atomic uint64_t next_ns;  /* nothing before */
    _Atomic uint64_t silent;   /* not said since the last */
} fby_log_limit;

/* Whether it is time to say it; `*silent` is how often it was not said since. */
bool fby_log_may(fby_log_limit *limit, uint64_t now_ns, uint64_t *silent);

/* The same as fby_log() at most once in FBY_LOG_PAUSE_S, with a field `not_said` if that left some
 * out. */
#define fby_log_limited(limit, now_ns, level, message, ...)                                        \
    do {                                                                                           \
        uint64_t silent_;                                                                          \
        if (fby_log_on(level) && fby_log_may((limit), (now_ns), &silent_)) {                       \
            const fby_log_field fields_[] = {fby_log_uint("not_said", silent_), __VA_ARGS__};      \
            fby_log_fields((level), (message), fields_ + (silent_ == 0),                           \
                           sizeof fields_ / sizeof fields_[0] - (silent_ == 0));                   \
        }                                                                                          \
    } while (0)

/* One line a request, where log_requests asks for it. */
typedef struct fby_log_request {
    const char *method, *path; /* without query; any bytes */
    const char *id;            /* x-request-id; NULL: none */
    const char *traceparent;   /* NULL: none */
    const char *address;       /* the client's; NULL: a Unix socket */
    const char *key;           /* the key's name; NULL: none was asked for */
    const char *refusal;       /* fby_refusal_name(); NULL: answered */
    unsigned status;
    uint32_t texts;
    uint64_t tokens, received_bytes, sent_bytes;
    uint64_t total_ns, queue_ns, compute_ns;
} fby_log_request;

void fby_log_request_line(const fby_log_request *request);

#endif
