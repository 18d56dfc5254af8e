/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting for something that another thread stores: spin, then yield, then sleep
 * on a futex. No wake-up is lost.
 *
 *     waiter                                  the thread that stores
 *     begin                                   store what is waited for
 *     check; nothing: more  (spins, yields)   wake
 *     check; nothing: more  (counts itself a sleeper)
 *     check; nothing: more  (sleeps until woken)
 *     check; something: end
 *
 * Why none is lost: a sleeper adds itself to `sleepers` and only then checks once
 * more; the other side stores and only then reads `sleepers` by an atomic
 * addition of 0. Additions to one word have an order: if the sleeper's comes
 * first the other side sees it and wakes; if the other's comes first, the
 * sleeper's reads from it (W1 -> W2) and its check finds what was stored. Between
 * check and sleep `epoch` stands guard: the waker changes it first, and the
 * kernel does not let a thread sleep on a word that has changed.
 * tests/spin/waiting.pml is this as a model.
 *
 * An alert (W3 -> W4) ends a wait; the waiter checks a last time after it.
 */
#ifndef FBY_PIPELINE_WAITING_H
#define FBY_PIPELINE_WAITING_H

#include <stdbool.h>
#include <stdint.h>

#include "forebay/disruptor.h"

typedef struct fby_waiting {
    fby_wait strategy;
    uint32_t turns;       /* checks that found nothing */
    bool counted;         /* among the sleepers */
    uint32_t epoch;       /* as it was before the last check */
    uint64_t deadline_ns; /* UINT64_MAX: none */
} fby_waiting;

/* `timeout_ns` from now; UINT64_MAX: without end. */
fby_waiting fby_waiting_begin(fby_wait strategy, uint64_t timeout_ns);

/* Call after a check that found nothing. False when the time is over or `*alerted` is set: check
 * no more. */
bool fby_waiting_more(fby_waiting *waiting, uint32_t *sleepers, uint32_t *epoch,
                      const uint32_t *alerted);

/* Call once at the end, whatever it was. */
void fby_waiting_end(fby_waiting *waiting, uint32_t *sleepers);

/* Wakes at most `count` sleepers; costs one atomic addition when there is none. */
void fby_waiting_wake(uint32_t *sleepers, uint32_t *epoch, uint32_t count);

#endif
