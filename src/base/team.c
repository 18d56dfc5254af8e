/* SPDX-License-Identifier: Apache-2.0 */
#include "base/team.h"

#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Some 40 µs of pauses: more than a wake-up costs, less than a turn of the scheduler. */
enum { SPIN_TURNS = 2000 };

/* Beside a count of meetings that may well wrap: only a change is looked at. */
#define BROKEN (1u << 31)
#define STEPS  (BROKEN - 1)

void fby_team_init(fby_team *team)
{
    team->size = 1;
    atomic_init(&team->arrived, 0);
    atomic_init(&team->step, 0);
    atomic_init(&team->sleepers, 0);
}

/* Nothing else changes: who is on the way out of the last meeting reads `step` and leaves
 * `sleepers`, and has read `size` before it arrived there. */
void fby_team_form(fby_team *team, uint32_t size)
{
    team->size = size;
}

void fby_team_mend(fby_team *team)
{
    fby_team_init(team);
}

static void wake_all(fby_team *team)
{
    /* T2, with T1. */
    if (atomic_fetch_add_explicit(&team->sleepers, 0, memory_order_acq_rel) != 0)
        syscall(SYS_futex, &team->step, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, INT_MAX, NULL, NULL, 0);
}

static void sleep_until_changed(fby_team *team, uint32_t step)
{
    /* T1, with T2: counted before the kernel compares `step`. */
    atomic_fetch_add_explicit(&team->sleepers, 1, memory_order_acq_rel);
    /* T4, with T3. */
    while (atomic_load_explicit(&team->step, memory_order_acquire) == step)
        syscall(SYS_futex, &team->step, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, step, NULL, NULL, 0);
    atomic_fetch_sub_explicit(&team->sleepers, 1, memory_order_relaxed);
}

bool fby_team_meet(fby_team *team)
{
    /* It does not change before this member has arrived, unless by a break. */
    uint32_t step = atomic_load_explicit(&team->step, memory_order_relaxed);
    if (step & BROKEN)
        return false;
    const uint32_t size = team->size; /* before it arrives: see fby_team_form() */
    /* A1, with A1 of the others: the last sees what all wrote before they arrived. */
    if (atomic_fetch_add_explicit(&team->arrived, 1, memory_order_acq_rel) + 1 == size) {
        atomic_store_explicit(&team->arrived, 0, memory_order_relaxed);
        uint32_t before = step;
        /* T3, with T4: and hands it on. Only a break comes between. */
        while (!atomic_compare_exchange_weak_explicit(&team->step, &before,
                                                      (before & BROKEN) | ((before + 1) & STEPS),
                                                      memory_order_acq_rel, memory_order_relaxed))
            ;
        wake_all(team);
        return (before & BROKEN) == 0;
    }
    for (int turn = 0; turn < SPIN_TURNS; turn++) {
        /* T4, with T3. */
        uint32_t now = atomic_load_explicit(&team->step, memory_order_acquire);
        if (now != step)
            return (now & BROKEN) == 0;
        fby_relax();
    }
    sleep_until_changed(team, step);
    return !fby_team_broken(team);
}

void fby_team_break(fby_team *team)
{
    atomic_fetch_or_explicit(&team->step, BROKEN, memory_order_acq_rel);
    wake_all(team);
}

bool fby_team_broken(fby_team *team)
{
    return (atomic_load_explicit(&team->step, memory_order_acquire) & BROKEN) != 0;
}
