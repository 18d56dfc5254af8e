/* SPDX-License-Identifier: Apache-2.0 */
#include "model/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

fby_status fby_path_join(char path[static FBY_PATH_SIZE], const char *dir, const char *name)
{
    const char *slash = name[0] == '\0' || dir[0] == '\0' ? "" : "/";
    int size = snprintf(path, FBY_PATH_SIZE, "%s%s%s", dir, slash, name);
    if (size < 0 || size >= FBY_PATH_SIZE)
        return fby_error(FBY_EINVAL, "%.64s...: the path is longer than %d bytes", dir,
                         FBY_PATH_SIZE - 1);
    return FBY_OK;
}

/* Opens without waiting (a FIFO would), so that what it is can be looked at. */
static fby_status open_regular(const char *path, int *fd, size_t *size)
{
    struct stat info;
    int opened = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (opened < 0)
        return fby_error_errno(errno == ENOENT || errno == ENOTDIR ? FBY_ENOENT : FBY_EIO, errno,
                               "%s", path);
    fby_status status = FBY_OK;
    if (fstat(opened, &info) != 0)
        status = fby_error_errno(FBY_EIO, errno, "%s", path);
    else if (!S_ISREG(info.st_mode))
        status = fby_error(FBY_EIO, "%s: not a regular file", path);
    if (status != FBY_OK) {
        close(opened);
        return status;
    }
    *fd = opened;
    *size = (size_t)info.st_size;
    return FBY_OK;
}

fby_status fby_file_map(const char *path, fby_file *file)
{
    static const unsigned char nothing;
    int fd;
    size_t size;
    fby_status status = open_regular(path, &fd, &size);
    if (status != FBY_OK)
        return status;

    if (size == 0) { /* which mmap() refuses */
        *file = (fby_file){&nothing, 0};
        close(fd);
        return FBY_OK;
    }
    void *bytes = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
    if (bytes == MAP_FAILED)
        status = fby_error_errno(errno == ENOMEM ? FBY_ENOMEM : FBY_EIO, errno, "%s", path);
    else
        *file = (fby_file){bytes, size};
    close(fd);
    return status;
}

void fby_file_unmap(fby_file *file)
{
    if (file->size > 0)
        munmap((void *)(uintptr_t)file->bytes, file->size);
    *file = (fby_file){NULL, 0};
}

/* Reads until `size` bytes or the end; the bytes read, or -1. */
static ssize_t read_fully(int fd, char *bytes, size_t size)
{
    size_t used = 0;
    while (used < size) {
        ssize_t got = read(fd, bytes + used, size - used);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        used += (size_t)got;
    }
    return (ssize_t)used;
}

fby_status fby_file_read(const char *path, size_t limit, char **bytes, size_t *size)
{
    int fd;
    size_t expected;
    fby_status status = open_regular(path, &fd, &expected);
    if (status != FBY_OK)
        return status;

    char *buffer = NULL;
    if (expected > limit) {
        status = fby_error(FBY_EFORMAT, "%s: %zu bytes, more than the %zu that are accepted", path,
                           expected, limit);
        goto close_file;
    }
    buffer = malloc(expected + 1);
    if (buffer == NULL) {
        status = fby_error(FBY_ENOMEM, "%s: no memory for %zu bytes", path, expected);
        goto close_file;
    }
    ssize_t got = read_fully(fd, buffer, expected);
    if (got < 0) {
        status = fby_error_errno(FBY_EIO, errno, "%s", path);
        free(buffer);
        goto close_file;
    }
    buffer[got] = '\0';
    *bytes = buffer;
    *size = (size_t)got;
close_file:
    close(fd);
    return status;
}

const char *fby_quote(char out[static FBY_QUOTE_SIZE], const char *text)
{
    size_t i = 0;
    for (; text[i] != '\0' && i < FBY_QUOTE_SIZE - 4; i++)
        out[i] = text[i] >= 0x20 && text[i] < 0x7f ? text[i] : '?';
    memcpy(out + i, text[i] == '\0' ? "" : "...", text[i] == '\0' ? 1 : 4);
    return out;
}
