/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/load_library.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/clock.h"
#include "cli/load_answer.h"
#include "cli/stop.h"

enum {
    TURN = 16,           /* calls of one, then of the other */
    CALLS_MAX = 1 << 20, /* of each */
    BUFFER_SIZE = 64 << 10
};

struct side {
    double *us;     /* (CALLS_MAX): every call */
    double *sorted; /* (CALLS_MAX): some of them */
    size_t count, round_start;
    double medians[FBY_LOAD_ROUNDS];
};

struct pair {
    const fby_load_options *options;
    fby_model *model;
    const fby_text *texts;
    pid_t process; /* the server's; 0: leave it alone */
    int fd;
    char *buffer;
    float *vector;
    struct side server, library;
};

static fby_status send_all(int fd, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t n = send(fd, bytes, size, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fby_error_errno(FBY_EIO, errno, "sending a request");
        bytes += n;
        size -= (size_t)n;
    }
    return FBY_OK;
}

static fby_status ask(struct pair *pair, size_t i)
{
    const fby_load_requests *requests = pair->options->requests;
    fby_answer_state state = FBY_ANSWER_PART;
    fby_load_answer answer;
    size_t taken;

    fby_load_answer_begin(&answer);
    fby_status status = send_all(pair->fd, requests->bytes + requests->starts[i],
                                 requests->starts[i + 1] - requests->starts[i]);
    while (status == FBY_OK && state == FBY_ANSWER_PART) {
        ssize_t n = recv(pair->fd, pair->buffer, BUFFER_SIZE, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return fby_error(FBY_EIO, "the server closed the connection");
        state = fby_load_answer_take(&answer, pair->buffer, (size_t)n, &taken);
    }
    if (status == FBY_OK && (state != FBY_ANSWER_WHOLE || answer.status != 200))
        return fby_error(FBY_EIO, "the server answered %u", answer.status);
    return status;
}

static fby_status embed(struct pair *pair, size_t i)
{
    return fby_embed(pair->model, &pair->texts[i], 1, NULL, pair->vector, NULL);
}

static fby_status take_turn(struct pair *pair, struct side *side, size_t first,
                            fby_status (*call)(struct pair *, size_t))
{
    fby_status status = FBY_OK;
    for (size_t i = 0; i < TURN && status == FBY_OK; i++) {
        uint64_t started = fby_now_ns();
        status = call(pair, (first + i) % pair->options->requests->count);
        side->us[side->count++] = (double)(fby_now_ns() - started) * 1e-3;
    }
    return status;
}

static double sorted_quantile(struct side *side, size_t from, double p)
{
    size_t count = side->count - from;
    for (size_t i = 0; i < count; i++)
        side->sorted[i] = side->us[from + i];
    fby_sort(side->sorted, count);
    return fby_quantile(side->sorted, count, p);
}

static void end_round(struct side *side, uint32_t round)
{
    side->medians[round] = sorted_quantile(side, side->round_start, 0.5);
    side->round_start = side->count;
}

/* One request is not counted: it wakes the server up. */
static fby_status ask_in_turn(struct pair *pair, size_t first)
{
    if (pair->process != 0)
        (void)kill(pair->process, SIGCONT);
    fby_status status = ask(pair, first % pair->options->requests->count);
    if (status == FBY_OK)
        status = take_turn(pair, &pair->server, first, ask);
    if (pair->process != 0)
        (void)kill(pair->process, SIGSTOP);
    return status;
}

/* Likewise. */
static fby_status embed_in_turn(struct pair *pair, size_t first)
{
    fby_status status = embed(pair, first % pair->options->requests->count);
    return status == FBY_OK ? take_turn(pair, &pair->library, first, embed) : status;
}

/* At least one turn of each. */
static fby_status run_for(struct pair *pair, double seconds, size_t *next)
{
    uint64_t end = fby_now_ns() + (uint64_t)(seconds * 1e9);
    fby_status status;
    do {
        if (fby_stop_asked())
            return fby_error(FBY_ECANCELED, "stopped");
        status = ask_in_turn(pair, *next);
        if (status == FBY_OK)
            status = embed_in_turn(pair, *next);
        *next += TURN;
    } while (status == FBY_OK && fby_now_ns() < end && pair->server.count + TURN <= CALLS_MAX);
    return status;
}

static fby_status run(struct pair *pair, fby_load_library_result *result)
{
    uint32_t rounds = pair->options->rounds;
    static double added[FBY_LOAD_ROUNDS];
    size_t next = 0;

    fby_status status = run_for(pair, pair->options->warm_seconds, &next);
    pair->server.count = pair->library.count = 0;
    for (uint32_t i = 0; status == FBY_OK && i < rounds; i++) {
        status = run_for(pair, pair->options->seconds / rounds, &next);
        end_round(&pair->server, i);
        end_round(&pair->library, i);
        added[i] = pair->server.medians[i] - pair->library.medians[i];
    }
    if (status != FBY_OK)
        return status;
    *result = (fby_load_library_result){
        .server_p99_us = sorted_quantile(&pair->server, 0, 0.99),
        .library_p99_us = sorted_quantile(&pair->library, 0, 0.99),
        .server_us = fby_spread_of(pair->server.medians, rounds),
        .library_us = fby_spread_of(pair->library.medians, rounds),
        .added_us = fby_spread_of(added, rounds),
        .calls = pair->server.count,
    };
    return FBY_OK;
}

static bool take_side(struct side *side)
{
    side->us = calloc(CALLS_MAX + TURN, sizeof *side->us);
    side->sorted = calloc(CALLS_MAX + TURN, sizeof *side->sorted);
    return side->us != NULL && side->sorted != NULL;
}

static void give_side(struct side *side)
{
    free(side->us);
    free(side->sorted);
}

fby_status fby_load_library_run(const fby_load_options *options, fby_model *model,
                                const fby_text *texts, pid_t server,
                                fby_load_library_result *result)
{
    static struct pair pair;
    pair = (struct pair){
        .options = options, .model = model, .texts = texts, .process = server, .fd = -1};
    pair.buffer = malloc(BUFFER_SIZE);
    pair.vector = calloc(fby_model_dim(model), sizeof *pair.vector);
    bool memory = take_side(&pair.server) && take_side(&pair.library) && pair.buffer != NULL &&
                  pair.vector != NULL;
    fby_status status = memory ? fby_load_connect(options, &pair.fd)
                               : fby_error(FBY_ENOMEM, "no memory for the timings");
    if (status == FBY_OK)
        status = run(&pair, result);
    if (server != 0)
        (void)kill(server, SIGCONT);
    if (pair.fd >= 0)
        close(pair.fd);
    free(pair.buffer);
    free(pair.vector);
    give_side(&pair.server);
    give_side(&pair.library);
    return status;
}
