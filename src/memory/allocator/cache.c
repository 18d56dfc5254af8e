/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/allocator/cache.h"

#include <pthread.h>
#include <string.h>

#include "base/assert.h"
#include "base/bits.h"
#include "memory/allocator/gate.h"
#include "memory/allocator/os.h"
#include "memory/allocator/purge.h"
#include "memory/allocator/scope.h"
#include "memory/allocator/shared.h"

_Atomic uint32_t fby_cache_gate_always;

enum { DEPOT_BYTES = 1 << 20 /* of a class, before full magazines go to the spans instead */ };

/* The top of a stack that is shut: nothing but NULL below it. A pop leaves the top one slot lower,
 * and the slow path sets it back. */
static fby_slot gate_slots[4];
#define GATE (&gate_slots[3])

#define G8   GATE, GATE, GATE, GATE, GATE, GATE, GATE, GATE
#define G64  G8, G8, G8, G8, G8, G8, G8, G8
FBY_THREAD_LOCAL fby_stacks fby_stacks_mine = {.top = {G64, G8, GATE}};
_Static_assert(FBY_CLASSES == 64 + 8 + 1, "each class has a gate");

fby_cache fby_cache_none;
FBY_THREAD_LOCAL fby_cache *fby_cache_mine = &fby_cache_none;
static _Thread_local bool thread_ends;

/* Of an open cache. */
static fby_slot *top_of(fby_cache *cache, uint32_t c)
{
    return atomic_load_explicit(&cache->open->top[c], memory_order_relaxed);
}

static void set_top(fby_stacks *stacks, uint32_t c, fby_slot *top)
{
    atomic_store_explicit(&stacks->top[c], top, memory_order_release);
}

/* They follow the cache. */
static fby_slot *slots_of(fby_cache *cache)
{
    return (fby_slot *)(void *)(cache + 1);
}

/* ---- slots; the lock held by the owner, or by someone else while the owner cannot move ---- */

static void *get(fby_slot *slot)
{
    return atomic_load_explicit(slot, memory_order_relaxed);
}

static void put(fby_slot *slot, void *block)
{
    atomic_store_explicit(slot, block, memory_order_release);
}

/* Closes the gaps that a thief left below `top`; the new top. */
static fby_slot *compact(fby_cache *cache, uint32_t c, fby_slot *top)
{
    fby_slot *to = cache->base[c];
    if (FBY_LIKELY(!cache->robbed[c]))
        return top > to ? top : to;
    cache->robbed[c] = false;
    for (fby_slot *from = to; from < top; from++) {
        void *block = get(from);
        if (block != NULL)
            put(to++, block);
    }
    return to;
}

/* The first use of a class: slots, if its stack has none yet. */
static void give_slots(fby_cache *cache, uint32_t c)
{
    if (FBY_LIKELY(cache->base[c] != cache->end[c]))
        return;
    cache->base[c] = cache->unused + 1; /* the one before it stays NULL */
    cache->end[c] = cache->base[c] + fby_class_depth(c);
    cache->unused = cache->end[c];
    cache->kept[c] = cache->base[c];
    if (cache->open != NULL) {
        cache->open->limit[c] = cache->end[c];
        set_top(cache->open, c, cache->base[c]);
    }
}

/* Blocks into an empty stack; the new top, its base if there is no memory. */
static fby_slot *fill(fby_cache *cache, uint32_t c)
{
    fby_slot *base = cache->base[c];
    uint32_t depth = (uint32_t)(cache->end[c] - base), count;
    fby_magazine *magazine = fby_depot_pop(&cache->pool->of[c].depot);
    if (magazine != NULL) {
        count = magazine->count;
        fby_assert(count <= depth);
        for (uint32_t i = 0; i < count; i++)
            put(base + i, magazine->block[i]);
        fby_magazine_put(magazine);
    } else {
        void *blocks[FBY_MAGAZINE_SLOTS];
        count =
            fby_pool_take(cache->pool, c, blocks, fby_min_u32((depth + 1) / 2, FBY_MAGAZINE_SLOTS));
        for (uint32_t i = 0; i < count; i++)
            put(base + i, blocks[i]);
    }
    return base + count;
}

