/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/allocator/settings.h"

#include <stdlib.h>

fby_settings fby_the_settings;

enum { DECAY_MS = 500, DIRTY_MIB = 64 };

/* A decimal number, or `otherwise` where there is none. strtoull() would do, but this is called
 * while libc may still be starting. */
static size_t number(const char *name, size_t otherwise)
{
    const char *text = secure_getenv(name);
    if (text == NULL || *text < '0' || *text > '9')
        return otherwise;
    size_t value = 0;
    for (; *text >= '0' && *text <= '9' && value < UINT32_MAX / 16; text++)
        value = value * 10 + (size_t)(*text - '0');
    return value;
}

void fby_settings_read(void)
{
    fby_settings *s = &fby_the_settings;
    s->stats = number("FBY_MALLOC_STATS", 0) != 0;
    s->secure = number("FBY_MALLOC_SECURE", 0) != 0;
    s->huge = number("FBY_MALLOC_HUGE", 0) != 0;
    s->numa = number("FBY_MALLOC_NUMA", 1) != 0;
    s->background = number("FBY_MALLOC_BACKGROUND", 1) != 0;
    s->region_mib = number("FBY_MALLOC_REGION_MIB", 0);
    s->trace = secure_getenv("FBY_MALLOC_TRACE");
    atomic_store_explicit(&s->decay_ms, (uint32_t)number("FBY_MALLOC_DECAY_MS", DECAY_MS),
                          memory_order_relaxed);
    atomic_store_explicit(&s->dirty_mib, (uint32_t)number("FBY_MALLOC_DIRTY_MIB", DIRTY_MIB),
                          memory_order_relaxed);
}
