/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/output.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"

static fby_status no_memory(void)
{
    return fby_error(FBY_ENOMEM, "no memory to write with");
}

static void forget(fby_output *output)
{
    free(output->buffer);
    free(output->name);
    free(output->file);
    free(output->part);
    *output = (fby_output){.fd = -1};
}

static fby_status open_stdout(fby_output *output)
{
    struct stat status;
    int flags = fcntl(STDOUT_FILENO, F_GETFL);

    output->name = strdup("standard output");
    if (output->name == NULL)
        return no_memory();
    if (flags < 0 || fstat(STDOUT_FILENO, &status) != 0)
        return fby_error_errno(FBY_EIO, errno, "standard output");
    output->fd = STDOUT_FILENO;
    output->terminal = isatty(STDOUT_FILENO) != 0;
    output->start = S_ISREG(status.st_mode) ? lseek(STDOUT_FILENO, 0, SEEK_CUR) : -1;
    /* After >>, pwrite() would append. */
    output->regular = output->start >= 0 && (flags & O_APPEND) == 0;
    return FBY_OK;
}

/* What the link at `path` names, as seen from where `path` is seen; NULL and errno. */
static char *read_link(const char *path)
{
    char target[PATH_MAX];
    ssize_t size = readlink(path, target, sizeof target);
    if (size < 0)
        return NULL;
    if (size == (ssize_t)sizeof target) {
        errno = ENAMETOOLONG;
        return NULL;
    }
    const char *slash = strrchr(path, '/');
    int dir = slash == NULL || target[0] == '/' ? 0 : (int)(slash - path) + 1;
    char *found;
    if (asprintf(&found, "%.*s%.*s", dir, path, (int)size, target) >= 0)
        return found;
    errno = ENOMEM;
    return NULL;
}

char *fby_output_target(const char *path)
{
    enum { LINKS_MAX = 40 };
    char *at = realpath(path, NULL);
    if (at != NULL || errno != ENOENT)
        return at;
    at = strdup(path);
    for (int links = 0; at != NULL; links++) {
        struct stat status;
        if (lstat(at, &status) != 0 || !S_ISLNK(status.st_mode))
            return at;
        char *next = read_link(at);
        free(at);
        at = next;
        if (links == LINKS_MAX) {
            free(at);
            at = NULL;
            errno = ELOOP;
        }
    }
    return NULL;
}

