/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/allocator/purge.h"

#include "memory/allocator/cache.h"
#include "memory/allocator/os.h"
#include "memory/allocator/settings.h"
#include "memory/allocator/shared.h"

_Atomic uint32_t fby_purge_awake;

enum {
    START_MS = 10,         /* age at which a process gets a background thread */
    START_BYTES = 3 << 20, /* or the size, in a forked one beyond its parent's */
    TICK_MS_MIN = 10,
    TICK_MS_MAX = 250,
    QUIET_TICKS = 4, /* without anything to do, then the thread dozes or leaves */
    DOZE_MS = 1000,
    UNSEEN_BYTES = 8 << 20, /* that may be freed without a slow path: for more it stays */
};

static struct {
    fby_lock lock;            /* one tick at a time */
    uint64_t started_ms;      /* or forked */
    uint64_t forked_bytes;    /* mapped when it was; 0: it was not */
    _Atomic uint64_t last_ms; /* last tick in a slow path */
    _Atomic uint32_t running; /* the kernel clears it when the thread has left */
    _Atomic bool background;  /* a thread does the ticks; slow paths where it does not */
} all;

void fby_purge_start(void)
{
    all.started_ms = fby_os_now_ms();
    /* TSan has to know every thread. */
    atomic_store_explicit(&all.background, fby_the_settings.background && !FBY_TSAN,
                          memory_order_relaxed);
}

bool fby_purge_in_background(void)
{
    return atomic_load_explicit(&all.background, memory_order_relaxed);
}

/* ---- a tick ---- */

/* Magazines of a class that no one has touched since the last tick. */
static bool drain_depot(fby_pool *pool, uint32_t c)
{
    fby_depot *depot = &pool->of[c].depot;
    uint64_t head = atomic_load_explicit(&depot->head, memory_order_relaxed);
    if ((uint32_t)head == 0)
        return false;
    bool still = depot->seen == (uint32_t)(head >> 32);
    depot->seen = (uint32_t)(head >> 32);
    if (!still)
        return true;
    fby_magazine *magazine;
    while ((magazine = fby_depot_pop(depot)) != NULL)
        fby_pool_give_magazine(c, magazine);
    return false;
}

static bool tick_locked(uint32_t now_ms, uint32_t decay_ms, size_t limit_bytes)
{
    bool more = false;
    for (fby_cache *cache = fby_cache_first(); cache != NULL; cache = cache->all_next)
        more |= fby_cache_settle(cache);
    fby_cache_end_settling();
    for (uint32_t i = 0; i < fby_shared_pool_count(); i++)
        for (uint32_t c = 1; c < FBY_CLASSES; c++)
            more |= drain_depot(fby_shared_pool(i), c);
    if (!more)
        fby_depot_trim();
    for (fby_cache *cache = fby_cache_first(); cache != NULL; cache = cache->all_next)
        more |=
            fby_arena_purge(&cache->arena, fby_cache_is_used(cache), now_ms, decay_ms, limit_bytes);
    more |= fby_region_purge(now_ms, decay_ms, limit_bytes);
    return more;
}

bool fby_purge_tick(uint32_t now_ms, uint32_t decay_ms, size_t limit_bytes)
{
    fby_lock_take(&all.lock);
    bool more = tick_locked(now_ms, decay_ms, limit_bytes);
    fby_lock_release(&all.lock);
    return more;
}

static uint32_t decay(void)
{
    return atomic_load_explicit(&fby_the_settings.decay_ms, memory_order_relaxed);
}

static bool tick_now(void)
{
    size_t limit = (size_t)atomic_load_explicit(&fby_the_settings.dirty_mib, memory_order_relaxed)
                   << 20;
    return fby_purge_tick((uint32_t)fby_os_now_ms(), decay(), limit);
}

static uint32_t tick_ms(void)
{
    uint32_t ms = decay() / 2;
    return ms < TICK_MS_MIN ? TICK_MS_MIN : ms > TICK_MS_MAX ? TICK_MS_MAX : ms;
}

/* ---- the thread ---- */

/* What threads may free into their stacks, at most, without anyone hearing of it: what is handed
 * out, and what the stacks of those threads hold. */