/* The older half of a full stack to the depot, or to the spans if the depot has plenty and no one
 * is at the spans just now; the new top. */
static fby_slot *spill(fby_cache *cache, uint32_t c, fby_slot *top)
{
    fby_slot *base = cache->base[c];
    uint32_t held = (uint32_t)(top - base);
    uint32_t count = fby_min_u32((held + 1) / 2, FBY_MAGAZINE_SLOTS);
    fby_pool_class *class = &cache->pool->of[c];
    size_t bytes = (size_t)count * fby_class_sizes[c];
    bool plenty =
        atomic_load_explicit(&class->depot.count, memory_order_relaxed) * bytes > DEPOT_BYTES &&
        atomic_load_explicit(&class->lock.state, memory_order_relaxed) == 0;
    fby_magazine *magazine = plenty ? NULL : fby_magazine_get();
    if (magazine != NULL) {
        for (uint32_t i = 0; i < count; i++)
            magazine->block[i] = get(base + i);
        magazine->count = count;
        fby_depot_push(&class->depot, magazine);
    } else {
        void *blocks[FBY_MAGAZINE_SLOTS];
        for (uint32_t i = 0; i < count; i++)
            blocks[i] = get(base + i);
        fby_pool_give(c, blocks, count);
    }
    for (uint32_t i = 0; i < held - count; i++)
        put(base + i, get(base + count + i));
    return top - count;
}

/* ---- the slow paths of the owner ---- */

enum {
    LENT_MIN = 1024,  /* bytes: smaller blocks save too little for what a slow path costs */
    LENT_LEAVES = 8,  /* blocks that the larger class keeps */
    LENT_DOUBLES = 2, /* a block of up to four times the size */
};

/* A free block of a class twice or four times as large, where its stack holds some and this class
 * would have to grow: the peaks of the classes do not fall together, and the sum of them is what a
 * thread's memory comes to. It is that class's when it is freed. NULL: there is none. */
static void *lend(fby_cache *cache, uint32_t c)
{
    size_t size = fby_class_sizes[c];
    if (size < LENT_MIN)
        return NULL;
    for (int i = 0; i < LENT_DOUBLES && (size *= 2) <= FBY_SMALL_MAX; i++) {
        uint32_t larger = fby_class_of(size);
        fby_slot *top = top_of(cache, larger) - 1;
        if (top - cache->base[larger] < LENT_LEAVES)
            continue;
        void *block = get(top);
        if (block == NULL || !fby_pool_would_grow(cache->pool, c))
            return NULL;
        set_top(cache->open, larger, top);
        return block;
    }
    return NULL;
}

static void *refill_open(fby_cache *cache, uint32_t c)
{
    give_slots(cache, c);
    fby_slot *failed = top_of(cache, c); /* the slot in which the pop found NULL */
    if (failed >= cache->base[c]) {
        void *back = get(failed);
        if (back != NULL) /* a thief put it back */
            return back;
    }
    fby_slot *top = compact(cache, c, failed);
    if (top == cache->base[c]) {
        void *lent = lend(cache, c);
        if (lent != NULL) {
            set_top(cache->open, c, top);
            return lent;
        }
        top = fill(cache, c);
    }
    if (top == cache->base[c]) {
        set_top(cache->open, c, top);
        return NULL;
    }
    set_top(cache->open, c, top - 1);
    return get(top - 1);
}

void fby_cache_none_popped(uint32_t class_index)
{
    set_top(&fby_stacks_mine, class_index, GATE);
}

void *fby_cache_refill(fby_cache *cache, uint32_t class_index, size_t size, size_t align)
{
    void *block;
    fby_lock_take(&cache->lock);
    if (cache->gate != 0) {
        set_top(&fby_stacks_mine, class_index, GATE);
        block = fby_gate_malloc(cache, class_index, size, align);
    } else {
        block = refill_open(cache, class_index);
    }
    fby_lock_release(&cache->lock);
    fby_purge_poke();
    return block;
}

