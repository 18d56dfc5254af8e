/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The steady state of the server: after warm-up a request makes our code
 * allocate nothing and fault no page. The linker sends every allocation of our
 * objects, and of jansson's, which are linked in, through the counters here;
 * the shared libraries' (libmicrohttpd's above all) come through malloc itself
 * and are stated. Page faults are the kernel's own count, of all threads: the
 * clients here touch nothing new.
 */
#include "serve/server.h"
#include "test.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- counting ---- */

static _Atomic uint64_t ours, all;

static void count(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *pointer, size_t size);
void *__real_mmap64(void *address, size_t size, int protection, int flags, int file, off_t offset);
char *__real_strdup(const char *text);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *pointer, size_t size);
void *__wrap_mmap64(void *address, size_t size, int protection, int flags, int file, off_t offset);
char *__wrap_strdup(const char *text);

void *__wrap_malloc(size_t size)
{
    count(&ours);
    return __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    count(&ours);
    return __real_calloc(n, size);
}

void *__wrap_realloc(void *pointer, size_t size)
{
    count(&ours);
    return __real_realloc(pointer, size);
}

void *__wrap_mmap64(void *address, size_t size, int protection, int flags, int file, off_t offset)
{
    count(&ours);
    return __real_mmap64(address, size, protection, flags, file, offset);
}

char *__wrap_strdup(const char *text)
{
    count(&ours);
    return __real_strdup(text);
}

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
enum { SANITIZED = true }; /* malloc is the sanitizer's, and it faults pages of its own */
#else
enum { SANITIZED = false };

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *pointer, size_t size);

/* Stands before the C library's for everybody. */
__attribute__((visibility("default"))) void *malloc(size_t size)
{
    count(&all);
    return __libc_malloc(size);
}

__attribute__((visibility("default"))) void *calloc(size_t n, size_t size)
{
    count(&all);
    return __libc_calloc(n, size);
}

__attribute__((visibility("default"))) void *realloc(void *pointer, size_t size)
{
    count(&all);
    return __libc_realloc(pointer, size);
}
#endif

static uint64_t page_faults(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (uint64_t)usage.ru_minflt + (uint64_t)usage.ru_majflt;
}

/* ---- the server ---- */

enum { CONNECTIONS = 4, REQUESTS = 100, ROUNDS = 10, WARM_ROUNDS = 3, KINDS = 7 };

static fby_serve_config config;
static pthread_t server;
static char socket_path[108];

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
    assert_true(fd >= 0);
    for (int tries = 0; connect(fd, (struct sockaddr *)&address, sizeof address) != 0; tries++) {
        assert_true(tries < 6000);
        usleep(10000);
    }
    return fd;
}

static void start(int *code)
{
    const char *environment[] = {"FBY_LOG_LEVEL=error", "FBY_REQUEST_TIMEOUT_MS=3600000",
                                 "FBY_THREADS=2", "FBY_HEADER_TIMEOUT_MS=600000", NULL};
    fby_config_inputs inputs = {.environment = environment,
                                .default_model = getenv("FBY_TEST_MODEL")};
    fby_config_notes notes = {0};
    assert_int_equal(fby_serve_config_load(&config, &inputs, &notes), FBY_OK);
    fby_config_notes_clear(&notes);
    snprintf(socket_path, sizeof socket_path, "/tmp/fby-steady-%d", (int)getpid());
    free(config.uds_path);
    config.uds_path = strdup(socket_path);

    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &set, NULL); /* it is for the server's thread */
    assert_int_equal(pthread_create(&server, NULL, serve, code), 0);
}

/* ---- its clients, who allocate nothing ---- */

static const struct {
    const char *path, *before, *after;
    bool list;
    int status;
} kinds[KINDS] = {
    {"/v1/embeddings", "{\"input\":", ",\"encoding_format\":\"base64\"}", false, 200},
    {"/v1/embeddings", "{\"input\":", "}", false, 200},
    {"/v1/embeddings", "{\"input\":", ",\"dimensions\":64}", true, 200},
    {"/embed", "{\"inputs\":", "}", true, 200},
    {"/api/embed", "{\"model\":\"all-MiniLM-L6-v2\",\"input\":", "}", false, 200},
    {"/v1/embeddings", "{\"input\":[", "}", false, 400},
    {"/v1/nowhere", "{\"input\":", "}", false, 404},
};

/* Words of letters in any order: they become pieces that no earlier text had. */
static size_t put_text(char *out, fby_rng *rng)
{
    size_t used = 0;
    out[used++] = '"';
    for (uint64_t words = 2 + fby_rng_below(rng, 12); words > 0; words--) {
        for (uint64_t letters = 1 + fby_rng_below(rng, 9); letters > 0; letters--)
            out[used++] = (char)('a' + fby_rng_below(rng, 26));
        out[used++] = ' ';
    }
    out[used++] = '"';
    return used;
}

static size_t put(char *out, const char *text)
{
    memcpy(out, text, strlen(text));
    return strlen(text);
}

