/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/allocator/blocks.h"

#include <errno.h>
#include <string.h>

#include "base/bits.h"
#include "memory/allocator/gate.h"
#include "memory/allocator/harden.h"
#include "memory/allocator/own_heap.h"
#include "memory/allocator/purge.h"
#include "memory/allocator/scope.h"
#include "memory/allocator/trace.h"

static void *no_memory(void)
{
    errno = ENOMEM;
    return NULL;
}

/* ---- allocating ---- */

FBY_NOINLINE void *fby_blocks_missed(uint32_t class_index, size_t size, size_t align)
{
    fby_cache *cache = fby_cache_mine;
    if (FBY_UNLIKELY(cache == &fby_cache_none)) {
        fby_cache_none_popped(class_index);
        return fby_blocks_malloc(size, align);
    }
    void *block = fby_cache_refill(cache, class_index, size, align);
    return FBY_LIKELY(block != NULL) ? block : no_memory();
}

static void *large(fby_cache *cache, size_t size, size_t align, bool *zeroed)
{
    *zeroed = false;
    void *block;
    if (cache->gate & FBY_GATE_SCOPE) {
        block = fby_scope_malloc(cache, size, align);
    } else {
        block = fby_large_malloc(&cache->arena, size, align, zeroed);
        if (block != NULL)
            fby_gate_count_malloc(cache, block, size, fby_large_usable(block), align);
    }
    fby_purge_poke();
    return block != NULL ? block : no_memory();
}

/* The size whose class has room for `size` bytes at multiples of `align`; above FBY_SMALL_MAX if no
 * class has. */
static size_t class_request(size_t size, size_t align)
{
    if (size > FBY_SMALL_MAX || align > FBY_SMALL_MAX)
        return SIZE_MAX;
    return fby_align_up(fby_max_size(size, 1), align);
}

/* In a thread that has given its cache up: other destructors, libc's last steps. */
FBY_COLD static void *late_malloc(size_t size, size_t align, bool *zeroed)
{
    *zeroed = false;
    fby_cache *cache = fby_cache_borrow();
    if (cache == NULL)
        return no_memory();
    size_t request = class_request(size, align);
    void *block;
    if (request > FBY_SMALL_MAX) {
        block = large(cache, size, align, zeroed);
    } else {
        fby_lock_take(&cache->lock);
        block = fby_gate_malloc(cache, fby_class_of(request), size, align);
        fby_lock_release(&cache->lock);
    }
    fby_cache_return(cache);
    return block != NULL ? block : no_memory();
}

FBY_NOINLINE void *fby_blocks_malloc(size_t size, size_t align)
{
    bool zeroed;
    fby_cache *cache = fby_cache_self();
    if (FBY_UNLIKELY(cache == NULL))
        return late_malloc(size, align, &zeroed);
    size_t request = class_request(size, align);
    if (request > FBY_SMALL_MAX)
        return large(cache, size, align, &zeroed);
    uint32_t class_index = fby_class_of(request);
    void *block = fby_cache_pop(class_index);
    return block != NULL ? block : fby_blocks_missed(class_index, size, align);
}

void *fby_blocks_aligned(size_t align, size_t size)
{
    if (!fby_is_pow2(align) || align > FBY_ALIGN_MAX) {
        errno = EINVAL;
        return NULL;
    }
    return fby_blocks_malloc(size, align);
}

void *fby_blocks_calloc(size_t count, size_t size)
{
    size_t bytes;
    if (!fby_mul_size(count, size, &bytes))
        return no_memory();
    if (bytes <= FBY_SMALL_MAX) {
        void *block = fby_blocks_malloc_inline(bytes);
        return block != NULL ? memset(block, 0, bytes) : NULL;
    }
    bool zeroed;
    fby_cache *cache = fby_cache_self();
    void *block = cache != NULL ? large(cache, bytes, 1, &zeroed) : late_malloc(bytes, 1, &zeroed);
    if (block != NULL && !zeroed)
        memset(block, 0, bytes);
    return block;
}

/* ---- freeing ---- */

static void free_other(fby_cache *cache, void *block)
{
    fby_span *span = fby_span_at(fby_unit_of(block));
    if (span->kind == FBY_UNIT_SCOPE) {
        fby_scope_drop(cache, block);
    } else if (span->kind == FBY_UNIT_SPAN) {
        fby_pool_give(span->class_index, &block, 1);
    } else {
        if (span->kind == FBY_UNIT_WHOLE)
            fby_own_heap_forget(span);
        if (cache->gate & FBY_GATE_TRACE && !cache->untraced)
            fby_trace_write(FBY_TRACE_FREE, block, 0, 1);
        fby_gate_count_free(cache, block);
        fby_large_free(&cache->arena, block);
    }
    fby_purge_poke();
}

