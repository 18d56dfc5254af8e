/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/log.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "model/utf8.h"

/* A line's bytes: under PIPE_BUF, so that lines of several threads never mix in a pipe. */
enum { LINE_SIZE = 4000 };

struct line {
    size_t used;
    bool json, full;
    char bytes[LINE_SIZE];
};

/* Each is read by itself: a line that sees an old level beside a new fd is as good. */
static _Atomic int log_fd = STDERR_FILENO;
static _Atomic int log_json;
static _Atomic int log_least = FBY_LOG_INFO;
static _Atomic uint64_t log_dropped;

static const char *const level_names[] = {"debug", "info", "warn", "error"};

void fby_log_open(int fd, fby_log_format format, fby_log_level level)
{
    bool json = format == FBY_LOG_JSON || (format == FBY_LOG_AUTO && isatty(fd) == 0);

    atomic_store_explicit(&log_fd, fd, memory_order_relaxed);
    atomic_store_explicit(&log_json, json, memory_order_relaxed);
    atomic_store_explicit(&log_least, (int)level, memory_order_relaxed);
}

bool fby_log_on(fby_log_level level)
{
    return (int)level >= atomic_load_explicit(&log_least, memory_order_relaxed);
}

uint64_t fby_log_dropped(void)
{
    return atomic_load_explicit(&log_dropped, memory_order_relaxed);
}

/* ---- a line ---- */

/* Room is kept for what closes the line. */
enum { ENDING = 8 };

static void put(struct line *line, const char *bytes, size_t size)
{
    if (line->full || size > LINE_SIZE - ENDING - line->used) {
        line->full = true;
        return;
    }
    memcpy(line->bytes + line->used, bytes, size);
    line->used += size;
}

static void put_text(struct line *line, const char *text)
{
    put(line, text, strlen(text));
}

static void put_digits(struct line *line, uint64_t x, unsigned least_digits)
{
    char digits[20];
    size_t at = sizeof digits;

    do {
        digits[--at] = (char)('0' + x % 10);
        x /= 10;
    } while (x != 0 || sizeof digits - at < least_digits);
    put(line, digits + at, sizeof digits - at);
}

/* Within quotes; control characters (C1's too, which drive terminals) as \u00xx. */
static void put_quoted(struct line *line, const char *text, size_t size)
{
    static const char hex[] = "0123456789abcdef";
    const unsigned char *at = (const unsigned char *)text;
    uint32_t length;

    put(line, "\"", 1);
    for (; size > 0; at += length, size -= length) {
        int32_t code = fby_utf8_decode(at, size, &length);
        if (code == FBY_UTF8_INVALID)
            put_text(line, "\xef\xbf\xbd");
        else if (code < ' ' || (code >= 0x7f && code < 0xa0))
            put(line, (char[]){'\\', 'u', '0', '0', hex[code >> 4], hex[code & 15]}, 6);
        else if (code == '"' || code == '\\')
            put(line, (char[]){'\\', (char)code}, 2);
        else
            put(line, (const char *)at, length);
    }
    put(line, "\"", 1);
}

static void put_time(struct line *line)
{
    struct timespec now;
    struct tm parts;
    char text[32];

    clock_gettime(CLOCK_REALTIME, &now);
    if (line->json) {
        gmtime_r(&now.tv_sec, &parts);
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S.", &parts);
    } else {
        localtime_r(&now.tv_sec, &parts);
        strftime(text, sizeof text, "%H:%M:%S.", &parts);
    }
    put_text(line, text);
    put_digits(line, (uint64_t)now.tv_nsec / 1000000, 3);
}

static void begin(struct line *line, fby_log_level level, const char *message)
{
    line->used = 0;
    line->full = false;
    line->json = atomic_load_explicit(&log_json, memory_order_relaxed) != 0;
    put_text(line, line->json ? "{\"time\":\"" : "");
    put_time(line);
    put_text(line, line->json ? "Z\",\"level\":\"" : " ");
    put_text(line, level_names[level]);
    put_text(line, line->json                                         ? "\",\"message\":\""
                   : level == FBY_LOG_DEBUG || level == FBY_LOG_ERROR ? " "
                                                                      : "  ");
    put_text(line, message);
    put_text(line, line->json ? "\"" : " ");
}

