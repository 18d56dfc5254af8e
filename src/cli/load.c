/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/load.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/clock.h"
#include "base/scheduling.h"
#include "cli/load_answer.h"
#include "cli/stop.h"

enum { READY_MAX = 64, BUFFER_SIZE = 64 << 10 };

struct connection {
    int fd;
    bool busy, writing; /* a request is out; part of it still has to go out */
    uint64_t due_ns;
    const char *send;
    size_t send_left;
    fby_load_answer answer;
};

struct sample { /* a request answered with 200 */
    uint64_t due_ns, done_ns;
};

struct load {
    const fby_load_options *options;
    fby_load_result *result;
    int epoll;
    struct connection *connections;
    struct connection **idle; /* (connections): the last to become idle is the next to be used */
    uint32_t idle_count;
    struct sample *samples;
    size_t sample_count, sample_capacity;
    uint64_t start_ns;         /* request 0 is due */
    uint64_t begin_ns, end_ns; /* of the rounds */
    uint64_t issued;           /* requests */
    double cpu_begin, cpu_end;
    char *buffer;
};

/* ---- connections ---- */

fby_status fby_load_connect(const fby_load_options *options, int *fd)
{
    int made = socket(options->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (made < 0)
        return fby_error_errno(FBY_EIO, errno, "a socket");
    const struct sockaddr *address = (const struct sockaddr *)(const void *)&options->address;
    if (connect(made, address, options->address_size) != 0) {
        fby_status status = fby_error_errno(FBY_EIO, errno, "connecting to the server");
        close(made);
        return status;
    }
    int one = 1;
    if (options->address.ss_family != AF_UNIX)
        (void)setsockopt(made, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    *fd = made;
    return FBY_OK;
}

static fby_status watch(struct load *load, struct connection *connection, int operation)
{
    struct epoll_event event = {.events = EPOLLIN | (connection->writing ? EPOLLOUT : 0),
                                .data.ptr = connection};
    return epoll_ctl(load->epoll, operation, connection->fd, &event) == 0
               ? FBY_OK
               : fby_error_errno(FBY_EIO, errno, "epoll_ctl");
}

static fby_status open_connection(struct load *load, struct connection *connection)
{
    fby_status status = fby_load_connect(load->options, &connection->fd);
    if (status != FBY_OK)
        return status;
    connection->busy = connection->writing = false;
    load->idle[load->idle_count++] = connection;
    if (fcntl(connection->fd, F_SETFL, O_NONBLOCK) != 0)
        return fby_error_errno(FBY_EIO, errno, "fcntl");
    return watch(load, connection, EPOLL_CTL_ADD);
}

/* The server closed it: another in its place. */
static fby_status replace(struct load *load, struct connection *connection)
{
    close(connection->fd);
    connection->fd = -1;
    if (connection->busy) {
        load->result->broken++;
        connection->busy = false;
    } else {
        uint32_t i = 0;
        while (load->idle[i] != connection)
            i++;
        load->idle[i] = load->idle[--load->idle_count];
    }
    return open_connection(load, connection);
}

/* ---- requests ---- */

static uint64_t due_ns(const struct load *load, uint64_t k)
{
    return load->start_ns + (uint64_t)((double)k * 1e9 / load->options->rate);
}

static fby_status send_more(struct load *load, struct connection *connection)
{
    bool was_writing = connection->writing;
    while (connection->send_left > 0) {
        ssize_t n = send(connection->fd, connection->send, connection->send_left, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN)
            return replace(load, connection);
        if (n < 0)
            break;
        connection->send += n;
        connection->send_left -= (size_t)n;
    }
    connection->writing = connection->send_left > 0;
    return connection->writing != was_writing ? watch(load, connection, EPOLL_CTL_MOD) : FBY_OK;
}

static fby_status send_next(struct load *load, uint64_t due)
{
    const fby_load_requests *requests = load->options->requests;
    struct connection *connection = load->idle[--load->idle_count];
    size_t i = load->issued++ % requests->count;

    connection->busy = true;
    connection->due_ns = due;
    connection->send = requests->bytes + requests->starts[i];
    connection->send_left = requests->starts[i + 1] - requests->starts[i];
    fby_load_answer_begin(&connection->answer);
    return send_more(load, connection);
}

/* Whatever is due and finds a free connection. `*next_ns`: when to look again. */
static fby_status issue(struct load *load, uint64_t now, uint64_t *next_ns)
{
    bool open_loop = load->options->rate > 0;
    fby_status status = FBY_OK;

    *next_ns = load->end_ns;
    while (status == FBY_OK && load->idle_count > 0) {
        uint64_t due = open_loop ? due_ns(load, load->issued) : now;
        if (due >= load->end_ns)
            break;
        if (due > now) {
            *next_ns = due;
            break;
        }
        double late_ms = (double)(now - due) * 1e-6;
        if (due >= load->begin_ns && late_ms > load->result->late_ms)
            load->result->late_ms = late_ms;
        status = send_next(load, due);
    }
    return status;
}

static fby_status keep_sample(struct load *load, uint64_t due, uint64_t done)
{
    if (load->sample_count == load->sample_capacity) {
        size_t capacity = 2 * load->sample_capacity + (1 << 16), bytes;
        struct sample *grown = NULL;
        if (fby_mul_size(capacity, sizeof *grown, &bytes))
            grown = realloc(load->samples, bytes);
        if (grown == NULL)
            return fby_error(FBY_ENOMEM, "no memory for %zu timings", capacity);
        load->samples = grown;
        load->sample_capacity = capacity;
    }
    load->samples[load->sample_count++] = (struct sample){due, done};
    return FBY_OK;
}

static fby_status finish(struct load *load, struct connection *connection)
{
    uint64_t now = fby_now_ns();
    unsigned code = connection->answer.status;

    if (connection->due_ns >= load->begin_ns)
        load->result->statuses[code < FBY_LOAD_STATUSES ? code : 0]++;
    connection->busy = false;
    load->idle[load->idle_count++] = connection;
    fby_status status = code == 200 ? keep_sample(load, connection->due_ns, now) : FBY_OK;
    if (status == FBY_OK && connection->answer.close)
        status = replace(load, connection);
    return status;
}

static fby_status receive(struct load *load, struct connection *connection)
{
    ssize_t n = recv(connection->fd, load->buffer, BUFFER_SIZE, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return FBY_OK;
    if (n <= 0 && connection->busy && n == 0 && fby_load_answer_ends(&connection->answer)) {
        connection->answer.close = true;
        return finish(load, connection);
    }
    if (n <= 0 || !connection->busy)
        return replace(load, connection);
    size_t taken;
    fby_answer_state state =
        fby_load_answer_take(&connection->answer, load->buffer, (size_t)n, &taken);
    if (state == FBY_ANSWER_PART)
        return FBY_OK;
    if (state == FBY_ANSWER_BROKEN || taken < (size_t)n) /* more than was asked for */
        return replace(load, connection);
    return finish(load, connection);
}

/* ---- the loop ---- */

static double cpu_seconds(void)
{
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (double)used.tv_sec + (double)used.tv_nsec * 1e-9;
}

static fby_status handle_events(struct load *load, uint64_t now, uint64_t until)
{
    struct epoll_event ready[READY_MAX];
    uint64_t left = until > now ? until - now : 0;
    const struct timespec timeout = {(time_t)(left / 1000000000u), (long)(left % 1000000000u)};
    int n = epoll_pwait2(load->epoll, ready, READY_MAX, &timeout, NULL);

    if (n < 0 && errno != EINTR)
        return fby_error_errno(FBY_EIO, errno, "epoll_pwait2");
    fby_status status = FBY_OK;
    for (int i = 0; i < n && status == FBY_OK; i++) {
        struct connection *connection = ready[i].data.ptr;
        if (ready[i].events & EPOLLOUT)
            status = send_more(load, connection);
        if (status == FBY_OK && (ready[i].events & ~(uint32_t)EPOLLOUT) != 0)
            status = receive(load, connection);
    }
    return status;
}

static uint32_t busy_count(const struct load *load)
{
    return load->options->connections - load->idle_count;
}

/* Until the end, and then until what was due has been answered. */
static fby_status run(struct load *load)
{
    uint64_t last = load->end_ns + (uint64_t)FBY_LOAD_PATIENCE_S * 1000000000u;
    fby_status status = FBY_OK;

    (void)fby_sched_short_turns(); /* a server on the same processors does not make it late */
    load->cpu_begin = load->cpu_end = -1;
    while (status == FBY_OK) {
        uint64_t now = fby_now_ns(), next;
        if (load->cpu_begin < 0 && now >= load->begin_ns)
            load->cpu_begin = cpu_seconds();
        if (load->cpu_end < 0 && now >= load->end_ns)
            load->cpu_end = cpu_seconds();
        if (fby_stop_asked())
            return fby_error(FBY_ECANCELED, "stopped");
        status = issue(load, now, &next);
        if (now >= load->end_ns && (busy_count(load) == 0 || now >= last))
            break;
        if (now < load->begin_ns && next > load->begin_ns)
            next = load->begin_ns;
        if (status == FBY_OK)
            status = handle_events(load, now, now < load->end_ns ? next : last);
    }
    return status;
}

/* ---- what it comes to ---- */

/* Of the requests due in [from, to): `*latencies` (count) in ms, ascending. */
static size_t latencies_of(const struct load *load, uint64_t from, uint64_t to, double *latencies)
{
    size_t count = 0;
    for (size_t i = 0; i < load->sample_count; i++) {
        const struct sample *sample = &load->samples[i];
        if (sample->due_ns >= from && sample->due_ns < to)
            latencies[count++] = (double)(sample->done_ns - sample->due_ns) * 1e-6;
    }
    fby_sort(latencies, count);
    return count;
}

static double rate_of(const struct load *load, uint64_t from, uint64_t to)
{
    size_t count = 0;
    for (size_t i = 0; i < load->sample_count; i++)
        count += load->samples[i].done_ns >= from && load->samples[i].done_ns < to;
    return (double)count * 1e9 / (double)(to - from);
}

static void sum_up_round(const struct load *load, uint32_t i, double *latencies)
{
    uint64_t length = (load->end_ns - load->begin_ns) / load->options->rounds;
    uint64_t from = load->begin_ns + i * length, to = from + length;
    size_t count = latencies_of(load, from, to, latencies);
    fby_load_round round = {.requests_per_s = rate_of(load, from, to)};
    if (count > 0) {
        round.p50_ms = fby_quantile(latencies, count, 0.5);
        round.p90_ms = fby_quantile(latencies, count, 0.9);
        round.p99_ms = fby_quantile(latencies, count, 0.99);
    }
    load->result->rounds[i] = round;
}

static fby_status say_nothing_came(const fby_load_result *result)
{
    for (unsigned code = 0; code < FBY_LOAD_STATUSES; code++)
        if (result->statuses[code] > 0)
            return fby_error(FBY_EIO, "no request was answered with 200, %llu were with %u",
                             (unsigned long long)result->statuses[code], code);
    return fby_error(FBY_EIO, "no request was answered");
}

static fby_status sum_up(const struct load *load)
{
    fby_load_result *result = load->result;
    double *latencies = calloc(load->sample_count + 1, sizeof *latencies);
    if (latencies == NULL)
        return fby_error(FBY_ENOMEM, "no memory for %zu latencies", load->sample_count);

    for (uint32_t i = 0; i < load->options->rounds; i++)
        sum_up_round(load, i, latencies);
    size_t count = latencies_of(load, load->begin_ns, load->end_ns, latencies);
    if (count > 0) {
        result->p50_ms = fby_quantile(latencies, count, 0.5);
        result->p90_ms = fby_quantile(latencies, count, 0.9);
        result->p99_ms = fby_quantile(latencies, count, 0.99);
        result->max_ms = latencies[count - 1];
    }
    free(latencies);
    result->answered = count;
    result->seconds = (double)(load->end_ns - load->begin_ns) * 1e-9;
    result->cpu_seconds = load->cpu_end - load->cpu_begin;
    result->unanswered = busy_count(load);
    if (load->options->rate > 0)
        for (uint64_t k = load->issued; due_ns(load, k) < load->end_ns; k++)
            result->unanswered++;
    return count > 0 ? FBY_OK : say_nothing_came(result);
}

/* ---- setting up ---- */

static fby_status take_memory(struct load *load)
{
    uint32_t count = load->options->connections;
    load->connections = calloc(count, sizeof *load->connections);
    load->idle = calloc(count, sizeof(struct connection *));
    load->buffer = malloc(BUFFER_SIZE);
    if (load->connections == NULL || load->idle == NULL || load->buffer == NULL)
        return fby_error(FBY_ENOMEM, "no memory for %u connections", count);
    for (uint32_t i = 0; i < count; i++)
        load->connections[i].fd = -1;
    load->epoll = epoll_create1(EPOLL_CLOEXEC);
    return load->epoll >= 0 ? FBY_OK : fby_error_errno(FBY_EIO, errno, "an epoll instance");
}

static void give_memory(struct load *load)
{
    for (uint32_t i = 0; load->connections != NULL && i < load->options->connections; i++)
        if (load->connections[i].fd >= 0)
            close(load->connections[i].fd);
    if (load->epoll >= 0)
        close(load->epoll);
    free(load->connections);
    free(load->idle);
    free(load->buffer);
    free(load->samples);
}

fby_status fby_load_run(const fby_load_options *options, fby_load_result *result)
{
    struct load load = {.options = options, .result = result, .epoll = -1};

    *result = (fby_load_result){0};
    (void)prctl(PR_SET_TIMERSLACK, 1000UL, 0UL, 0UL,
                0UL); /* ns: requests go out when they are due */
    fby_status status = take_memory(&load);
    for (uint32_t i = 0; status == FBY_OK && i < options->connections; i++)
        status = open_connection(&load, &load.connections[i]);
    if (status == FBY_OK) {
        load.start_ns = fby_now_ns();
        load.begin_ns = load.start_ns + (uint64_t)(options->warm_seconds * 1e9);
        load.end_ns = load.begin_ns + (uint64_t)(options->seconds * 1e9);
        status = run(&load);
    }
    if (status == FBY_OK)
        status = sum_up(&load);
    give_memory(&load);
    return status;
}
