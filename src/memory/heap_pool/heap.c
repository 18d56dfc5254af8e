/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/heap_pool/heap.h"

#include "base/assert.h"
#include "base/bits.h"
#include "memory/heap_pool/poison.h"

static uint64_t bytes_of(uint32_t granules)
{
    return (uint64_t)granules * FBY_HEAP_GRANULE;
}

void fby_heap_init(fby_pool_heap *heap, uint32_t index, const fby_heap_counting *counting)
{
    *heap = (fby_pool_heap){.index = index, .counting = counting};
    pthread_mutex_init(&heap->lock, NULL);
    pthread_cond_init(&heap->settled, NULL);
}

void fby_heap_end(fby_pool_heap *heap)
{
    pthread_cond_destroy(&heap->settled);
    pthread_mutex_destroy(&heap->lock);
}

static void say_used(fby_pool_heap *heap, uint64_t used)
{
    heap->counts.used_bytes = used;
    atomic_store_explicit(&heap->used, used, memory_order_relaxed);
}

void fby_heap_open(fby_pool_heap *heap, const fby_heap_region *region, fby_record *records,
                   uint32_t records_max, bool grown)
{
    pthread_mutex_lock(&heap->lock);
    fby_assert(heap->region.bytes == 0);
    heap->region = *region;
    heap->counts.present = true;
    heap->counts.grown = grown;
    heap->counts.capacity_bytes = region->bytes;
    say_used(heap, 0);
    fby_heap_poison(region, 0, region->bytes);
    fby_tlsf_init(&heap->tlsf, records, records_max, (uint32_t)(region->bytes / FBY_HEAP_GRANULE));
    atomic_store_explicit(&heap->capacity, region->bytes, memory_order_relaxed);
    pthread_mutex_unlock(&heap->lock);
}

bool fby_heap_shut(fby_pool_heap *heap, bool anyway, fby_heap_region *region, fby_record **records,
                   uint32_t *records_max)
{
    pthread_mutex_lock(&heap->lock);
    bool shut =
        heap->region.bytes != 0 && !heap->compacting && (anyway || heap->counts.used_bytes == 0);
    if (shut) {
        *region = heap->region;
        *records = heap->tlsf.records;
        *records_max = heap->tlsf.records_max;
        fby_heap_unpoison(region, 0, region->bytes);
        atomic_store_explicit(&heap->capacity, 0, memory_order_relaxed);
        atomic_store_explicit(&heap->tlsf.powers, 0, memory_order_relaxed);
        for (uint32_t i = 0; i < FBY_TLSF_POWERS; i++)
            atomic_store_explicit(&heap->tlsf.steps[i], 0, memory_order_relaxed);
        heap->tlsf.records_begun = 0;
        heap->region = (fby_heap_region){0};
        heap->counts.present = false;
        heap->counts.capacity_bytes = 0;
        say_used(heap, 0);
    }
    pthread_mutex_unlock(&heap->lock);
    return shut;
}

/* ---- blocks ---- */

static void write_place(const fby_pool_heap *heap, const fby_record *record, fby_heap_place *place)
{
    uint64_t offset = bytes_of(record->first);
    *place = (fby_heap_place){
        .address = heap->region.address != NULL ? heap->region.address + offset : NULL,
        .bytes = record->bytes,
        .buffer = heap->region.buffer,
        .offset = offset,
    };
}

static void count_acquired(fby_pool_heap *heap, const fby_heap_request *request)
{
    fby_heap_stats *counts = &heap->counts;

    counts->acquired++;
    counts->active_bytes += request->bytes;
    say_used(heap, counts->used_bytes + bytes_of(request->granules));
    if (!heap->counting->on)
        return;
    counts->acquired_bytes += request->bytes;
    if (counts->used_bytes > counts->peak_used_bytes)
        counts->peak_used_bytes = counts->used_bytes;
    if (request->bytes > counts->largest_bytes)
        counts->largest_bytes = request->bytes;
    counts->by_warmup[request->warmup]++;
}

/* With the lock. */
static fby_heap_block begin_block(fby_pool_heap *heap, const fby_heap_request *request,
                                  uint32_t taken, fby_heap_place *place)
{
    fby_record *record = &heap->tlsf.records[taken];

    heap->serial += heap->serial == UINT32_MAX ? 2 : 1; /* 0 is in no handle */
    record->serial = heap->serial;
    record->bytes = request->bytes;
    record->label = request->label;
    record->site = request->site;
    record->pins = place != NULL;
    if (place != NULL)
        write_place(heap, record, place);
    count_acquired(heap, request);
    fby_heap_unpoison(&heap->region, bytes_of(record->first), record->bytes);
    return fby_heap_handle(record->serial, heap->index, taken);
}

fby_heap_answer fby_heap_take(fby_pool_heap *heap, const fby_heap_request *request, bool wait,
                              fby_heap_block *block, fby_heap_place *place)
{
    if (FBY_UNLIKELY(pthread_mutex_trylock(&heap->lock) != 0)) {
        atomic_fetch_add_explicit(&heap->busy, 1, memory_order_relaxed);
        if (!wait)
            return FBY_HEAP_BUSY;
        pthread_mutex_lock(&heap->lock);
        heap->counts.lock_waits += heap->counting->on;
    }
    uint32_t taken = heap->region.bytes != 0
                         ? fby_tlsf_take(&heap->tlsf, request->granules, request->align_shift)
                         : FBY_TLSF_NONE;
    if (FBY_LIKELY(taken < FBY_TLSF_CROWDED))
        *block = begin_block(heap, request, taken, place);
    fby_assert_deep(heap->region.bytes == 0 || fby_tlsf_is_sound(&heap->tlsf));
    pthread_mutex_unlock(&heap->lock);
    return FBY_LIKELY(taken < FBY_TLSF_CROWDED) ? FBY_HEAP_SERVED
           : taken == FBY_TLSF_NONE             ? FBY_HEAP_FULL
                                                : FBY_HEAP_CROWDED;
}

