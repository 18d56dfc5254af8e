/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/lines.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bits.h"
#include "cli/stop.h"

enum { READ_SIZE = 64 << 10 };

/*
 *     buffer   | given lines | unread bytes | room |
 *              0             begin          end    capacity
 *                              scanned: no LF in [begin, scanned)
 */
struct fby_lines {
    char *const *files;
    size_t file_count, next_file;
    const char *file; /* the open one, as messages call it */
    int fd;           /* -1: none open */
    bool file_end;    /* read to its end */
    uint64_t number;  /* of the last line given */

    char *buffer;
    size_t capacity, begin, end, scanned, limit;

    uint64_t position, total;
};

static char stdin_name[] = "-";
static char *const stdin_only[] = {stdin_name};

static bool is_stdin(const char *file)
{
    return strcmp(file, "-") == 0;
}

/* Adds the sizes of regular files; leaves `*total` 0 if one of them is something else. */
static fby_status look_at(char *const *files, size_t count, uint64_t *total)
{
    uint64_t sum = 0;
    bool known = true;

    for (size_t i = 0; i < count; i++) {
        struct stat status;
        int rc = is_stdin(files[i]) ? fstat(STDIN_FILENO, &status) : stat(files[i], &status);
        if (rc != 0)
            return fby_error_errno(errno == ENOENT ? FBY_ENOENT : FBY_EIO, errno, "%s", files[i]);
        if (S_ISDIR(status.st_mode))
            return fby_error(FBY_EIO, "%s: is a directory", files[i]);
        known = known && S_ISREG(status.st_mode);
        sum += (uint64_t)status.st_size;
    }
    *total = known ? sum : 0;
    return FBY_OK;
}

fby_status fby_lines_open(char *const *files, size_t count, size_t limit, fby_lines **lines)
{
    uint64_t total = 0;

    if (count == 0) {
        files = stdin_only;
        count = 1;
    }
    fby_status status = look_at(files, count, &total);
    if (status != FBY_OK)
        return status;

    fby_lines *made = calloc(1, sizeof *made);
    char *buffer = malloc(READ_SIZE);
    if (made == NULL || buffer == NULL) {
        free(made);
        free(buffer);
        return fby_error(FBY_ENOMEM, "no memory to read with");
    }
    made->files = files;
    made->file_count = count;
    made->fd = -1;
    made->buffer = buffer;
    made->capacity = READ_SIZE;
    made->limit = fby_min_size(limit, FBY_LINE_LIMIT);
    made->total = total;
    *lines = made;
    return FBY_OK;
}

static void close_file(fby_lines *lines)
{
    if (lines->fd > STDIN_FILENO)
        close(lines->fd);
    lines->fd = -1;
}

void fby_lines_close(fby_lines *lines)
{
    if (lines == NULL)
        return;
    close_file(lines);
    free(lines->buffer);
    free(lines);
}

/* Waits until `fd` can be read or someone asks to stop. */
static fby_status wait_readable(int fd)
{
    struct pollfd polled[] = {{.fd = fd, .events = POLLIN},
                              {.fd = fby_stop_fd(), .events = POLLIN}};

    while (!fby_stop_asked()) {
        if (poll(polled, 2, -1) > 0 && polled[0].revents != 0)
            return FBY_OK;
    }
    return FBY_ECANCELED;
}

/* Room for at least one more byte: moves the unread bytes to the front, else doubles. */
static fby_status make_room(fby_lines *lines)
{
    if (lines->end < lines->capacity)
        return FBY_OK;
    if (lines->begin > 0) {
        memmove(lines->buffer, lines->buffer + lines->begin, lines->end - lines->begin);
        lines->end -= lines->begin;
        lines->scanned -= lines->begin;
        lines->begin = 0;
        return FBY_OK;
    }
    /* Two bytes beyond the limit: a line of just that many and its CR LF fit. */
    size_t capacity = fby_min_size(2 * lines->capacity, lines->limit + 2);
    if (capacity <= lines->end)
        return fby_error(FBY_ETOOLONG, "%s:%llu: the line has more than %zu bytes", lines->file,
                         (unsigned long long)lines->number + 1, lines->limit);
    char *buffer = realloc(lines->buffer, capacity);
    if (buffer == NULL)
        return fby_error(FBY_ENOMEM, "%s:%llu: no memory for a line of %zu bytes", lines->file,
                         (unsigned long long)lines->number + 1, capacity);
    lines->buffer = buffer;
    lines->capacity = capacity;
    return FBY_OK;
}

