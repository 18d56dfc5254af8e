/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "memory/heap_pool/heap.h"
#include "memory/heap_pool/poison.h"

enum { STEPS = 256 /* records that are looked at before others may have the lock */ };

static bool is_fragmented(const fby_pool_heap *heap, double threshold)
{
    uint64_t free_bytes = heap->region.bytes - heap->counts.used_bytes;
    uint64_t largest = (uint64_t)fby_tlsf_largest(&heap->tlsf) * FBY_HEAP_GRANULE;
    return free_bytes != 0 && 1.0 - (double)largest / (double)free_bytes > threshold;
}

/* Copies a block whose new place is held. The lock is given up meanwhile: M1, M2 of
 * tests/spin/heap_move.pml. */
static void move(fby_pool_heap *heap, uint32_t at, uint32_t to_granule)
{
    fby_record *record = &heap->tlsf.records[at];
    const fby_heap_region region = heap->region;
    uint64_t from = (uint64_t)record->first * FBY_HEAP_GRANULE;
    uint64_t to = (uint64_t)to_granule * FBY_HEAP_GRANULE;
    uint64_t bytes = record->bytes, room = (uint64_t)record->count * FBY_HEAP_GRANULE;

    record->state = FBY_RECORD_MOVING;
    pthread_mutex_unlock(&heap->lock); /* M1 */
    fby_heap_unpoison(&region, to, bytes);
    memmove(region.address + to, region.address + from, bytes);
    pthread_mutex_lock(&heap->lock); /* M2 */

    bool dying = record->state == FBY_RECORD_DYING;
    fby_heap_poison(&region, to, from - to + room);
    if (!dying)
        fby_heap_unpoison(&region, to, bytes);
    fby_tlsf_settle(&heap->tlsf, at);
    record->state = FBY_RECORD_USED;
    if (dying)
        fby_tlsf_give(&heap->tlsf, at);
    if (heap->counting->on) {
        heap->counts.moved++;
        heap->counts.moved_bytes += bytes;
    }
    pthread_cond_broadcast(&heap->settled);
}

/* With the lock, which others get in between. */
static uint64_t move_all(fby_pool_heap *heap)
{
    fby_tlsf *tlsf = &heap->tlsf;
    uint64_t moved = 0, steps = 2 * (uint64_t)tlsf->records_begun;
    uint32_t at = tlsf->lowest, to;

    for (uint64_t step = 1; at != FBY_TLSF_NONE && step <= steps; step++) {
        if (step % STEPS == 0) {
            pthread_mutex_unlock(&heap->lock);
            pthread_mutex_lock(&heap->lock);
            if (tlsf->records[at].state == FBY_RECORD_SPARE) /* gone meanwhile */
                at = tlsf->lowest;
        }
        const fby_record *record = &tlsf->records[at];
        if (record->state == FBY_RECORD_USED && record->pins == 0 && fby_tlsf_hold(tlsf, at, &to)) {
            move(heap, at, to);
            moved++;
        }
        at = tlsf->records[at].after;
    }
    return moved;
}

uint64_t fby_heap_compact(fby_pool_heap *heap, double threshold)
{
    uint64_t moved = 0;

    pthread_mutex_lock(&heap->lock);
    if (heap->region.address != NULL && !heap->compacting && is_fragmented(heap, threshold)) {
        heap->compacting = true;
        moved = move_all(heap);
        heap->compacting = false;
    }
    pthread_mutex_unlock(&heap->lock);
    return moved;
}
