/* SPDX-License-Identifier: Apache-2.0 */
/* Which heap serves a call. */
#include "memory/heap_pool/pool.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/bits.h"
#include "base/clock.h"

static uint32_t top_of(const fby_heap_pool *pool)
{
    /* G2, with G1 in create.c: a slot below the top has been filled once. */
    return atomic_load_explicit(&pool->top, memory_order_acquire);
}

/* ---- strategies: each names a heap that may have room and is not in `tried` ---- */

static uint32_t next_in_turn(fby_heap_pool *pool, uint32_t start, uint32_t granules, uint32_t tried)
{
    uint32_t top = top_of(pool);
    for (uint32_t i = 0, at = start; i < top; i++, at++) {
        at = at < top ? at : 0;
        if ((tried >> at & 1) == 0 && fby_heap_fit(&pool->heaps[at], granules) != FBY_TLSF_NONE)
            return at;
    }
    return FBY_TLSF_NONE;
}

static uint32_t best_fit(const fby_heap_pool *pool, uint32_t granules, uint32_t tried)
{
    uint32_t best = FBY_TLSF_NONE, nearest = FBY_TLSF_NONE, top = top_of(pool);
    for (uint32_t i = 0; i < top; i++) {
        uint32_t fit = fby_heap_fit(&pool->heaps[i], granules);
        if ((tried >> i & 1) == 0 && fit < nearest) {
            nearest = fit;
            best = i;
        }
    }
    return best;
}

static uint32_t least_used(const fby_heap_pool *pool, uint32_t granules, uint32_t tried)
{
    uint32_t best = FBY_TLSF_NONE, top = top_of(pool);
    uint64_t most = 0;
    for (uint32_t i = 0; i < top; i++) {
        uint64_t free_bytes = fby_heap_free_bytes(&pool->heaps[i]);
        if ((tried >> i & 1) == 0 && free_bytes > most &&
            fby_heap_fit(&pool->heaps[i], granules) != FBY_TLSF_NONE) {
            most = free_bytes;
            best = i;
        }
    }
    return best;
}

static uint32_t choose(fby_heap_pool *pool, uint32_t start, uint32_t granules, uint32_t tried)
{
    switch (pool->options.strategy) {
    case FBY_HEAP_BEST_FIT:
        return best_fit(pool, granules, tried);
    case FBY_HEAP_LEAST_USED:
        return least_used(pool, granules, tried);
    default:
        return next_in_turn(pool, start, granules, tried);
    }
}

/* Two threads may get the same turn: nothing is lost by it, and a plain store costs less. */
static uint32_t take_turn(fby_heap_pool *pool)
{
    if (pool->options.strategy != FBY_HEAP_ROUND_ROBIN)
        return 0;
    uint32_t turn = atomic_load_explicit(&pool->turn, memory_order_relaxed);
    uint32_t next = turn + 1 < top_of(pool) ? turn + 1 : 0;
    atomic_store_explicit(&pool->turn, next, memory_order_relaxed);
    return turn;
}

/*
 * What the bitmaps exclude is asked too before the system is: a heap is full when it says so under
 * its lock. Those are passed by that have too few free bytes, of which a look tells for sure.
 */
static FBY_COLD uint32_t serve_waiting(fby_heap_pool *pool, const fby_heap_request *request,
                                       uint32_t start, uint32_t full, bool *crowded,
                                       fby_heap_block *block, fby_heap_place *place)
{
    const uint32_t top = top_of(pool);
    const uint64_t bytes = (uint64_t)request->granules * FBY_HEAP_GRANULE;

    for (uint32_t i = 0, at = start; i < top; i++, at++) {
        at = at < top ? at : 0;
        if ((full >> at & 1) != 0 || fby_heap_free_bytes(&pool->heaps[at]) < bytes)
            continue;
        fby_heap_answer answer = fby_heap_take(&pool->heaps[at], request, true, block, place);
        if (answer == FBY_HEAP_SERVED)
            return at;
        *crowded = *crowded || answer == FBY_HEAP_CROWDED;
    }
    return FBY_TLSF_NONE;
}