static void put_value(struct line *line, const fby_log_field *field)
{
    switch (field->kind) {
    case FBY_LOG_FIELD_TEXT:
        put_quoted(line, field->text, field->size);
        return;
    case FBY_LOG_FIELD_UINT:
        put_digits(line, field->number, 1);
        return;
    case FBY_LOG_FIELD_MS:
        put_digits(line, field->number / 1000000, 1);
        put(line, ".", 1);
        put_digits(line, field->number / 1000 % 1000, 3);
    }
}

/* A field that does not fit is left out as a whole, and all after it. */
static void put_field(struct line *line, const fby_log_field *field)
{
    size_t before = line->used;

    if (field->kind == FBY_LOG_FIELD_TEXT && field->text == NULL)
        return;
    put_text(line, line->json ? ",\"" : " ");
    put_text(line, field->name);
    put_text(line, line->json ? "\":" : "=");
    put_value(line, field);
    if (line->full)
        line->used = before;
}

static void end(struct line *line)
{
    const char *ending = line->json   ? line->full ? ",\"cut\":1}\n" : "}\n"
                         : line->full ? " ...\n"
                                      : "\n";
    size_t size = strlen(ending);
    if (size > LINE_SIZE - line->used) { /* ,"cut":1} is the longest: without it */
        ending = "}\n";
        size = 2;
    }
    memcpy(line->bytes + line->used, ending, size);
    line->used += size;

    ssize_t written = -1;
    int saved = errno;
    struct pollfd fd = {.fd = atomic_load_explicit(&log_fd, memory_order_relaxed),
                        .events = POLLOUT};
    /* A pipe that says so takes PIPE_BUF bytes at once. */
    while (poll(&fd, 1, 0) == 1) {
        written = write(fd.fd, line->bytes, line->used);
        if (written >= 0 || errno != EINTR)
            break;
    }
    if (written != (ssize_t)line->used)
        atomic_fetch_add_explicit(&log_dropped, 1, memory_order_relaxed);
    errno = saved;
}

void fby_log_fields(fby_log_level level, const char *message, const fby_log_field *fields,
                    size_t count)
{
    struct line line;

    if (!fby_log_on(level))
        return;
    begin(&line, level, message);
    for (size_t i = 0; i < count && !line.full; i++)
        put_field(&line, &fields[i]);
    end(&line);
}

bool fby_log_may(fby_log_limit *limit, uint64_t now_ns, uint64_t *silent)
{
    uint64_t next = atomic_load_explicit(&limit->next_ns, memory_order_relaxed);

    /* Of several who find the time come, one moves it on. */
    if (now_ns < next ||
        !atomic_compare_exchange_strong_explicit(&limit->next_ns, &next,
                                                 now_ns + FBY_LOG_PAUSE_S * UINT64_C(1000000000),
                                                 memory_order_relaxed, memory_order_relaxed)) {
        atomic_fetch_add_explicit(&limit->silent, 1, memory_order_relaxed);
        return false;
    }
    *silent = atomic_exchange_explicit(&limit->silent, 0, memory_order_relaxed);
    return true;
}

void fby_log_request_line(const fby_log_request *request)
{
    enum { PATH_MOST = 256 };
    fby_log(
        FBY_LOG_INFO, "request", fby_log_text("method", request->method),
        fby_log_bytes("path", request->path, strnlen(request->path, PATH_MOST)),
        fby_log_uint("status", request->status), fby_log_ms("total_ms", request->total_ns),
        fby_log_ms("queue_ms", request->queue_ns), fby_log_ms("compute_ms", request->compute_ns),
        fby_log_uint("texts", request->texts), fby_log_uint("tokens", request->tokens),
        fby_log_uint("received_bytes", request->received_bytes),
        fby_log_uint("sent_bytes", request->sent_bytes), fby_log_text("refusal", request->refusal),
        fby_log_text("key", request->key), fby_log_text("address", request->address),
        fby_log_text("request_id", request->id), fby_log_text("traceparent", request->traceparent));
}
