/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/allocator/stats.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/status.h"
#include "forebay/allocator.h"
#include "memory/allocator/cache.h"
#include "memory/allocator/shared.h"

#if !FBY_ASAN

_Static_assert((int)FBY_ALLOCATOR_CLASSES == (int)FBY_CLASSES, "the header names the classes");

static void add_cache(fby_allocator_stats *stats, fby_cache *cache)
{
    fby_lock_take(&cache->lock);
    const fby_counts *counted = &cache->counts;
    for (uint32_t c = 0; c < FBY_CLASSES; c++) {
        stats->of_class[c].requested += counted->requested_bytes[c];
        stats->of_class[c].remote_frees += counted->remote_frees[c];
        stats->requested += counted->requested_bytes[c];
        stats->remote_frees += counted->remote_frees[c];
        stats->of_class[c].mallocs += counted->mallocs[c];
        stats->of_class[c].frees += counted->frees[c];
        stats->mallocs += counted->mallocs[c];
        stats->frees += counted->frees[c];
    }
    stats->usable += counted->usable_bytes;
    fby_lock_release(&cache->lock);
    fby_lock_take(&cache->arena.lock);
    stats->active -= cache->arena.units.free_pieces * FBY_UNIT;
    stats->dirty += cache->arena.units.dirty * FBY_UNIT;
    fby_lock_release(&cache->arena.lock);
    stats->metadata += sizeof(fby_cache);
    stats->thread_caches++;
}

static void add_pool(fby_allocator_stats *stats, fby_pool *pool)
{
    for (uint32_t c = 1; c < FBY_CLASSES; c++) {
        fby_pool_class *class = &pool->of[c];
        fby_lock_take(&class->lock);
        stats->of_class[c].size = fby_class_sizes[c];
        stats->of_class[c].spans += class->span_count;
        stats->of_class[c].out += class->out_blocks;
        fby_lock_release(&class->lock);
        stats->metadata += (uint64_t) class->span_count * (sizeof(fby_span) + FBY_BLOCKS_MAX / 8);
    }
    stats->metadata += sizeof(fby_pool);
}

static void add_live(fby_allocator_stats *stats)
{
    fby_counts_live all = fby_counts_live_bytes();
    stats->live = all.now;
    stats->live_peak = all.peak;
    for (uint32_t c = 0; c < FBY_CLASSES; c++) {
        fby_counts_live blocks = fby_counts_live_blocks(c);
        stats->of_class[c].live = blocks.now;
        stats->of_class[c].live_peak = blocks.peak;
    }
}

fby_status fby_allocator_get_stats(fby_allocator_stats *stats)
{
    size_t struct_size = stats->struct_size;
    if (struct_size != sizeof *stats)
        return fby_error(FBY_EINVAL, "statistics of %zu bytes, not %zu", struct_size,
                         sizeof *stats);
    if (fby_cache_self() == NULL)
        return fby_error(FBY_ENOMEM, "no address space for the allocator");
    memset(stats, 0, sizeof *stats);
    stats->struct_size = struct_size;
    fby_region_usage usage;
    fby_region_get_usage(&usage);
    stats->mapped = usage.mapped_bytes;
    stats->active = usage.mapped_bytes - usage.free_bytes;
    stats->dirty = usage.dirty_bytes;
    stats->metadata = (uint64_t)fby_magazine_count() * sizeof(fby_magazine);
    for (fby_cache *cache = fby_cache_first(); cache != NULL; cache = cache->all_next)
        add_cache(stats, cache);
    for (uint32_t i = 0; i < fby_shared_pool_count(); i++)
        add_pool(stats, fby_shared_pool(i));
    add_live(stats);
    return FBY_OK;
}

void fby_allocator_count_calls(bool on)
{
    fby_cache *cache = fby_cache_self();
    if (on && cache != NULL)
        fby_counts_start();
    uint32_t always = atomic_load_explicit(&fby_cache_gate_always, memory_order_relaxed);
    always = on ? always | FBY_GATE_STATS : always & ~(uint32_t)FBY_GATE_STATS;
    atomic_store_explicit(&fby_cache_gate_always, always, memory_order_relaxed);
    if (cache != NULL)
        fby_cache_set_gate(cache, on ? FBY_GATE_STATS : 0, on ? 0 : FBY_GATE_STATS);
}

static void line(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void line(const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    int size = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (size > (int)sizeof text - 1)
        size = (int)sizeof text - 1;
    if (size > 0 && write(STDERR_FILENO, text, (size_t)size) < 0) {
        /* Nowhere left to say it. */
    }
}

typedef unsigned long long ull;

static double ratio(double usable, double requested)
{
    return requested > 0 ? usable / requested : 1;
}

static void print_class(const fby_allocator_stats *s, uint32_t c)
{
    ull mallocs = s->of_class[c].mallocs, frees = s->of_class[c].frees;
    if (mallocs + frees + s->of_class[c].spans == 0)
        return;
    /* What is not of a class is what the classes leave of the whole. */
    double usable = (double)s->usable;
    for (uint32_t i = 1; c == 0 && i < FBY_ALLOCATOR_CLASSES; i++)
        usable -= (double)s->of_class[i].mallocs * s->of_class[i].size;
    if (c != 0)
        usable = (double)mallocs * s->of_class[c].size;
    char size[16] = "large";
    if (c != 0)
        snprintf(size, sizeof size, "%u", s->of_class[c].size);
    line("  %8s %12llu %12llu %10llu %10llu %10llu %6.3f %10llu %6u\n", size, mallocs, frees,
         (ull)s->of_class[c].remote_frees, (ull)s->of_class[c].live, (ull)s->of_class[c].live_peak,
         ratio(usable, (double)s->of_class[c].requested), (ull)s->of_class[c].out,
         s->of_class[c].spans);
}

void fby_stats_print(void)
{
    fby_allocator_stats s = {.struct_size = sizeof s};
    if (fby_allocator_get_stats(&s) != FBY_OK)
        return;
    line("forebay malloc: %llu mallocs, %llu frees, %llu by other threads\n", (ull)s.mallocs,
         (ull)s.frees, (ull)s.remote_frees);
    line("  bytes: live %llu, peak %llu, usable/requested %.4f\n", (ull)s.live, (ull)s.live_peak,
         ratio((double)s.usable, (double)s.requested));
    line("  bytes: mapped %llu, active %llu, dirty %llu, metadata %llu; %u thread caches\n",
         (ull)s.mapped, (ull)s.active, (ull)s.dirty, (ull)s.metadata, s.thread_caches);
    line("  %8s %12s %12s %10s %10s %10s %6s %10s %6s\n", "size", "mallocs", "frees", "remote",
         "live", "peak", "use/rq", "out", "spans");
    for (uint32_t c = 0; c < FBY_ALLOCATOR_CLASSES; c++)
        print_class(&s, c);
}

#endif
