/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/allocator/large.h"

#include "base/assert.h"
#include "base/bits.h"
#include "memory/allocator/harden.h"

void fby_arena_init(fby_arena *arena, uint32_t node)
{
    arena->units.nodes = fby_the_region.arena_nodes;
    arena->units.stride = sizeof(fby_run);
    arena->node = node;
}

static fby_run *node_of(uint32_t unit)
{
    return &((fby_run *)(void *)fby_the_region.arena_nodes)[unit];
}

static uint32_t now_ms(void)
{
    return (uint32_t)fby_os_now_ms();
}

static size_t pages_of(size_t size)
{
    return (size + FBY_PAGE - 1) / FBY_PAGE;
}

static size_t units_of(size_t size)
{
    return (size + FBY_UNIT - 1) / FBY_UNIT;
}

/* ---- chunks; under the arena's lock ---- */

static uint32_t chunk_length(uint32_t head)
{
    return fby_span_at(head)->run.length;
}

static void list_chunk(fby_arena *arena, uint32_t head)
{
    fby_span *span = fby_span_at(head);
    span->list_prev = 0;
    span->list_next = arena->chunks;
    if (arena->chunks != 0)
        fby_span_at(arena->chunks)->list_prev = head;
    arena->chunks = head;
    arena->chunk_units += chunk_length(head);
}

static void unlist_chunk(fby_arena *arena, uint32_t head)
{
    const fby_span *span = fby_span_at(head);
    if (span->list_prev != 0)
        fby_span_at(span->list_prev)->list_next = span->list_next;
    else
        arena->chunks = span->list_next;
    if (span->list_next != 0)
        fby_span_at(span->list_next)->list_prev = span->list_prev;
    arena->chunk_units -= chunk_length(head);
}

static bool add_chunk(fby_arena *arena, uint32_t least)
{
    bool clean;
    uint32_t units = fby_min_u32(arena->chunk_units, FBY_CHUNK_UNITS);
    units = units < FBY_CHUNK_UNITS_MIN ? FBY_CHUNK_UNITS_MIN : units;
    units = units < least ? least : units;
    uint32_t head = fby_region_take(units, 1, &clean);
    if (head == 0)
        return false;
    if (arena->node != UINT32_MAX)
        fby_os_bind(fby_unit_address(head), (size_t)units * FBY_UNIT, arena->node);
    for (uint32_t unit = head; unit < head + units; unit++) {
        fby_span *span = fby_span_at(unit);
        span->kind = FBY_UNIT_CHUNK;
        span->chunk.arena = arena;
        span->chunk.head = head;
    }
    fby_span_at(head)->run.length = units;
    list_chunk(arena, head);
    fby_runs_free(&arena->units, head, units, clean ? FBY_RUN_CLEAN : FBY_RUN_DIRTY, head,
                  head + units, now_ms());
    return true;
}

/* No run of the arena is in it. */
static void give_chunk(fby_arena *arena, uint32_t head, bool clean)
{
    uint32_t units = chunk_length(head);
    unlist_chunk(arena, head);
    for (uint32_t unit = head; unit < head + units; unit++)
        fby_span_at(unit)->kind = FBY_UNIT_NONE;
    fby_region_give(head, units, clean);
}

/* Those that hold no block, and no memory either while a thread has the arena. */
static void give_free_chunks(fby_arena *arena, bool used)
{
    for (uint32_t head = arena->chunks, next; head != 0; head = next) {
        bool clean = node_of(head)->state == FBY_RUN_CLEAN;
        uint32_t units = chunk_length(head);
        next = fby_span_at(head)->list_next;
        if (node_of(head)->state == FBY_RUN_USED || node_of(head)->length != units ||
            (used && !clean))
            continue;
        fby_runs_take_at(&arena->units, head, units);
        give_chunk(arena, head, clean);
    }
}

static void give_units(fby_arena *arena, uint32_t unit, uint32_t length, enum fby_run_state state,
                       uint32_t now)
{
    uint32_t low = fby_span_at(unit)->chunk.head;
    fby_runs_free(&arena->units, unit, length, state, low, low + chunk_length(low), now);
}

static void merge_units(fby_arena *arena, uint32_t unit, uint32_t now)
{
    give_units(arena, unit, node_of(unit)->length, FBY_RUN_DIRTY, now);
}

/* ---- quick lists; under the arena's lock ---- */

static uint32_t take_quick(fby_arena *arena, uint32_t length)
{
    fby_quick_list *list = &arena->quick[length];
    if (list->count == 0)
        return 0;
    arena->quick_bytes -= (size_t)length * FBY_UNIT;
    return list->unit[--list->count];
}

