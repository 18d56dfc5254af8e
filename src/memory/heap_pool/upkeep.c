/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happens off the callers' path: heaps are added and given back, blocks moved.
 *
 *     a call finds much used --wanted--> the thread looks for itself --> a heap more
 *     the interval is over ------------> compaction, empty grown heaps go
 *
 * A heap is mapped, touched and filled with records before its lock is taken to open
 * it: until then it has no room, from then on it is like the others.
 */
#include <errno.h>
#include <signal.h>
#include <time.h>

#include "base/clock.h"
#include "memory/heap_pool/pool.h"

enum { RETRY_MS = 1000 /* after a heap could not be had */ };

void fby_heap_pool_use(const fby_heap_pool *pool, uint64_t *used, uint64_t *capacity,
                       uint32_t *heaps)
{
    *used = *capacity = *heaps = 0;
    for (uint32_t i = 0; i < pool->options.max_heaps; i++) {
        uint64_t bytes = atomic_load_explicit(&pool->heaps[i].capacity, memory_order_relaxed);
        *capacity += bytes;
        *used += atomic_load_explicit(&pool->heaps[i].used, memory_order_relaxed);
        *heaps += bytes != 0;
    }
    *used = *used < *capacity ? *used : *capacity; /* read one after the other */
}

/* The most used share of all wants at least this much of each heap: a call in a heap below it need
 * not look at the others. */
void fby_heap_upkeep_watch(fby_heap_pool *pool)
{
    uint64_t used, capacity, watched = UINT64_MAX;
    uint32_t heaps;
    fby_heap_pool_use(pool, &used, &capacity, &heaps);
    if (heaps < pool->options.max_heaps) {
        double least = 1.0 - heaps * (1.0 - pool->options.growth_trigger);
        watched = least > 0.0 ? (uint64_t)((double)pool->options.heap_bytes * least) : 0;
    }
    atomic_store_explicit(&pool->growth_bytes, watched, memory_order_relaxed);
}

/* Whether `asked` (0: nothing was) is more than any heap has in one piece now. */
static bool nobody_has(fby_heap_pool *pool, uint64_t asked)
{
    uint64_t most = 0;
    for (uint32_t i = 0; i < pool->options.max_heaps && most < asked; i++) {
        fby_heap_stats stats;
        fby_heap_snapshot(&pool->heaps[i], &stats);
        most = stats.largest_free_bytes > most ? stats.largest_free_bytes : most;
    }
    return most < asked;
}

static bool is_much_used(const fby_heap_pool *pool)
{
    uint64_t used, capacity;
    uint32_t heaps;
    fby_heap_pool_use(pool, &used, &capacity, &heaps);
    return heaps < pool->options.max_heaps &&
           (double)used > pool->options.growth_trigger * (double)capacity;
}

static bool may_grow(const fby_heap_pool *pool)
{
    uint64_t used, capacity;
    uint32_t heaps;
    fby_heap_pool_use(pool, &used, &capacity, &heaps);
    return heaps < pool->options.max_heaps;
}

static void wake(fby_heap_upkeep *upkeep)
{
    if (atomic_exchange_explicit(&upkeep->wanted, true, memory_order_relaxed))
        return;
    pthread_mutex_lock(&upkeep->lock);
    pthread_cond_signal(&upkeep->wake);
    pthread_mutex_unlock(&upkeep->lock);
}

void fby_heap_upkeep_notice(fby_heap_pool *pool)
{
    if (pool->options.dynamic_growth && is_much_used(pool))
        wake(&pool->upkeep);
}

void fby_heap_upkeep_exhausted(fby_heap_pool *pool, uint64_t asked)
{
    if (!pool->options.dynamic_growth || !may_grow(pool))
        return;
    atomic_store_explicit(&pool->upkeep.asked, asked, memory_order_relaxed);
    wake(&pool->upkeep);
}

/* ---- the work ---- */

/* A heap more, if one is still wanted. False: the system has none. */
static bool grow(fby_heap_pool *pool)
{
    fby_heap_upkeep *upkeep = &pool->upkeep;
    uint64_t asked = atomic_exchange_explicit(&upkeep->asked, 0, memory_order_relaxed);
    bool done = true;

    pthread_mutex_lock(&upkeep->turn);
    bool wanted = is_much_used(pool) || nobody_has(pool, asked);
    for (uint32_t i = 0; wanted && i < pool->options.max_heaps; i++) {
        if (atomic_load_explicit(&pool->heaps[i].capacity, memory_order_relaxed) != 0)
            continue;
        done = fby_heap_pool_add(pool, i, true) == FBY_OK;
        atomic_fetch_add_explicit(done ? &upkeep->grown : &upkeep->failures, 1,
                                  memory_order_relaxed);
        if (!done && pool->options.log_exhaustion)
            fby_heap_pool_say(pool, "no heap more: %s", fby_last_error());
        break;
    }
    fby_heap_upkeep_watch(pool);
    pthread_mutex_unlock(&upkeep->turn);
    return done;
}

