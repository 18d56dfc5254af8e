/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/allocator/lock.h"

#include "memory/allocator/os.h"

/* After Drepper, "Futexes Are Tricky", mutex 3. */
FBY_COLD void fby_lock_wait(fby_lock *lock)
{
    for (int spin = 0; spin < 64; spin++) {
        fby_relax();
        if (fby_lock_try(lock))
            return;
    }
    /* L1, with L2. */
    while (atomic_exchange_explicit(&lock->state, 2, memory_order_acquire) != 0)
        fby_os_wait(&lock->state, 2, UINT32_MAX);
}

FBY_COLD void fby_lock_wake(fby_lock *lock)
{
    fby_os_wake(&lock->state, 1);
}
