/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libforebay-malloc.so: the allocator under libc's names, for LD_PRELOAD. Where
 * POSIX and glibc differ, glibc's behaviour, since programs rely on it.
 */
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "forebay/allocator.h"
#include "memory/allocator/blocks.h"
#include "memory/allocator/settings.h"
#include "memory/allocator/stats.h"
#include "memory/allocator/trace.h"

#define EXPORT __attribute__((visibility("default")))

EXPORT FBY_HOT void *malloc(size_t size)
{
    return fby_blocks_malloc_inline(size);
}

EXPORT FBY_HOT void free(void *block)
{
    fby_blocks_free_inline(block);
}

EXPORT void *calloc(size_t count, size_t size)
{
    return fby_blocks_calloc(count, size);
}

EXPORT void *realloc(void *block, size_t size)
{
    return fby_blocks_realloc(block, size);
}

EXPORT void *reallocarray(void *block, size_t count, size_t size)
{
    size_t bytes;
    if (!fby_mul_size(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return fby_blocks_realloc(block, bytes);
}

EXPORT FBY_HOT void *aligned_alloc(size_t alignment, size_t size)
{
    return fby_blocks_aligned_inline(alignment, size);
}

/* glibc's takes the next power of two where it is given none. */
EXPORT void *memalign(size_t alignment, size_t size)
{
    if (alignment > FBY_ALIGN_MAX) {
        errno = EINVAL;
        return NULL;
    }
    size_t power = 1;
    while (power < alignment)
        power *= 2;
    return fby_blocks_aligned_inline(power, size);
}

EXPORT int posix_memalign(void **out, size_t alignment, size_t size)
{
    if (!fby_is_pow2(alignment) || alignment % sizeof(void *) != 0)
        return EINVAL;
    int kept = errno;
    void *block = fby_blocks_aligned_inline(alignment, size);
    errno = kept;
    if (block == NULL)
        return ENOMEM;
    *out = block;
    return 0;
}

EXPORT void *valloc(size_t size)
{
    return fby_blocks_aligned_inline((size_t)sysconf(_SC_PAGESIZE), size);
}

EXPORT void *pvalloc(size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), rounded;
    if (!fby_add_size(size, page - 1, &rounded)) {
        errno = ENOMEM;
        return NULL;
    }
    return fby_blocks_aligned_inline(page, rounded & ~(page - 1));
}

EXPORT size_t malloc_usable_size(void *block)
{
    return fby_blocks_usable(block);
}

/* C23's, and the name that some old programs use. */
EXPORT void free_sized(void *block, size_t size);
EXPORT void free_sized(void *block, size_t size)
{
    (void)size;
    fby_blocks_free_inline(block);
}

EXPORT void free_aligned_sized(void *block, size_t alignment, size_t size);
EXPORT void free_aligned_sized(void *block, size_t alignment, size_t size)
{
    (void)alignment;
    (void)size;
    fby_blocks_free_inline(block);
}

EXPORT void cfree(void *block);
EXPORT void cfree(void *block)
{
    fby_blocks_free_inline(block);
}

/* ---- glibc's names for itself, which some programs call past any other malloc ---- */

EXPORT void __libc_free(void *block);
EXPORT void __libc_free(void *block)
{
    fby_blocks_free_inline(block);
}

EXPORT void *__libc_malloc(size_t size);
EXPORT void *__libc_malloc(size_t size)
{
    return malloc(size);
}

EXPORT void *__libc_calloc(size_t count, size_t size);
EXPORT void *__libc_calloc(size_t count, size_t size)
{
    return calloc(count, size);
}

EXPORT void *__libc_realloc(void *block, size_t size);
EXPORT void *__libc_realloc(void *block, size_t size)
{
    return realloc(block, size);
}

EXPORT void *__libc_memalign(size_t alignment, size_t size);
EXPORT void *__libc_memalign(size_t alignment, size_t size)
{
    return memalign(alignment, size);
}

EXPORT void *__libc_valloc(size_t size);
EXPORT void *__libc_valloc(size_t size)
{
    return valloc(size);
}

EXPORT void *__libc_pvalloc(size_t size);
EXPORT void *__libc_pvalloc(size_t size)
{
    return pvalloc(size);
}

EXPORT int __posix_memalign(void **out, size_t alignment, size_t size);
EXPORT int __posix_memalign(void **out, size_t alignment, size_t size)
{
    return posix_memalign(out, alignment, size);
}

/* ---- what programs ask glibc's malloc about itself ---- */

EXPORT int malloc_trim(size_t keep)
{
    (void)keep;
    fby_allocator_purge();
    return 1;
}

EXPORT int mallopt(int parameter, int value)
{
    (void)parameter;
    (void)value;
    return 1; /* accepted, without effect */
}

EXPORT void malloc_stats(void)
{
    fby_stats_print();
}

EXPORT struct mallinfo2 mallinfo2(void)
{
    fby_allocator_stats stats = {.struct_size = sizeof stats};
    struct mallinfo2 info;
    memset(&info, 0, sizeof info);
    if (fby_allocator_get_stats(&stats) == FBY_OK) {
        info.arena = stats.mapped;
        info.uordblks = stats.active;
        info.fordblks = stats.mapped - stats.active;
        info.keepcost = stats.dirty;
    }
    return info;
}

static int as_int(size_t value)
{
    return value < INT32_MAX ? (int)value : INT32_MAX;
}

EXPORT struct mallinfo mallinfo(void)
{
    struct mallinfo2 wide = mallinfo2();
    struct mallinfo info;
    memset(&info, 0, sizeof info);
    info.arena = as_int(wide.arena);
    info.uordblks = as_int(wide.uordblks);
    info.fordblks = as_int(wide.fordblks);
    info.keepcost = as_int(wide.keepcost);
    return info;
}

__attribute__((destructor)) static void at_exit(void)
{
    if (fby_the_settings.trace != NULL)
        fby_trace_flush();
    if (fby_the_settings.stats)
        fby_stats_print();
}