static fby_status open_part(fby_output *output, const char *path, mode_t mode)
{
    output->file = fby_output_target(path);
    if (output->file == NULL)
        return fby_error_errno(FBY_EIO, errno, "%s", path);
    if (asprintf(&output->part, "%s.part.%ld", output->file, (long)getpid()) < 0) {
        output->part = NULL;
        return no_memory();
    }
    output->fd = open(output->part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (output->fd < 0) {
        int reason = errno;
        free(output->part);
        output->part = NULL;
        return fby_error_errno(FBY_EIO, reason, "%s", path);
    }
    output->regular = true;
    return FBY_OK;
}

static fby_status open_path(fby_output *output, const char *path)
{
    struct stat status;

    output->name = strdup(path);
    if (output->name == NULL)
        return no_memory();
    if (stat(path, &status) != 0)
        return open_part(output, path, 0666);
    if (S_ISDIR(status.st_mode))
        return fby_error(FBY_EIO, "%s: is a directory", path);
    if (S_ISREG(status.st_mode)) {
        if (access(path, W_OK) != 0)
            return fby_error_errno(FBY_EIO, errno, "%s", path);
        return open_part(output, path, status.st_mode & 0777);
    }
    output->fd = open(path, O_WRONLY | O_CLOEXEC);
    if (output->fd < 0)
        return fby_error_errno(FBY_EIO, errno, "%s", path);
    output->terminal = isatty(output->fd) != 0;
    return FBY_OK;
}

fby_status fby_output_open(fby_output *output, const char *path)
{
    bool to_stdout = path == NULL || strcmp(path, "-") == 0;

    *output = (fby_output){.fd = -1, .start = 0};
    fby_status status = to_stdout ? open_stdout(output) : open_path(output, path);
    if (status == FBY_OK && (output->buffer = malloc(FBY_OUTPUT_BUFFER)) == NULL)
        status = no_memory();
    if (status != FBY_OK)
        fby_output_abandon(output);
    return status;
}

static fby_status failed(const fby_output *output)
{
    if (errno == EPIPE)
        return fby_error(FBY_EIO, "%s: its reader closed the pipe", output->name);
    return fby_error_errno(FBY_EIO, errno, "%s", output->name);
}

fby_status fby_output_flush(fby_output *output)
{
    size_t done = 0;

    if (output->broken) /* part of the buffer has gone out: what follows would not fit on */
        return fby_error(FBY_EIO, "%s: an earlier write failed", output->name);
    while (done < output->used) {
        ssize_t put = write(output->fd, output->buffer + done, output->used - done);
        if (put < 0 && errno == EAGAIN) {
            struct pollfd writable = {.fd = output->fd, .events = POLLOUT};
            poll(&writable, 1, -1);
        } else if (put < 0 && errno != EINTR) {
            output->broken = true;
            return failed(output);
        }
        if (put > 0)
            done += (size_t)put;
    }
    output->used = 0;
    return FBY_OK;
}

char *fby_output_room(fby_output *output, size_t size)
{
    fby_assert(size <= FBY_OUTPUT_BUFFER);
    if (output->used + size > FBY_OUTPUT_BUFFER && fby_output_flush(output) != FBY_OK)
        return NULL;
    return output->buffer + output->used;
}

void fby_output_took(fby_output *output, size_t size)
{
    fby_assert(size <= FBY_OUTPUT_BUFFER - output->used);
    output->used += size;
    output->written += size;
}

fby_status fby_output_write(fby_output *output, const void *bytes, size_t size)
{
    const char *from = bytes;

    while (size > 0) {
        size_t part = size < FBY_OUTPUT_BUFFER ? size : FBY_OUTPUT_BUFFER;
        char *room = fby_output_room(output, part);
        if (room == NULL)
            return FBY_EIO;
        memcpy(room, from, part);
        fby_output_took(output, part);
        from += part;
        size -= part;
    }
    return FBY_OK;
}

fby_status fby_output_patch(fby_output *output, uint64_t offset, const void *bytes, size_t size)
{
    fby_assert(output->regular && offset + size <= output->written);
    fby_status status = fby_output_flush(output);
    if (status != FBY_OK)
        return status;
    ssize_t put = pwrite(output->fd, bytes, size, output->start + (off_t)offset);
    if (put == (ssize_t)size)
        return FBY_OK;
    errno = put < 0 ? errno : ENOSPC;
    return failed(output);
}

/* Or the name could outlive the bytes when the power goes. */
static fby_status to_disk(const fby_output *output)
{
    while (fsync(output->fd) != 0)
        if (errno == EINVAL || errno == ENOSYS) /* a file system that does not */
            break;
        else if (errno != EINTR)
            return failed(output);
    return FBY_OK;
}

fby_status fby_output_commit(fby_output *output)
{
    fby_status status = fby_output_flush(output);

    if (status == FBY_OK && output->fd != STDOUT_FILENO) {
        /* Some file systems tell of a full disk only now. */
        if (output->part != NULL)
            status = to_disk(output);
        int rc = close(output->fd);
        output->fd = -1;
        if (status == FBY_OK && rc != 0 && errno != EINTR)
            status = failed(output);
    }
    if (status == FBY_OK && output->part != NULL && rename(output->part, output->file) != 0)
        status = failed(output);
    if (status != FBY_OK) {
        fby_output_abandon(output);
        return status;
    }
    forget(output);
    return FBY_OK;
}

void fby_output_abandon(fby_output *output)
{
    if (output->part != NULL)
        unlink(output->part);
    if (output->fd == STDOUT_FILENO && output->regular &&
        (ftruncate(output->fd, output->start) != 0 ||
         lseek(output->fd, output->start, SEEK_SET) < 0)) {
        /* It stays as it is; the caller says that it failed. */
    }
    if (output->fd >= 0 && output->fd != STDOUT_FILENO)
        close(output->fd);
    forget(output);
}
