/* SPDX-License-Identifier: Apache-2.0 */
/* A server whole, in this process, and clients on threads: every vector has the bits that the
 * library gives, whatever the size of the request, the lane, or who hangs up meanwhile. */
#include "serve/server.h"
#include "forebay/embed.h"
#include "test.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { DIM = 384, TEXTS = 16, CLIENTS = 3, LIST = 260, BODY_MAX = 4 << 20 };

static char words[TEXTS][256];
static float expected[TEXTS][DIM];
static char socket_path[108];
static fby_serve_config config;
static pthread_t server;

/* cmocka's assertions are for its own thread. */
#define check(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* ---- what is expected ---- */

static void make_words(void)
{
    for (int i = 0; i < TEXTS; i++) {
        size_t used = 0;
        for (int j = 0; j <= i % 4; j++)
            used += (size_t)snprintf(words[i] + used, sizeof words[i] - used, "w%d ", i * j % 17);
    }
}

static void embed_words(const char *dir)
{
    fby_model *model;
    fby_model_options options = FBY_MODEL_OPTIONS_INIT;
    options.threads = 1;
    options.cache_dir = "";
    assert_int_equal(fby_model_open(dir, &options, &model), FBY_OK);
    for (int i = 0; i < TEXTS; i++) {
        fby_text text = {words[i], strlen(words[i])};
        assert_int_equal(fby_embed(model, &text, 1, NULL, expected[i], NULL), FBY_OK);
    }
    fby_model_close(model);
}

/* ---- the server ---- */

static void *serve(void *code)
{
    *(int *)code = fby_serve_run(&config);
    return NULL;
}

static int connect_to_server(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, socket_path, strlen(socket_path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    check(fd >= 0);
    /* The server may not be there yet; a minute is for sanitizers on a busy machine. */
    for (int tries = 0; connect(fd, (struct sockaddr *)&address, sizeof address) != 0; tries++) {
        check(tries < 6000);
        usleep(10000);
    }
    return fd;
}

static int exit_code = -1;

static void start_with(uint64_t long_tokens, uint64_t agents, int threads, const char *parallelism)
{
    char setting[4][64];
    const char *environment[] = {"FBY_LOG_LEVEL=error",
                                 "FBY_REQUEST_TIMEOUT_MS=3600000",
                                 setting[0],
                                 setting[1],
                                 setting[2],
                                 setting[3],
                                 "FBY_RING_SLOTS=64",
                                 NULL};
    snprintf(setting[0], sizeof setting[0], "FBY_LONG_TOKENS=%d", (int)long_tokens);
    snprintf(setting[1], sizeof setting[1], "FBY_AGENTS=%d", (int)agents);
    snprintf(setting[2], sizeof setting[2], "FBY_THREADS=%d", threads);
    snprintf(setting[3], sizeof setting[3], "FBY_PARALLELISM=%s", parallelism);
    fby_config_inputs inputs = {.environment = environment,
                                .default_model = getenv("FBY_TEST_MODEL")};
    fby_config_notes notes = {0};
    assert_int_equal(fby_serve_config_load(&config, &inputs, &notes), FBY_OK);
    fby_config_notes_clear(&notes);
    free(config.uds_path);
    config.uds_path = strdup(socket_path);

    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &set, NULL); /* it is for the server's thread */
    exit_code = -1;
    assert_int_equal(pthread_create(&server, NULL, serve, &exit_code), 0);
    close(connect_to_server());
}

static void start(uint64_t long_tokens, uint64_t agents)
{
    start_with(long_tokens, agents, 2, "auto");
}

static void stop(void)
{
    kill(getpid(), SIGTERM);
    pthread_join(server, NULL);
    assert_int_equal(exit_code, 0);
    assert_int_equal(access(socket_path, F_OK), -1);
    fby_serve_config_clear(&config);
}

/* ---- HTTP, as little of it as a client needs ---- */

static void send_all(int fd, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t n = send(fd, bytes, size, MSG_NOSIGNAL);
        check(n > 0);
        bytes += n;
        size -= (size_t)n;
    }
}

static void post(int fd, const char *path, const char *body)
{
    char head[256];
    int size =
        snprintf(head, sizeof head, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n",
                 path, strlen(body));
    send_all(fd, head, (size_t)size);
    send_all(fd, body, strlen(body));
}

/* Reads up to and including `end`; the rest of what came stays for the next call in `buffer`. */
struct reader {
    int fd;
    char *buffer; /* (BODY_MAX) */
    size_t size;
};

static void more(struct reader *reader)
{
    check(reader->size < BODY_MAX - 1);
    ssize_t n = recv(reader->fd, reader->buffer + reader->size, BODY_MAX - 1 - reader->size, 0);
    check(n > 0);
    reader->size += (size_t)n;
    reader->buffer[reader->size] = '\0';
}

