/* SPDX-License-Identifier: Apache-2.0 */
/* A library with an allocator of its own. */
#include "forebay/allocator.h"

#include <string.h>

__attribute__((visibility("default"))) void plugin_work(void);

void plugin_work(void)
{
    char *large = fby_malloc(5 << 20);
    memset(large, 1, 5 << 20);
    fby_free(large); /* the background thread has something to do */
    fby_free(fby_malloc(10));
}
