/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory goes back. A tick does four things, each of which feeds the next:
 *
 *     stacks of threads that do not move --> spans
 *     magazines of depots that do not move --> spans; empty spans --> region
 *     remote frees and old free pages of arenas --> system
 *     old free units of the region --> system
 *
 * Ticks come from a thread of its own, which exists only while there is
 * something to give back or while threads may free much without a slow path
 * (then it looks once a second), sleeps between ticks, holds no lock while it sleeps
 * and is no thread of libc's: programs with one thread keep the advantages that
 * libc gives them. Processes shorter than START_MS that stay small never see it,
 * children of a fork counted from there.
 * Where it is not wanted, slow paths do the ticks.
 */
#ifndef FBY_MEMORY_ALLOCATOR_PURGE_H
#define FBY_MEMORY_ALLOCATOR_PURGE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/platform.h"

enum {
    FBY_PURGE_GONE = 0, /* there is no background thread, or it leaves without another look */
    FBY_PURGE_AWAKE,    /* it will look again soon */
    FBY_PURGE_DOZES,    /* once a second, unless it is woken */
};
extern _Atomic uint32_t fby_purge_awake;
void fby_purge_wake(void);

/* From slow paths, no lock held: there is or will be something to give back. */
static inline void fby_purge_poke(void)
{
    if (FBY_UNLIKELY(atomic_load_explicit(&fby_purge_awake, memory_order_seq_cst) !=
                     FBY_PURGE_AWAKE))
        fby_purge_wake();
}

void fby_purge_start(void);
bool fby_purge_in_background(void);

/* One tick at `now_ms`, any thread; whether anything is left to give back. With `decay_ms` and
 * `limit_bytes` 0 everything that can go goes, after two ticks. */
bool fby_purge_tick(uint32_t now_ms, uint32_t decay_ms, size_t limit_bytes);

/* For fork. */
void fby_purge_lock(void);
void fby_purge_unlock(void);
void fby_purge_after_fork(void);

#endif
