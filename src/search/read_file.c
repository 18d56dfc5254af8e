/* SPDX-License-Identifier: Apache-2.0 */
#include "search/read_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "search/passages.h"

static int64_t wall_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static fby_status make_room(fby_file_text *text, size_t size)
{
    if (size <= text->room && text->bytes != NULL)
        return FBY_OK;
    char *bigger = realloc(text->bytes, size + 1);
    if (bigger == NULL)
        return fby_error(FBY_ENOMEM, "no memory for a file of %zu bytes", size);
    text->bytes = bigger;
    text->room = size;
    return FBY_OK;
}

/* As many bytes as it had when it was opened, fewer if it shrank. */
static fby_status read_bytes(fby_file_text *text, int fd, const char *path, size_t size)
{
    fby_status status = make_room(text, size);
    text->size = 0;
    while (status == FBY_OK && text->size < size) {
        ssize_t got = read(fd, text->bytes + text->size, size - text->size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            status = fby_error_errno(FBY_EIO, errno, "%s", path);
        if (got <= 0)
            break;
        text->size += (size_t)got;
    }
    return status;
}

fby_status fby_file_text_read(fby_file_text *text, const char *path)
{
    struct stat about;

    text->read_ns = wall_ns();
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return fby_error_errno(errno == ENOENT || errno == ENOTDIR ? FBY_ENOENT : FBY_EIO, errno,
                               "%s", path);
    fby_status status = FBY_OK;
    if (fstat(fd, &about) != 0)
        status = fby_error_errno(FBY_EIO, errno, "%s", path);
    else if (!S_ISREG(about.st_mode) || about.st_size < 0 || (uint64_t)about.st_size > FBY_TEXT_MAX)
        status = fby_error(FBY_EIO, "%s: not a file of text", path);
    if (status == FBY_OK) {
        text->mark = fby_file_mark_of(&about);
        status = read_bytes(text, fd, path, (size_t)about.st_size);
    }
    close(fd);
    return status;
}

void fby_file_text_drop(fby_file_text *text)
{
    free(text->bytes);
    *text = (fby_file_text){0};
}
