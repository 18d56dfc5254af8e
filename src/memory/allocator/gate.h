/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a call does beyond popping and pushing when something has been asked for
 * that costs: statistics, checks, scopes, a record. A gated cache's stacks look
 * empty and full at once, so that every call comes here and calls of an ungated
 * cache pay nothing.
 *
 * Threads: the owner of the cache, holding its lock.
 */
#ifndef FBY_MEMORY_ALLOCATOR_GATE_H
#define FBY_MEMORY_ALLOCATOR_GATE_H

#include "memory/allocator/cache.h"

/* A block of the class for `size` bytes; NULL for want of memory. */
void *fby_gate_malloc(fby_cache *cache, uint32_t class_index, size_t size, size_t align);
void fby_gate_free(fby_cache *cache, uint32_t class_index, void *block);

/* The same for blocks that are not of a class, which someone else allocates and frees. */
void fby_gate_count_malloc(fby_cache *cache, const void *block, size_t size, size_t usable,
                           size_t align);
void fby_gate_count_free(fby_cache *cache, const void *block);
void fby_gate_count_resize(fby_cache *cache, const void *block, size_t usable_before);

#endif
