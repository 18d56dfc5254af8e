/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/allocator/os.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/platform.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/* A system call that leaves errno alone: its result, or -errno. */
static long raw(long number, long a, long b, long c, long d, long e, long f)
{
#if defined(__x86_64__)
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    __asm__ __volatile__("syscall"
                         : "=a"(result)
                         : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                         : "rcx", "r11", "memory");
    return result;
#elif defined(__aarch64__)
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;
    __asm__ __volatile__("svc 0"
                         : "+r"(x0)
                         : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                         : "memory");
    return x0;
#else
#error "the allocator's system calls are written for x86-64 and aarch64"
#endif
}

/* ---- address space ---- */

enum { ALIGN = 1 << 16 };

void *fby_os_reserve(size_t size)
{
    char *at =
        mmap(NULL, size + ALIGN, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED)
        return NULL;
    size_t before = (ALIGN - (uintptr_t)at % ALIGN) % ALIGN;
    if (before != 0)
        munmap(at, before);
    if (before != ALIGN)
        munmap(at + before + size, ALIGN - before);
    return at + before;
}

bool fby_os_commit(void *at, size_t size)
{
    return mprotect(at, size, PROT_READ | PROT_WRITE) == 0;
}

bool fby_os_commit_readable(void *at, size_t size)
{
    return mprotect(at, size, PROT_READ) == 0;
}

bool fby_os_guard(void *at, size_t size)
{
    return mprotect(at, size, PROT_NONE) == 0;
}

void *fby_os_map(size_t size)
{
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return at != MAP_FAILED ? at : NULL;
}

void *fby_os_map_sparse(size_t size)
{
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                    -1, 0);
    return at != MAP_FAILED ? at : NULL;
}

void fby_os_unmap(void *at, size_t size)
{
    munmap(at, size);
}

static _Atomic uint32_t purges_refused; /* one after the other */

bool fby_os_purge(void *at, size_t size)
{
    bool done = raw(SYS_madvise, (long)at, (long)size, MADV_DONTNEED, 0, 0, 0) == 0;
    if (!done)
        atomic_fetch_add_explicit(&purges_refused, 1, memory_order_relaxed);
    else if (atomic_load_explicit(&purges_refused, memory_order_relaxed) != 0)
        atomic_store_explicit(&purges_refused, 0, memory_order_relaxed);
    return done;
}

bool fby_os_purge_works(void)
{
    enum { ENOUGH = 4 };
    return atomic_load_explicit(&purges_refused, memory_order_relaxed) < ENOUGH;
}

void fby_os_populate(void *at, size_t size)
{
    raw(SYS_madvise, (long)at, (long)size, MADV_POPULATE_WRITE, 0, 0, 0);
}

bool fby_os_read(void *to, const void *from, size_t size)
{
    struct iovec here = {to, size}, there = {(void *)(uintptr_t)from, size};
    long self = raw(SYS_getpid, 0, 0, 0, 0, 0, 0);
    long got = raw(SYS_process_vm_readv, self, (long)&here, 1, (long)&there, 1, 0);
    if (got == -ENOSYS || got == -EPERM) {
        memcpy(to, from, size);
        return true;
    }
    return got == (long)size;
}

void fby_os_huge(void *at, size_t size)
{
    raw(SYS_madvise, (long)at, (long)size, MADV_HUGEPAGE, 0, 0, 0);
}

/* ---- nodes ---- */

void fby_os_bind(void *at, size_t size, uint32_t node)
{
    enum { MPOL_PREFERRED_MODE = 1 };
    if (node >= 64)
        return;
    unsigned long mask = 1ul << node;
    raw(SYS_mbind, (long)at, (long)size, MPOL_PREFERRED_MODE, (long)&mask, 65, 0);
}

/* 0 bytes of a file that cannot be read. */
static long read_file(const char *path, char *text, size_t size)
{
    long fd = raw(SYS_openat, AT_FDCWD, (long)path, O_RDONLY | O_CLOEXEC, 0, 0, 0);
    if (fd < 0)
        return 0;
    long got = raw(SYS_read, fd, (long)text, (long)size, 0, 0, 0);
    raw(SYS_close, fd, 0, 0, 0, 0, 0);
    return got > 0 ? got : 0;
}

uint32_t fby_os_mappings_max(void)
{
    enum { USUAL = 65530 };
    char text[16];
    long size = read_file("/proc/sys/vm/max_map_count", text, sizeof text);
    uint32_t most = 0;
    for (long i = 0; i < size && text[i] >= '0' && text[i] <= '9' && most < 1u << 24; i++)
        most = most * 10 + (uint32_t)(text[i] - '0');
    return most != 0 ? most : USUAL;
}

/* /sys/devices/system/node/online holds "0" or "0-3" or "0,2": one more than its last number. */
uint32_t fby_os_node_count(void)
{
    char text[128];
    long size = read_file("/sys/devices/system/node/online", text, sizeof text);
    uint32_t last = 0;
    for (long i = 0; i < size; i++) {
        bool digit = text[i] >= '0' && text[i] <= '9';
        if (!digit)
            continue;
        bool first = i == 0 || text[i - 1] < '0' || text[i - 1] > '9';
        last = (first ? 0 : last * 10) + (uint32_t)(text[i] - '0');
    }
    return last < 64 ? last + 1 : 64;
}

uint32_t fby_os_node(void)
{
    unsigned node = 0;
    if (raw(SYS_getcpu, 0, (long)&node, 0, 0, 0, 0) != 0)
        return 0;
    return node;
}

/* ---- files ---- */

