/* SPDX-License-Identifier: Apache-2.0 */
/*
 * malloc and free as both the header's functions and the preloaded ones call
 * them: the path that is taken almost always, inline, and the calls behind it.
 */
#ifndef FBY_MEMORY_ALLOCATOR_BLOCKS_H
#define FBY_MEMORY_ALLOCATOR_BLOCKS_H

#include "memory/allocator/cache.h"

/* What a program calls most begins with a cache line. */
#define FBY_HOT __attribute__((hot, aligned(FBY_CACHELINE)))

/* Any size, any alignment that is a power of two; sets errno. */
void *fby_blocks_malloc(size_t size, size_t align);
/* After a pop that gave NULL. */
void *fby_blocks_missed(uint32_t class_index, size_t size, size_t align);
void *fby_blocks_calloc(size_t count, size_t size);
void *fby_blocks_realloc(void *block, size_t size);
/* EINVAL for an alignment that is no power of two, or above FBY_ALIGN_MAX. */
void *fby_blocks_aligned(size_t align, size_t size);
/* Anything that the inline path does not take. */
void fby_blocks_free(void *block);
/* A copy of a block, that no scope takes away; frees the block. NULL for want of memory. */
void *fby_blocks_outlive(void *block);
/* 0 for what is no block. */
size_t fby_blocks_usable(const void *block);

static inline void *fby_blocks_malloc_inline(size_t size)
{
    if (FBY_UNLIKELY(size > FBY_QUICK_MAX))
        return fby_blocks_malloc(size, 1);
    uint32_t class_index = fby_class_quick(size);
    void *block = fby_cache_pop(class_index);
    if (FBY_UNLIKELY(block == NULL))
        return fby_blocks_missed(class_index, size, 1);
    return block;
}

static inline void *fby_blocks_aligned_inline(size_t align, size_t size)
{
    size_t mask = align - 1;
    if (FBY_UNLIKELY((align & mask) != 0 || mask >= FBY_QUICK_MAX || size - 1 >= FBY_QUICK_MAX))
        return fby_blocks_aligned(align, size);
    /* At most FBY_QUICK_MAX, a multiple of `align`. */
    uint32_t class_index = fby_class_quick((size + mask) & ~mask);
    void *block = fby_cache_pop(class_index);
    if (FBY_UNLIKELY(block == NULL))
        return fby_blocks_missed(class_index, size, align);
    return block;
}

static inline void fby_blocks_free_inline(void *block)
{
    uintptr_t base = fby_the_region.base, unit = ((uintptr_t)block - base) >> FBY_UNIT_SHIFT;
    if (FBY_UNLIKELY(unit >= FBY_MAP_BYTES)) {
        fby_blocks_free(block);
        return;
    }
    /* Class 0, whatever is no block of a class, has a stack that is always full. */
    uint32_t class_index = fby_map_of(base)[unit];
    if (FBY_UNLIKELY(!fby_cache_push(class_index, block)))
        fby_blocks_free(block);
}

#endif
