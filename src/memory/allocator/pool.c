/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/allocator/pool.h"

#include <string.h>

#include "base/assert.h"
#include "base/bits.h"
#include "memory/allocator/harden.h"
#include "memory/allocator/os.h"

enum {
    CARVE_BYTES = 4 << 10, /* at a time, at most, unless one block is larger */
    POPULATE_MAX = 2048,   /* bytes: blocks up to here are surely touched page by page */
};

void fby_pool_init(fby_pool *pool, uint32_t node, bool shared, bool guarded)
{
    pool->node = node;
    pool->shared = shared;
    pool->guarded = guarded;
}

static const fby_run_set *order(void)
{
    return &fby_the_region.runs; /* only the nodes' place is read */
}

/* ---- spans ---- */

static void list_span(fby_pool_class *class, uint32_t unit)
{
    fby_span *span = fby_span_at(unit);
    span->list_prev = 0;
    span->list_next = class->span_list;
    if (class->span_list != 0)
        fby_span_at(class->span_list)->list_prev = unit;
    class->span_list = unit;
    class->span_count++;
}

static void unlist_span(fby_pool_class *class, uint32_t unit)
{
    fby_span *span = fby_span_at(unit);
    if (span->list_prev != 0)
        fby_span_at(span->list_prev)->list_next = span->list_next;
    else
        class->span_list = span->list_next;
    if (span->list_next != 0)
        fby_span_at(span->list_next)->list_prev = span->list_prev;
    class->span_count--;
}

static void set_room(fby_pool_class *class, uint32_t unit, bool room)
{
    fby_span *span = fby_span_at(unit);
    if (span->listed == room)
        return;
    span->listed = room;
    class->with_room = room ? fby_order_insert(order(), class->with_room, unit)
                            : fby_order_remove(order(), class->with_room, unit);
}

/* Both only while the system's number of mappings allows it. A unit keeps the node that it prefers
 * when its span goes: memory that no one asked to be elsewhere is where it is first touched. */
static bool guard(fby_span *span, char *memory)
{
    if (!fby_region_may_split())
        return false;
    span->guarded = fby_os_guard(memory + FBY_SPAN - FBY_PAGE, FBY_PAGE);
    if (!span->guarded)
        fby_region_unsplit();
    return span->guarded;
}

static void settle_on_node(fby_span *span, char *memory, uint32_t node)
{
    if (span->home == node + 1 || node >= UINT8_MAX || (span->home == 0 && !fby_region_may_split()))
        return;
    fby_os_bind(memory, FBY_SPAN, node);
    span->home = (uint8_t)(node + 1);
}

static uint32_t new_span(fby_pool *pool, uint32_t class_index)
{
    bool clean;
    uint32_t unit = fby_region_take(1, 1, &clean);
    if (unit == 0)
        return 0;
    char *memory = fby_unit_address(unit);
    uint32_t bytes = FBY_SPAN;
    fby_span *span = fby_span_at(unit);
    if (pool->node != UINT32_MAX)
        settle_on_node(span, memory, pool->node);
    if (pool->guarded && guard(span, memory))
        bytes -= FBY_PAGE;
    span->small.pool = pool;
    span->small.capacity = (uint16_t)(bytes / fby_class_sizes[class_index]);
    span->small.carved = 0;
    span->small.free_blocks = 0;
    span->small.scan = 0;
    span->kind = FBY_UNIT_SPAN;
    span->class_index = (uint8_t)class_index;
    span->listed = false;
    span->fresh = clean;
    memset(fby_free_bits(unit), 0, ((size_t)span->small.capacity + 63) / 64 * 8);
    fby_map_of(fby_the_region.base)[unit] = pool->shared ? (uint8_t)class_index : 0;
    list_span(&pool->of[class_index], unit);
    set_room(&pool->of[class_index], unit, true);
    return unit;
}

static void release_span(fby_pool *pool, uint32_t class_index, uint32_t unit)
{
    fby_span *span = fby_span_at(unit);
    set_room(&pool->of[class_index], unit, false);
    unlist_span(&pool->of[class_index], unit);
    fby_map_of(fby_the_region.base)[unit] = 0;
    span->kind = FBY_UNIT_NONE;
    if (span->guarded) {
        char *memory = fby_unit_address(unit);
        if (!fby_os_commit(memory + FBY_SPAN - FBY_PAGE, FBY_PAGE)) {
            fby_os_purge(memory, FBY_SPAN); /* of no use to anyone else */
            return;
        }
        span->guarded = false;
        fby_region_unsplit();
    }
    fby_region_give(unit, 1, span->small.carved == 0 && span->fresh);
}

/* ---- handing out ---- */

static uint32_t take_free(uint32_t unit, void **blocks, uint32_t count)
{
    fby_span *span = fby_span_at(unit);
    char *memory = fby_unit_address(unit);
    uint64_t *bits = fby_free_bits(unit);
    uint32_t size = fby_class_sizes[span->class_index], taken = 0, word = span->small.scan;
    while (taken < count && span->small.free_blocks > 0) {
        while (bits[word] == 0)
            word++;
        uint32_t bit = (uint32_t)__builtin_ctzll(bits[word]);
        bits[word] &= bits[word] - 1;
        blocks[taken++] = memory + (size_t)(word * 64 + bit) * size;
        span->small.free_blocks--;
    }
    span->small.scan = (uint16_t)word;
    return taken;
}

/* Some of what was never handed out: a page's worth at first, more as the span fills, so that a
 * class that is little used touches little. */
