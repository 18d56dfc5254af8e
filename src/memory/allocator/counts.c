/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/allocator/counts.h"

#include <stdatomic.h>

#include "memory/allocator/os.h"
#include "memory/allocator/region.h"

typedef struct level {
    _Atomic int64_t now, peak; /* below 0: blocks went uncounted while counting was off */
} level;

static level live_bytes, live_blocks[FBY_CLASSES];

/* The cache that allocated each small block: FBY_BLOCKS_MAX a unit, 0: not counted. */
static _Atomic(_Atomic uint16_t *) owners;

void fby_counts_start(void)
{
    size_t bytes = (size_t)fby_the_region.unit_count * FBY_BLOCKS_MAX * sizeof(uint16_t);
    _Atomic uint16_t *none = NULL;
    if (atomic_load_explicit(&owners, memory_order_relaxed) != NULL)
        return;
    void *made = fby_os_map_sparse(bytes);
    if (made != NULL && !atomic_compare_exchange_strong_explicit(
                            &owners, &none, made, memory_order_relaxed, memory_order_relaxed))
        fby_os_unmap(made, bytes);
}

static void rise(level *l, size_t by)
{
    int64_t now = atomic_fetch_add_explicit(&l->now, (int64_t)by, memory_order_relaxed);
    now += (int64_t)by;
    int64_t peak = atomic_load_explicit(&l->peak, memory_order_relaxed);
    while (now > peak && !atomic_compare_exchange_weak_explicit(
                             &l->peak, &peak, now, memory_order_relaxed, memory_order_relaxed))
        ;
}

static void fall(level *l, size_t by)
{
    atomic_fetch_sub_explicit(&l->now, (int64_t)by, memory_order_relaxed);
}

static fby_counts_live read_level(level *l)
{
    int64_t now = atomic_load_explicit(&l->now, memory_order_relaxed);
    int64_t peak = atomic_load_explicit(&l->peak, memory_order_relaxed);
    return (fby_counts_live){now > 0 ? (uint64_t)now : 0, (uint64_t)peak};
}

/* Where the owner of a block is noted; NULL: nowhere. */
static _Atomic uint16_t *owner_of(uint32_t class_index, const void *block)
{
    uint32_t unit = fby_unit_of(block);
    if (class_index == 0)
        return &fby_span_at(unit)->counted_by;
    _Atomic uint16_t *all = atomic_load_explicit(&owners, memory_order_relaxed);
    if (all == NULL)
        return NULL;
    uint32_t offset = (uint32_t)((uintptr_t)block & (FBY_UNIT - 1));
    return &all[(size_t)unit * FBY_BLOCKS_MAX + fby_class_block(class_index, offset)];
}

void fby_counts_malloc(fby_counts *counts, uint16_t cache, uint32_t class_index, const void *block,
                       size_t size, size_t usable)
{
    _Atomic uint16_t *owner = owner_of(class_index, block);
    if (owner != NULL)
        atomic_store_explicit(owner, cache, memory_order_relaxed);
    counts->mallocs[class_index]++;
    counts->requested_bytes[class_index] += size;
    counts->usable_bytes += usable;
    rise(&live_bytes, usable);
    rise(&live_blocks[class_index], 1);
}

void fby_counts_free(fby_counts *counts, uint16_t cache, uint32_t class_index, const void *block,
                     size_t usable)
{
    _Atomic uint16_t *place = owner_of(class_index, block);
    uint16_t owner =
        place != NULL ? atomic_exchange_explicit(place, 0, memory_order_relaxed) : cache;
    counts->frees[class_index]++;
    counts->remote_frees[class_index] += owner != 0 && owner != cache;
    if (owner == 0)
        return;
    fall(&live_bytes, usable);
    fall(&live_blocks[class_index], 1);
}

void fby_counts_resize(const void *block, size_t before, size_t after)
{
    if (atomic_load_explicit(owner_of(0, block), memory_order_relaxed) == 0)
        return;
    if (after > before)
        rise(&live_bytes, after - before);
    else
        fall(&live_bytes, before - after);
}

fby_counts_live fby_counts_live_bytes(void)
{
    return read_level(&live_bytes);
}

fby_counts_live fby_counts_live_blocks(uint32_t class_index)
{
    return read_level(&live_blocks[class_index]);
}