static fby_status read_more(fby_lines *lines)
{
    fby_status status = make_room(lines);
    if (status == FBY_OK)
        status = wait_readable(lines->fd);
    if (status != FBY_OK)
        return status;

    ssize_t got = read(lines->fd, lines->buffer + lines->end, lines->capacity - lines->end);
    if (got < 0 && errno != EINTR && errno != EAGAIN)
        return fby_error_errno(FBY_EIO, errno, "%s", lines->file);
    if (got > 0)
        lines->end += (size_t)got;
    lines->file_end = got == 0;
    return FBY_OK;
}

static fby_status skip_byte_order_mark(fby_lines *lines)
{
    while (lines->end - lines->begin < 3 && !lines->file_end) {
        fby_status status = read_more(lines);
        if (status != FBY_OK)
            return status;
    }
    if (lines->end - lines->begin >= 3 &&
        memcmp(lines->buffer + lines->begin, "\xef\xbb\xbf", 3) == 0) {
        lines->begin += 3;
        lines->position += 3;
    }
    lines->scanned = lines->begin;
    return FBY_OK;
}

static fby_status open_next_file(fby_lines *lines)
{
    const char *file = lines->files[lines->next_file++];

    if (is_stdin(file)) {
        lines->file = "standard input";
        lines->fd = STDIN_FILENO;
    } else {
        lines->file = file;
        lines->fd = open(file, O_RDONLY | O_CLOEXEC);
        if (lines->fd < 0)
            return fby_stop_asked() ? FBY_ECANCELED : fby_error_errno(FBY_EIO, errno, "%s", file);
    }
    lines->number = 0;
    lines->file_end = false;
    lines->begin = lines->end = lines->scanned = 0;
    return skip_byte_order_mark(lines);
}

/* The LF that ends the line at `begin`; NULL if it has not been read. */
static const char *find_end(fby_lines *lines)
{
    const char *found = NULL;

    if (lines->end > lines->scanned)
        found = memchr(lines->buffer + lines->scanned, '\n', lines->end - lines->scanned);
    if (found == NULL)
        lines->scanned = lines->end;
    return found;
}

static fby_status give(fby_lines *lines, size_t size, size_t ending, fby_line *line)
{
    size_t with_cr = size;

    if (ending > 0 && size > 0 && lines->buffer[lines->begin + size - 1] == '\r')
        size--;
    if (size > lines->limit)
        return fby_error(FBY_ETOOLONG, "%s:%llu: the line has more than %zu bytes", lines->file,
                         (unsigned long long)lines->number + 1, lines->limit);
    *line = (fby_line){lines->buffer + lines->begin, size, lines->file, ++lines->number, false};
    lines->begin += with_cr + ending;
    lines->scanned = lines->begin;
    lines->position += with_cr + ending;
    return FBY_OK;
}

fby_status fby_lines_next(fby_lines *lines, fby_line *line, bool *end)
{
    for (;;) {
        if (lines->fd < 0) {
            if (lines->next_file == lines->file_count) {
                *end = true;
                return FBY_OK;
            }
            fby_status status = open_next_file(lines);
            if (status != FBY_OK)
                return status;
        }
        const char *found = find_end(lines);
        size_t unread = lines->end - lines->begin;
        *end = false;
        if (found != NULL)
            return give(lines, (size_t)(found - (lines->buffer + lines->begin)), 1, line);
        if (lines->file_end && unread > 0)
            return give(lines, unread, 0, line);
        if (lines->file_end) {
            close_file(lines);
            continue;
        }
        fby_status status = read_more(lines);
        if (status != FBY_OK)
            return status;
    }
}

bool fby_lines_ready(fby_lines *lines)
{
    if (lines->fd < 0 || lines->file_end || find_end(lines) != NULL)
        return true;
    struct pollfd polled = {.fd = lines->fd, .events = POLLIN};
    return poll(&polled, 1, 0) != 0;
}

uint64_t fby_lines_position(const fby_lines *lines)
{
    return lines->position;
}

uint64_t fby_lines_total(const fby_lines *lines)
{
    return lines->total;
}
