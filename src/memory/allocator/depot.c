/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/allocator/depot.h"

#include "memory/allocator/lock.h"
#include "memory/allocator/os.h"

enum {
    COMMIT_STEP = 64, /* magazines */
};

static struct {
    fby_magazine *array; /* constant, as is `most`; number 0 is not used */
    uint32_t most;
    fby_lock lock; /* of made and committed */
    uint32_t made, committed;
    fby_depot empty;
} all;

bool fby_depot_init(uint32_t most)
{
    if (all.array != NULL)
        return true;
    all.most = (most + COMMIT_STEP - 1) / COMMIT_STEP * COMMIT_STEP;
    all.array = fby_os_reserve((size_t)all.most * sizeof(fby_magazine));
    all.made = 1;
    return all.array != NULL;
}

void fby_depot_push(fby_depot *depot, fby_magazine *magazine)
{
    uint64_t number = (uint64_t)(magazine - all.array);
    uint64_t head = atomic_load_explicit(&depot->head, memory_order_relaxed), next;
    do {
        atomic_store_explicit(&magazine->next, (uint32_t)head, memory_order_relaxed);
        next = ((head >> 32) + 1) << 32 | number;
        /* D1, with D2: the magazine's contents, and all that was done to its blocks. */
    } while (!atomic_compare_exchange_weak_explicit(&depot->head, &head, next, memory_order_release,
                                                    memory_order_relaxed));
    atomic_fetch_add_explicit(&depot->count, 1, memory_order_relaxed);
}

fby_magazine *fby_depot_pop(fby_depot *depot)
{
    /* D2, with D1. */
    uint64_t head = atomic_load_explicit(&depot->head, memory_order_acquire), next;
    fby_magazine *top;
    do {
        if ((uint32_t)head == 0)
            return NULL;
        top = &all.array[(uint32_t)head];
        /* May be another's by now; then the tag has changed and the exchange fails. */
        next = ((head >> 32) + 1) << 32 | atomic_load_explicit(&top->next, memory_order_relaxed);
    } while (!atomic_compare_exchange_weak_explicit(&depot->head, &head, next, memory_order_acquire,
                                                    memory_order_acquire));
    atomic_fetch_sub_explicit(&depot->count, 1, memory_order_relaxed);
    return top;
}

static fby_magazine *make(void)
{
    fby_magazine *made = NULL;
    fby_lock_take(&all.lock);
    if (all.made == all.committed || all.committed == 0) {
        uint32_t to = all.committed + COMMIT_STEP;
        if (to <= all.most &&
            fby_os_commit(&all.array[all.committed], COMMIT_STEP * sizeof(fby_magazine)))
            all.committed = to;
    }
    if (all.made < all.committed)
        made = &all.array[all.made++];
    fby_lock_release(&all.lock);
    return made;
}

fby_magazine *fby_magazine_get(void)
{
    fby_magazine *magazine = fby_depot_pop(&all.empty);
    return magazine != NULL ? magazine : make();
}

void fby_magazine_put(fby_magazine *magazine)
{
    magazine->count = 0;
    fby_depot_push(&all.empty, magazine);
}

/* While the lock is held nobody makes one. Who lost a race may still read the link of one that has
 * gone: it is then 0, and the exchange fails by its tag. */
void fby_depot_trim(void)
{
    fby_lock_take(&all.lock);
    fby_magazine *held = NULL, *next;
    uint32_t count = 0;
    while ((next = fby_depot_pop(&all.empty)) != NULL) {
        next->block[0] = held;
        held = next;
        count++;
    }
    if (count != 0 && count == all.made - 1 &&
        fby_os_purge(all.array, all.committed * sizeof(fby_magazine))) {
        all.made = 1;
        held = NULL;
    }
    for (; held != NULL; held = next) {
        next = held->block[0];
        fby_depot_push(&all.empty, held);
    }
    fby_lock_release(&all.lock);
}

uint32_t fby_magazine_count(void)
{
    fby_lock_take(&all.lock);
    uint32_t count = all.made - 1;
    fby_lock_release(&all.lock);
    return count;
}

void fby_depot_lock(void)
{
    fby_lock_take(&all.lock);
}

void fby_depot_unlock(void)
{
    fby_lock_release(&all.lock);
}
