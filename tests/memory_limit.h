/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process that has only so much memory: malloc() and its kin fail beyond
 * memory_limit_end bytes. For a test that is linked with
 * -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=free and has one thread.
 */
#ifndef FBY_TEST_MEMORY_LIMIT_H
#define FBY_TEST_MEMORY_LIMIT_H

#include <malloc.h>

#include "test.h"

static ptrdiff_t memory_live, memory_limit_end = PTRDIFF_MAX;
static unsigned memory_refused;

static bool memory_lacks(size_t more)
{
    bool lacks = memory_limit_end != PTRDIFF_MAX &&
                 (more > PTRDIFF_MAX || (ptrdiff_t)more > memory_limit_end - memory_live);
    memory_refused += lacks;
    return lacks;
}

static void *memory_counted(void *memory)
{
    memory_live += (ptrdiff_t)malloc_usable_size(memory);
    return memory;
}

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
    return memory_lacks(size) ? NULL : memory_counted(__real_malloc(size));
}

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size)
{
    return memory_lacks(count * size) ? NULL : memory_counted(__real_calloc(count, size));
}

void __real_free(void *memory);
void __wrap_free(void *memory);
void __wrap_free(void *memory)
{
    memory_live -= (ptrdiff_t)malloc_usable_size(memory);
    __real_free(memory);
}

void *__real_realloc(void *memory, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_realloc(void *memory, size_t size)
{
    size_t before = malloc_usable_size(memory);
    if (size > before && memory_lacks(size)) /* both may stand for a moment */
        return NULL;
    memory_live -= (ptrdiff_t)before;
    return memory_counted(__real_realloc(memory, size));
}

#endif
