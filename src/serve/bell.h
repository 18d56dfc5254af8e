/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Wakes a thread that sleeps in epoll_wait(): an eventfd that is written only
 * while somebody sleeps, so that a busy thread costs its wakers no system call.
 *
 *     sleeper                              waker
 *       fby_bell_prepare                     make the thing visible
 *       look again for things to do          fby_bell_ring
 *       epoll_wait if there are none
 *       fby_bell_awake
 *
 * Each side's first step replaces the flag, so one of the two is first: if the
 * sleeper, the waker finds the flag and writes; if the waker, the sleeper finds
 * the thing when it looks again. tests/spin/bell.pml is this as a model.
 *
 * Threads: one sleeper, any number of wakers.
 */
#ifndef FBY_SERVE_BELL_H
#define FBY_SERVE_BELL_H

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/platform.h"
#include "base/status.h"

typedef struct fby_bell {
    int fd; /* readable: wake up */
    _Alignas(FBY_CACHELINE) atomic_bool asleep;
} fby_bell;

static inline fby_status fby_bell_init(fby_bell *bell)
{
    atomic_init(&bell->asleep, false);
    bell->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return bell->fd >= 0 ? FBY_OK : fby_error_errno(FBY_ENOMEM, errno, "an eventfd");
}

static inline void fby_bell_close(fby_bell *bell)
{
    if (bell->fd >= 0)
        close(bell->fd);
    bell->fd = -1;
}

static inline void fby_bell_prepare(fby_bell *bell)
{
    /* B1, with B2 of a waker that came first: what it made visible is seen from here on. */
    atomic_exchange_explicit(&bell->asleep, true, memory_order_acq_rel);
}

static inline void fby_bell_awake(fby_bell *bell)
{
    uint64_t rung;
    /* A waker that took the flag may write later than this read: the next sleep is short then, for
     * nothing. */
    if (!atomic_exchange_explicit(&bell->asleep, false, memory_order_acq_rel))
        (void)!read(bell->fd, &rung, sizeof rung);
}

static inline void fby_bell_ring(fby_bell *bell)
{
    /* B2, with B1: what was made visible before. */
    if (atomic_exchange_explicit(&bell->asleep, false, memory_order_acq_rel)) {
        const uint64_t once = 1;
        (void)!write(bell->fd, &once, sizeof once); /* fails only when full, which wakes as well */
    }
}

#endif
