/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lock for the allocator's slow paths: one word, a futex behind it. Unlike a
 * pthread mutex it may be taken by the background thread, which libc does not
 * know, and may be reset in the child of a fork.
 */
#ifndef FBY_MEMORY_ALLOCATOR_LOCK_H
#define FBY_MEMORY_ALLOCATOR_LOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/assert.h"
#include "base/platform.h"

typedef struct fby_lock {
    _Atomic uint32_t state; /* 0 free, 1 taken, 2 taken and someone may be asleep */
} fby_lock;

void fby_lock_wait(fby_lock *lock);
void fby_lock_wake(fby_lock *lock);

static inline bool fby_lock_try(fby_lock *lock)
{
    uint32_t open = 0;
    /* L1, with L2. */
    return atomic_compare_exchange_strong_explicit(&lock->state, &open, 1, memory_order_acquire,
                                                   memory_order_relaxed);
}

static inline void fby_lock_take(fby_lock *lock)
{
    if (FBY_UNLIKELY(!fby_lock_try(lock)))
        fby_lock_wait(lock);
}

static inline void fby_lock_release(fby_lock *lock)
{
    /* L2, with L1. */
    uint32_t before = atomic_exchange_explicit(&lock->state, 0, memory_order_release);
    fby_assert_debug(before != 0);
    if (FBY_UNLIKELY(before == 2))
        fby_lock_wake(lock);
}

/* In the only thread there is: the child of a fork. */
static inline void fby_lock_reset(fby_lock *lock)
{
    atomic_store_explicit(&lock->state, 0, memory_order_relaxed);
}

#endif
