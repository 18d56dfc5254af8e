/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/allocator/trace.h"

#include <string.h>
#include <unistd.h>

#include "memory/allocator/lock.h"
#include "memory/allocator/os.h"

enum { HELD = 4096, /* records between two writes */ PATH_BYTES = 4096 };

static struct {
    fby_lock lock;
    int fd;              /* 0: nothing is recorded */
    fby_os_file_id file; /* that was opened there: a program may close it and open its own */
    uint32_t count;
    fby_trace_record record[HELD];
} all;

static bool is_still_ours(void)
{
    fby_os_file_id now;
    return fby_os_file_identify(all.fd, &now) && now.device == all.file.device &&
           now.number == all.file.number;
}

/* A file that cannot be written, or is gone, ends the record, not the program. */
static void write_held(void)
{
    if (all.fd != 0 && !is_still_ours())
        all.fd = 0;
    if (all.fd != 0 && !fby_os_file_write(all.fd, all.record, all.count * sizeof all.record[0])) {
        fby_os_file_close(all.fd);
        all.fd = 0;
    }
    all.count = 0;
}

static bool open_record(const char *name)
{
    int fd = fby_os_file_create(name);
    if (fd < 0)
        return false;
    if (!fby_os_file_identify(fd, &all.file) ||
        !fby_os_file_write(fd, FBY_TRACE_MAGIC, sizeof FBY_TRACE_MAGIC - 1)) {
        fby_os_file_close(fd);
        return false;
    }
    all.fd = fd;
    return true;
}

bool fby_trace_start(const char *path)
{
    static char name[PATH_BYTES]; /* once a process */
    char digits[12], *digit = digits + sizeof digits;
    size_t length = strlen(path);
    if (length > sizeof name - sizeof digits - 2)
        return false;
    memcpy(name, path, length);
    for (unsigned pid = (unsigned)getpid(); pid != 0; pid /= 10)
        *--digit = (char)('0' + pid % 10);
    name[length++] = '.';
    while (digit < digits + sizeof digits)
        name[length++] = *digit++;
    name[length] = '\0';
    return open_record(name);
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
