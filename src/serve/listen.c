/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 1024 };

static fby_status bound_port(int fd, uint16_t *port)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &size) != 0)
        return fby_error_errno(FBY_EIO, errno, "getsockname");
    *port = ntohs(address.ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)&address)->sin6_port
                                                : ((const struct sockaddr_in *)&address)->sin_port);
    return FBY_OK;
}

static fby_status bind_to(const struct addrinfo *address, bool shared, int *out)
{
    const int one = 1;
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return fby_error_errno(FBY_EIO, errno, "a socket");
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (shared)
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
    if (bind(fd, address->ai_addr, address->ai_addrlen) != 0 || listen(fd, BACKLOG) != 0) {
        int failed = errno;
        close(fd);
        return fby_error_errno(FBY_EIO, failed, "cannot listen");
    }
    *out = fd;
    return FBY_OK;
}

fby_status fby_listen_tcp(const char *host, uint16_t port, bool shared, uint16_t *bound, int *out)
{
    char service[8];
    struct addrinfo *found = NULL;
    const struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV,
                                   .ai_socktype = SOCK_STREAM};

    snprintf(service, sizeof service, "%u", port);
    int failed = getaddrinfo(host, service, &hints, &found);
    if (failed != 0)
        return fby_error(FBY_EINVAL, "host %s: %s", host, gai_strerror(failed));
    int fd = -1;
    fby_status status = FBY_EIO;
    for (const struct addrinfo *a = found; a != NULL && status != FBY_OK; a = a->ai_next)
        status = bind_to(a, shared, &fd);
    freeaddrinfo(found);
    if (status == FBY_OK && (status = bound_port(fd, bound)) != FBY_OK)
        close(fd);
    if (status != FBY_OK)
        return fby_error_prefix(status, "%s:%u", host, port);
    *out = fd;
    return FBY_OK;
}

/* Whether somebody answers at the socket. */
static bool answers(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool yes = fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof *address) == 0;
    if (fd >= 0)
        close(fd);
    return yes;
}

static fby_status clear_path(const struct sockaddr_un *address)
{
    struct stat there;
    if (lstat(address->sun_path, &there) != 0)
        return FBY_OK;
    if (!S_ISSOCK(there.st_mode))
        return fby_error(FBY_EINVAL, "%s: there is something that is not a socket",
                         address->sun_path);
    if (answers(address))
        return fby_error(FBY_EINVAL, "%s: a server is running there", address->sun_path);
    return unlink(address->sun_path) == 0
               ? FBY_OK
               : fby_error_errno(FBY_EIO, errno, "%s", address->sun_path);
}

void fby_listen_remove(const char *path, const fby_socket_place *place)
{
    struct stat there;
    if (lstat(path, &there) == 0 && there.st_dev == place->device && there.st_ino == place->inode)
        (void)unlink(path);
}

fby_status fby_listen_unix(const char *path, fby_socket_place *place, int *out)
{
    struct stat there;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return fby_error(FBY_EINVAL, "%s: a socket's path has at most %zu bytes", path,
                         sizeof address.sun_path - 1);
    memcpy(address.sun_path, path, strlen(path) + 1);
    fby_status status = clear_path(&address);
    if (status != FBY_OK)
        return status;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(fd, BACKLOG) != 0 || lstat(path, &there) != 0) {
        int failed = errno;
        if (fd >= 0)
            close(fd);
        return fby_error_errno(FBY_EIO, failed, "%s: cannot listen", path);
    }
    *place = (fby_socket_place){there.st_dev, there.st_ino};
    *out = fd;
    return FBY_OK;
}

const char *fby_address_text(const struct sockaddr *address, char *text)
{
    if (address == NULL)
        return NULL;
    if (address->sa_family == AF_INET)
        return inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)address)->sin_addr,
                         text, INET6_ADDRSTRLEN);
    if (address->sa_family == AF_INET6)
        return inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr,
                         text, INET6_ADDRSTRLEN);
    return NULL;
}