static void drop(struct reader *reader, size_t size)
{
    memmove(reader->buffer, reader->buffer + size, reader->size - size + 1);
    reader->size -= size;
}

static size_t line(struct reader *reader, char *out, size_t room)
{
    char *end;
    while ((end = strstr(reader->buffer, "\r\n")) == NULL)
        more(reader);
    size_t size = (size_t)(end - reader->buffer);
    check(size < room);
    memcpy(out, reader->buffer, size);
    out[size] = '\0';
    drop(reader, size + 2);
    return size;
}

static void take(struct reader *reader, size_t size, char *out)
{
    while (reader->size < size)
        more(reader);
    memcpy(out, reader->buffer, size);
    drop(reader, size);
}

/* The status; the body, terminated, in `body` (BODY_MAX). */
static int answer(struct reader *reader, char *body)
{
    char text[1024];
    size_t length = 0, size = 0;
    bool chunked = false;
    line(reader, text, sizeof text);
    int status = atoi(text + strlen("HTTP/1.1 "));
    while (line(reader, text, sizeof text) > 0) {
        if (strncasecmp(text, "content-length:", 15) == 0)
            length = strtoul(text + 15, NULL, 10);
        chunked |= strncasecmp(text, "transfer-encoding: chunked", 26) == 0;
    }
    if (!chunked) {
        take(reader, length, body);
        body[length] = '\0';
        return status;
    }
    while (line(reader, text, sizeof text), (length = strtoul(text, NULL, 16)) > 0) {
        take(reader, length, body + size);
        size += length;
        line(reader, text, sizeof text);
    }
    line(reader, text, sizeof text);
    body[size] = '\0';
    return status;
}

/* ---- checking ---- */

static int digit(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = strchr(digits, c);
    check(c != '\0' && at != NULL);
    return (int)(at - digits);
}

static void decode(const char *text, float *vector)
{
    unsigned char *out = (unsigned char *)vector;
    for (size_t i = 0; i < DIM * sizeof(float); i += 3, text += 4) {
        int word =
            digit(text[0]) << 18 | digit(text[1]) << 12 | digit(text[2]) << 6 | digit(text[3]);
        out[i] = (unsigned char)(word >> 16);
        out[i + 1] = (unsigned char)(word >> 8);
        out[i + 2] = (unsigned char)word;
    }
}

/* The vectors of the answer are those of texts first, first + 1 ... */
static void check_vectors(const char *body, int first, int count)
{
    float vector[DIM];
    for (int i = 0; i < count; i++) {
        body = strstr(body, "\"embedding\":\"");
        check(body != NULL);
        body += strlen("\"embedding\":\"");
        decode(body, vector);
        check(memcmp(vector, expected[(first + i) % TEXTS], sizeof vector) == 0);
    }
    check(strstr(body, "\"embedding\":\"") == NULL);
}

static void write_request(char *body, int first, int count)
{
    size_t used = (size_t)sprintf(body, "{\"model\":\"all-MiniLM-L6-v2\",\"encoding_format\":"
                                        "\"base64\",\"input\":[");
    for (int i = 0; i < count; i++)
        used +=
            (size_t)sprintf(body + used, "%s\"%s\"", i > 0 ? "," : "", words[(first + i) % TEXTS]);
    sprintf(body + used, "]}");
}

static void ask(int fd, char *body, int first, int count)
{
    write_request(body, first, count);
    post(fd, "/v1/embeddings", body);
}

static void *client(void *arg)
{
    fby_rng rng = {(uint64_t)(uintptr_t)arg};
    char *body = malloc(BODY_MAX);
    struct reader reader = {connect_to_server(), calloc(1, BODY_MAX), 0};

    for (int round = 0; round < 5; round++) {
        int first = (int)fby_rng_below(&rng, TEXTS);
        switch (fby_rng_below(&rng, 6)) {
        case 0: /* large: tokenised by workers, streamed */
            ask(reader.fd, body, first, LIST);
            check(answer(&reader, body) == 200);
            check_vectors(body, first, LIST);
            break;
        case 1:
            post(reader.fd, "/v1/embeddings", "{\"input\":[1,");
            check(answer(&reader, body) == 400);
            break;
        case 2: /* gone before the answer */
            ask(reader.fd, body, first, 20);
            close(reader.fd);
            reader.fd = connect_to_server();
            reader.size = 0;
            reader.buffer[0] = '\0';
            break;
        case 3: /* two at once on one connection */
            ask(reader.fd, body, first, 2);
            ask(reader.fd, body, first + 1, 1);
            check(answer(&reader, body) == 200);
            check_vectors(body, first, 2);
            check(answer(&reader, body) == 200);
            check_vectors(body, first + 1, 1);
            break;
        case 4: { /* a row a token */
            post(reader.fd, "/embed_all", "{\"inputs\":\"a b c\"}");
            check(answer(&reader, body) == 200);
            int commas = 0;
            for (const char *c = body; *c != '\0'; c++)
                commas += *c == ',';
            check(commas == 5 * DIM - 1); /* [CLS] a b c [SEP] */
            break;
        }
        default:
            ask(reader.fd, body, first, 1);
            check(answer(&reader, body) == 200);
            check_vectors(body, first, 1);
        }
    }
    close(reader.fd);
    free(reader.buffer);
    free(body);
    return NULL;
}

