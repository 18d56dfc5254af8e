/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scopes of a thread: while one is open, the thread's allocations are cut one
 * after another from memory of the scope, and go with it.
 *
 *     chunk: | chunk header | header block | header block | ... free |
 *                                                          ^ next
 *
 * A block's header, 16 bytes below it, says how large it is. Freeing a block of a
 * scope only takes back the last one cut. A chunk is a run of units; blocks that
 * do not fit a plain one get a chunk of their own.
 *
 * Threads: the owner of the cache. Another thread may free (that does nothing)
 * and ask for the size.
 */
#ifndef FBY_MEMORY_ALLOCATOR_SCOPE_H
#define FBY_MEMORY_ALLOCATOR_SCOPE_H

#include <stdbool.h>
#include <stddef.h>

struct fby_cache;
typedef struct fby_scope fby_scope;

/* False for want of memory. */
bool fby_scope_open(struct fby_cache *cache);
/* The innermost; there is one. */
void fby_scope_close(struct fby_cache *cache);
void fby_scope_end_all(struct fby_cache *cache);

/* From the innermost scope. */
void *fby_scope_malloc(struct fby_cache *cache, size_t size, size_t align);
/* Usable bytes of a block that lies in a unit of kind FBY_UNIT_SCOPE. */
size_t fby_scope_usable(const void *block);
/* Makes the last block of the innermost scope hold `size` bytes; false if `block` is another, or
 * there is no room. */
bool fby_scope_resize(struct fby_cache *cache, void *block, size_t size);
void fby_scope_drop(struct fby_cache *cache, void *block);

#endif