void fby_cache_spill(fby_cache *cache, uint32_t class_index, void *block)
{
    fby_lock_take(&cache->lock);
    if (cache->gate != 0) {
        fby_gate_free(cache, class_index, block);
    } else {
        give_slots(cache, class_index);
        fby_slot *top = compact(cache, class_index, top_of(cache, class_index));
        if (top == cache->end[class_index])
            top = spill(cache, class_index, top);
        put(top, block);
        set_top(cache->open, class_index, top + 1);
    }
    fby_lock_release(&cache->lock);
    fby_purge_poke();
}

void *fby_cache_kept_pop(fby_cache *cache, uint32_t c)
{
    give_slots(cache, c);
    if (cache->kept[c] == cache->base[c])
        cache->kept[c] = fill(cache, c);
    if (cache->kept[c] == cache->base[c])
        return NULL;
    return get(--cache->kept[c]);
}

void fby_cache_kept_push(fby_cache *cache, uint32_t c, void *block)
{
    give_slots(cache, c);
    if (cache->kept[c] == cache->end[c])
        cache->kept[c] = spill(cache, c, cache->kept[c]);
    put(cache->kept[c]++, block);
}

/* ---- open and shut; the lock held ---- */

/* By the owner. */
static void shut(fby_cache *cache)
{
    fby_stacks *mine = cache->open;
    for (uint32_t c = 1; c < FBY_CLASSES; c++) {
        cache->kept[c] = compact(cache, c, top_of(cache, c));
        mine->limit[c] = NULL;
        set_top(mine, c, GATE);
    }
    cache->open = NULL;
}

/* By the owner. */
static void open(fby_cache *cache)
{
    fby_stacks *mine = &fby_stacks_mine;
    for (uint32_t c = 1; c < FBY_CLASSES; c++) {
        mine->limit[c] = cache->end[c];
        set_top(mine, c, cache->kept[c]);
    }
    cache->open = mine;
}

void fby_cache_set_gate(fby_cache *cache, uint32_t set, uint32_t clear)
{
    fby_lock_take(&cache->lock);
    cache->gate = (cache->gate | set) & ~clear;
    if (cache->open != NULL && cache->gate != 0)
        shut(cache);
    if (cache->open == NULL && cache->gate == 0)
        open(cache);
    fby_lock_release(&cache->lock);
}

/* ---- emptying ---- */

/* Blocks of one class on their way to their spans. */
typedef struct returning {
    uint32_t class_index, count;
    void *block[FBY_MAGAZINE_SLOTS];
} returning;

static void give_back(returning *r)
{
    fby_pool_give(r->class_index, r->block, r->count);
    r->count = 0;
}

static void add(returning *r, void *block)
{
    if (r->count == FBY_MAGAZINE_SLOTS)
        give_back(r);
    r->block[r->count++] = block;
}

/* Empties the stack whose top is `top`, which does not move meanwhile. */
static void empty_still(fby_cache *cache, uint32_t c, fby_slot *top)
{
    returning r = {.class_index = c};
    for (fby_slot *slot = cache->base[c]; slot < top; slot++) {
        void *block = get(slot);
        if (block != NULL)
            add(&r, block);
        put(slot, NULL);
    }
    give_back(&r);
}

static void flush_locked(fby_cache *cache)
{
    for (uint32_t c = 1; c < FBY_CLASSES; c++) {
        if (cache->open == NULL) {
            empty_still(cache, c, cache->kept[c]);
            cache->kept[c] = cache->base[c];
        } else {
            empty_still(cache, c, top_of(cache, c));
            set_top(cache->open, c, cache->base[c]);
        }
    }
}

void fby_cache_flush(fby_cache *cache)
{
    fby_lock_take(&cache->lock);
    flush_locked(cache);
    fby_lock_release(&cache->lock);
}

/* ---- all caches ---- */

static struct {
    _Atomic(fby_cache *) first; /* changed under the lock */
    fby_lock lock;
    fby_cache *unused; /* under the lock */
} all;