int fby_os_file_create(const char *path)
{
    enum { HIGH = 700, LOWER = 100 };
    long fd = raw(SYS_openat, AT_FDCWD, (long)path,
                  O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600, 0, 0);
    if (fd < 0)
        return -1;
    long high = raw(SYS_fcntl, fd, F_DUPFD_CLOEXEC, HIGH, 0, 0, 0);
    if (high < 0)
        high = raw(SYS_fcntl, fd, F_DUPFD_CLOEXEC, LOWER, 0, 0, 0);
    raw(SYS_close, fd, 0, 0, 0, 0, 0);
    return (int)high;
}

bool fby_os_file_write(int fd, const void *from, size_t size)
{
    const char *at = from;
    while (size > 0) {
        long done = raw(SYS_write, fd, (long)at, (long)size, 0, 0, 0);
        if (done == -EINTR)
            continue;
        if (done <= 0)
            return false;
        at += done;
        size -= (size_t)done;
    }
    return true;
}

void fby_os_file_close(int fd)
{
    raw(SYS_close, fd, 0, 0, 0, 0, 0);
}

bool fby_os_file_identify(int fd, fby_os_file_id *id)
{
    struct stat found;
    if (raw(SYS_fstat, fd, (long)&found, 0, 0, 0, 0) != 0 || !S_ISREG(found.st_mode))
        return false;
    *id = (fby_os_file_id){found.st_dev, found.st_ino};
    return true;
}

/* ---- time, futex, membarrier ---- */

uint64_t fby_os_now_ms(void)
{
    struct timespec now = {0, 0};
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

bool fby_os_wait(_Atomic uint32_t *word, uint32_t value, uint32_t timeout_ms)
{
    struct timespec limit = {timeout_ms / 1000, (long)(timeout_ms % 1000) * 1000000};
    long result = raw(SYS_futex, (long)word, FUTEX_WAIT_PRIVATE, (long)value,
                      timeout_ms == UINT32_MAX ? 0 : (long)&limit, 0, 0);
    return result == 0 || result == -ETIMEDOUT || result == -EAGAIN || result == -EINTR;
}

void fby_os_wake(_Atomic uint32_t *word, uint32_t count)
{
    raw(SYS_futex, (long)word, FUTEX_WAKE_PRIVATE, (long)count, 0, 0, 0);
}

static _Atomic uint32_t barrier_state; /* 0 unknown, 1 works, 2 does not */

bool fby_os_barrier_ready(void)
{
    /* Two threads may both find out; they find the same. */
    uint32_t state = atomic_load_explicit(&barrier_state, memory_order_relaxed);
    if (state == 0) {
        long result = raw(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0, 0, 0, 0);
        state = result == 0 ? 1 : 2;
        atomic_store_explicit(&barrier_state, state, memory_order_relaxed);
    }
    return state == 1;
}

bool fby_os_barrier(void)
{
    if (raw(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0, 0, 0, 0) == 0)
        return true;
    atomic_store_explicit(&barrier_state, 2, memory_order_relaxed);
    return false;
}

/* ---- the background thread ---- */

FBY_COLD void fby_os_abort(void)
{
    uint64_t as_by_default[4] = {0}; /* the kernel's struct sigaction */
    uint64_t others = ~((uint64_t)1 << (SIGABRT - 1));
    raw(SYS_rt_sigaction, SIGABRT, (long)as_by_default, 0, sizeof others, 0, 0);
    raw(SYS_rt_sigprocmask, SIG_SETMASK, (long)&others, 0, sizeof others, 0, 0);
    raw(SYS_tgkill, raw(SYS_getpid, 0, 0, 0, 0, 0, 0), raw(SYS_gettid, 0, 0, 0, 0, 0, 0), SIGABRT,
        0, 0, 0);
    raw(SYS_exit_group, 127, 0, 0, 0, 0, 0);
}

enum { STACK = 64 << 10, TLS_BELOW = 32 << 10, TLS_ABOVE = 8 << 10 };

bool fby_os_start(int (*body)(void *), _Atomic uint32_t *running)
{
    static char *stack; /* reused: the last thread has left before another starts */
    if (stack == NULL) {
        stack = fby_os_map(STACK + TLS_BELOW + TLS_ABOVE);
        if (stack == NULL)
            return false;
    }
    char *tls = stack + STACK + TLS_BELOW;
#if defined(__x86_64__)
    /* The thread pointer's own address, where compilers and libc look for it. */
    ((void **)(void *)tls)[0] = tls;
    ((void **)(void *)tls)[2] = tls;
#endif
    uint64_t all = UINT64_MAX, before = 0;
    raw(SYS_rt_sigprocmask, SIG_SETMASK, (long)&all, (long)&before, sizeof all, 0, 0);
    atomic_store_explicit(running, 1, memory_order_relaxed);
    int kept = errno;
    int id = clone(body, stack + STACK,
                   CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |
                       CLONE_SYSVSEM | CLONE_SETTLS | CLONE_CHILD_CLEARTID,
                   NULL, NULL, tls, running);
    if (id < 0) {
        errno = kept;
        atomic_store_explicit(running, 0, memory_order_relaxed);
    }
    raw(SYS_rt_sigprocmask, SIG_SETMASK, (long)&before, 0, sizeof before, 0, 0);
    return id >= 0;
}

void fby_os_wait_gone(_Atomic uint32_t *running)
{
    /* The kernel's wake is one for all processes, not a private one. O1, with the kernel's store.
     */
    while (atomic_load_explicit(running, memory_order_acquire) != 0) {
        long result = raw(SYS_futex, (long)running, FUTEX_WAIT, 1, 0, 0, 0);
        if (result != 0 && result != -EAGAIN && result != -EINTR)
            raw(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
    }
}