static size_t put_body(char *out, size_t kind, fby_rng *rng)
{
    size_t used = put(out, kinds[kind].before);
    if (!kinds[kind].list)
        used += put_text(out + used, rng);
    for (uint64_t i = 0; kinds[kind].list && i < 6; i++) {
        out[used++] = i == 0 ? '[' : ',';
        used += put_text(out + used, rng);
    }
    if (kinds[kind].list)
        out[used++] = ']';
    return used + put(out + used, kinds[kind].after);
}

static void send_request(int fd, size_t kind, fby_rng *rng)
{
    static char body[4096], all_of_it[8192];
    size_t size = put_body(body, kind, rng);
    size_t used = (size_t)snprintf(all_of_it, sizeof all_of_it,
                                   "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n",
                                   kinds[kind].path, size);
    memcpy(all_of_it + used, body, size);
    used += size;
    assert_int_equal(send(fd, all_of_it, used, MSG_NOSIGNAL), used);
}

/* The status. Reads up to the end that content-length or the last chunk says. */
static int take_answer(int fd)
{
    static char bytes[1 << 18];
    size_t size = 0, whole = SIZE_MAX;
    const char *end = NULL;

    while (size < whole) {
        ssize_t n = recv(fd, bytes + size, sizeof bytes - 1 - size, 0);
        assert_true(n > 0);
        size += (size_t)n;
        bytes[size] = '\0';
        if (end == NULL && (end = strstr(bytes, "\r\n\r\n")) != NULL) {
            const char *length = strcasestr(bytes, "content-length:");
            if (length != NULL && length < end)
                whole = (size_t)(end - bytes) + 4 + strtoul(length + 15, NULL, 10);
        }
        if (end != NULL && whole == SIZE_MAX && size > 5 &&
            memcmp(bytes + size - 5, "0\r\n\r\n", 5) == 0)
            break;
    }
    return atoi(bytes + strlen("HTTP/1.1 "));
}

static void wait_until_ready(int fd)
{
    const char *ask = "GET /health HTTP/1.1\r\nHost: x\r\n\r\n";
    int status = 0;
    for (int tries = 0; status != 200 && tries < 6000; tries++) {
        assert_int_equal(send(fd, ask, strlen(ask), MSG_NOSIGNAL), strlen(ask));
        status = take_answer(fd);
        if (status != 200)
            usleep(10000);
    }
    assert_int_equal(status, 200);
}

/* A request on each connection, then their answers, until there were REQUESTS. */
static void run_round(const int *fds, fby_rng *rng)
{
    for (size_t i = 0; i < REQUESTS; i += CONNECTIONS) {
        for (size_t c = 0; c < CONNECTIONS; c++)
            send_request(fds[c], (i + c) % KINDS, rng);
        for (size_t c = 0; c < CONNECTIONS; c++)
            assert_int_equal(take_answer(fds[c]), kinds[(i + c) % KINDS].status);
    }
}

static void a_thousand_requests_allocate_nothing_of_ours(void **state)
{
    (void)state;
    assert_non_null(getenv("FBY_TEST_MODEL"));
    fby_rng rng = fby_rng_from_env();
    int code = -1, fds[CONNECTIONS], rounds_with_faults = 0;
    uint64_t faults = 0;

    start(&code);
    for (int i = 0; i < CONNECTIONS; i++)
        fds[i] = connect_to_server();
    wait_until_ready(fds[0]);
    for (int i = 0; i < WARM_ROUNDS; i++)
        run_round(fds, &rng);
    assert_true(atomic_load(&ours) > 0); /* the counter counts */

    uint64_t ours_before = atomic_load(&ours), all_before = atomic_load(&all);
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t before = page_faults();
        run_round(fds, &rng);
        faults += page_faults() - before;
        rounds_with_faults += page_faults() != before;
    }
    uint64_t ours_made = atomic_load(&ours) - ours_before;
    uint64_t all_made = atomic_load(&all) - all_before;
    printf("%d requests: %llu allocations of ours, %.2f a request of libmicrohttpd's and others', "
           "%llu page faults\n",
           ROUNDS * REQUESTS, (unsigned long long)ours_made,
           (double)(all_made - (SANITIZED ? 0 : ours_made)) / (ROUNDS * REQUESTS),
           (unsigned long long)faults);
    assert_int_equal(ours_made, 0);
    /* What faulted once a request would do so in every round. A single one may be the system's,
     * which moves pages and takes them back when it likes. */
    assert_true(SANITIZED || rounds_with_faults <= ROUNDS / 4);

    for (int i = 0; i < CONNECTIONS; i++)
        close(fds[i]);
    kill(getpid(), SIGTERM);
    pthread_join(server, NULL);
    assert_int_equal(code, 0);
    fby_serve_config_clear(&config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thousand_requests_allocate_nothing_of_ours),
    };
    return cmocka_run_group_tests_name("serve steady", tests, NULL, NULL);
}
