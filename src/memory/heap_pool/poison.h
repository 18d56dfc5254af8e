/* SPDX-License-Identifier: Apache-2.0 */
/* Under AddressSanitizer: bytes of a heap that are no block's must not be touched. Else nothing. */
#ifndef FBY_MEMORY_HEAP_POOL_POISON_H
#define FBY_MEMORY_HEAP_POOL_POISON_H

#include "base/platform.h"
#include "memory/heap_pool/backend.h"

#if FBY_ASAN
#include <sanitizer/asan_interface.h>
#endif

/* `bytes` at `offset` are nobody's, or somebody's. */
static inline void fby_heap_poison(const fby_heap_region *region, uint64_t offset, uint64_t bytes)
{
#if FBY_ASAN
    if (region->address != NULL)
        __asan_poison_memory_region(region->address + offset, bytes);
#else
    (void)region, (void)offset, (void)bytes;
#endif
}

static inline void fby_heap_unpoison(const fby_heap_region *region, uint64_t offset, uint64_t bytes)
{
#if FBY_ASAN
    if (region->address != NULL)
        __asan_unpoison_memory_region(region->address + offset, bytes);
#else
    (void)region, (void)offset, (void)bytes;
#endif
}

#endif