/* Empty grown heaps go, unless what is left would want one at once. */
static void shrink(fby_heap_pool *pool)
{
    for (uint32_t i = pool->options.max_heaps; i-- > 0;) {
        uint64_t used, capacity;
        uint32_t heaps;
        fby_heap_pool_use(pool, &used, &capacity, &heaps);
        uint64_t without = capacity - pool->options.heap_bytes;
        if (heaps > pool->options.num_heaps &&
            (double)used <= pool->options.growth_trigger * (double)without &&
            fby_heap_is_grown(&pool->heaps[i]) && fby_heap_pool_remove(pool, i, false))
            atomic_fetch_add_explicit(&pool->upkeep.shrunk, 1, memory_order_relaxed);
    }
}

uint64_t fby_heap_pool_compact(fby_heap_pool *pool)
{
    uint64_t moved = 0;
    pthread_mutex_lock(&pool->upkeep.turn);
    for (uint32_t i = 0; i < pool->options.max_heaps; i++)
        moved += fby_heap_compact(&pool->heaps[i], pool->options.compaction_threshold);
    shrink(pool);
    if (pool->options.dynamic_growth)
        fby_heap_upkeep_watch(pool);
    pthread_mutex_unlock(&pool->upkeep.turn);
    return moved;
}

/* ---- the thread ---- */

static struct timespec after_ms(uint64_t ms)
{
    uint64_t at = fby_now_ns() + ms * 1000000u;
    return (struct timespec){(time_t)(at / 1000000000u), (long)(at % 1000000000u)};
}

/* With the lock. Ends when the time is over, a heap is wanted (if `for_heap`), or all ends. */
static void wait_for(fby_heap_upkeep *upkeep, struct timespec until, bool for_heap)
{
    int late = 0;
    while (!upkeep->stopping && late != ETIMEDOUT &&
           !(for_heap && atomic_load_explicit(&upkeep->wanted, memory_order_relaxed)))
        late = pthread_cond_timedwait(&upkeep->wake, &upkeep->lock, &until);
}

static void *keep_up(void *argument)
{
    fby_heap_pool *pool = argument;
    fby_heap_upkeep *upkeep = &pool->upkeep;
    const uint64_t interval = pool->options.compaction_interval_ms;
    uint64_t compact_at = fby_now_ns() + interval * 1000000u;

    pthread_mutex_lock(&upkeep->lock);
    while (!upkeep->stopping) {
        uint64_t now = fby_now_ns();
        wait_for(upkeep, after_ms(now < compact_at ? (compact_at - now) / 1000000u + 1 : 0), true);
        bool wanted = atomic_load_explicit(&upkeep->wanted, memory_order_relaxed);
        pthread_mutex_unlock(&upkeep->lock);
        bool had = !wanted || grow(pool);
        if (pool->options.compaction && fby_now_ns() >= compact_at)
            (void)fby_heap_pool_compact(pool);
        if (fby_now_ns() >= compact_at)
            compact_at = fby_now_ns() + interval * 1000000u;
        pthread_mutex_lock(&upkeep->lock);
        if (!had)
            wait_for(upkeep, after_ms(RETRY_MS), false);
        if (wanted)
            atomic_store_explicit(&upkeep->wanted, false, memory_order_relaxed);
    }
    pthread_mutex_unlock(&upkeep->lock);
    return NULL;
}

fby_status fby_heap_upkeep_start(fby_heap_pool *pool)
{
    fby_heap_upkeep *upkeep = &pool->upkeep;
    sigset_t all, before;

    if (!pool->options.dynamic_growth && !pool->options.compaction)
        return FBY_OK;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* the program's signals are for its own threads */
    int failed = pthread_create(&upkeep->thread, NULL, keep_up, pool);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed != 0)
        return fby_error_errno(FBY_ENOMEM, failed, "starting a heap pool's thread");
    upkeep->started = true;
    return FBY_OK;
}

void fby_heap_upkeep_stop(fby_heap_pool *pool)
{
    fby_heap_upkeep *upkeep = &pool->upkeep;
    if (!upkeep->started)
        return;
    pthread_mutex_lock(&upkeep->lock);
    upkeep->stopping = true;
    pthread_cond_signal(&upkeep->wake);
    pthread_mutex_unlock(&upkeep->lock);
    pthread_join(upkeep->thread, NULL);
    upkeep->started = false;
}

void fby_heap_upkeep_init(fby_heap_upkeep *upkeep)
{
    pthread_condattr_t attributes;
    pthread_mutex_init(&upkeep->lock, NULL);
    pthread_mutex_init(&upkeep->turn, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&upkeep->wake, &attributes);
    pthread_condattr_destroy(&attributes);
}

void fby_heap_upkeep_destroy(fby_heap_upkeep *upkeep)
{
    pthread_cond_destroy(&upkeep->wake);
    pthread_mutex_destroy(&upkeep->turn);
    pthread_mutex_destroy(&upkeep->lock);
}