/* For calls that come with a block: there is no other heap to go to. */
static void lock_for_block(fby_pool_heap *heap)
{
    if (FBY_LIKELY(pthread_mutex_trylock(&heap->lock) == 0))
        return;
    pthread_mutex_lock(&heap->lock);
    heap->counts.lock_waits += heap->counting->on;
}

/* With the lock: the record of a block that lives. */
static fby_record *living(fby_pool_heap *heap, fby_heap_block block)
{
    uint32_t at = fby_record_of(block);
    fby_assert(at < heap->tlsf.records_begun); /* a block of this pool */
    fby_record *record = &heap->tlsf.records[at];
    fby_assert(record->serial == fby_serial_of(block) &&
               (record->state == FBY_RECORD_USED ||
                record->state == FBY_RECORD_MOVING)); /* and not released before */
    return record;
}

void fby_heap_give(fby_pool_heap *heap, fby_heap_block block)
{
    lock_for_block(heap);
    fby_record *record = living(heap, block);
    heap->counts.released++;
    heap->counts.active_bytes -= record->bytes;
    say_used(heap, heap->counts.used_bytes - bytes_of(record->count));
    if (FBY_LIKELY(record->state == FBY_RECORD_USED)) {
        fby_heap_poison(&heap->region, bytes_of(record->first), bytes_of(record->count));
        fby_tlsf_give(&heap->tlsf, fby_record_of(block));
    } else {
        record->state = FBY_RECORD_DYING;
    }
    fby_assert_deep(fby_tlsf_is_sound(&heap->tlsf));
    pthread_mutex_unlock(&heap->lock);
}

void fby_heap_pin_in(fby_pool_heap *heap, fby_heap_block block, fby_heap_place *place)
{
    lock_for_block(heap);
    fby_record *record = living(heap, block);
    while (FBY_UNLIKELY(record->state == FBY_RECORD_MOVING)) {
        pthread_cond_wait(&heap->settled, &heap->lock);
        record = living(heap, block);
    }
    fby_assert(record->pins != UINT32_MAX);
    record->pins++;
    write_place(heap, record, place);
    pthread_mutex_unlock(&heap->lock);
}

void fby_heap_unpin_in(fby_pool_heap *heap, fby_heap_block block)
{
    lock_for_block(heap);
    fby_record *record = living(heap, block);
    fby_assert(record->pins > 0); /* it was pinned */
    record->pins--;
    pthread_mutex_unlock(&heap->lock);
}

/* ---- what is known ---- */

void fby_heap_snapshot(fby_pool_heap *heap, fby_heap_stats *stats)
{
    pthread_mutex_lock(&heap->lock);
    *stats = heap->counts;
    stats->active =
        heap->acquired_before + stats->acquired - (heap->released_before + stats->released);
    if (heap->region.bytes != 0)
        stats->largest_free_bytes = bytes_of(fby_tlsf_largest(&heap->tlsf));
    if (heap->counting->on)
        stats->busy = atomic_load_explicit(&heap->busy, memory_order_relaxed);
    pthread_mutex_unlock(&heap->lock);
}

void fby_heap_reset(fby_pool_heap *heap)
{
    pthread_mutex_lock(&heap->lock);
    const fby_heap_stats *was = &heap->counts;
    heap->acquired_before += was->acquired;
    heap->released_before += was->released;
    heap->counts = (fby_heap_stats){
        .present = was->present,
        .grown = was->grown,
        .active_bytes = was->active_bytes,
        .used_bytes = was->used_bytes,
        .peak_used_bytes = was->used_bytes,
        .capacity_bytes = was->capacity_bytes,
    };
    atomic_store_explicit(&heap->busy, 0, memory_order_relaxed);
    pthread_mutex_unlock(&heap->lock);
}

void fby_heap_forget(fby_pool_heap *heap)
{
    fby_heap_reset(heap);
    pthread_mutex_lock(&heap->lock);
    heap->acquired_before = heap->released_before = 0;
    pthread_mutex_unlock(&heap->lock);
}

bool fby_heap_is_grown(fby_pool_heap *heap)
{
    pthread_mutex_lock(&heap->lock);
    bool grown = heap->counts.present && heap->counts.grown;
    pthread_mutex_unlock(&heap->lock);
    return grown;
}

void fby_heap_lifetime(fby_pool_heap *heap, uint64_t *acquired, uint64_t *released)
{
    pthread_mutex_lock(&heap->lock);
    *acquired = heap->acquired_before + heap->counts.acquired;
    *released = heap->released_before + heap->counts.released;
    pthread_mutex_unlock(&heap->lock);
}

void fby_heap_each(fby_pool_heap *heap, void (*call)(void *context, const fby_record *record),
                   void *context)
{
    pthread_mutex_lock(&heap->lock);
    if (heap->region.bytes != 0)
        for (uint32_t i = heap->tlsf.lowest; i != FBY_TLSF_NONE; i = heap->tlsf.records[i].after)
            if (heap->tlsf.records[i].state == FBY_RECORD_USED)
                call(context, &heap->tlsf.records[i]);
    pthread_mutex_unlock(&heap->lock);
}
