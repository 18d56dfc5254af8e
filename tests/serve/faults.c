/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loaded before a server (LD_PRELOAD): one system call or allocation fails.
 *
 *     FBY_FAULT=accept4    which one: accept4, recv, send, malloc, mmap, epoll_ctl
 *     FBY_FAULT_FIRST=3    the third call of it fails
 *     SIGUSR1              the next call of it fails; the second such signal: the second
 *                          call from then on, and so forth
 *
 *     FBY_FAULT=stuck      recv of a POST, once armed, does not return before the next signal
 *
 * Each signal and each fault is a line on stderr. send stands for all by which an answer leaves;
 * malloc for calloc and realloc too.
 */
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define VISIBLE __attribute__((visibility("default")))

static const char *fault;
static atomic_int armed;  /* signals so far */
static atomic_long until; /* calls until one fails; 0: none will */

static void arm(int number)
{
    (void)number;
    static const char said[] = "armed\n";
    atomic_store(&until, atomic_fetch_add(&armed, 1) + 1);
    (void)!write(STDERR_FILENO, said, sizeof said - 1);
}

__attribute__((constructor)) static void set_up(void)
{
    fault = getenv("FBY_FAULT");
    const char *first = getenv("FBY_FAULT_FIRST");
    atomic_store(&until, first != NULL ? strtol(first, NULL, 10) : 0);
    const struct sigaction action = {.sa_handler = arm, .sa_flags = SA_RESTART};
    (void)sigaction(SIGUSR1, &action, NULL);
}

static bool fails(const char *name)
{
    if (fault == NULL || strcmp(fault, name) != 0 || atomic_load(&until) <= 0)
        return false;
    if (atomic_fetch_sub(&until, 1) != 1)
        return false;
    static const char said[] = "a fault\n";
    return write(STDERR_FILENO, said, sizeof said - 1) > 0;
}

/* The function of that name that would have been called. */
#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

VISIBLE int accept4(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
    if (fails("accept4")) {
        errno = ENFILE;
        return -1;
    }
    return NEXT(accept4)(fd, address, size, flags);
}

static void get_stuck(void)
{
    const struct timespec step = {.tv_nsec = 1000000};
    int before = atomic_load(&armed);
    while (atomic_load(&armed) == before)
        nanosleep(&step, NULL);
    atomic_store(&until, 0);
}

VISIBLE ssize_t recv(int fd, void *bytes, size_t size, int flags)
{
    char method[4];
    if (NEXT(recv)(fd, method, sizeof method, MSG_PEEK | MSG_DONTWAIT) == sizeof method &&
        memcmp(method, "POST", sizeof method) == 0 && fails("stuck"))
        get_stuck();
    if (fails("recv")) {
        errno = ECONNRESET;
        return -1;
    }
    return NEXT(recv)(fd, bytes, size, flags);
}

static bool send_fails(void)
{
    if (!fails("send"))
        return false;
    errno = EPIPE;
    return true;
}

VISIBLE ssize_t send(int fd, const void *bytes, size_t size, int flags)
{
    return send_fails() ? -1 : NEXT(send)(fd, bytes, size, flags);
}

VISIBLE ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    return send_fails() ? -1 : NEXT(sendmsg)(fd, message, flags);
}

VISIBLE ssize_t writev(int fd, const struct iovec *parts, int count)
{
    return send_fails() ? -1 : NEXT(writev)(fd, parts, count);
}

VISIBLE int epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event)
{
    if (operation == EPOLL_CTL_ADD && fails("epoll_ctl")) {
        errno = ENOSPC;
        return -1;
    }
    return NEXT(epoll_ctl)(epoll, operation, fd, event);
}

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *pointer, size_t size);

static bool out_of_memory(void)
{
    if (!fails("malloc"))
        return false;
    errno = ENOMEM;
    return true;
}

VISIBLE void *malloc(size_t size)
{
    return out_of_memory() ? NULL : __libc_malloc(size);
}

VISIBLE void *calloc(size_t count, size_t size)
{
    return out_of_memory() ? NULL : __libc_calloc(count, size);
}

VISIBLE void *realloc(void *pointer, size_t size)
{
    return out_of_memory() ? NULL : __libc_realloc(pointer, size);
}

/* mmap64, with offsets of 64 bits. */
VISIBLE void *mmap(void *address, size_t size, int protection, int flags, int file, off_t offset)
{
    if (fails("mmap")) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    return NEXT(mmap)(address, size, protection, flags, file, offset);
}
