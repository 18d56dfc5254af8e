/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/allocator/region.h"

#include "base/assert.h"
#include "base/bits.h"
#include "memory/allocator/os.h"

fby_region fby_the_region = {.base = FBY_BASE_NONE};

enum {
    BITS_BYTES = FBY_BLOCKS_MAX / 8,   /* a unit */
    NODE_BYTES = (int)sizeof(fby_run), /* a unit */
    GROW_UNITS = 32,                   /* at least, at a time: 2 MiB */
    GROW_UNITS_MAX = 1024,             /* unless more is asked for */
    DESCRIBE_UNITS = 4096,             /* metadata made writable at a time: for 256 MiB */
    UNITS_MIN = 64,                    /* the smallest region worth having: 4 MiB */
    META_BYTES = NODE_BYTES + 2 * BITS_BYTES + (int)sizeof(fby_span), /* a unit */
};
_Static_assert(UNITS_MIN * sizeof(fby_span) % FBY_PAGE == 0 &&
                   UNITS_MIN * BITS_BYTES % FBY_PAGE == 0 &&
                   2 * UNITS_MIN * NODE_BYTES % FBY_PAGE == 0,
               "arrays stay page-aligned");

/* Unit 0 stands at a multiple of the largest alignment that a block can have: a quarter of the
 * region, since what is reserved to align it counts while it starts. */
static bool reserve(uint32_t units)
{
    fby_region *region = &fby_the_region;
    size_t meta = fby_align_up((size_t)units * META_BYTES, FBY_PAGE), below = meta + FBY_MAP_BELOW;
    size_t align = fby_min_size((size_t)units * FBY_UNIT / 4, FBY_ALIGN_MAX);
    size_t total = below + (size_t)units * FBY_UNIT + align;
    char *all = fby_os_reserve(total);
    if (all == NULL)
        return false;
    uintptr_t base = fby_align_up((uintptr_t)all + below, align);
    if (!fby_os_commit_readable(fby_map_of(base), FBY_MAP_BYTES)) {
        fby_os_unmap(all, total);
        return false;
    }
    char *at = (char *)base - below, *end = (char *)base + (size_t)units * FBY_UNIT;
    if (at > all)
        fby_os_unmap(all, (size_t)(at - all));
    if (end < all + total)
        fby_os_unmap(end, (size_t)(all + total - end));
    region->align_max = align;
    region->free_bits = (uint64_t *)(void *)at;
    region->live_bits = (uint64_t *)(void *)(at + (size_t)units * BITS_BYTES);
    region->spans = (fby_span *)(void *)(at + (size_t)units * 2 * BITS_BYTES);
    region->arena_nodes = (char *)(region->spans + units);
    region->unit_count = units;
    region->base = base;
    return true;
}

bool fby_region_init(size_t limit_bytes, bool huge)
{
    fby_region *region = &fby_the_region;
    uint32_t units = FBY_MAP_BYTES;
    while (limit_bytes != 0 && units > UNITS_MIN && (size_t)units * FBY_UNIT > limit_bytes)
        units /= 2;
    while (!reserve(units)) {
        units /= 2;
        if (units < UNITS_MIN)
            return false;
    }
    region->huge = huge;
    region->grown = 1;
    region->runs.nodes = (char *)region->spans;
    region->runs.stride = sizeof(fby_span);
    return true;
}

/* Makes the metadata of units below `end` writable. */
static bool describe(uint32_t end)
{
    fby_region *region = &fby_the_region;
    uint32_t from = atomic_load_explicit(&region->described, memory_order_relaxed);
    if (end <= from)
        return true;
    uint32_t to = (end + DESCRIBE_UNITS - 1) / DESCRIBE_UNITS * DESCRIBE_UNITS;
    to = fby_min_u32(to, region->unit_count);
    size_t count = to - from;
    if (!fby_os_commit(region->arena_nodes + (size_t)from * NODE_BYTES,
                       fby_align_up(count * NODE_BYTES, FBY_PAGE)) ||
        !fby_os_commit(fby_free_bits(from), count * BITS_BYTES) ||
        !fby_os_commit(fby_live_bits(from), count * BITS_BYTES) ||
        !fby_os_commit(fby_span_at(from), count * sizeof(fby_span)) ||
        !fby_os_commit(fby_map_of(region->base) + from, fby_align_up(count, FBY_PAGE)))
        return false;
    atomic_store_explicit(&region->described, to, memory_order_relaxed);
    return true;
}

/* Where a block could begin that ends at the end of the grown part or behind it. */
static uint32_t tail(uint32_t align)
{
    fby_region *region = &fby_the_region;
    const fby_run *last = &fby_span_at(region->grown - 1)->run;
    uint32_t from = region->grown;
    if (from > 1 && last->state != FBY_RUN_USED)
        from -= last->length;
    return (uint32_t)fby_align_up(from, align);
}

