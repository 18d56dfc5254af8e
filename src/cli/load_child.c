/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/load_child.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cli/stop.h"

enum { UP_MS = 60000, LOOK_MS = 20 };

static struct sockaddr_in loopback(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

/* One that nobody has just now. */
static fby_status free_port(uint16_t *port)
{
    struct sockaddr_in address = loopback(0);
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool found = fd >= 0 && bind(fd, (struct sockaddr *)(void *)&address, sizeof address) == 0 &&
                 getsockname(fd, (struct sockaddr *)(void *)&address, &size) == 0;
    int error = errno;
    if (fd >= 0)
        close(fd);
    if (!found)
        return fby_error_errno(FBY_EIO, error, "a free port");
    *port = ntohs(address.sin_port);
    return FBY_OK;
}

/* In the child. */
static void become_server(const fby_load_child_options *options, uint16_t port)
{
    char port_text[8], threads[24];
    snprintf(port_text, sizeof port_text, "%u", (unsigned)port);
    snprintf(threads, sizeof threads, "%" PRIu64, options->threads);
    const char *words[] = {"forebay",
                           "serve",
                           "--model",
                           options->model,
                           "--port",
                           port_text,
                           "--wait",
                           options->wait,
                           "--precision",
                           options->precision,
                           "--log-level",
                           "warn",
                           options->threads != 0 ? "--threads" : NULL,
                           threads,
                           NULL};
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    execv("/proc/self/exe", (char *const *)(uintptr_t)words);
    _exit(127);
}

static bool answers(uint16_t port)
{
    struct sockaddr_in address = loopback(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool up = fd >= 0 && connect(fd, (struct sockaddr *)(void *)&address, sizeof address) == 0;
    if (fd >= 0)
        close(fd);
    return up;
}

static fby_status wait_until_up(fby_load_child *child)
{
    const struct timespec step = {.tv_nsec = LOOK_MS * 1000000L};
    for (int ms = 0; ms < UP_MS; ms += LOOK_MS) {
        if (waitpid(child->pid, NULL, WNOHANG) == child->pid) {
            child->pid = 0;
            return fby_error(FBY_EIO, "the server ended before it took a connection");
        }
        if (fby_stop_asked())
            return fby_error(FBY_ECANCELED, "stopped");
        if (answers(child->port))
            return FBY_OK;
        nanosleep(&step, NULL);
    }
    return fby_error(FBY_EIO, "the server did not come up within %d s", UP_MS / 1000);
}

fby_status fby_load_child_start(const fby_load_child_options *options, fby_load_child *child)
{
    fby_load_child started = {0};
    fby_status status = free_port(&started.port);
    if (status != FBY_OK)
        return status;
    started.pid = fork();
    if (started.pid < 0)
        return fby_error_errno(FBY_EIO, errno, "starting the server");
    if (started.pid == 0)
        become_server(options, started.port);
    status = wait_until_up(&started);
    if (status != FBY_OK)
        fby_load_child_stop(&started);
    else
        *child = started;
    return status;
}

void fby_load_child_stop(fby_load_child *child)
{
    if (child->pid == 0)
        return;
    (void)kill(child->pid, SIGTERM);
    while (waitpid(child->pid, NULL, 0) < 0 && errno == EINTR) {
    }
    child->pid = 0;
}