/* First whoever seems to have room and has no other thread in it, then in the same order those that
 * one was in, then the others. */
static uint32_t serve(fby_heap_pool *pool, const fby_heap_request *request, bool *crowded,
                      fby_heap_block *block, fby_heap_place *place)
{
    uint32_t full = 0, busy = 0, start = take_turn(pool), at;
    fby_heap_answer answer;

    *crowded = false;
    while ((at = choose(pool, start, request->granules, full | busy)) != FBY_TLSF_NONE) {
        answer = fby_heap_take(&pool->heaps[at], request, false, block, place);
        if (FBY_LIKELY(answer == FBY_HEAP_SERVED))
            return at;
        *crowded = *crowded || answer == FBY_HEAP_CROWDED;
        *(answer == FBY_HEAP_BUSY ? &busy : &full) |= 1u << at;
    }
    while (busy != 0 && (at = choose(pool, start, request->granules, ~busy)) != FBY_TLSF_NONE) {
        answer = fby_heap_take(&pool->heaps[at], request, true, block, place);
        if (answer == FBY_HEAP_SERVED)
            return at;
        *crowded = *crowded || answer == FBY_HEAP_CROWDED;
        full |= 1u << at;
        busy &= ~(1u << at);
    }
    return serve_waiting(pool, request, start, full, crowded, block, place);
}

/* ---- exhaustion ---- */

static const char *key_to_raise(const fby_heap_pool *pool, uint64_t bytes, bool crowded)
{
    const fby_heap_pool_options *options = &pool->options;
    if (bytes > options->heap_bytes)
        return "heap_size_mb";
    if (crowded)
        return "blocks_max";
    return options->dynamic_growth ? "max_heaps" : "num_heaps";
}

static void say_exhausted(fby_heap_pool *pool, const fby_heap_request *request, bool crowded)
{
    /* In this order: what another thread says in between is not later than `now`. */
    uint64_t said = atomic_load_explicit(&pool->said_ns, memory_order_acquire), now = fby_now_ns();
    uint64_t used, capacity;
    uint32_t heaps;

    if ((said != 0 && now - said < UINT64_C(1000000000)) ||
        !atomic_compare_exchange_strong_explicit(&pool->said_ns, &said, now, memory_order_acq_rel,
                                                 memory_order_relaxed))
        return;
    fby_heap_pool_use(pool, &used, &capacity, &heaps);
    const char *how = crowded ? ", no record for another block" : "";
    if (!crowded && capacity - used >= request->bytes)
        how = ", in smaller pieces";
    fby_heap_pool_say(
        pool,
        "no heap had room for %llu bytes (%s): %llu of %llu bytes free in %u heaps%s; "
        "taken from the %s; raise %s",
        (unsigned long long)request->bytes, request->label != NULL ? request->label : "no label",
        (unsigned long long)(capacity - used), (unsigned long long)capacity, heaps, how,
        pool->source == &fby_heap_host ? "system" : "device",
        key_to_raise(pool, request->bytes, crowded));
}

static FBY_COLD fby_status fall_back(fby_heap_pool *pool, const fby_heap_request *request,
                                     bool crowded, fby_heap_block *block, fby_heap_place *place)
{
    if (!pool->options.disabled) {
        if (crowded)
            atomic_fetch_add_explicit(&pool->crowded, 1, memory_order_relaxed);
        if (request->bytes <= pool->options.heap_bytes) /* no heap more would have had room */
            fby_heap_upkeep_exhausted(pool, crowded ? FBY_HEAP_ASKED_RECORD : request->bytes);
        if (pool->options.log_exhaustion)
            say_exhausted(pool, request, crowded);
    }
    fby_status status = fby_fallback_take(&pool->fallback, request, block, place);
    if (status != FBY_OK)
        atomic_fetch_add_explicit(&pool->refused, 1, memory_order_relaxed);
    else if (pool->recorder != NULL)
        fby_heap_record_acquired(pool->recorder, *block, request);
    return status;
}

