/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/allocator/own_heap.h"

#include <errno.h>

#include "base/bits.h"
#include "base/status.h"
#include "forebay/allocator.h"
#include "memory/allocator/cache.h"
#include "memory/allocator/shared.h"

#if !FBY_ASAN

struct fby_heap {
    fby_pool pool;
    fby_lock lock;
    uint32_t wholes; /* first unit of the first whole mapping; under the lock */
};

static size_t heap_bytes(void)
{
    return fby_align_up(sizeof(fby_heap), FBY_PAGE);
}

fby_status fby_heap_create(fby_heap **heap)
{
    if (fby_cache_self() == NULL) /* the allocator has started */
        return fby_error(FBY_ENOMEM, "no address space for the allocator");
    fby_heap *made = fby_os_map(heap_bytes());
    if (made == NULL)
        return fby_error(FBY_ENOMEM, "no memory for a heap");
    const fby_pool *here = fby_shared_pool_here();
    fby_pool_init(&made->pool, here->node, false, here->guarded);
    *heap = made;
    return FBY_OK;
}

static void *whole(fby_heap *heap, size_t size)
{
    bool zeroed;
    /* Above what arenas take, so that it is a mapping of its own. */
    void *block = fby_whole_malloc(size, 1, &zeroed);
    if (block == NULL)
        return NULL;
    uint32_t unit = fby_unit_of(block);
    fby_span *span = fby_span_at(unit);
    fby_lock_take(&heap->lock);
    span->whole.heap = heap;
    span->list_prev = 0;
    span->list_next = heap->wholes;
    if (heap->wholes != 0)
        fby_span_at(heap->wholes)->list_prev = unit;
    heap->wholes = unit;
    fby_lock_release(&heap->lock);
    return block;
}

void *fby_heap_malloc(fby_heap *heap, size_t size)
{
    void *block = NULL;
    if (size > FBY_SMALL_MAX)
        block = whole(heap, size);
    else
        fby_pool_take(&heap->pool, fby_class_of(size), &block, 1);
    if (block == NULL)
        errno = ENOMEM;
    return block;
}

void fby_own_heap_forget(fby_span *span)
{
    fby_heap *heap = span->whole.heap;
    if (heap == NULL)
        return;
    fby_lock_take(&heap->lock);
    if (span->list_prev != 0)
        fby_span_at(span->list_prev)->list_next = span->list_next;
    else
        heap->wholes = span->list_next;
    if (span->list_next != 0)
        fby_span_at(span->list_next)->list_prev = span->list_prev;
    fby_lock_release(&heap->lock);
}

void fby_heap_destroy(fby_heap *heap)
{
    if (heap == NULL)
        return;
    fby_pool_clear(&heap->pool);
    for (uint32_t unit = heap->wholes, next; unit != 0; unit = next) {
        next = fby_span_at(unit)->list_next;
        fby_large_free(NULL, fby_unit_address(unit));
    }
    fby_os_unmap(heap, heap_bytes());
}

#endif