FBY_COLD static void late_free(void *block, uint32_t class_index)
{
    fby_cache *cache = fby_cache_borrow();
    if (cache == NULL)
        return; /* no memory even for a cache: the block stays where it is */
    if (class_index == 0) {
        free_other(cache, block);
    } else {
        fby_lock_take(&cache->lock);
        fby_gate_free(cache, class_index, block);
        fby_lock_release(&cache->lock);
    }
    fby_cache_return(cache);
}

FBY_NOINLINE void fby_blocks_free(void *block)
{
    if (block == NULL)
        return;
    int kept = errno;
    uint32_t unit = fby_unit_of(block);
    if (FBY_UNLIKELY(unit == 0 || !fby_region_describes(unit)))
        fby_harden_fail(block, FBY_FOREIGN);
    uint32_t class_index = fby_map_of(fby_the_region.base)[unit];
    fby_cache *cache = fby_cache_self_to_free();
    if (FBY_UNLIKELY(cache == NULL))
        late_free(block, class_index);
    else if (class_index == 0)
        free_other(cache, block);
    else if (!fby_cache_push(class_index, block))
        fby_cache_spill(cache, class_index, block);
    errno = kept;
}

/* ---- sizes ---- */

size_t fby_blocks_usable(const void *block)
{
    uint32_t unit = fby_unit_of(block);
    if (block == NULL || unit == 0 || !fby_region_describes(unit))
        return 0;
    const fby_span *span = fby_span_at(unit);
    switch (span->kind) {
    case FBY_UNIT_SPAN:
        return fby_class_sizes[span->class_index];
    case FBY_UNIT_SCOPE:
        return fby_scope_usable(block);
    default:
        return fby_large_usable(block);
    }
}

/* Whether a block of `usable` bytes may stay for `size`: not when more than half would be wasted.
 */
static bool still_fits(size_t usable, size_t size)
{
    return size <= usable && size >= usable / 2;
}

static void *resize(void *block, size_t size)
{
    size_t usable = fby_blocks_usable(block);
    if (FBY_UNLIKELY(usable == 0))
        fby_harden_fail(block, FBY_FOREIGN);
    uint32_t kind = fby_span_at(fby_unit_of(block))->kind;
    if (still_fits(usable, size))
        return block;
    if ((kind == FBY_UNIT_CHUNK || kind == FBY_UNIT_WHOLE) && fby_large_resize(block, size)) {
        fby_gate_count_resize(fby_cache_mine, block, usable);
        return block;
    }
    if (kind == FBY_UNIT_SCOPE && fby_scope_resize(fby_cache_mine, block, size))
        return block;
    void *moved = fby_blocks_malloc_inline(size);
    if (moved == NULL)
        return NULL;
    memcpy(moved, block, fby_min_size(usable, size));
    fby_blocks_free_inline(block);
    return moved;
}

void *fby_blocks_realloc(void *block, size_t size)
{
    if (block == NULL)
        return fby_blocks_malloc_inline(size);
    if (size == 0) {
        fby_blocks_free_inline(block);
        return NULL;
    }
    fby_cache *cache = fby_cache_mine;
    if (FBY_LIKELY((cache->gate & FBY_GATE_TRACE) == 0))
        return resize(block, size);
    cache->untraced = true;
    void *moved = resize(block, size);
    cache->untraced = false;
    if (moved != NULL)
        fby_trace_realloc(block, moved, size);
    return moved;
}

/* A block of a class that no scope owns; the thread may have one open. */
static void *unscoped(fby_cache *cache, size_t size)
{
    void *block = NULL;
    fby_lock_take(&cache->lock);
    uint32_t gate = cache->gate;
    if (gate != 0) {
        cache->gate = gate & ~(uint32_t)FBY_GATE_SCOPE;
        block = fby_gate_malloc(cache, fby_class_of(size), size, 1);
        cache->gate = gate;
    }
    fby_lock_release(&cache->lock);
    return gate != 0 ? block : fby_blocks_malloc_inline(size);
}

void *fby_blocks_outlive(void *block)
{
    fby_cache *cache = fby_cache_self();
    size_t size = fby_blocks_usable(block);
    bool zeroed;
    void *copy;
    if (cache == NULL)
        return no_memory();
    if (size <= FBY_SMALL_MAX) {
        copy = unscoped(cache, size);
    } else {
        copy = fby_large_malloc(&cache->arena, size, 1, &zeroed);
        if (copy != NULL)
            fby_gate_count_malloc(cache, copy, size, fby_large_usable(copy), 1);
    }
    if (copy == NULL)
        return no_memory();
    memcpy(copy, block, size);
    fby_scope_drop(cache, block);
    return copy;
}