fby_cache *fby_cache_first(void)
{
    /* C1, with C2. */
    return atomic_load_explicit(&all.first, memory_order_acquire);
}

bool fby_cache_is_used(fby_cache *cache)
{
    fby_lock_take(&cache->lock);
    bool used = cache->used;
    fby_lock_release(&cache->lock);
    return used;
}

static void put_unused(fby_cache *cache)
{
    fby_lock_take(&all.lock);
    cache->free_next = all.unused;
    all.unused = cache;
    fby_lock_release(&all.lock);
}

/* ---- stealing ---- */

typedef struct tops {
    fby_slot *of[FBY_CLASSES];
} tops;

/* The tops of an open cache whose owner may be running; false if that is gone, and its thread-local
 * variables with it. */
static bool read_tops(fby_cache *cache, tops *read)
{
#if FBY_TSAN
    for (uint32_t c = 0; c < FBY_CLASSES; c++)
        read->of[c] = atomic_load_explicit(&cache->open->top[c], memory_order_seq_cst);
    return true;
#else
    return fby_os_read(read->of, cache->open->top, sizeof read->of) &&
           !fby_owner_gone(&cache->owner);
#endif
}

/* A cache whose owner is gone without a word. Which of the blocks in its slots were free is known
 * by its tops alone: they are lost. */
static void abandon(fby_cache *cache)
{
    for (uint32_t c = 1; c < FBY_CLASSES; c++) {
        for (fby_slot *slot = cache->base[c]; slot < cache->end[c]; slot++)
            put(slot, NULL);
        cache->kept[c] = cache->base[c];
        cache->robbed[c] = false;
    }
    cache->open = NULL;
    cache->scope = NULL; /* what it owned is lost too */
    cache->used = false;
    cache->untraced = false;
}

/* What the thief took out of the slots, class after class; it is one thread at a time. */
typedef struct loot {
    tops before, after; /* the slots were emptied */
    void *block[];      /* by the slot's number in the cache */
} loot;

static struct {
    _Atomic size_t slots; /* of a cache, the same for all */
    loot *memory;
    bool used; /* since it was last given back */
} theft;

static size_t loot_bytes(void)
{
    return fby_align_up(sizeof(loot) + atomic_load_explicit(&theft.slots, memory_order_relaxed) *
                                           sizeof(void *),
                        FBY_PAGE);
}

static loot *the_loot(void)
{
    if (theft.memory == NULL)
        theft.memory = fby_os_map(loot_bytes());
    theft.used = true;
    return theft.memory;
}

void fby_cache_end_settling(void)
{
    if (theft.used && theft.memory != NULL)
        fby_os_purge(theft.memory, loot_bytes());
    theft.used = false;
}

static void take_slots(fby_cache *cache, loot *taken)
{
    for (uint32_t c = 1; c < FBY_CLASSES; c++) {
        fby_slot *base = cache->base[c], *top = taken->before.of[c];
        cache->robbed[c] |= top > base;
        for (fby_slot *slot = base; slot < top; slot++)
            /* S4, with S3. */
            taken->block[slot - slots_of(cache)] =
                atomic_exchange_explicit(slot, NULL, memory_order_seq_cst);
    }
}

/* The blocks of a class that the thief may keep go to their spans. */
static void sort_loot(fby_cache *cache, uint32_t c, const loot *taken)
{
    returning r = {.class_index = c};
    fby_slot *now = taken->after.of[c];
    for (fby_slot *slot = cache->base[c]; slot < taken->before.of[c] && slot <= now; slot++) {
        void *block = taken->block[slot - slots_of(cache)], *none = NULL;
        if (block == NULL)
            continue;
        if (slot == now)
            atomic_compare_exchange_strong_explicit(slot, &none, block, memory_order_seq_cst,
                                                    memory_order_relaxed);
        else if (atomic_load_explicit(slot, memory_order_seq_cst) == NULL)
            add(&r, block);
    }
    give_back(&r);
}

/* The owner of `cache` may be running; its lock is held. See cache.h for why this is right. False:
 * the owner is gone, and what it had is lost. Without a barrier nothing is taken; should the system
 * refuse it between the two calls, what was taken is lost, since nobody knows whose it is. */
