/* SPDX-License-Identifier: Apache-2.0 */
#include "forebay/allocator.h"

#include "base/bits.h"
#include "base/status.h"
#include "memory/allocator/blocks.h"
#include "memory/allocator/purge.h"
#include "memory/allocator/scope.h"
#include "memory/allocator/settings.h"

#if !FBY_ASAN

FBY_HOT void *fby_malloc(size_t size)
{
    return fby_blocks_malloc_inline(size);
}

void *fby_calloc(size_t count, size_t size)
{
    return fby_blocks_calloc(count, size);
}

void *fby_realloc(void *block, size_t size)
{
    return fby_blocks_realloc(block, size);
}

FBY_HOT void *fby_aligned_alloc(size_t alignment, size_t size)
{
    return fby_blocks_aligned_inline(alignment, size);
}

FBY_HOT void fby_free(void *block)
{
    fby_blocks_free_inline(block);
}

void fby_free_sized(void *block, size_t size)
{
    (void)size; /* the class of a block is found as fast by its address */
    fby_blocks_free_inline(block);
}

size_t fby_usable_size(const void *block)
{
    return fby_blocks_usable(block);
}

size_t fby_malloc_batch(size_t size, size_t count, void **blocks)
{
    size_t done = 0;
    while (done < count && (blocks[done] = fby_blocks_malloc_inline(size)) != NULL)
        done++;
    return done;
}

void fby_free_batch(void *const *blocks, size_t count)
{
    for (size_t i = 0; i < count; i++)
        fby_blocks_free_inline(blocks[i]);
}

/* ---- scopes ---- */

fby_status fby_scope_begin(void)
{
    fby_cache *cache = fby_cache_self();
    if (cache == NULL || !fby_scope_open(cache))
        return fby_error(FBY_ENOMEM, "no memory for a scope");
    return FBY_OK;
}

fby_status fby_scope_end(void)
{
    fby_cache *cache = fby_cache_self();
    if (cache == NULL || cache->scope == NULL)
        return fby_error(FBY_EINVAL, "this thread has no scope to end");
    fby_scope_close(cache);
    return FBY_OK;
}

void *fby_scope_keep(void *block)
{
    uint32_t unit = fby_unit_of(block);
    if (block == NULL || unit == 0 || !fby_region_describes(unit) ||
        fby_span_at(unit)->kind != FBY_UNIT_SCOPE)
        return block;
    return fby_blocks_outlive(block);
}

/* ---- memory as a whole ---- */

void fby_allocator_purge(void)
{
    fby_cache *cache = fby_cache_self();
    if (cache == NULL)
        return;
    fby_cache_flush(cache);
    uint32_t now = (uint32_t)fby_os_now_ms();
    /* The first tick notes who does not move, the second empties them. */
    fby_purge_tick(now, 0, 0);
    fby_purge_tick(now, 0, 0);
}

void fby_allocator_set_decay(uint32_t decay_ms, size_t dirty_bytes)
{
    fby_cache_self(); /* the environment was read: what is set here stays */
    size_t mib = fby_min_size(dirty_bytes >> 20, UINT32_MAX);
    atomic_store_explicit(&fby_the_settings.decay_ms, decay_ms, memory_order_relaxed);
    atomic_store_explicit(&fby_the_settings.dirty_mib, (uint32_t)mib, memory_order_relaxed);
}

#endif
