/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes as base64 (RFC 4648, section 4: the standard alphabet, padded). Any thread. */
#ifndef FBY_SERVE_BASE64_H
#define FBY_SERVE_BASE64_H

#include <stddef.h>

/* Characters that `size` bytes take, no NUL. */
static inline size_t fby_base64_size(size_t size)
{
    return (size / 3 + (size % 3 != 0)) * 4;
}

/* Writes fby_base64_size(size) characters; returns their number. */
size_t fby_base64(const void *bytes, size_t size, char *text);

#endif