/* ---- calls ---- */

static uint32_t granules_of(uint64_t bytes)
{
    uint64_t granules = bytes / FBY_HEAP_GRANULE + (bytes % FBY_HEAP_GRANULE != 0);
    return granules < UINT32_MAX ? (uint32_t)granules : UINT32_MAX;
}

static uint32_t warmup_of(const fby_heap_counting *counting, uint64_t bytes)
{
    uint32_t i = 0;
    while (counting->on && i < counting->warmup_count && counting->warmup_bytes[i] < bytes)
        i++;
    return i;
}

fby_status fby_heap_acquire_at(fby_heap_pool *pool, uint64_t bytes, uint32_t align,
                               const char *label, const char *site, fby_heap_block *block,
                               fby_heap_place *place)
{
    if (FBY_UNLIKELY(bytes == 0 || align > FBY_HEAP_ALIGN_MAX || (align & (align - 1)) != 0))
        return fby_error(FBY_EINVAL, "a block of %llu bytes aligned to %u",
                         (unsigned long long)bytes, align);
    align = align < FBY_HEAP_GRANULE ? FBY_HEAP_GRANULE : align;
    const fby_heap_request request = {
        .bytes = bytes,
        .granules = granules_of(bytes),
        .align_shift = (uint32_t)__builtin_ctz(align / FBY_HEAP_GRANULE),
        .warmup = warmup_of(&pool->counting, bytes),
        .label = label,
        .site = site,
    };
    bool crowded;
    uint32_t at = serve(pool, &request, &crowded, block, place);
    if (FBY_UNLIKELY(at == FBY_TLSF_NONE))
        return fall_back(pool, &request, crowded, block, place);
    if (FBY_UNLIKELY(atomic_load_explicit(&pool->heaps[at].used, memory_order_relaxed) >
                     atomic_load_explicit(&pool->growth_bytes, memory_order_relaxed)))
        fby_heap_upkeep_notice(pool);
    if (FBY_UNLIKELY(pool->recorder != NULL))
        fby_heap_record_acquired(pool->recorder, *block, &request);
    return FBY_OK;
}

static fby_pool_heap *heap_of(fby_heap_pool *pool, fby_heap_block block)
{
    uint32_t at = fby_heap_of(block);
    fby_assert(at < FBY_HEAP_HEAPS_MAX); /* a block of this pool */
    return &pool->heaps[at];
}

void fby_heap_release(fby_heap_pool *pool, fby_heap_block block)
{
    if (FBY_UNLIKELY(pool->recorder != NULL))
        fby_heap_record_released(pool->recorder, block);
    if (FBY_UNLIKELY(fby_heap_of(block) == FBY_HEAP_NO_HEAP))
        fby_fallback_give(&pool->fallback, block);
    else
        fby_heap_give(heap_of(pool, block), block);
}

void fby_heap_pin(fby_heap_pool *pool, fby_heap_block block, fby_heap_place *place)
{
    if (FBY_UNLIKELY(fby_heap_of(block) == FBY_HEAP_NO_HEAP))
        fby_fallback_pin(&pool->fallback, block, place);
    else
        fby_heap_pin_in(heap_of(pool, block), block, place);
}

void fby_heap_unpin(fby_heap_pool *pool, fby_heap_block block)
{
    if (FBY_UNLIKELY(fby_heap_of(block) == FBY_HEAP_NO_HEAP))
        fby_fallback_unpin(&pool->fallback, block);
    else
        fby_heap_unpin_in(heap_of(pool, block), block);
}

void fby_heap_pool_say(const fby_heap_pool *pool, const char *fmt, ...)
{
    char line[FBY_ERROR_SIZE];
    va_list args;

    va_start(args, fmt);
    vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    if (pool->options.log != NULL)
        pool->options.log(pool->options.log_context, line);
    else
        fprintf(stderr, "forebay: heap pool: %s\n", line);
}
