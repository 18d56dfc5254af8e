/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/bits.h"
#include "memory/heap_pool/pool.h"
#include "memory/heap_pool/series.h"

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static void add(fby_heap_stats *sum, const fby_heap_stats *one)
{
    sum->acquired += one->acquired;
    sum->released += one->released;
    sum->active += one->active;
    sum->active_bytes += one->active_bytes;
    sum->used_bytes += one->used_bytes;
    sum->peak_used_bytes += one->peak_used_bytes;
    sum->capacity_bytes += one->capacity_bytes;
    sum->largest_free_bytes = larger(sum->largest_free_bytes, one->largest_free_bytes);
    sum->largest_bytes = larger(sum->largest_bytes, one->largest_bytes);
    sum->acquired_bytes += one->acquired_bytes;
    sum->busy += one->busy;
    sum->lock_waits += one->lock_waits;
    sum->moved += one->moved;
    sum->moved_bytes += one->moved_bytes;
    for (uint32_t i = 0; i <= FBY_HEAP_WARMUP_MAX; i++)
        sum->by_warmup[i] += one->by_warmup[i];
}

static double share(uint64_t part, uint64_t whole, double of_nothing)
{
    return whole != 0 ? (double)part / (double)whole : of_nothing;
}

void fby_heap_stats_derive(fby_heap_pool_stats *stats)
{
    const fby_heap_stats *all = &stats->all;
    uint64_t hits = all->acquired > stats->fallback ? all->acquired - stats->fallback : 0;
    uint64_t free_bytes = 0, largest_free = 0;

    for (uint32_t i = 0; i < FBY_HEAP_HEAPS_MAX; i++) {
        const fby_heap_stats *heap = &stats->heaps[i];
        largest_free += heap->largest_free_bytes;
        if (heap->used_bytes < heap->capacity_bytes)
            free_bytes += heap->capacity_bytes - heap->used_bytes;
    }
    stats->hit_rate = share(hits, all->acquired, 1.0);
    stats->fallback_rate = share(stats->fallback, all->acquired, 0.0);
    stats->utilisation = share(all->used_bytes, all->capacity_bytes, 0.0);
    stats->fragmentation = 1.0 - share(largest_free, free_bytes, 1.0);
    stats->average_bytes = share(all->acquired_bytes, all->acquired, 0.0);
}

fby_status fby_heap_pool_get_stats(fby_heap_pool *pool, fby_heap_pool_stats *out)
{
    if (out->struct_size < sizeof out->struct_size)
        return fby_error(FBY_EINVAL, "fby_heap_pool_stats.struct_size is %zu", out->struct_size);
    fby_heap_stats outside;
    fby_heap_pool_stats made = {
        .struct_size = out->struct_size,
        .refused = atomic_load_explicit(&pool->refused, memory_order_relaxed),
        .crowded = atomic_load_explicit(&pool->crowded, memory_order_relaxed),
        .grown = atomic_load_explicit(&pool->upkeep.grown, memory_order_relaxed),
        .shrunk = atomic_load_explicit(&pool->upkeep.shrunk, memory_order_relaxed),
        .growth_failures = atomic_load_explicit(&pool->upkeep.failures, memory_order_relaxed),
        .max_heaps = pool->options.max_heaps,
        .counting = pool->counting.on,
        .warmup_count = pool->counting.warmup_count,
    };
    fby_heap_pool_stats *stats = &made;
    memcpy(stats->warmup_bytes, pool->counting.warmup_bytes, sizeof stats->warmup_bytes);
    for (uint32_t i = 0; i < pool->options.max_heaps; i++) {
        fby_heap_stats *heap = &stats->heaps[i];
        fby_heap_snapshot(&pool->heaps[i], heap);
        add(&stats->all, heap);
        stats->heap_count += heap->present;
        stats->active_heaps += heap->active > 0;
    }
    fby_fallback_snapshot(&pool->fallback, &outside);
    add(&stats->all, &outside);
    stats->fallback = outside.acquired;
    stats->fallback_active = outside.active;
    stats->fallback_active_bytes = outside.active_bytes;
    fby_heap_stats_derive(stats);
    /* A caller's older struct gets what it has, the end of a newer one zeros. */
    size_t size = out->struct_size;
    memcpy(out, stats, fby_min_size(size, sizeof *stats));
    if (size > sizeof *stats)
        memset((char *)out + sizeof *stats, 0, size - sizeof *stats);
    return FBY_OK;
}

void fby_heap_pool_reset_stats(fby_heap_pool *pool)
{
    for (uint32_t i = 0; i < FBY_HEAP_HEAPS_MAX; i++)
        fby_heap_reset(&pool->heaps[i]);
    fby_fallback_reset(&pool->fallback);
    atomic_store_explicit(&pool->refused, 0, memory_order_relaxed);
    atomic_store_explicit(&pool->crowded, 0, memory_order_relaxed);
    atomic_store_explicit(&pool->upkeep.grown, 0, memory_order_relaxed);
    atomic_store_explicit(&pool->upkeep.shrunk, 0, memory_order_relaxed);
    atomic_store_explicit(&pool->upkeep.failures, 0, memory_order_relaxed);
}
