/* SPDX-License-Identifier: Apache-2.0 */
/* The page at /: HTML, style and script in one, put into the command when it is built
 * (page/index.html). Constant; any thread. */
#ifndef FBY_SERVE_PAGE_H
#define FBY_SERVE_PAGE_H

#include <stddef.h>

typedef struct fby_page {
    const char *type;   /* content type */
    const char *policy; /* Content-Security-Policy: what the page itself holds, and this server */
    const unsigned char *bytes;
    size_t size;
} fby_page;

extern const fby_page fby_page_index;

#endif