/* At least `need` more units. */
static bool grow(uint32_t need)
{
    fby_region *region = &fby_the_region;
    uint32_t room = region->unit_count - region->grown;
    uint32_t step = region->grown / 8 / GROW_UNITS * GROW_UNITS;
    step = fby_min_u32(step < GROW_UNITS ? GROW_UNITS : step, GROW_UNITS_MAX);
    if (need > room)
        return false;
    step = fby_min_u32(step < need ? need : step, room);
    if (!describe(region->grown + step))
        return false;
    void *at = fby_unit_address(region->grown);
    if (!fby_os_commit(at, (size_t)step * FBY_UNIT)) {
        step = need;
        if (!fby_os_commit(at, (size_t)step * FBY_UNIT))
            return false;
    }
    if (region->huge)
        fby_os_huge(at, (size_t)step * FBY_UNIT);
    uint32_t first = region->grown;
    region->grown += step;
    fby_runs_free(&region->runs, first, step, FBY_RUN_CLEAN, 1, region->grown, 0);
    return true;
}

static uint32_t take_grown(uint32_t count, uint32_t align, enum fby_run_state *state)
{
    fby_region *region = &fby_the_region;
    if (count > region->unit_count || align > region->unit_count)
        return 0;
    uint32_t from = tail(align), end = from + count;
    if (end > region->unit_count || (end > region->grown && !grow(end - region->grown)))
        return 0;
    return fby_runs_take_last(&region->runs, region->grown, from, count, state) ? from : 0;
}

uint32_t fby_region_take(uint32_t count, uint32_t align, bool *clean)
{
    fby_region *region = &fby_the_region;
    enum fby_run_state state;
    fby_lock_take(&region->lock);
    uint32_t unit = fby_runs_take(&region->runs, count, align, &state);
    if (unit == 0)
        unit = take_grown(count, align, &state);
    fby_lock_release(&region->lock);
    if (unit != 0)
        *clean = state == FBY_RUN_CLEAN;
    return unit;
}

static _Atomic uint32_t splits, splits_max;

bool fby_region_may_split(void)
{
    uint32_t most = atomic_load_explicit(&splits_max, memory_order_relaxed);
    if (most == 0) {
        most = fby_os_mappings_max() / 4;
        atomic_store_explicit(&splits_max, most, memory_order_relaxed);
    }
    if (atomic_fetch_add_explicit(&splits, 1, memory_order_relaxed) < most)
        return true;
    fby_region_unsplit();
    return false;
}

void fby_region_unsplit(void)
{
    atomic_fetch_sub_explicit(&splits, 1, memory_order_relaxed);
}

bool fby_region_extend(uint32_t unit, uint32_t count, uint32_t more, bool *clean)
{
    fby_region *region = &fby_the_region;
    uint32_t end = unit + count;
    bool taken = false;
    fby_lock_take(&region->lock);
    if (end < region->grown && more <= region->grown - end) {
        *clean = fby_span_at(end)->run.state == FBY_RUN_CLEAN;
        taken = fby_runs_take_at(&region->runs, end, more);
    }
    fby_lock_release(&region->lock);
    return taken;
}

void fby_region_give(uint32_t unit, uint32_t count, bool clean)
{
    fby_region *region = &fby_the_region;
    uint32_t now = (uint32_t)fby_os_now_ms();
    fby_lock_take(&region->lock);
    fby_runs_free(&region->runs, unit, count, clean ? FBY_RUN_CLEAN : FBY_RUN_DIRTY, 1,
                  region->grown, now);
    fby_lock_release(&region->lock);
}

bool fby_region_purge(uint32_t now_ms, uint32_t decay_ms, size_t limit_bytes)
{
    fby_region *region = &fby_the_region;
    fby_lock_take(&region->lock);
    for (;;) {
        bool over = region->runs.dirty * FBY_UNIT > limit_bytes;
        uint32_t length;
        uint32_t unit = fby_runs_take_oldest(&region->runs, now_ms, over ? 0 : decay_ms, &length);
        if (unit == 0)
            break;
        fby_lock_release(&region->lock);
        /* No one else knows of these units now. */
        bool clean = fby_os_purge(fby_unit_address(unit), (size_t)length * FBY_UNIT);
        fby_lock_take(&region->lock);
        fby_runs_free(&region->runs, unit, length, clean ? FBY_RUN_CLEAN : FBY_RUN_DIRTY, 1,
                      region->grown, now_ms);
        if (!clean)
            break;
    }
    bool left = region->runs.dirty != 0 && fby_os_purge_works();
    fby_lock_release(&region->lock);
    return left;
}

void fby_region_get_usage(fby_region_usage *usage)
{
    fby_region *region = &fby_the_region;
    fby_lock_take(&region->lock);
    usage->mapped_bytes = (uint64_t)(region->grown - 1) * FBY_UNIT;
    usage->free_bytes = region->runs.free_pieces * FBY_UNIT;
    usage->dirty_bytes = region->runs.dirty * FBY_UNIT;
    fby_lock_release(&region->lock);
}