static uint32_t carve(uint32_t unit, void **blocks, uint32_t count)
{
    fby_span *span = fby_span_at(unit);
    char *memory = fby_unit_address(unit);
    uint32_t size = fby_class_sizes[span->class_index];
    uint32_t from = span->small.carved * size;
    uint32_t bytes = fby_min_u32(from < FBY_PAGE ? FBY_PAGE : from, CARVE_BYTES);
    uint32_t most = bytes < size ? 1 : bytes / size;
    count =
        fby_min_u32(fby_min_u32(count, most), (uint32_t)span->small.capacity - span->small.carved);
    for (uint32_t i = 0; i < count; i++)
        blocks[i] = memory + from + (size_t)i * size;
    span->small.carved = (uint16_t)(span->small.carved + count);
    uint32_t first = (uint32_t)fby_align_up(from, FBY_PAGE);
    uint32_t end = (uint32_t)fby_align_up(from + (size_t)count * size, FBY_PAGE);
    if (span->fresh && size <= POPULATE_MAX && end >= first + 2 * FBY_PAGE)
        fby_os_populate(memory + first, end - first);
    return count;
}

static void reverse(void **blocks, uint32_t count)
{
    for (uint32_t i = 0, j = count; i + 1 < j; i++) {
        void *swap = blocks[i];
        blocks[i] = blocks[--j];
        blocks[j] = swap;
    }
}

uint32_t fby_pool_take(fby_pool *pool, uint32_t class_index, void **blocks, uint32_t count)
{
    fby_pool_class *class = &pool->of[class_index];
    uint32_t taken = 0;
    fby_lock_take(&class->lock);
    while (taken < count) {
        uint32_t unit = class->with_room;
        if (unit == 0) {
            if (taken > 0 || (unit = new_span(pool, class_index)) == 0)
                break;
        }
        fby_span *span = fby_span_at(unit);
        taken += take_free(unit, blocks + taken, count - taken);
        if (taken < count && span->small.carved < span->small.capacity) {
            taken += carve(unit, blocks + taken, count - taken);
            if (span->small.carved < span->small.capacity)
                break; /* enough for now */
        }
        if (span->small.free_blocks == 0 && span->small.carved == span->small.capacity)
            set_room(class, unit, false);
    }
    class->out_blocks += taken;
    fby_lock_release(&class->lock);
    reverse(blocks, taken);
    return taken;
}

bool fby_pool_would_grow(fby_pool *pool, uint32_t class_index)
{
    fby_pool_class *class = &pool->of[class_index];
    if (atomic_load_explicit(&class->depot.count, memory_order_relaxed) != 0)
        return false;
    fby_lock_take(&class->lock);
    bool grows = class->with_room == 0 || fby_span_at(class->with_room)->small.free_blocks == 0;
    fby_lock_release(&class->lock);
    return grows;
}

/* ---- taking back ---- */

static void give_one(fby_pool *pool, uint32_t class_index, uint32_t unit, void *block)
{
    fby_span *span = fby_span_at(unit);
    uint32_t offset = (uint32_t)((uintptr_t)block & (FBY_UNIT - 1));
    uint32_t index = fby_class_block(class_index, offset);
    uint64_t bit = (uint64_t)1 << (index % 64), *word = &fby_free_bits(unit)[index / 64];
    if (FBY_UNLIKELY(index * fby_class_sizes[class_index] != offset || index >= span->small.carved))
        fby_harden_fail(block, FBY_NOT_A_BLOCK);
    if (FBY_UNLIKELY((*word & bit) != 0))
        fby_harden_fail(block, FBY_DOUBLE_FREE);
    if (FBY_DEBUG >= 1)
        memset(block, FBY_FILL_FREE, fby_class_sizes[class_index]);
    *word |= bit;
    span->small.free_blocks++;
    if (index / 64 < span->small.scan)
        span->small.scan = (uint16_t)(index / 64);
    if (span->small.free_blocks == span->small.carved)
        release_span(pool, class_index, unit);
    else
        set_room(&pool->of[class_index], unit, true);
}

void fby_pool_give(uint32_t class_index, void *const *blocks, uint32_t count)
{
    fby_pool *pool = NULL;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t unit = fby_unit_of(blocks[i]);
        fby_span *span = fby_span_at(unit);
        if (FBY_UNLIKELY(span->kind != FBY_UNIT_SPAN || span->class_index != class_index))
            fby_harden_fail(blocks[i], FBY_DOUBLE_FREE); /* its span is gone */
        if (pool == NULL || span->small.pool != pool) {
            if (pool != NULL)
                fby_lock_release(&pool->of[class_index].lock);
            pool = span->small.pool;
            fby_lock_take(&pool->of[class_index].lock);
        }
        pool->of[class_index].out_blocks--;
        give_one(pool, class_index, unit, blocks[i]);
    }
    if (pool != NULL)
        fby_lock_release(&pool->of[class_index].lock);
}

void fby_pool_give_magazine(uint32_t class_index, fby_magazine *magazine)
{
    fby_pool_give(class_index, magazine->block, magazine->count);
    fby_magazine_put(magazine);
}

void fby_pool_count_out(fby_pool *pool, uint64_t out[FBY_CLASSES])
{
    for (uint32_t c = 1; c < FBY_CLASSES; c++) {
        fby_lock_take(&pool->of[c].lock);
        out[c] += pool->of[c].out_blocks;
        fby_lock_release(&pool->of[c].lock);
    }
}

void fby_pool_clear(fby_pool *pool)
{
    for (uint32_t c = 1; c < FBY_CLASSES; c++) {
        fby_pool_class *class = &pool->of[c];
        fby_magazine *magazine;
        while ((magazine = fby_depot_pop(&class->depot)) != NULL)
            fby_magazine_put(magazine);
        fby_lock_take(&class->lock);
        while (class->span_list != 0)
            release_span(pool, c, class->span_list);
        class->out_blocks = 0;
        fby_lock_release(&class->lock);
    }
}