static uint64_t unseen_bytes(void)
{
    uint64_t bytes = 0, out[FBY_CLASSES] = {0};
    uint32_t caches = 0;
    for (fby_cache *cache = fby_cache_first(); cache != NULL; cache = cache->all_next)
        caches += fby_cache_is_used(cache);
    for (uint32_t i = 0; i < fby_shared_pool_count(); i++)
        fby_pool_count_out(fby_shared_pool(i), out);
    for (uint32_t c = 1; c < FBY_CLASSES; c++) {
        uint64_t room = (uint64_t)caches * fby_class_depth(c);
        bytes += (out[c] < room ? out[c] : room) * fby_class_sizes[c];
    }
    return bytes;
}

/* A system that lets no thread sleep: slow paths see to it from now on. */
static void give_up(void)
{
    atomic_store_explicit(&all.background, false, memory_order_relaxed);
    atomic_store(&fby_purge_awake, FBY_PURGE_GONE);
}

/* From here on a slow path wakes the thread, or starts the next one; what it left before that, the
 * tick here sees. False: leave. */
static bool doze(void)
{
    uint32_t dozing = FBY_PURGE_DOZES;
    atomic_store(&fby_purge_awake, dozing);
    while (!tick_now()) {
        if (unseen_bytes() <= UNSEEN_BYTES &&
            atomic_compare_exchange_strong(&fby_purge_awake, &dozing, FBY_PURGE_GONE))
            return false;
        if (dozing == FBY_PURGE_DOZES && !fby_os_wait(&fby_purge_awake, dozing, DOZE_MS)) {
            give_up();
            return false;
        }
        if (atomic_load(&fby_purge_awake) != FBY_PURGE_DOZES)
            return true;
    }
    atomic_store(&fby_purge_awake, FBY_PURGE_AWAKE);
    return true;
}

static int body(void *nothing)
{
    (void)nothing;
    for (uint32_t quiet = 0;;) {
        if (!fby_os_wait(&fby_purge_awake, FBY_PURGE_AWAKE, tick_ms())) {
            give_up();
            return 0;
        }
        quiet = tick_now() ? 0 : quiet + 1;
        if (quiet < QUIET_TICKS)
            continue;
        if (!doze())
            return 0;
        quiet = 0;
    }
}

static void wake_thread(void)
{
    uint32_t was = FBY_PURGE_DOZES;
    if (atomic_compare_exchange_strong(&fby_purge_awake, &was, FBY_PURGE_AWAKE)) {
        fby_os_wake(&fby_purge_awake, 1);
        return;
    }
    if (was != FBY_PURGE_GONE ||
        !atomic_compare_exchange_strong(&fby_purge_awake, &was, FBY_PURGE_AWAKE))
        return;
    /* The one before is on its last steps. */
    fby_os_wait_gone(&all.running);
    if (!fby_os_start(body, &all.running))
        atomic_store(&fby_purge_awake, FBY_PURGE_GONE);
}

FBY_COLD void fby_purge_wake(void)
{
    uint64_t now = fby_os_now_ms();
    if (fby_purge_in_background()) {
        fby_region_usage usage;
        fby_region_get_usage(&usage);
        if (now - all.started_ms >= START_MS || usage.mapped_bytes - all.forked_bytes > START_BYTES)
            wake_thread();
        return;
    }
    uint64_t last = atomic_load_explicit(&all.last_ms, memory_order_relaxed);
    if (now - last >= tick_ms() &&
        atomic_compare_exchange_strong_explicit(&all.last_ms, &last, now, memory_order_relaxed,
                                                memory_order_relaxed))
        tick_now();
}

/* ---- fork ---- */

void fby_purge_lock(void)
{
    fby_lock_take(&all.lock);
}

void fby_purge_unlock(void)
{
    fby_lock_release(&all.lock);
}

void fby_purge_after_fork(void)
{
    fby_region_usage usage;
    fby_region_get_usage(&usage);
    all.forked_bytes = usage.mapped_bytes;
    all.started_ms = fby_os_now_ms();
    fby_lock_reset(&all.lock);
    atomic_store(&all.running, 0);
    atomic_store(&fby_purge_awake, FBY_PURGE_GONE);
}
