/* SPDX-License-Identifier: Apache-2.0 */
/* Listening sockets. */
#ifndef FBY_SERVE_LISTEN_H
#define FBY_SERVE_LISTEN_H

#include <stdbool.h>
#include <stdint.h>

#include <sys/socket.h>
#include <sys/types.h>

#include "base/status.h"

typedef struct fby_socket_place { /* of a Unix socket */
    dev_t device;
    ino_t inode;
} fby_socket_place;

/* A nonblocking TCP socket at host:port (0: any), with others at the same place if `shared`. The
 * port it got: *bound. */
fby_status fby_listen_tcp(const char *host, uint16_t port, bool shared, uint16_t *bound, int *fd);

/* A Unix socket at `path`; one left there by a server that is gone is replaced, anything else is
 * refused. */
fby_status fby_listen_unix(const char *path, fby_socket_place *place, int *fd);
/* Removes what is at `path`, if that is still the socket that was put there. */
void fby_listen_remove(const char *path, const fby_socket_place *place);

/* An IP address in words, in `text` (INET6_ADDRSTRLEN); NULL for any other, or NULL. */
const char *fby_address_text(const struct sockaddr *address, char *text);

#endif
