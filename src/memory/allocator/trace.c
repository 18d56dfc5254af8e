/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/allocator/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "memory/allocator/lock.h"

enum { HELD = 4096 }; /* records between two writes */

static struct {
    fby_lock lock;
    int fd; /* 0: nothing is recorded */
    uint32_t count;
    fby_trace_record record[HELD];
} all;

static bool write_all(const void *from, size_t size)
{
    const char *at = from;
    while (size > 0) {
        ssize_t done = write(all.fd, at, size);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return false;
        at += done;
        size -= (size_t)done;
    }
    return true;
}

/* A file that cannot be written ends the record, not the program. */
static void write_held(void)
{
    int kept = errno;
    if (all.fd != 0 && !write_all(all.record, all.count * sizeof all.record[0])) {
        close(all.fd);
        all.fd = 0;
    }
    all.count = 0;
    errno = kept;
}

bool fby_trace_start(const char *path)
{
    char name[512];
    size_t length = 0;
    while (path[length] != '\0' && length < sizeof name - 16) {
        name[length] = path[length];
        length++;
    }
    char digits[12], *digit = digits + sizeof digits;
    for (unsigned pid = (unsigned)getpid(); pid != 0; pid /= 10)
        *--digit = (char)('0' + pid % 10);
    name[length++] = '.';
    while (digit < digits + sizeof digits)
        name[length++] = *digit++;
    name[length] = '\0';
    all.fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (all.fd <= 0) {
        all.fd = 0;
        return false;
    }
    return write_all(FBY_TRACE_MAGIC, sizeof FBY_TRACE_MAGIC - 1);
}

static void put(enum fby_trace_op op, const void *address, size_t size, size_t align)
{
    if (all.count == HELD)
        write_held();
    all.record[all.count++] = (fby_trace_record){
        .address = (uintptr_t)address,
        .size = size < UINT32_MAX ? (uint32_t)size : UINT32_MAX,
        .op = (uint8_t)op,
        .shift = (uint8_t)__builtin_ctzll(align | (uint64_t)1 << 63),
    };
}

void fby_trace_write(enum fby_trace_op op, const void *address, size_t size, size_t align)
{
    fby_lock_take(&all.lock);
    put(op, address, size, align);
    fby_lock_release(&all.lock);
}

void fby_trace_realloc(const void *from, const void *to, size_t size)
{
    fby_lock_take(&all.lock);
    put(FBY_TRACE_REALLOC_OF, from, 0, 1);
    put(FBY_TRACE_REALLOC_TO, to, size, 1);
    fby_lock_release(&all.lock);
}

void fby_trace_flush(void)
{
    fby_lock_take(&all.lock);
    write_held();
    fby_lock_release(&all.lock);
}

void fby_trace_lock(void)
{
    fby_lock_take(&all.lock);
}

void fby_trace_unlock(void)
{
    fby_lock_release(&all.lock);
}

void fby_trace_after_fork(void)
{
    all.fd = 0;
    all.count = 0;
    fby_lock_reset(&all.lock);
}
