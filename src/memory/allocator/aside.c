/* SPDX-License-Identifier: Apache-2.0 */
/* Under AddressSanitizer each call is libc's, which the sanitizer watches. Scopes and heaps keep
 * lists of what they own. */
#include "base/platform.h"

typedef int fby_aside_is_not_empty;

#if FBY_ASAN

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/status.h"
#include "forebay/allocator.h"
#include "memory/allocator/lock.h"
#include "memory/allocator/region.h"

/* Blocks that a scope or a heap frees at its end. */
typedef struct owned {
    void **block;
    size_t count, room;
    struct owned *outer;
} owned;

struct fby_heap {
    owned blocks;
    struct fby_heap *next;
};

static _Thread_local owned *scope;
static fby_lock heaps_lock; /* of all heaps and their lists */
static struct fby_heap *heaps;

static void *own(owned *list, void *block)
{
    if (block == NULL)
        return NULL;
    if (list->count == list->room) {
        size_t room = list->room * 2 + 16;
        void **grown = realloc(list->block, room * sizeof *grown);
        if (grown == NULL) {
            free(block);
            errno = ENOMEM;
            return NULL;
        }
        list->block = grown;
        list->room = room;
    }
    list->block[list->count++] = block;
    return block;
}

static bool disown(owned *list, const void *block)
{
    for (size_t i = list->count; i-- > 0;) {
        if (list->block[i] == block) {
            list->block[i] = list->block[--list->count];
            return true;
        }
    }
    return false;
}

static owned *owner_of(const void *block)
{
    for (owned *at = scope; at != NULL; at = at->outer)
        for (size_t i = at->count; i-- > 0;)
            if (at->block[i] == block)
                return at;
    return NULL;
}

static void free_owned(owned *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->block[i]);
    free(list->block);
}

static void *scoped(void *block)
{
    return scope != NULL ? own(scope, block) : block;
}

void *fby_malloc(size_t size)
{
    return scoped(malloc(size));
}

void *fby_calloc(size_t count, size_t size)
{
    return scoped(calloc(count, size));
}

static void leave_heap(const void *block)
{
    fby_lock_take(&heaps_lock);
    for (struct fby_heap *heap = heaps; heap != NULL && !disown(&heap->blocks, block);)
        heap = heap->next;
    fby_lock_release(&heaps_lock);
}

void *fby_realloc(void *block, size_t size)
{
    if (block == NULL)
        return fby_malloc(size);
    if (size == 0) {
        fby_free(block);
        return NULL;
    }
    owned *list = owner_of(block);
    if (list == NULL)
        leave_heap(block);
    void *moved = realloc(block, size);
    if (moved != NULL && moved != block && list != NULL) {
        disown(list, block);
        own(list, moved);
    }
    return moved;
}

void *fby_aligned_alloc(size_t alignment, size_t size)
{
    void *block = NULL;
    int error = fby_is_pow2(alignment) && alignment <= FBY_ALIGN_MAX
                    ? posix_memalign(&block, fby_max_size(alignment, sizeof(void *)), size)
                    : EINVAL;
    if (error != 0) {
        errno = error;
        return NULL;
    }
    return scoped(block);
}

void fby_free(void *block)
{
    owned *list = owner_of(block);
    if (list != NULL)
        disown(list, block);
    else
        leave_heap(block);
    free(block);
}

void fby_free_sized(void *block, size_t size)
{
    (void)size;
    fby_free(block);
}

size_t fby_usable_size(const void *block)
{
    return malloc_usable_size((void *)(uintptr_t)block);
}

size_t fby_malloc_batch(size_t size, size_t count, void **blocks)
{
    size_t done = 0;
    while (done < count && (blocks[done] = fby_malloc(size)) != NULL)
        done++;
    return done;
}

void fby_free_batch(void *const *blocks, size_t count)
{
    for (size_t i = 0; i < count; i++)
        fby_free(blocks[i]);
}

fby_status fby_scope_begin(void)
{
    owned *made = calloc(1, sizeof *made);
    if (made == NULL)
        return fby_error(FBY_ENOMEM, "no memory for a scope");
    made->outer = scope;
    scope = made;
    return FBY_OK;
}

fby_status fby_scope_end(void)
{
    owned *ended = scope;
    if (ended == NULL)
        return fby_error(FBY_EINVAL, "this thread has no scope to end");
    scope = ended->outer;
    free_owned(ended);
    free(ended);
    return FBY_OK;
}

void *fby_scope_keep(void *block)
{
    owned *list = owner_of(block);
    if (list != NULL)
        disown(list, block);
    return block;
}

fby_status fby_heap_create(fby_heap **heap)
{
    fby_heap *made = calloc(1, sizeof *made);
    if (made == NULL)
        return fby_error(FBY_ENOMEM, "no memory for a heap");
    fby_lock_take(&heaps_lock);
    made->next = heaps;
    heaps = made;
    fby_lock_release(&heaps_lock);
    *heap = made;
    return FBY_OK;
}

void *fby_heap_malloc(fby_heap *heap, size_t size)
{
    fby_lock_take(&heaps_lock);
    void *block = own(&heap->blocks, malloc(size));
    fby_lock_release(&heaps_lock);
    return block;
}

void fby_heap_destroy(fby_heap *heap)
{
    if (heap == NULL)
        return;
    fby_lock_take(&heaps_lock);
    fby_heap **at = &heaps;
    while (*at != heap)
        at = &(*at)->next;
    *at = heap->next;
    fby_lock_release(&heaps_lock);
    free_owned(&heap->blocks);
    free(heap);
}

void fby_allocator_purge(void)
{
    malloc_trim(0);
}

void fby_allocator_set_decay(uint32_t decay_ms, size_t dirty_bytes)
{
    (void)decay_ms;
    (void)dirty_bytes;
}

void fby_allocator_count_calls(bool on)
{
    (void)on;
}

fby_status fby_allocator_get_stats(fby_allocator_stats *stats)
{
    size_t struct_size = stats->struct_size;
    if (struct_size != sizeof *stats)
        return fby_error(FBY_EINVAL, "statistics of %zu bytes, not %zu", struct_size,
                         sizeof *stats);
    memset(stats, 0, sizeof *stats);
    stats->struct_size = struct_size;
    return FBY_OK;
}

#endif
