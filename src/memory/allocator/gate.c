/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/allocator/gate.h"

#include <string.h>

#include "memory/allocator/harden.h"
#include "memory/allocator/scope.h"
#include "memory/allocator/trace.h"

/* The bit that says whether a block is in the program's hands. */
static uint64_t *live_word(uint32_t class_index, const void *block, uint64_t *bit)
{
    uint32_t offset = (uint32_t)((uintptr_t)block & (FBY_UNIT - 1));
    uint32_t index = fby_class_block(class_index, offset);
    if (index * fby_class_sizes[class_index] != offset)
        fby_harden_fail(block, FBY_NOT_A_BLOCK);
    *bit = (uint64_t)1 << (index % 64);
    return &fby_live_bits(fby_unit_of(block))[index / 64];
}

static void secure_malloc(uint32_t class_index, void *block)
{
    uint64_t bit, *word = live_word(class_index, block, &bit);
    /* Bits of a word may belong to blocks of several threads. */
    _Atomic uint64_t *shared = (_Atomic uint64_t *)word;
    atomic_fetch_or_explicit(shared, bit, memory_order_relaxed);
    memset(block, FBY_FILL_NEW, fby_class_sizes[class_index]);
}

static void secure_free(uint32_t class_index, void *block)
{
    uint64_t bit, *word = live_word(class_index, block, &bit);
    _Atomic uint64_t *shared = (_Atomic uint64_t *)word;
    if ((atomic_fetch_and_explicit(shared, ~bit, memory_order_relaxed) & bit) == 0)
        fby_harden_fail(block, FBY_DOUBLE_FREE);
    memset(block, FBY_FILL_FREE, fby_class_sizes[class_index]);
}

void *fby_gate_malloc(fby_cache *cache, uint32_t class_index, size_t size, size_t align)
{
    if (cache->gate & FBY_GATE_SCOPE)
        return fby_scope_malloc(cache, size, align);
    void *block = fby_cache_kept_pop(cache, class_index);
    if (block == NULL)
        return NULL;
    if (cache->gate & FBY_GATE_SECURE)
        secure_malloc(class_index, block);
    if (cache->gate & FBY_GATE_STATS)
        fby_counts_malloc(&cache->counts, cache->number, class_index, block, size,
                          fby_class_sizes[class_index]);
    if (cache->gate & FBY_GATE_TRACE && !cache->untraced)
        fby_trace_write(FBY_TRACE_MALLOC, block, size, align);
    return block;
}

void fby_gate_free(fby_cache *cache, uint32_t class_index, void *block)
{
    if (cache->gate & FBY_GATE_SECURE)
        secure_free(class_index, block);
    if (cache->gate & FBY_GATE_STATS)
        fby_counts_free(&cache->counts, cache->number, class_index, block,
                        fby_class_sizes[class_index]);
    if (cache->gate & FBY_GATE_TRACE && !cache->untraced)
        fby_trace_write(FBY_TRACE_FREE, block, 0, 1);
    fby_cache_kept_push(cache, class_index, block);
}

void fby_gate_count_malloc(fby_cache *cache, const void *block, size_t size, size_t usable,
                           size_t align)
{
    if (cache->gate & FBY_GATE_TRACE && !cache->untraced)
        fby_trace_write(FBY_TRACE_MALLOC, block, size, align);
    if ((cache->gate & FBY_GATE_STATS) == 0)
        return;
    fby_lock_take(&cache->lock);
    fby_counts_malloc(&cache->counts, cache->number, 0, block, size, usable);
    fby_lock_release(&cache->lock);
}

void fby_gate_count_free(fby_cache *cache, const void *block)
{
    size_t usable = (cache->gate & FBY_GATE_STATS) != 0 ? fby_large_usable(block) : 0;
    if (usable == 0)
        return; /* or no block: whoever frees it will say so */
    fby_lock_take(&cache->lock);
    fby_counts_free(&cache->counts, cache->number, 0, block, usable);
    fby_lock_release(&cache->lock);
}

void fby_gate_count_resize(fby_cache *cache, const void *block, size_t usable_before)
{
    if (cache->gate & FBY_GATE_STATS)
        fby_counts_resize(block, usable_before, fby_large_usable(block));
}
