/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline/waiting.h"

#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/platform.h"

/* About 2 µs of pauses, then as many yields as a context switch or two may need. */
enum { SPIN_TURNS = 100, YIELD_TURNS = 20 };

fby_waiting fby_waiting_begin(fby_wait strategy, uint64_t timeout_ns)
{
    uint64_t now = timeout_ns == UINT64_MAX ? 0 : fby_now_ns();
    uint64_t deadline = now > UINT64_MAX - timeout_ns ? UINT64_MAX : now + timeout_ns;
    return (fby_waiting){.strategy = strategy, .deadline_ns = deadline};
}

/* Sleeps unless `epoch` has changed; a signal or the deadline ends it as well. */
static void sleep_on(uint32_t *epoch, uint32_t expected, uint64_t deadline_ns)
{
    struct timespec at = {(time_t)(deadline_ns / 1000000000u), (long)(deadline_ns % 1000000000u)};
    syscall(SYS_futex, epoch, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, expected,
            deadline_ns == UINT64_MAX ? NULL : &at, NULL, FUTEX_BITSET_MATCH_ANY);
}

static bool over(fby_waiting *waiting, const uint32_t *alerted)
{
    /* W4, with W3. */
    if (__atomic_load_n(alerted, __ATOMIC_ACQUIRE) != 0)
        return true;
    /* The clock costs more than a pause: look at it seldom while spinning. */
    if (waiting->deadline_ns == UINT64_MAX || (waiting->turns < SPIN_TURNS && waiting->turns % 16))
        return false;
    return fby_now_ns() >= waiting->deadline_ns;
}

bool fby_waiting_more(fby_waiting *waiting, uint32_t *sleepers, uint32_t *epoch,
                      const uint32_t *alerted)
{
    if (over(waiting, alerted))
        return false;
    uint32_t turn = waiting->turns;
    if (turn < UINT32_MAX)
        waiting->turns++;

    bool spins = waiting->strategy == FBY_WAIT_SPIN ||
                 (waiting->strategy == FBY_WAIT_ADAPTIVE && turn < SPIN_TURNS);
    bool yields = waiting->strategy == FBY_WAIT_YIELD ||
                  (waiting->strategy == FBY_WAIT_ADAPTIVE && turn < SPIN_TURNS + YIELD_TURNS);
    if (spins) {
        fby_relax();
    } else if (yields) {
        sched_yield();
    } else if (!waiting->counted) {
        waiting->counted = true;
        waiting->epoch = __atomic_load_n(epoch, __ATOMIC_RELAXED);
        /* W2, with W1. */
        __atomic_fetch_add(sleepers, 1, __ATOMIC_ACQ_REL);
    } else {
        sleep_on(epoch, waiting->epoch, waiting->deadline_ns);
        waiting->epoch = __atomic_load_n(epoch, __ATOMIC_RELAXED);
        /* W2, with W1: what was stored before the change of `epoch` is seen by the next check. */
        __atomic_fetch_add(sleepers, 0, __ATOMIC_ACQ_REL);
    }
    return true;
}

void fby_waiting_end(fby_waiting *waiting, uint32_t *sleepers)
{
    if (waiting->counted)
        __atomic_fetch_sub(sleepers, 1, __ATOMIC_RELAXED);
    waiting->counted = false;
}

void fby_waiting_wake(uint32_t *sleepers, uint32_t *epoch, uint32_t count)
{
    /* W1, with W2. */
    if (__atomic_fetch_add(sleepers, 0, __ATOMIC_ACQ_REL) == 0)
        return;
    __atomic_fetch_add(epoch, 1, __ATOMIC_RELAXED);
    syscall(SYS_futex, epoch, FUTEX_WAKE | FUTEX_PRIVATE_FLAG,
            count > INT_MAX ? INT_MAX : (int)count);
}
