/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether the thread that a cache belongs to is still there. A thread may leave
 * without its destructors being called (the exit system call; a first allocation
 * in the last round of destructors), and then its thread-local variables go
 * with its stack.
 *
 * The owner holds a robust mutex. When a thread ends in whatever way, the kernel
 * marks the futex words of its robust mutexes before it clears the thread's id,
 * which is what joining and the reuse of a stack wait for. So if the word is not
 * marked after something was read from the owner's thread-local variables, they
 * were there when it was read.
 *
 * Threads: begin and end by the owner; the rest by any, the background thread too.
 */
#ifndef FBY_MEMORY_ALLOCATOR_OWNER_H
#define FBY_MEMORY_ALLOCATOR_OWNER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct fby_owner {
    pthread_mutex_t mutex;    /* held while the thread lives; never unmapped */
    _Atomic(uint32_t *) word; /* its futex; NULL: nobody, or one that cannot be watched */
} fby_owner;

/* From here on the calling thread is the owner. Whoever was before is gone. */
void fby_owner_begin(fby_owner *owner);
void fby_owner_end(fby_owner *owner);

/* The owner has ended without fby_owner_end(). */
bool fby_owner_gone(const fby_owner *owner);

#endif
