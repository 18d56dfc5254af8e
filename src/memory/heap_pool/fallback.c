/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/heap_pool/fallback.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/bits.h"
#include "base/status.h"

enum { PAGE = 4096, ROOM_BEGIN = 64 };

void fby_fallback_init(fby_fallback *fallback, const fby_heap_source *source, void *device,
                       const fby_heap_counting *counting)
{
    *fallback = (fby_fallback){
        .source = source, .device = device, .counting = counting, .spare = FBY_TLSF_NONE};
    pthread_mutex_init(&fallback->lock, NULL);
}

void fby_fallback_destroy(fby_fallback *fallback)
{
    for (uint32_t i = 0; i < fallback->begun; i++)
        if (fallback->entries[i].serial != 0)
            fallback->source->unmap(fallback->device, &fallback->entries[i].region);
    free(fallback->entries);
    pthread_mutex_destroy(&fallback->lock);
}

/* ---- with the lock ---- */

static bool make_room(fby_fallback *fallback)
{
    if (fallback->spare != FBY_TLSF_NONE || fallback->begun < fallback->room)
        return true;
    uint32_t room = fallback->room == 0 ? ROOM_BEGIN : 2 * fallback->room;
    fby_fallback_entry *entries =
        room <= FBY_HEAP_RECORDS_MAX ? realloc(fallback->entries, room * sizeof *entries) : NULL;
    if (entries == NULL)
        return false;
    fallback->entries = entries;
    fallback->room = room;
    return true;
}

static fby_fallback_entry *living(fby_fallback *fallback, fby_heap_block block)
{
    uint32_t at = fby_record_of(block);
    fby_assert(at < fallback->begun); /* a block of this pool */
    fby_fallback_entry *entry = &fallback->entries[at];
    fby_assert(entry->serial == fby_serial_of(block)); /* not released before */
    return entry;
}

static void write_place(const fby_fallback_entry *entry, fby_heap_place *place)
{
    *place = (fby_heap_place){
        .address = entry->region.address, .bytes = entry->bytes, .buffer = entry->region.buffer};
}

static void count_acquired(fby_fallback *fallback, const fby_heap_request *request)
{
    fby_heap_stats *counts = &fallback->counts;
    counts->acquired++;
    counts->active_bytes += request->bytes;
    if (!fallback->counting->on)
        return;
    counts->acquired_bytes += request->bytes;
    if (request->bytes > counts->largest_bytes)
        counts->largest_bytes = request->bytes;
    counts->by_warmup[request->warmup]++;
}

static fby_heap_block begin_block(fby_fallback *fallback, const fby_heap_request *request,
                                  const fby_heap_region *region, fby_heap_place *place)
{
    uint32_t at = fallback->spare;
    if (at != FBY_TLSF_NONE)
        fallback->spare = fallback->entries[at].next;
    else
        at = fallback->begun++;
    fallback->serial += fallback->serial == UINT32_MAX ? 2 : 1;
    fby_fallback_entry *entry = &fallback->entries[at];
    *entry = (fby_fallback_entry){
        .region = *region,
        .bytes = request->bytes,
        .label = request->label,
        .site = request->site,
        .serial = fallback->serial,
        .pins = place != NULL,
    };
    if (place != NULL)
        write_place(entry, place);
    count_acquired(fallback, request);
    return fby_heap_handle(entry->serial, FBY_HEAP_NO_HEAP, at);
}

/* ---- any thread ---- */

fby_status fby_fallback_take(fby_fallback *fallback, const fby_heap_request *request,
                             fby_heap_block *block, fby_heap_place *place)
{
    fby_heap_region region;
    if (request->bytes > SIZE_MAX - PAGE)
        return fby_error(FBY_ENOMEM, "cannot map %llu bytes", (unsigned long long)request->bytes);
    fby_status status =
        fallback->source->map(fallback->device, fby_align_up(request->bytes, PAGE), &region);
    if (status != FBY_OK)
        return status;

    pthread_mutex_lock(&fallback->lock);
    bool room = make_room(fallback);
    if (room)
        *block = begin_block(fallback, request, &region, place);
    pthread_mutex_unlock(&fallback->lock);
    if (!room) {
        fallback->source->unmap(fallback->device, &region);
        return fby_error(FBY_ENOMEM, "no memory to keep another block of the system");
    }
    return FBY_OK;
}

void fby_fallback_give(fby_fallback *fallback, fby_heap_block block)
{
    pthread_mutex_lock(&fallback->lock);
    fby_fallback_entry *entry = living(fallback, block);
    fby_heap_region region = entry->region;
    fallback->counts.released++;
    fallback->counts.active_bytes -= entry->bytes;
    entry->serial = 0;
    entry->next = fallback->spare;
    fallback->spare = fby_record_of(block);
    pthread_mutex_unlock(&fallback->lock);
    fallback->source->unmap(fallback->device, &region);
}

void fby_fallback_pin(fby_fallback *fallback, fby_heap_block block, fby_heap_place *place)
{
    pthread_mutex_lock(&fallback->lock);
    fby_fallback_entry *entry = living(fallback, block);
    fby_assert(entry->pins != UINT32_MAX);
    entry->pins++;
    write_place(entry, place);
    pthread_mutex_unlock(&fallback->lock);
}

void fby_fallback_unpin(fby_fallback *fallback, fby_heap_block block)
{
    pthread_mutex_lock(&fallback->lock);
    fby_fallback_entry *entry = living(fallback, block);
    fby_assert(entry->pins > 0); /* it was pinned */
    entry->pins--;
    pthread_mutex_unlock(&fallback->lock);
}

void fby_fallback_snapshot(fby_fallback *fallback, fby_heap_stats *stats)
{
    pthread_mutex_lock(&fallback->lock);
    *stats = fallback->counts;
    stats->active =
        fallback->acquired_before + stats->acquired - (fallback->released_before + stats->released);
    pthread_mutex_unlock(&fallback->lock);
}

void fby_fallback_reset(fby_fallback *fallback)
{
    pthread_mutex_lock(&fallback->lock);
    fallback->acquired_before += fallback->counts.acquired;
    fallback->released_before += fallback->counts.released;
    fallback->counts = (fby_heap_stats){.active_bytes = fallback->counts.active_bytes};
    pthread_mutex_unlock(&fallback->lock);
}

void fby_fallback_lifetime(fby_fallback *fallback, uint64_t *acquired, uint64_t *released)
{
    pthread_mutex_lock(&fallback->lock);
    *acquired = fallback->acquired_before + fallback->counts.acquired;
    *released = fallback->released_before + fallback->counts.released;
    pthread_mutex_unlock(&fallback->lock);
}

void fby_fallback_each(fby_fallback *fallback,
                       void (*call)(void *context, const fby_fallback_entry *entry), void *context)
{
    pthread_mutex_lock(&fallback->lock);
    for (uint32_t i = 0; i < fallback->begun; i++)
        if (fallback->entries[i].serial != 0)
            call(context, &fallback->entries[i]);
    pthread_mutex_unlock(&fallback->lock);
}
