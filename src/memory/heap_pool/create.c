/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bits.h"
#include "base/cpu.h"
#include "base/pages.h"
#include "memory/heap_pool/pool.h"

#define MIB ((uint64_t)1 << 20)

/* ---- one heap ---- */

static uint64_t records_bytes(const fby_heap_pool *pool)
{
    return (uint64_t)pool->options.blocks_max * sizeof(fby_record);
}

/* Whether `available` bytes hold `heaps` heaps and, where that is the same memory, their records; a
 * 16th stays for others. Dividing, so that nothing overflows. */
static bool holds(const fby_heap_pool *pool, uint64_t available, uint64_t heaps)
{
    uint64_t each = pool->options.heap_bytes;
    if (available == UINT64_MAX)
        return true;
    if (pool->source == &fby_heap_host)
        each += records_bytes(pool);
    return (available - available / 16) / each >= heaps;
}

fby_status fby_heap_pool_add(fby_heap_pool *pool, uint32_t slot, bool grown)
{
    fby_heap_region region;
    uint32_t records_max = pool->options.blocks_max;
    void *records;

    uint64_t available = pool->source->available(pool->device);
    if (!holds(pool, available, 1))
        return fby_error(FBY_ENOMEM, "a heap of %llu bytes with %llu of records: %llu are left",
                         (unsigned long long)pool->options.heap_bytes,
                         (unsigned long long)records_bytes(pool), (unsigned long long)available);
    fby_status status = pool->source->map(pool->device, pool->options.heap_bytes, &region);
    if (status != FBY_OK)
        return status;
    status = fby_pages_map((size_t)records_max * sizeof(fby_record), &records);
    if (status != FBY_OK) {
        pool->source->unmap(pool->device, &region);
        return status;
    }
    pool->source->touch(pool->device, &region);
    fby_heap_open(&pool->heaps[slot], &region, records, records_max, grown);

    uint32_t top = atomic_load_explicit(&pool->top, memory_order_relaxed);
    /* G1, with G2 in pool.c. */
    while (top <= slot &&
           !atomic_compare_exchange_weak_explicit(&pool->top, &top, slot + 1, memory_order_release,
                                                  memory_order_relaxed))
        ;
    return FBY_OK;
}

bool fby_heap_pool_remove(fby_heap_pool *pool, uint32_t slot, bool anyway)
{
    fby_heap_region region;
    fby_record *records;
    uint32_t records_max;

    if (!fby_heap_shut(&pool->heaps[slot], anyway, &region, &records, &records_max))
        return false;
    fby_pages_unmap(records, (size_t)records_max * sizeof(fby_record));
    pool->source->unmap(pool->device, &region);
    return true;
}

/* ---- all heaps at once ---- */

typedef struct builder {
    fby_heap_pool *pool;
    pthread_mutex_t lock;
    uint32_t next;   /* heap to be made */
    uint32_t failed; /* the first that was not; FBY_TLSF_NONE */
    fby_status status;
    char message[FBY_ERROR_SIZE];
} builder;

static void *build(void *argument)
{
    builder *self = argument;
    pthread_mutex_lock(&self->lock);
    while (self->status == FBY_OK && self->next < self->pool->options.num_heaps) {
        uint32_t slot = self->next++;
        pthread_mutex_unlock(&self->lock);
        fby_status status = fby_heap_pool_add(self->pool, slot, false);
        pthread_mutex_lock(&self->lock);
        if (status != FBY_OK && slot < self->failed) {
            self->status = status;
            self->failed = slot;
            memcpy(self->message, fby_last_error(), strlen(fby_last_error()) + 1);
        }
    }
    pthread_mutex_unlock(&self->lock);
    return NULL;
}

