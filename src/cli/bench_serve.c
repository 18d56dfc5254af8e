/* SPDX-License-Identifier: Apache-2.0 */
/* The server under load: `forebay serve` of our own, or any server that speaks the same dialect. */
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "base/bits.h"
#include "cli/bench_report.h"
#include "cli/bench_texts.h"
#include "cli/commands.h"
#include "cli/load.h"
#include "cli/load_child.h"
#include "cli/load_library.h"
#include "cli/model_choice.h"
#include "cli/say.h"
#include "cli/stop.h"

enum { ROUNDS_MIN = 9 };

static const char *const encodings[] = {"base64", "float", "tei"};
static const char *const precisions[] = {"f32", "bf16", "int8"};
static const char *const waits[] = {"adaptive", "spin"};

struct options {
    fby_model_choice model;
    char *file;
    const char *url, *uds, *key;
    uint64_t port, connections, rounds, batch;
    double rate, warm, seconds;
    int encoding, wait, format;
    bool library;
};

#define AT(field) .offset = offsetof(struct options, field)

static const fby_cli_option options_table[] = {
    FBY_MODEL_OPTIONS(struct options, model),
    {.kind = FBY_CLI_TEXT,
     .name = "file",
     .argument = "FILE",
     .help = "the texts, one a line",
     AT(file)},
    {.kind = FBY_CLI_TEXT,
     .name = "url",
     .argument = "URL",
     .help = "of the server, http://HOST:PORT[/BASE]; without it, and without --port and --uds, "
             "a server is started for the time",
     AT(url)},
    {.kind = FBY_CLI_UINT,
     .name = "port",
     .argument = "N",
     .help = "of a server on 127.0.0.1",
     .min = 1,
     .max = 65535,
     AT(port)},
    {.kind = FBY_CLI_TEXT,
     .name = "uds",
     .argument = "PATH",
     .help = "of a server on a Unix socket",
     AT(uds)},
    {.kind = FBY_CLI_TEXT, .name = "key", .argument = "KEY", .help = "its API key", AT(key)},
    {.kind = FBY_CLI_CHOICE,
     .name = "wait",
     .argument = "W",
     .help = "of the server that is started (adaptive)",
     .choices = "adaptive|spin",
     AT(wait)},
    {.kind = FBY_CLI_UINT,
     .name = "connections",
     .argument = "N",
     .help = "kept open (32)",
     .min = 1,
     .max = FBY_LOAD_CONNECTIONS,
     AT(connections)},
    {.kind = FBY_CLI_REAL,
     .name = "rate",
     .argument = "R",
     .help = "requests/s, whatever the server does (an open loop); 0, the default: each "
             "connection sends its next request once it has the answer",
     .max = 1000000,
     AT(rate)},
    {.kind = FBY_CLI_UINT,
     .name = "batch",
     .argument = "N",
     .help = "texts a request (1, sent as a string)",
     .min = 1,
     .max = 1 << 20,
     AT(batch)},
    {.kind = FBY_CLI_CHOICE,
     .name = "encoding",
     .argument = "E",
     .help = "base64 or float of /v1/embeddings, or /embed's (base64)",
     .choices = "base64|float|tei",
     AT(encoding)},
    {.kind = FBY_CLI_FLAG,
     .name = "library",
     .help = "one connection, one text at a time, in turn with fby_embed() in this process: what "
             "the server adds",
     AT(library)},
    {.kind = FBY_CLI_REAL,
     .name = "seconds",
     .argument = "S",
     .help = "how long to measure, all rounds together (10)",
     .max = 86400,
     AT(seconds)},
    {.kind = FBY_CLI_REAL,
     .name = "warm",
     .argument = "S",
     .help = "load before the clock runs (1)",
     .max = 3600,
     AT(warm)},
    {.kind = FBY_CLI_UINT,
     .name = "rounds",
     .argument = "N",
     .help = "parts that the time is cut into for quartiles, at least and by default 9",
     .min = ROUNDS_MIN,
     .max = FBY_LOAD_ROUNDS,
     AT(rounds)},
    FBY_REPORT_OPTIONS(struct options, format),
    {.kind = FBY_CLI_END},
};

/* ---- where the server is ---- */

struct target {
    struct sockaddr_storage address;
    socklen_t size;
    char host[300], base[300];
};

static fby_status resolve(struct target *target, const char *host, const char *port)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found;
    int failed = getaddrinfo(host, port, &hints, &found);
    if (failed != 0)
        return fby_error(FBY_EINVAL, "%s port %s: %s", host, port, gai_strerror(failed));
    memcpy(&target->address, found->ai_addr, found->ai_addrlen);
    target->size = found->ai_addrlen;
    freeaddrinfo(found);
    return FBY_OK;
}