/* The oldest of a full list makes room. */
static void put_quick(fby_arena *arena, uint32_t unit, uint32_t length, uint32_t now)
{
    size_t bytes = (size_t)length * FBY_UNIT;
    fby_quick_list *list = &arena->quick[length];
    if (list->count == FBY_QUICK_DEPTH) {
        merge_units(arena, list->unit[0], now);
        for (uint32_t i = 1; i < FBY_QUICK_DEPTH; i++)
            list->unit[i - 1] = list->unit[i];
        list->count--;
        arena->quick_bytes -= bytes;
    }
    if (arena->quick_bytes + bytes > FBY_QUICK_BYTES_MAX) {
        merge_units(arena, unit, now);
        return;
    }
    list->unit[list->count++] = unit;
    arena->quick_bytes += bytes;
}

static void empty_quick(fby_arena *arena, uint32_t now)
{
    for (uint32_t at = 1; at < FBY_QUICK_LISTS; at++) {
        fby_quick_list *list = &arena->quick[at];
        while (list->count > 0)
            merge_units(arena, list->unit[--list->count], now);
    }
    arena->quick_bytes = 0;
}

static void free_units(fby_arena *arena, uint32_t unit, uint32_t now)
{
    arena->operations++;
    put_quick(arena, unit, node_of(unit)->length, now);
}

static void drain_remote(fby_arena *arena)
{
    if (atomic_load_explicit(&arena->remote, memory_order_relaxed) == 0)
        return;
    /* R1, with R2: the links, and all that other threads did to the blocks. */
    uint32_t unit = atomic_exchange_explicit(&arena->remote, 0, memory_order_acquire);
    uint32_t now = now_ms();
    while (unit != 0) {
        uint32_t next = node_of(unit)->next;
        free_units(arena, unit, now);
        unit = next;
    }
}

/* ---- blocks of an arena ---- */

static uint32_t find_units(fby_arena *arena, uint32_t length, bool *zeroed)
{
    enum fby_run_state state = FBY_RUN_DIRTY;
    uint32_t unit = take_quick(arena, length);
    if (unit == 0)
        unit = fby_runs_take(&arena->units, length, 1, &state);
    if (unit == 0 && add_chunk(arena, length))
        unit = fby_runs_take(&arena->units, length, 1, &state);
    *zeroed = state == FBY_RUN_CLEAN;
    return unit;
}

static void *take_block(fby_arena *arena, size_t size, bool *zeroed)
{
    uint32_t length = (uint32_t)units_of(size);
    fby_lock_take(&arena->lock);
    drain_remote(arena);
    arena->operations++;
    uint32_t unit = find_units(arena, length, zeroed);
    if (unit != 0) {
        fby_span_at(unit)->chunk.pages = (uint32_t)pages_of(size);
        atomic_store_explicit(&node_of(unit)->live, 1, memory_order_relaxed);
    }
    fby_lock_release(&arena->lock);
    return unit != 0 ? fby_unit_address(unit) : NULL;
}

static void push_remote(fby_arena *arena, uint32_t unit)
{
    uint32_t head = atomic_load_explicit(&arena->remote, memory_order_relaxed);
    do {
        node_of(unit)->next = head;
        /* R2, with R1. The list is only ever taken whole: no ABA. */
    } while (!atomic_compare_exchange_weak_explicit(&arena->remote, &head, unit,
                                                    memory_order_release, memory_order_relaxed));
}

/* ---- whole mappings ---- */

void *fby_whole_malloc(size_t size, size_t align, bool *zeroed)
{
    if (size > PTRDIFF_MAX - FBY_UNIT || align > fby_the_region.align_max)
        return NULL;
    size_t bytes = pages_of(fby_max_size(size, 1)) * FBY_PAGE, units = units_of(bytes);
    size_t unit_align = fby_max_size(align / FBY_UNIT, 1);
    if (units > fby_the_region.unit_count)
        return NULL;
    uint32_t unit = fby_region_take((uint32_t)units, (uint32_t)unit_align, zeroed);
    if (unit == 0)
        return NULL;
    fby_span *span = fby_span_at(unit);
    span->run.length = (uint32_t)units;
    span->whole.bytes = bytes;
    span->whole.heap = NULL;
    span->kind = FBY_UNIT_WHOLE;
    return fby_unit_address(unit);
}

void *fby_large_malloc(fby_arena *mine, size_t size, size_t align, bool *zeroed)
{
    void *block = NULL;
    size = fby_max_size(size, 1);
    if (size <= FBY_LARGE_MAX && align <= FBY_UNIT)
        block = take_block(mine, size, zeroed);
    return block != NULL ? block : fby_whole_malloc(size, align, zeroed);
}

/* ---- free, size, resize ---- */

static void free_whole(uint32_t unit)
{
    fby_span *span = fby_span_at(unit);
    span->kind = FBY_UNIT_NONE;
    fby_region_give(unit, span->run.length, false);
}