/* What does not fit, what there is, what would fit: in MiB, as the keys are. */
static fby_status say_too_large(const fby_heap_pool *pool, uint32_t failed, uint64_t available,
                                const char *why)
{
    uint64_t heap = pool->options.heap_bytes, heaps = pool->options.num_heaps;
    uint64_t had = failed * heap, most = available / 5 * 4;
    uint64_t each = (had != 0 && had < most ? had
                     : most < heap * heaps  ? most
                                            : heap / 2 * heaps) /
                    heaps / MIB;
    char system[48] = "an unknown number of";
    if (available != UINT64_MAX)
        snprintf(system, sizeof system, "%llu", (unsigned long long)(available / MIB));
    return fby_error(FBY_ENOMEM,
                     "heap %u of %llu: %llu MiB asked for, the %s has %s MiB%s%s; heap_size_mb: "
                     "%llu with num_heaps: %llu would fit",
                     failed + 1, (unsigned long long)heaps, (unsigned long long)(heap / MIB),
                     pool->source == &fby_heap_host ? "system" : "device", system,
                     why[0] != '\0' ? " and said: " : "", why,
                     (unsigned long long)(each > 0 ? each : 1), (unsigned long long)heaps);
}

static fby_status build_heaps(fby_heap_pool *pool)
{
    const uint32_t heaps = pool->options.num_heaps;
    pthread_t helpers[FBY_HEAP_HEAPS_MAX];
    uint32_t started = 0, wanted = fby_min_u32(heaps, fby_cpu_count());
    sigset_t all, before;
    builder self = {.pool = pool, .failed = FBY_TLSF_NONE};

    uint64_t available = pool->source->available(pool->device);
    if (!holds(pool, available, heaps))
        return say_too_large(pool, (uint32_t)(available / pool->options.heap_bytes), available, "");
    pthread_mutex_init(&self.lock, NULL);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* the program's signals are for its own threads */
    while (started + 1 < wanted && pthread_create(&helpers[started], NULL, build, &self) == 0)
        started++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    build(&self);
    for (uint32_t i = 0; i < started; i++)
        pthread_join(helpers[i], NULL);
    pthread_mutex_destroy(&self.lock);
    return self.status == FBY_OK ? FBY_OK
                                 : say_too_large(pool, self.failed, available, self.message);
}

static void warm(fby_heap_pool *pool, uint64_t bytes)
{
    if (bytes > pool->options.heap_bytes) {
        fby_heap_pool_say(pool, "warm-up size of %llu bytes is larger than a heap of %llu: skipped",
                          (unsigned long long)bytes, (unsigned long long)pool->options.heap_bytes);
        return;
    }
    const fby_heap_request request = {
        .bytes = bytes,
        .granules = (uint32_t)(fby_align_up(bytes, FBY_HEAP_GRANULE) / FBY_HEAP_GRANULE),
        .label = "warm-up",
    };
    for (uint32_t i = 0; i < pool->options.num_heaps; i++) {
        fby_heap_block block;
        fby_heap_answer answer = fby_heap_take(&pool->heaps[i], &request, true, &block, NULL);
        fby_assert(answer == FBY_HEAP_SERVED); /* the heap is empty, and large enough */
        fby_heap_give(&pool->heaps[i], block);
    }
}

static fby_status start(fby_heap_pool *pool, const char *trace_file)
{
    fby_status status = pool->options.num_heaps > 0 ? build_heaps(pool) : FBY_OK;
    if (status != FBY_OK)
        return status;
    for (uint32_t i = 0; i < pool->counting.warmup_count && pool->options.num_heaps > 0; i++)
        warm(pool, pool->counting.warmup_bytes[i]);
    for (uint32_t i = 0; i < pool->options.num_heaps; i++)
        fby_heap_forget(&pool->heaps[i]);
    if (pool->options.dynamic_growth)
        fby_heap_upkeep_watch(pool);
    status = fby_heap_upkeep_start(pool);
    /* Last: a start that fails leaves no file, nor empties one. */
    if (status == FBY_OK && trace_file != NULL)
        status = fby_heap_recorder_open(trace_file, &pool->recorder);
    return status;
}

static void take_apart(fby_heap_pool *pool)
{
    fby_heap_upkeep_stop(pool);
    for (uint32_t i = 0; i < FBY_HEAP_HEAPS_MAX; i++) {
        fby_heap_pool_remove(pool, i, true);
        fby_heap_end(&pool->heaps[i]);
    }
    fby_fallback_destroy(&pool->fallback);
    fby_heap_upkeep_destroy(&pool->upkeep);
    pool->source->close(pool->device);
    if (fby_heap_recorder_close(pool->recorder) != FBY_OK)
        fby_heap_pool_say(pool, "%s", fby_last_error());
    free(pool);
}

