/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/allocator/owner.h"

#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The futex word of the mutex that this thread locked last, by what the kernel will follow when the
 * thread ends; NULL if that is not `mutex`. */
static uint32_t *watched_word(pthread_mutex_t *mutex)
{
    struct robust_list_head *head;
    size_t size;
    if (syscall(SYS_get_robust_list, 0, &head, &size) != 0)
        return NULL;
    uintptr_t entry = (uintptr_t)head->list.next & ~(uintptr_t)1; /* bit 0: priority inheritance */
    uintptr_t word = entry + (uintptr_t)head->futex_offset, first = (uintptr_t)mutex;
    if (word < first || word + sizeof(uint32_t) > first + sizeof *mutex ||
        word % sizeof(uint32_t) != 0)
        return NULL;
    uint32_t value = atomic_load_explicit((_Atomic uint32_t *)word, memory_order_relaxed);
    return (value & FUTEX_TID_MASK) == (uint32_t)gettid() ? (uint32_t *)word : NULL;
}

void fby_owner_begin(fby_owner *owner)
{
    pthread_mutexattr_t robust;
    uint32_t *word = NULL;
    memset(&owner->mutex, 0, sizeof owner->mutex);
    pthread_mutexattr_init(&robust);
    if (pthread_mutexattr_setrobust(&robust, PTHREAD_MUTEX_ROBUST) == 0 &&
        pthread_mutex_init(&owner->mutex, &robust) == 0 && pthread_mutex_lock(&owner->mutex) == 0)
        word = watched_word(&owner->mutex);
    pthread_mutexattr_destroy(&robust);
    atomic_store_explicit(&owner->word, word, memory_order_relaxed);
}

void fby_owner_end(fby_owner *owner)
{
    atomic_store_explicit(&owner->word, NULL, memory_order_relaxed);
    pthread_mutex_unlock(&owner->mutex);
}

bool fby_owner_gone(const fby_owner *owner)
{
    const uint32_t *word = atomic_load_explicit(&owner->word, memory_order_relaxed);
    /* What was read before this call stays before it. */
    atomic_thread_fence(memory_order_acquire);
    return word != NULL &&
           (atomic_load_explicit((const _Atomic uint32_t *)word, memory_order_relaxed) &
            FUTEX_OWNER_DIED) != 0;
}
