/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ceiling of an allocator, to preload under bench/alloc_workload: a stack of
 * pointers a class and thread, a byte map from address to class, and no slow path
 * but one that fills a thread's stacks once, with more than any of the workloads
 * holds. It never unmaps, checks nothing, and is for the workloads alone in
 * which a thread frees its own blocks: rl_*, fragmentation_mix, alignment64,
 * batch_step, pair32.
 */
#include <errno.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "memory/allocator/size_class.h"

#define EXPORT __attribute__((visibility("default")))

enum {
    UNIT = 1 << 16,
    UNITS = 1 << 18, /* 16 GiB of addresses */
    CLASSES = 49,    /* up to FBY_QUICK_MAX */
    SLOTS = 9216,    /* of a stack; 8,192 blocks live at most */
};

typedef struct stacks {
    void **top[CLASSES]; /* the last one pushed; a NULL at the bottom */
} stacks;

static void *nothing[1];
#define N8 nothing, nothing, nothing, nothing, nothing, nothing, nothing, nothing
static _Thread_local stacks mine
    __attribute__((tls_model("initial-exec"))) = {{N8, N8, N8, N8, N8, N8, nothing}};
static char *region;
static uint8_t class_of_unit[UNITS];
static _Atomic uint32_t next_unit;

static void *map(size_t size)
{
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                    -1, 0);
    if (at == MAP_FAILED)
        abort();
    return at;
}

static __attribute__((constructor(101))) void start(void)
{
    if (region != NULL)
        return;
    fby_class_init();
    char *at = map((size_t)(UNITS + 1) * UNIT);
    region = at + (UNIT - (uintptr_t)at % UNIT) % UNIT;
}

static char *take_units(uint32_t count, uint8_t class_index)
{
    uint32_t unit = atomic_fetch_add(&next_unit, count);
    if (unit + count > UNITS)
        abort();
    memset(&class_of_unit[unit], class_index, count);
    return region + (size_t)unit * UNIT;
}

/* The first use of a class in a thread. */
static __attribute__((noinline)) void *fill(uint32_t c)
{
    start();
    if (mine.top[c] != nothing)
        abort(); /* more are live than the workloads hold */
    uint32_t size = fby_class_sizes[c], in_unit = UNIT / size, units = (SLOTS - 2) / in_unit;
    void **slot = map(SLOTS * sizeof *slot);
    char *at = take_units(units, (uint8_t)c);
    for (uint32_t u = units; u-- > 0;) /* the lowest address comes out first */
        for (uint32_t i = in_unit; i-- > 0;)
            *++slot = at + (size_t)u * UNIT + (size_t)i * size;
    mine.top[c] = slot - 1;
    return *slot;
}

static void *large(size_t size)
{
    return take_units((uint32_t)((size + UNIT - 1) / UNIT), 0);
}

static inline void *allocate(size_t size)
{
    if (__builtin_expect(size > FBY_QUICK_MAX, 0))
        return large(size);
    uint32_t c = fby_class_quick(size);
    void **top = mine.top[c], *block = *top;
    if (__builtin_expect(block == NULL, 0)) {
        start();
        return fill(fby_class_quick(size));
    }
    mine.top[c] = top - 1;
    return block;
}

EXPORT void *malloc(size_t size)
{
    return allocate(size);
}

EXPORT void free(void *block)
{
    if (block == NULL)
        return;
    uint32_t c = class_of_unit[(uintptr_t)((char *)block - region) / UNIT];
    if (__builtin_expect(c == 0, 0))
        return;
    *++mine.top[c] = block;
}

EXPORT void *aligned_alloc(size_t alignment, size_t size)
{
    return allocate((size + alignment - 1) & ~(alignment - 1));
}

EXPORT int posix_memalign(void **out, size_t alignment, size_t size)
{
    *out = aligned_alloc(alignment, size);
    return 0;
}

EXPORT void *calloc(size_t count, size_t size)
{
    void *block = allocate(count * size);
    return memset(block, 0, count * size);
}

EXPORT size_t malloc_usable_size(void *block)
{
    uint32_t c = class_of_unit[(uintptr_t)((char *)block - region) / UNIT];
    return c != 0 ? fby_class_sizes[c] : UNIT;
}

EXPORT void *realloc(void *block, size_t size)
{
    void *moved = allocate(size);
    if (block != NULL) {
        size_t had = malloc_usable_size(block);
        memcpy(moved, block, had < size ? had : size);
        free(block);
    }
    return moved;
}