static bool steal_locked(fby_cache *cache, loot *taken)
{
    if (!FBY_TSAN && !fby_os_barrier())
        return true;
    if (!read_tops(cache, &taken->before))
        return false;
    take_slots(cache, taken);
    if (!FBY_TSAN && !fby_os_barrier()) /* S2, with S1 */
        return true;
    if (!read_tops(cache, &taken->after))
        return false;
    for (uint32_t c = 1; c < FBY_CLASSES; c++)
        sort_loot(cache, c, taken);
    return true;
}

/* A number that changes when a top does, and whether any stack has a block. */
static uint64_t digest(fby_cache *cache, fby_slot *const *tops_of, bool *holds)
{
    uint64_t sum = 0;
    *holds = false;
    for (uint32_t c = 1; c < FBY_CLASSES; c++) {
        fby_slot *top = tops_of[c];
        sum = (sum ^ (uintptr_t)top) * 0x9e3779b97f4a7c15u;
        for (fby_slot *slot = cache->base[c]; slot < top && !*holds; slot++)
            *holds = get(slot) != NULL;
    }
    return sum;
}

/* Of a cache that no thread has open. */
static bool settle_shut(fby_cache *cache)
{
    bool holds;
    uint64_t sum = digest(cache, cache->kept, &holds);
    bool still = sum == cache->seen;
    cache->seen = sum;
    if (still && holds) {
        flush_locked(cache);
        cache->seen = digest(cache, cache->kept, &holds);
    }
    return holds;
}

/* `*gone`: the owner is. */
static bool settle_open(fby_cache *cache, bool *gone)
{
    tops now;
    bool holds;
    *gone = !read_tops(cache, &now);
    if (*gone)
        return true;
    uint64_t sum = digest(cache, now.of, &holds);
    bool still = sum == cache->seen;
    cache->seen = sum;
    if (!still || !holds)
        return holds;
    if (!fby_os_barrier_ready() || the_loot() == NULL)
        return false; /* nothing that could be done about it */
    *gone = !steal_locked(cache, the_loot());
    if (!*gone)
        digest(cache, now.of, &holds);
    return holds && fby_os_barrier_ready();
}

bool fby_cache_settle(fby_cache *cache)
{
    if (!fby_lock_try(&cache->lock))
        return true; /* busy */
    bool gone = false;
    bool holds = cache->open != NULL ? settle_open(cache, &gone) : settle_shut(cache);
    if (gone)
        abandon(cache);
    fby_lock_release(&cache->lock);
    if (gone)
        put_unused(cache);
    return holds;
}

/* ---- caches come and go with threads ---- */

static fby_cache *make(void)
{
    size_t slots = 2; /* a NULL below the stacks without slots, then one below each stack */
    for (uint32_t c = 1; c < FBY_CLASSES; c++)
        slots += fby_class_depth(c) + 1;
    fby_cache *cache =
        fby_os_map(fby_align_up(sizeof(fby_cache) + slots * sizeof(fby_slot), FBY_PAGE));
    if (cache == NULL)
        return NULL;
    atomic_store_explicit(&theft.slots, slots, memory_order_relaxed);
    cache->unused = slots_of(cache) + 1;
    for (uint32_t c = 1; c < FBY_CLASSES; c++)
        cache->base[c] = cache->end[c] = cache->kept[c] = cache->unused;
    cache->pool = fby_shared_pool_here();
    fby_arena_init(&cache->arena, cache->pool->node);
    /* Under the lock, so that a fork, which holds it, meets the same caches before and after. */
    fby_lock_take(&all.lock);
    cache->all_next = atomic_load_explicit(&all.first, memory_order_relaxed);
    cache->number = cache->all_next == NULL ? 1 : cache->all_next->number;
    if (cache->all_next != NULL && cache->number < UINT16_MAX)
        cache->number++;
    /* C2, with C1. */
    atomic_store_explicit(&all.first, cache, memory_order_release);
    fby_lock_release(&all.lock);
    return cache;
}

