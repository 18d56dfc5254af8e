/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/stop.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <unistd.h>

static atomic_bool asked;
static int pipe_ends[2] = {-1, -1};

static void on_signal(int number)
{
    (void)number;
    int saved = errno;
    /* Relaxed: it guards nothing but itself. */
    atomic_store_explicit(&asked, true, memory_order_relaxed);
    if (write(pipe_ends[1], "", 1) < 0) {
        /* Full: it is readable all the same. */
    }
    errno = saved;
}

fby_status fby_stop_listen(void)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};

    if (pipe2(pipe_ends, O_CLOEXEC | O_NONBLOCK) != 0)
        return fby_error_errno(FBY_EIO, errno, "pipe");
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        /* Also where it was ignored from the start: a script's "&" does that to SIGINT, and who
         * then sends one means it. */
        struct sigaction before;
        if (signals[i] == SIGHUP && sigaction(SIGHUP, NULL, &before) == 0 &&
            before.sa_handler == SIG_IGN)
            continue; /* nohup means it, too */
        struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
        if (sigaction(signals[i], &action, NULL) != 0)
            return fby_error_errno(FBY_EIO, errno, "sigaction");
    }
    return FBY_OK;
}

bool fby_stop_asked(void)
{
    return atomic_load_explicit(&asked, memory_order_relaxed);
}

int fby_stop_fd(void)
{
    return pipe_ends[0];
}