fby_status fby_heap_pool_create(const fby_heap_pool_options *given, fby_heap_pool **out)
{
    fby_heap_pool_options options;
    fby_heap_counting counting;
    void *device;

    fby_status status = fby_heap_options_resolve(given, &options, &counting);
    if (status != FBY_OK)
        return status;
    const fby_heap_source *source =
        options.backend == FBY_HEAP_HOST ? &fby_heap_host : &fby_heap_device;
    status = source->open(&options, &device);
    if (status != FBY_OK)
        return status;
    fby_heap_pool *pool = aligned_alloc(FBY_CACHELINE, sizeof *pool);
    if (pool == NULL) {
        source->close(device);
        return fby_error(FBY_ENOMEM, "no memory for a heap pool");
    }
    memset(pool, 0, sizeof *pool);
    const char *trace_file = options.trace_file;
    options.parts = NULL;
    options.warmup_bytes = NULL;
    options.vulkan = NULL;
    options.trace_file = NULL;
    pool->options = options;
    pool->source = source;
    pool->device = device;
    pool->counting = counting;
    atomic_store_explicit(&pool->growth_bytes, UINT64_MAX, memory_order_relaxed);
    fby_heap_upkeep_init(&pool->upkeep);
    fby_fallback_init(&pool->fallback, source, device, &pool->counting);
    for (uint32_t i = 0; i < FBY_HEAP_HEAPS_MAX; i++)
        fby_heap_init(&pool->heaps[i], i, &pool->counting);
    status = start(pool, trace_file);
    if (status != FBY_OK) {
        take_apart(pool);
        return status;
    }
    *out = pool;
    return FBY_OK;
}

/* ---- the end ---- */

static void tell(fby_heap_closing *closing, uint64_t bytes, const char *label, const char *site)
{
    const fby_heap_leak leak = {bytes, label, site};
    closing->leaked++;
    closing->leaked_bytes += bytes;
    if (closing->leak != NULL)
        closing->leak(closing->context, &leak);
}

static void tell_block(void *context, const fby_record *record)
{
    tell(context, record->bytes, record->label, record->site);
}

static void tell_entry(void *context, const fby_fallback_entry *entry)
{
    tell(context, entry->bytes, entry->label, entry->site);
}

/* Reads and writes as much of `closing` as its caller has: the struct may grow at its end. */
static void report(fby_heap_pool *pool, fby_heap_closing *closing)
{
    fby_heap_closing made = {0};
    const size_t size = fby_min_size(closing->struct_size, sizeof made);
    fby_assert(size >= sizeof made.struct_size);
    memcpy(&made, closing, size);
    made.leaked = made.leaked_bytes = 0;
    fby_fallback_lifetime(&pool->fallback, &made.acquired, &made.released);
    for (uint32_t i = 0; i < FBY_HEAP_HEAPS_MAX; i++) {
        uint64_t acquired, released;
        fby_heap_lifetime(&pool->heaps[i], &acquired, &released);
        made.acquired += acquired;
        made.released += released;
        fby_heap_each(&pool->heaps[i], tell_block, &made);
    }
    fby_fallback_each(&pool->fallback, tell_entry, &made);
    memcpy(closing, &made, size);
}

void fby_heap_pool_close(fby_heap_pool *pool, fby_heap_closing *closing)
{
    if (pool == NULL)
        return;
    fby_heap_upkeep_stop(pool); /* nothing moves any more */
    if (closing != NULL)
        report(pool, closing);
    take_apart(pool);
}

fby_status fby_heap_pool_vulkan(const fby_heap_pool *pool, fby_heap_vulkan *vulkan)
{
    if (pool->source != &fby_heap_device)
        return fby_error(FBY_EUNSUPPORTED, "this heap pool's backend is %s", pool->source->name);
    fby_heap_device_handles(pool->device, vulkan);
    return FBY_OK;
}
