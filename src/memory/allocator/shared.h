/* SPDX-License-Identifier: Apache-2.0 */
/* What all threads share: the start of the allocator, the shared pools, fork. */
#ifndef FBY_MEMORY_ALLOCATOR_SHARED_H
#define FBY_MEMORY_ALLOCATOR_SHARED_H

#include <stdbool.h>

#include "memory/allocator/pool.h"

/* Everything that is done once; any thread, any number of times. `leave` is called with what
 * fby_shared_mark_thread() was given when that thread ends. False for want of address space. */
bool fby_shared_start(void (*leave)(void *));
void fby_shared_mark_thread(void *value);

/* The pool of the memory node that the calling thread runs on. */
fby_pool *fby_shared_pool_here(void);
uint32_t fby_shared_pool_count(void);
fby_pool *fby_shared_pool(uint32_t index);

#endif