static void run_clients(void)
{
    pthread_t clients[CLIENTS];
    fby_rng rng = fby_rng_from_env();
    for (int i = 0; i < CLIENTS; i++)
        assert_int_equal(
            pthread_create(&clients[i], NULL, client, (void *)(uintptr_t)fby_rng_next(&rng)), 0);
    for (int i = 0; i < CLIENTS; i++)
        pthread_join(clients[i], NULL);
}

/* ---- tests ---- */

static void clients_of_every_kind_get_the_librarys_bits(void **state)
{
    (void)state;
    start(2048, 1);
    run_clients();
    stop();
}

static void texts_of_the_long_lane_get_the_librarys_bits(void **state)
{
    (void)state;
    start(6, 3); /* about every second text is long; agents share the lanes */
    run_clients();
    stop();
}

/* A sample's value; `line` is what stands before it. */
static uint64_t metric(struct reader *reader, char *body, const char *line)
{
    static const char get[] = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
    send_all(reader->fd, get, sizeof get - 1);
    check(answer(reader, body) == 200);
    const char *at = strstr(body, line);
    check(at != NULL);
    return strtoull(at + strlen(line), NULL, 10);
}

static void teams_of_workers_give_the_librarys_bits(void **state)
{
    (void)state;
    start_with(2048, 1, 3, "fine");
    char *body = malloc(BODY_MAX);
    struct reader reader = {connect_to_server(), calloc(1, BODY_MAX), 0};
    int asked = 0;
    do { /* one that is alone, with others idle: sooner or later they come in time */
        ask(reader.fd, body, asked % TEXTS, 1);
        assert_int_equal(answer(&reader, body), 200);
        check_vectors(body, asked++ % TEXTS, 1);
    } while (metric(&reader, body, "\nforebay_batches_total{mode=\"fine\"} ") == 0);
    close(reader.fd);
    free(reader.buffer);
    free(body);
    run_clients();
    stop();
}

static void what_is_in_flight_is_answered_after_sigterm(void **state)
{
    (void)state;
    start(2048, 1);
    char *body = malloc(BODY_MAX);
    struct reader reader = {connect_to_server(), calloc(1, BODY_MAX), 0};
    ask(reader.fd, body, 0, 1);
    assert_int_equal(answer(&reader, body), 200);
    ask(reader.fd, body, 0, LIST);
    usleep(20000); /* it is most likely admitted by then; if not, it is refused as it should be */
    kill(getpid(), SIGTERM);
    int status = answer(&reader, body);
    assert_true(status == 200 || status == 503);
    if (status == 200)
        check_vectors(body, 0, LIST);
    close(reader.fd);
    pthread_join(server, NULL);
    assert_int_equal(exit_code, 0);
    fby_serve_config_clear(&config);
    free(reader.buffer);
    free(body);
}

static void a_length_beside_chunks_is_refused(void **state)
{
    (void)state;
    static const char request[] =
        "POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nContent-Length: 13\r\n"
        "Transfer-Encoding: chunked\r\n\r\n"
        "0d\r\n{\"input\":\"a\"}\r\n0d\r\n{\"input\":\"b\"}\r\n0\r\n\r\n";
    start(2048, 1);
    char *body = malloc(BODY_MAX);
    struct reader reader = {connect_to_server(), calloc(1, BODY_MAX), 0};
    send_all(reader.fd, request, sizeof request - 1);
    assert_int_equal(answer(&reader, body), 400);
    close(reader.fd);
    free(reader.buffer);
    free(body);
    stop(); /* nothing is left under way */
}

static int set_up(void **state)
{
    (void)state;
    const char *dir = getenv("FBY_TEST_MODEL");
    assert_non_null(dir);
    snprintf(socket_path, sizeof socket_path, "/tmp/forebay-test-server-%d", (int)getpid());
    make_words();
    embed_words(dir);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clients_of_every_kind_get_the_librarys_bits),
        cmocka_unit_test(texts_of_the_long_lane_get_the_librarys_bits),
        cmocka_unit_test(teams_of_workers_give_the_librarys_bits),
        cmocka_unit_test(what_is_in_flight_is_answered_after_sigterm),
        cmocka_unit_test(a_length_beside_chunks_is_refused),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
