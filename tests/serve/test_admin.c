/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "serve/admin.h"
#include "test.h"

enum { METRICS_SIZE = 300000 }; /* more than a socket's buffer takes at once */
static _Atomic unsigned ready_status = 200, live_status = 200;

static fby_health live(void *context)
{
    assert_ptr_equal(context, &ready_status);
    return (fby_health){atomic_load(&live_status), "{\"live\":1}"};
}

static fby_health ready(void *context)
{
    (void)context;
    return (fby_health){atomic_load(&ready_status), "{\"ready\":1}"};
}

static char *metrics(void *context, size_t *size)
{
    (void)context;
    char *text = malloc(METRICS_SIZE);
    for (size_t i = 0; text != NULL && i < METRICS_SIZE; i++)
        text[i] = i % 64 == 63 ? '\n' : 'm';
    *size = METRICS_SIZE;
    return text;
}

static const fby_admin_source source = {(void *)(uintptr_t)&ready_status, live, ready, metrics};
static char answer[METRICS_SIZE + 4096];

static int connect_to(const fby_admin *admin)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(fby_admin_port(admin)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

/* The whole answer to `request`, which asks for the connection to be closed. */
static const char *ask(const fby_admin *admin, const char *request)
{
    char text[512];
    size_t used = 0;
    int fd = connect_to(admin);
    snprintf(text, sizeof text, "%s HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", request);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    for (ssize_t got; (got = read(fd, answer + used, sizeof answer - 1 - used)) > 0;)
        used += (size_t)got;
    close(fd);
    answer[used] = '\0';
    return answer;
}

static void begins_with(const char *text, const char *beginning)
{
    if (strncmp(text, beginning, strlen(beginning)) != 0)
        fail_msg("%.200s does not begin with %s", text, beginning);
}

static int open_admin(void **state)
{
    return fby_admin_open("127.0.0.1", 0, &source, (fby_admin **)state) == FBY_OK ? 0 : -1;
}

static int close_admin(void **state)
{
    fby_admin_close(*state);
    return 0;
}

static void says_what_the_server_says_of_itself(void **state)
{
    const char *text = ask(*state, "GET /live");
    begins_with(text, "HTTP/1.1 200 ");
    assert_non_null(strstr(text, "application/json"));
    assert_non_null(strstr(text, "\r\n\r\n{\"live\":1}"));
    atomic_store(&ready_status, 503);
    text = ask(*state, "GET /health?x=1");
    begins_with(text, "HTTP/1.1 503 ");
    assert_non_null(strstr(text, "{\"ready\":1}"));
    atomic_store(&ready_status, 200);
    begins_with(ask(*state, "GET /health"), "HTTP/1.1 200 ");
}

static void gives_metrics_that_grow_meanwhile(void **state)
{
    const char *text = ask(*state, "GET /metrics");
    begins_with(text, "HTTP/1.1 200 ");
    assert_non_null(strstr(text, "text/plain; version=0.0.4"));
    assert_true(strlen(strstr(text, "\r\n\r\n") + 4) == METRICS_SIZE);
}

static void answers_nothing_else(void **state)
{
    begins_with(ask(*state, "GET /"), "HTTP/1.1 404 ");
    begins_with(ask(*state, "GET /metrics/"), "HTTP/1.1 404 ");
    begins_with(ask(*state, "POST /live"), "HTTP/1.1 405 ");
    begins_with(ask(*state, "HEAD /live"), "HTTP/1.1 200 ");
    assert_null(strstr(answer, "{\"live\""));
}

static void a_client_that_says_nothing_keeps_nobody_waiting(void **state)
{
    int silent[8];
    for (int i = 0; i < 8; i++)
        silent[i] = connect_to(*state);
    begins_with(ask(*state, "GET /live"), "HTTP/1.1 200 ");
    for (int i = 0; i < 8; i++)
        close(silent[i]);
}

static void a_port_that_is_taken_is_named(void **state)
{
    char port[16];
    fby_admin *second = NULL;
    snprintf(port, sizeof port, "%u", fby_admin_port(*state));
    assert_int_equal(fby_admin_open("127.0.0.1", fby_admin_port(*state), &source, &second),
                     FBY_EIO);
    assert_null(second);
    assert_non_null(strstr(fby_last_error(), "admin port"));
    assert_non_null(strstr(fby_last_error(), port));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_what_the_server_says_of_itself),
        cmocka_unit_test(gives_metrics_that_grow_meanwhile),
        cmocka_unit_test(answers_nothing_else),
        cmocka_unit_test(a_client_that_says_nothing_keeps_nobody_waiting),
        cmocka_unit_test(a_port_that_is_taken_is_named),
    };
    return cmocka_run_group_tests_name("admin", tests, open_admin, close_admin);
}