static fby_status to_url(struct target *target, const char *url)
{
    char host[256], port[8] = "80";
    int used = 0;
    if (sscanf(url, "http://[%255[^]/]]%n", host, &used) != 1 &&
        sscanf(url, "http://%255[^:/]%n", host, &used) != 1)
        return fby_error(FBY_EINVAL, "--url %s: http://HOST:PORT[/BASE] is wanted", url);
    const char *rest = url + used;
    if (rest[0] == ':' && sscanf(rest, ":%7[0-9]%n", port, &used) == 1)
        rest += used;
    if ((rest[0] != '\0' && rest[0] != '/') || strlen(rest) >= sizeof target->base)
        return fby_error(FBY_EINVAL, "--url %s: http://HOST:PORT[/BASE] is wanted", url);
    size_t size = strlen(rest);
    while (size > 0 && rest[size - 1] == '/')
        size--;
    snprintf(target->base, sizeof target->base, "%.*s", (int)size, rest);
    snprintf(target->host, sizeof target->host, "%s:%s", host, port);
    return resolve(target, host, port);
}

static fby_status to_port(struct target *target, uint16_t number)
{
    char port[8];
    snprintf(port, sizeof port, "%u", (unsigned)number);
    snprintf(target->host, sizeof target->host, "127.0.0.1:%s", port);
    return resolve(target, "127.0.0.1", port);
}

static fby_status to_socket(struct target *target, const char *path)
{
    struct sockaddr_un *address = (struct sockaddr_un *)(void *)&target->address;
    if (strlen(path) >= sizeof address->sun_path)
        return fby_error(FBY_EINVAL, "--uds %s: more than %zu bytes", path,
                         sizeof address->sun_path - 1);
    address->sun_family = AF_UNIX;
    memcpy(address->sun_path, path, strlen(path) + 1);
    target->size = sizeof *address;
    snprintf(target->host, sizeof target->host, "localhost");
    return FBY_OK;
}

static fby_status start_own(const struct options *options, fby_load_child *child)
{
    char dir[PATH_MAX];
    fby_status status = fby_model_choice_dir(&options->model, dir);
    const fby_load_child_options how = {.model = dir,
                                        .wait = waits[options->wait],
                                        .threads = options->model.threads,
                                        .precision = precisions[options->model.precision]};
    return status == FBY_OK ? fby_load_child_start(&how, child) : status;
}

static fby_status find_server(const struct options *options, struct target *target,
                              fby_load_child *child)
{
    if (options->url != NULL)
        return to_url(target, options->url);
    if (options->uds != NULL)
        return to_socket(target, options->uds);
    if (options->port != 0)
        return to_port(target, (uint16_t)options->port);
    fby_status status = start_own(options, child);
    return status == FBY_OK ? to_port(target, child->port) : status;
}

/* ---- what is reported ---- */

static void report_what(fby_report *report, const struct options *options)
{
    const char *name = strrchr(options->file, '/');
    fby_report_text(report, "file", name != NULL ? name + 1 : options->file);
    fby_report_text(report, "encoding", encodings[options->encoding]);
}

/* "200:1234 429:5". */
static void report_statuses(fby_report *report, const fby_load_result *result)
{
    char text[FBY_REPORT_CELL_SIZE] = "";
    size_t used = 0;
    for (unsigned code = 0; code < FBY_LOAD_STATUSES && used < sizeof text; code++)
        if (result->statuses[code] > 0)
            used +=
                (size_t)snprintf(text + used, sizeof text - used, "%s%u:%llu", used > 0 ? " " : "",
                                 code, (unsigned long long)result->statuses[code]);
    fby_report_text(report, "statuses", text);
}

static fby_spread spread_of(const fby_load_result *result, uint32_t rounds, size_t offset)
{
    static double values[FBY_LOAD_ROUNDS];
    for (uint32_t i = 0; i < rounds; i++)
        values[i] = *(const double *)(const void *)((const char *)&result->rounds[i] + offset);
    return fby_spread_of(values, rounds);
}

#define SPREAD(field) spread_of(result, rounds, offsetof(fby_load_round, field))

static void report_load(fby_report *report, const struct options *options,
                        const fby_load_result *result)
{
    uint32_t rounds = (uint32_t)options->rounds;

    report_what(report, options);
    fby_report_uint(report, "connections", options->connections);
    fby_report_real(report, "rate", options->rate);
    fby_report_uint(report, "batch", options->batch);
    FBY_REPORT_SPREAD(report, "requests_per_s", SPREAD(requests_per_s));
    FBY_REPORT_SPREAD(report, "round_p50_ms", SPREAD(p50_ms));
    FBY_REPORT_SPREAD(report, "round_p99_ms", SPREAD(p99_ms));
    fby_report_real(report, "p50_ms", result->p50_ms);
    fby_report_real(report, "p90_ms", result->p90_ms);
    fby_report_real(report, "p99_ms", result->p99_ms);
    fby_report_real(report, "max_ms", result->max_ms);
    fby_report_real(report, "late_ms", result->late_ms);
    fby_report_uint(report, "answered", result->answered);
    report_statuses(report, result);
    fby_report_uint(report, "broken", result->broken);
    fby_report_uint(report, "unanswered", result->unanswered);
    fby_report_real(report, "generator_cpu_s", result->cpu_seconds);
    fby_report_real(report, "seconds", result->seconds);
    fby_report_uint(report, "repetitions", rounds);
    fby_report_row(report);
}

