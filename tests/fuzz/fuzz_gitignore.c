/* SPDX-License-Identifier: Apache-2.0 */
/* Rules, a NUL, a path: no rule takes long or reads beyond either. */
#include "fuzz.h"

#include <string.h>

#include "search/ignore.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *nul = size > 0 ? memchr(data, '\0', size) : NULL;
    fby_ignore *ignore = NULL;

    if (nul == NULL)
        return 0;
    const char *path = (const char *)nul + 1;
    size_t path_size = size - (size_t)(path - (const char *)data);
    if (fby_ignore_parse((const char *)data, (size_t)(nul - data), 0, NULL, &ignore) != FBY_OK)
        return 0;
    (void)fby_ignore_match(ignore, path, path_size, false);
    (void)fby_ignore_match(ignore, path, path_size, true);
    fby_ignore_free(ignore, NULL);
    return 0;
}
