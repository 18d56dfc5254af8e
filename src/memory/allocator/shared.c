/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/allocator/shared.h"

#include <pthread.h>
#include <sys/resource.h>

#include "base/bits.h"
#include "memory/allocator/cache.h"
#include "memory/allocator/counts.h"
#include "memory/allocator/os.h"
#include "memory/allocator/purge.h"
#include "memory/allocator/settings.h"
#include "memory/allocator/trace.h"

static struct {
    fby_lock lock;
    _Atomic bool started;
    _Atomic bool forks_known;
    pthread_key_t key;
    fby_pool *pools; /* one a node */
    uint32_t nodes;
} all;

/* ---- unloading ----
 * A library that was linked with the archive must not be unloaded: the background thread runs its
 * code, and each thread's end calls it. glibc keeps a library that defines a symbol of this kind,
 * once it has been looked up. */
extern char fby_allocator_stays __attribute__((visibility("default")));
__asm__(".pushsection .data\n"
        ".globl fby_allocator_stays\n"
        ".type fby_allocator_stays, %gnu_unique_object\n"
        ".size fby_allocator_stays, 1\n"
        "fby_allocator_stays: .byte 0\n"
        ".popsection");

/* ---- fork ----
 * Locks are taken in the order in which they nest: purge, caches and arenas, the record, classes,
 * magazines, region. The child begins with all of them free and with the forking thread alone. */

static void before_fork(void)
{
    fby_purge_lock();
    fby_cache_lock_all();
    fby_trace_lock();
    for (uint32_t node = 0; node < all.nodes; node++)
        for (uint32_t c = 1; c < FBY_CLASSES; c++)
            fby_lock_take(&all.pools[node].of[c].lock);
    fby_depot_lock();
    fby_lock_take(&fby_the_region.lock);
}

static void after_fork_parent(void)
{
    fby_lock_release(&fby_the_region.lock);
    fby_depot_unlock();
    for (uint32_t node = 0; node < all.nodes; node++)
        for (uint32_t c = 1; c < FBY_CLASSES; c++)
            fby_lock_release(&all.pools[node].of[c].lock);
    fby_trace_unlock();
    fby_cache_unlock_all();
    fby_purge_unlock();
}

static void after_fork_child(void)
{
    fby_lock_reset(&fby_the_region.lock);
    fby_depot_unlock();
    for (uint32_t node = 0; node < all.nodes; node++)
        for (uint32_t c = 1; c < FBY_CLASSES; c++)
            fby_lock_reset(&all.pools[node].of[c].lock);
    fby_trace_after_fork();
    fby_cache_after_fork();
    fby_purge_after_fork();
}

/* ---- start ---- */

static size_t address_space_limit(void)
{
    struct rlimit limit;
    size_t bytes = fby_the_settings.region_mib << 20;
    if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
        size_t half = (size_t)limit.rlim_cur / 2;
        bytes = bytes == 0 ? half : fby_min_size(bytes, half);
    }
#if FBY_TSAN
    /* TSan shadows each mapping. */
    bytes = bytes == 0 ? (size_t)8 << 30 : bytes;
#endif
    return bytes;
}

static bool start_pools(void)
{
    uint32_t nodes = fby_the_settings.numa ? fby_os_node_count() : 1;
    fby_pool *pools = fby_os_map(fby_align_up(nodes * sizeof(fby_pool), FBY_PAGE));
    if (pools == NULL)
        return false;
    for (uint32_t node = 0; node < nodes; node++)
        fby_pool_init(&pools[node], nodes > 1 ? node : UINT32_MAX, true, fby_the_settings.secure);
    all.pools = pools;
    all.nodes = nodes;
    return true;
}

static bool start_locked(void (*leave)(void *))
{
    if (fby_the_region.base == FBY_BASE_NONE) {
        fby_settings_read();
        fby_class_init();
        if (!fby_region_init(address_space_limit(), fby_the_settings.huge))
            return false;
    }
    if (all.pools == NULL && (!fby_depot_init(fby_the_region.unit_count / 4) || !start_pools()))
        return false;
    if (pthread_key_create(&all.key, leave) != 0)
        return false;
    uint32_t gate = (fby_the_settings.stats ? (uint32_t)FBY_GATE_STATS : 0u) |
                    (fby_the_settings.secure ? (uint32_t)FBY_GATE_SECURE : 0u);
    if (fby_the_settings.trace != NULL && fby_trace_start(fby_the_settings.trace))
        gate |= FBY_GATE_TRACE;
    if (fby_the_settings.stats)
        fby_counts_start();
    atomic_store_explicit(&fby_cache_gate_always, gate, memory_order_relaxed);
    fby_purge_start();
    fby_allocator_stays = 1;
    return true;
}

bool fby_shared_start(void (*leave)(void *))
{
    /* A1, with A2. */
    if (FBY_LIKELY(atomic_load_explicit(&all.started, memory_order_acquire)))
        return true;
    fby_lock_take(&all.lock);
    bool started = atomic_load_explicit(&all.started, memory_order_relaxed);
    if (!started) {
        started = start_locked(leave);
        /* A2, with A1. */
        atomic_store_explicit(&all.started, started, memory_order_release);
    }
    fby_lock_release(&all.lock);
    return started;
}

void fby_shared_mark_thread(void *value)
{
    pthread_setspecific(all.key, value);
    if (!atomic_exchange_explicit(&all.forks_known, true, memory_order_relaxed))
        pthread_atfork(before_fork, after_fork_parent, after_fork_child); /* may allocate */
}

fby_pool *fby_shared_pool_here(void)
{
    uint32_t node = all.nodes > 1 ? fby_os_node() : 0;
    return &all.pools[node < all.nodes ? node : 0];
}

uint32_t fby_shared_pool_count(void)
{
    return all.nodes;
}

fby_pool *fby_shared_pool(uint32_t index)
{
    return &all.pools[index];
}