static void report_library(fby_report *report, const struct options *options,
                           const fby_load_library_result *result)
{
    report_what(report, options);
    FBY_REPORT_SPREAD(report, "server_us", result->server_us);
    FBY_REPORT_SPREAD(report, "library_us", result->library_us);
    FBY_REPORT_SPREAD(report, "added_us", result->added_us);
    fby_report_real(report, "server_p99_us", result->server_p99_us);
    fby_report_real(report, "library_p99_us", result->library_p99_us);
    fby_report_uint(report, "calls", result->calls);
    fby_report_uint(report, "repetitions", options->rounds);
    fby_report_row(report);
}

/* ---- running ---- */

static fby_status measure_library(const struct options *options, const fby_load_options *load,
                                  const fby_bench_texts *texts, pid_t server)
{
    fby_load_library_result result;
    fby_report report;
    fby_model *model;
    fby_model_choice choice = options->model;
    if (choice.threads == 0)
        choice.threads = 1;

    fby_status status = fby_model_choice_open(&choice, &model);
    if (status != FBY_OK)
        return status;
    status = fby_load_library_run(load, model, texts->texts, server, &result);
    fby_model_close(model);
    if (status != FBY_OK)
        return status;
    fby_report_begin(&report, stdout, (fby_report_format)options->format, "serve-library", NULL);
    report_library(&report, options, &result);
    return fby_report_end(&report);
}

static fby_status measure_load(const struct options *options, const fby_load_options *load)
{
    static fby_load_result result;
    fby_report report;

    fby_status status = fby_load_run(load, &result);
    if (status != FBY_OK)
        return status;
    fby_report_begin(&report, stdout, (fby_report_format)options->format, "serve", NULL);
    report_load(&report, options, &result);
    return fby_report_end(&report);
}

static fby_status measure(const struct options *options, const struct target *target,
                          const fby_load_child *child, const fby_bench_texts *texts)
{
    fby_load_requests requests;
    const fby_load_target how = {.host = target->host,
                                 .base = target->base,
                                 .key = options->key,
                                 .encoding = (fby_load_encoding)options->encoding};
    fby_status status =
        fby_load_requests_make(texts->texts, texts->count, options->batch, &how, &requests);
    if (status != FBY_OK)
        return status;
    const fby_load_options load = {.address = target->address,
                                   .address_size = target->size,
                                   .requests = &requests,
                                   .connections = (uint32_t)options->connections,
                                   .rounds = (uint32_t)options->rounds,
                                   .rate = options->rate,
                                   .warm_seconds = options->warm,
                                   .seconds = options->seconds};
    status = options->library ? measure_library(options, &load, texts, child->pid)
                              : measure_load(options, &load);
    fby_load_requests_clear(&requests);
    return status;
}

static const char *mistake_in(const struct options *options)
{
    if (options->file == NULL)
        return "--file FILE is wanted: the texts to measure with, one a line";
    if ((options->url != NULL) + (options->uds != NULL) + (options->port != 0) > 1)
        return "one of --url, --port and --uds";
    if (options->library && (options->batch > 1 || options->rate > 0))
        return "--library sends one text at a time: no --batch, no --rate";
    if (options->seconds <= 0)
        return "--seconds 0 measures nothing";
    return NULL;
}

static int run(const fby_cli_command *self, int argc, char **argv)
{
    struct options options = {
        .connections = 32, .batch = 1, .seconds = 10, .warm = 1, .rounds = ROUNDS_MIN};
    int code;
    if (!fby_cli_parse(self, argc, argv, &options, NULL, &code))
        return code;
    const char *mistake = mistake_in(&options);
    if (mistake != NULL) {
        fby_say("%s", mistake);
        return FBY_EXIT_USAGE;
    }

    fby_bench_texts texts = {0};
    fby_load_child child = {0};
    struct target target = {0};
    fby_status status = fby_stop_listen();
    if (status == FBY_OK)
        status = fby_bench_texts_load(options.file, &texts);
    if (status == FBY_OK)
        status = find_server(&options, &target, &child);
    if (status == FBY_OK)
        status = measure(&options, &target, &child, &texts);
    if (status != FBY_OK)
        fby_say("%s", fby_last_error());
    fby_load_child_stop(&child);
    fby_bench_texts_clear(&texts);
    return status == FBY_ECANCELED ? FBY_EXIT_INTERRUPTED : fby_cli_exit(status);
}

const fby_cli_command fby_bench_serve = {
    .name = "forebay bench serve",
    .summary = "an HTTP server under load: requests/s, latency",
    .options = options_table,
    .details = "One thread sends; generator_cpu_s is what it burned, on the cores that the server\n"
               "wants too if they share a machine. With --rate latency counts from when a\n"
               "request was due, whether or not a connection was free for it; late_ms is the\n"
               "longest that one waited for that. round_p50_ms and round_p99_ms are of each\n"
               "round, p50_ms to max_ms of all requests.\n"
               "\n"
               "Examples:\n"
               "  forebay bench serve --file bench/texts/short.txt\n"
               "  forebay bench serve --file bench/texts/short.txt --port 8080 --rate 500 --json\n"
               "  forebay bench serve --file bench/texts/short.txt --library --threads 1\n",
    .run = run,
};
