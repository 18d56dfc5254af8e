/* SPDX-License-Identifier: Apache-2.0 */
#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void fby_assert_failed(const char *file, int line, const char *expression)
{
    char text[256];
    int size = snprintf(text, sizeof text, "forebay: %s:%d: assertion failed: %s\n", file, line,
                        expression);
    if (size > (int)sizeof text - 1)
        size = (int)sizeof text - 1;
    if (size > 0 && write(STDERR_FILENO, text, (size_t)size) < 0) {
        /* Nowhere left to say it. */
    }
    abort();
}
