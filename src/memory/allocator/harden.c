/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/allocator/harden.h"

#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "memory/allocator/cache.h"
#include "memory/allocator/os.h"

static char *put(char *at, const char *text)
{
    while (*text != '\0')
        *at++ = *text++;
    return at;
}

FBY_COLD void fby_harden_fail(const void *pointer, const char *what)
{
    char line[160], *at = put(line, "forebay: block 0x");
    uintptr_t value = (uintptr_t)pointer;
    int shift = 60;
    while (shift > 0 && (value >> shift) == 0)
        shift -= 4;
    for (; shift >= 0; shift -= 4)
        *at++ = "0123456789abcdef"[(value >> shift) & 15];
    at = put(put(put(at, ": "), what), "\n");
    if (write(STDERR_FILENO, line, (size_t)(at - line)) < 0) {
        /* Nowhere left to say it. */
    }
    if (fby_cache_mine == NULL)
        fby_os_abort(); /* the background thread, which has no thread-local variables */
    abort();
}
