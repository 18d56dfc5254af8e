/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes that `forebay pool` works on: of a file, of "-", of a server. One thread. */
#ifndef FBY_CLI_POOL_SOURCE_H
#define FBY_CLI_POOL_SOURCE_H

#include <stddef.h>

#include "base/status.h"

/* At most `max` bytes, to be freed; a NUL follows them. */
fby_status fby_pool_read_file(const char *path, size_t max, char **bytes, size_t *size);

/* http://HOST[:PORT][/PATH], the path /metrics where none is given: the body of a plain GET that
 * is answered with 200 within 10 seconds. */
fby_status fby_pool_fetch(const char *url, size_t max, char **bytes, size_t *size);

#endif