void fby_large_free(fby_arena *mine, void *block)
{
    uint32_t unit = fby_unit_of(block);
    if (FBY_UNLIKELY(unit == 0 || !fby_region_describes(unit)))
        fby_harden_fail(block, FBY_FOREIGN);
    fby_span *span = fby_span_at(unit);
    if (FBY_UNLIKELY(block != fby_unit_address(unit) ||
                     (span->kind != FBY_UNIT_WHOLE && span->kind != FBY_UNIT_CHUNK)))
        fby_harden_fail(block, FBY_NOT_A_BLOCK);
    if (span->kind == FBY_UNIT_WHOLE) {
        free_whole(unit);
        return;
    }
    fby_arena *arena = span->chunk.arena;
    if (FBY_UNLIKELY(atomic_exchange_explicit(&node_of(unit)->live, 0, memory_order_relaxed) != 1))
        fby_harden_fail(block, FBY_DOUBLE_FREE);
    if (arena != mine) {
        push_remote(arena, unit);
        return;
    }
    fby_lock_take(&arena->lock);
    free_units(arena, unit, now_ms());
    fby_lock_release(&arena->lock);
}

size_t fby_large_usable(const void *block)
{
    uint32_t unit = fby_unit_of(block);
    if (unit == 0 || !fby_region_describes(unit) || block != fby_unit_address(unit))
        return 0;
    const fby_span *span = fby_span_at(unit);
    if (span->kind == FBY_UNIT_WHOLE)
        return span->whole.bytes;
    if (span->kind != FBY_UNIT_CHUNK ||
        atomic_load_explicit(&node_of(unit)->live, memory_order_relaxed) != 1)
        return 0;
    return (size_t)span->chunk.pages * FBY_PAGE;
}

static bool resize_whole(uint32_t unit, size_t size)
{
    fby_span *span = fby_span_at(unit);
    size_t bytes = pages_of(size) * FBY_PAGE, units = units_of(bytes);
    uint32_t have = span->run.length;
    bool clean;
    if (size <= FBY_LARGE_MAX || units > fby_the_region.unit_count)
        return false;
    if (units > have && !fby_region_extend(unit, have, (uint32_t)units - have, &clean))
        return false;
    if (units < have)
        fby_region_give(unit + (uint32_t)units, have - (uint32_t)units, false);
    span->run.length = (uint32_t)units;
    span->whole.bytes = bytes;
    return true;
}

static bool resize_units(fby_arena *arena, uint32_t unit, uint32_t length)
{
    bool done = true;
    fby_lock_take(&arena->lock);
    uint32_t have = node_of(unit)->length, end = unit + have;
    if (length > have)
        done = end < fby_span_at(unit)->chunk.head + chunk_length(fby_span_at(unit)->chunk.head) &&
               fby_runs_take_at(&arena->units, end, length - have);
    else if (length < have)
        give_units(arena, unit + length, have - length, FBY_RUN_DIRTY, now_ms());
    if (done)
        node_of(unit)->length = length;
    fby_lock_release(&arena->lock);
    return done;
}

bool fby_large_resize(void *block, size_t size)
{
    uint32_t unit = fby_unit_of(block);
    if (fby_large_usable(block) == 0 || size > PTRDIFF_MAX - FBY_UNIT)
        return false;
    fby_span *span = fby_span_at(unit);
    if (span->kind == FBY_UNIT_WHOLE)
        return resize_whole(unit, size);
    if (size <= FBY_SMALL_MAX || size > FBY_LARGE_MAX ||
        !resize_units(span->chunk.arena, unit, (uint32_t)units_of(size)))
        return false;
    span->chunk.pages = (uint32_t)pages_of(size);
    return true;
}

/* ---- purge ---- */

bool fby_arena_purge(fby_arena *arena, bool used, uint32_t now, uint32_t decay_ms,
                     size_t limit_bytes)
{
    fby_lock_take(&arena->lock);
    drain_remote(arena);
    if (arena->seen == arena->operations || decay_ms == 0)
        empty_quick(arena, now);
    arena->seen = arena->operations;
    for (;;) {
        bool over = arena->units.dirty * FBY_UNIT > limit_bytes;
        uint32_t length;
        uint32_t unit = fby_runs_take_oldest(&arena->units, now, over ? 0 : decay_ms, &length);
        if (unit == 0)
            break;
        fby_lock_release(&arena->lock);
        /* No one else knows of these units now. */
        bool clean = fby_os_purge(fby_unit_address(unit), (size_t)length * FBY_UNIT);
        fby_lock_take(&arena->lock);
        give_units(arena, unit, length, clean ? FBY_RUN_CLEAN : FBY_RUN_DIRTY, now);
        if (!clean)
            break;
    }
    give_free_chunks(arena, used);
    bool left = (arena->units.dirty != 0 && fby_os_purge_works()) || arena->quick_bytes != 0;
    fby_lock_release(&arena->lock);
    return left;
}
