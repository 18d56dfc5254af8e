/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/pool_source.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { PIECE = 64 << 10, TIMEOUT_S = 10 };

/* All that comes from `fd`. */
static fby_status read_all(int fd, const char *name, size_t max, char **out, size_t *out_size)
{
    char *bytes = NULL;
    size_t size = 0, room = 0;
    for (;;) {
        if (room - size < 2) {
            size_t more = room == 0 ? PIECE : 2 * room;
            char *larger = realloc(bytes, more);
            if (larger == NULL) {
                free(bytes);
                return fby_error(FBY_ENOMEM, "%.200s: no memory for its bytes", name);
            }
            bytes = larger;
            room = more;
        }
        ssize_t got = read(fd, bytes + size, room - size - 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 || size > max) {
            int failed = errno;
            free(bytes);
            return got < 0 ? fby_error_errno(FBY_EIO, failed, "%.200s", name)
                           : fby_error(FBY_EINVAL, "%.200s: more than %zu bytes", name, max);
        }
        if (got == 0)
            break;
        size += (size_t)got;
    }
    bytes[size] = '\0';
    *out = bytes;
    *out_size = size;
    return FBY_OK;
}

fby_status fby_pool_read_file(const char *path, size_t max, char **bytes, size_t *size)
{
    if (strcmp(path, "-") == 0)
        return read_all(STDIN_FILENO, "standard input", max, bytes, size);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fby_error_errno(errno == ENOENT ? FBY_ENOENT : FBY_EIO, errno, "%.200s", path);
    fby_status status = read_all(fd, path, max, bytes, size);
    close(fd);
    return status;
}

/* ---- a server ---- */

typedef struct place {
    char host[256], port[8], path[512];
} place;

static fby_status parse_url(const char *url, place *to)
{
    static const char scheme[] = "http://";
    const char *host = url + sizeof scheme - 1;
    size_t whole = strcspn(host, "/"), size = whole;
    const char *colon = memchr(host, ':', whole);

    if (host[0] == '[') { /* [::1]:8080 */
        const char *close = memchr(host, ']', whole);
        colon = close != NULL && close[1] == ':' ? close + 1 : NULL;
    }
    if (colon != NULL)
        size = (size_t)(colon - host);
    size_t digits = colon != NULL ? whole - size - 1 : 0;
    if (host[0] == '[' && size >= 2) {
        host++;
        size -= 2;
    }
    const char *path = host[0] != '\0' ? strchr(host, '/') : NULL;
    if (size == 0 || size >= sizeof to->host || digits >= sizeof to->port ||
        (path != NULL && strlen(path) >= sizeof to->path) || strpbrk(url, " \r\n") != NULL)
        return fby_error(FBY_EINVAL, "%.200s: expected http://HOST[:PORT][/PATH]", url);
    memcpy(to->host, host, size);
    to->host[size] = '\0';
    snprintf(to->port, sizeof to->port, "%.*s", (int)(digits > 0 ? digits : 2),
             digits > 0 ? colon + 1 : "80");
    snprintf(to->path, sizeof to->path, "%s", path != NULL && path[1] != '\0' ? path : "/metrics");
    return FBY_OK;
}

static fby_status connect_to(const place *at, int *out)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    const struct timeval limit = {.tv_sec = TIMEOUT_S};
    struct addrinfo *found;
    int failed = getaddrinfo(at->host, at->port, &hints, &found), fd = -1;
    if (failed != 0)
        return fby_error(FBY_ENOENT, "%s: %s", at->host, gai_strerror(failed));
    for (const struct addrinfo *one = found; one != NULL && fd < 0; one = one->ai_next) {
        fd = socket(one->ai_family, one->ai_socktype | SOCK_CLOEXEC, one->ai_protocol);
        if (fd < 0)
            continue;
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
        if (connect(fd, one->ai_addr, one->ai_addrlen) != 0) {
            failed = errno;
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(found);
    if (fd < 0)
        return fby_error_errno(FBY_EIO, failed, "connecting to %s:%s", at->host, at->port);
    *out = fd;
    return FBY_OK;
}

/* HTTP/1.0, so that the body comes in one piece and ends with the connection. */
static fby_status get(int fd, const place *at, const char *url, size_t max, char **bytes,
                      size_t *size)
{
    char request[1024];
    int length =
        snprintf(request, sizeof request,
                 "GET %s HTTP/1.0\r\nHost: %s\r\nConnection: close\r\n\r\n", at->path, at->host);
    if (send(fd, request, (size_t)length, MSG_NOSIGNAL) != length)
        return fby_error_errno(FBY_EIO, errno, "%.200s", url);
    fby_status status = read_all(fd, url, max, bytes, size);
    if (status != FBY_OK)
        return status;
    char *body = strstr(*bytes, "\r\n\r\n");
    if (strncmp(*bytes, "HTTP/1.", 7) != 0 || strncmp(*bytes + 8, " 200 ", 5) != 0 ||
        body == NULL) {
        status = fby_error(FBY_EIO, "%.200s: answered \"%.40s\"", url,
                           strtok(*bytes, "\r\n") != NULL ? *bytes : "");
        free(*bytes);
        *bytes = NULL;
        return status;
    }
    body += 4;
    *size -= (size_t)(body - *bytes);
    memmove(*bytes, body, *size + 1);
    return FBY_OK;
}

fby_status fby_pool_fetch(const char *url, size_t max, char **bytes, size_t *size)
{
    place at;
    int fd = -1;
    fby_status status = parse_url(url, &at);
    if (status == FBY_OK)
        status = connect_to(&at, &fd);
    if (status != FBY_OK)
        return status;
    status = get(fd, &at, url, max, bytes, size);
    close(fd);
    return status;
}