static fby_cache *take_unused(void)
{
    fby_lock_take(&all.lock);
    fby_cache *cache = all.unused;
    if (cache != NULL)
        all.unused = cache->free_next;
    fby_lock_release(&all.lock);
    return cache;
}

/* At the end of a thread: the cache waits for another. */
static void leave(void *argument)
{
    fby_cache *cache = argument;
    fby_scope_end_all(cache);
    thread_ends = true;
    fby_cache_mine = &fby_cache_none;
    if (!fby_purge_in_background())
        fby_cache_flush(cache);
    fby_lock_take(&cache->lock);
    if (cache->open != NULL)
        shut(cache);
    cache->used = false;
    if (!FBY_TSAN)
        fby_owner_end(&cache->owner);
    fby_lock_release(&cache->lock);
    put_unused(cache);
}

/* A cache for this thread or this call, shut, with the gate that each new one has. */
static fby_cache *take(bool use)
{
    fby_cache *cache = take_unused();
    if (cache == NULL)
        cache = make();
    if (cache == NULL)
        return NULL;
    fby_lock_take(&cache->lock);
    cache->used = use;
    if (use && !FBY_TSAN)
        fby_owner_begin(&cache->owner);
    cache->gate = atomic_load_explicit(&fby_cache_gate_always, memory_order_relaxed);
    fby_lock_release(&cache->lock);
    return cache;
}

fby_cache *fby_cache_self(void)
{
    if (fby_cache_mine != &fby_cache_none)
        return fby_cache_mine;
    if (thread_ends || !fby_shared_start(leave))
        return NULL;
    fby_cache *cache = take(true);
    if (cache == NULL)
        return NULL;
    fby_cache_set_gate(cache, 0, 0);
    fby_cache_mine = cache;
    fby_shared_mark_thread(cache); /* may allocate */
    return cache;
}

fby_cache *fby_cache_self_to_free(void)
{
    enum { BORROWED_FREES = 16 };
    static _Thread_local uint32_t frees;
    if (fby_cache_mine != &fby_cache_none)
        return fby_cache_mine;
    return ++frees > BORROWED_FREES ? fby_cache_self() : NULL;
}

fby_cache *fby_cache_borrow(void)
{
    return fby_shared_start(leave) ? take(false) : NULL;
}

void fby_cache_return(fby_cache *cache)
{
    put_unused(cache);
}

/* ---- fork ---- */

void fby_cache_lock_all(void)
{
    fby_lock_take(&all.lock);
    for (fby_cache *cache = fby_cache_first(); cache != NULL; cache = cache->all_next) {
        fby_lock_take(&cache->lock);
        fby_lock_take(&cache->arena.lock);
    }
}

void fby_cache_unlock_all(void)
{
    for (fby_cache *cache = fby_cache_first(); cache != NULL; cache = cache->all_next) {
        fby_lock_release(&cache->arena.lock);
        fby_lock_release(&cache->lock);
    }
    fby_lock_release(&all.lock);
}

/* Its thread is not there, but what it had is, unless it had ended before the fork; it may have
 * vanished between a pop that found nothing and the slow path. */
static void shut_for_lost_thread(fby_cache *cache)
{
    tops last;
    if (!read_tops(cache, &last)) {
        abandon(cache);
        return;
    }
    for (uint32_t c = 1; c < FBY_CLASSES; c++)
        cache->kept[c] = compact(cache, c, last.of[c]);
    cache->open = NULL;
}

void fby_cache_after_fork(void)
{
    fby_lock_reset(&all.lock);
    all.unused = NULL;
    for (fby_cache *cache = fby_cache_first(); cache != NULL; cache = cache->all_next) {
        fby_lock_reset(&cache->lock);
        fby_lock_reset(&cache->arena.lock);
        if (cache == fby_cache_mine) {
            if (!FBY_TSAN)
                fby_owner_begin(&cache->owner);
            continue;
        }
        if (cache->open != NULL)
            shut_for_lost_thread(cache);
        cache->used = false;
        cache->free_next = all.unused;
        all.unused = cache;
    }
}
