/* SPDX-License-Identifier: Apache-2.0 */
/* What was asked for, checked; what was left open, decided. */
#include <math.h>
#include <stdlib.h>

#include "base/bits.h"
#include "base/cpu.h"
#include "base/options.h"
#include "memory/heap_pool/pool.h"

enum { HEAP_ROUND = 64 << 10, NUM_HEAPS_AUTO = 4, PARTS_MAX = 1 << 20, BLOCKS_MIN = 16 };
#define HEAP_BYTES_MAX ((uint64_t)128 << 30)

/*
 * The capacity of each of `heaps` equal heaps that hold all parts in whatever order they come and
 * wherever each goes: while part p finds no room, all heaps are filled to more than capacity - p,
 * and together with no more than sum - p. The largest p wants most. Nor is a heap of k times the
 * largest full before it has k parts, which is less where all are alike.
 */
static uint64_t hold_parts(uint64_t sum, uint64_t largest, uint64_t count, uint32_t heaps)
{
    uint64_t others = sum - largest;
    uint64_t by_sum = largest + others / heaps + (others % heaps != 0);
    uint64_t by_count = (count / heaps + (count % heaps != 0)) * largest;
    return by_sum < by_count ? by_sum : by_count;
}

static fby_status size_from_parts(fby_heap_pool_options *options)
{
    size_t count = options->part_count;
    uint64_t sum = 0, largest = 0;
    if (count == 0 || count > PARTS_MAX || options->parts == NULL)
        return fby_error(FBY_EINVAL, "heap_bytes is 0, and there are %zu parts to size heaps from",
                         count);
    for (size_t i = 0; i < count; i++) {
        if (options->parts[i] == 0 || options->parts[i] > HEAP_BYTES_MAX)
            return fby_error(FBY_EINVAL, "part %zu has %llu bytes", i,
                             (unsigned long long)options->parts[i]);
        uint64_t bytes = fby_align_up(options->parts[i], FBY_HEAP_ALIGN_MAX);
        sum += bytes; /* PARTS_MAX * HEAP_BYTES_MAX fit 64 bits */
        largest = bytes > largest ? bytes : largest;
    }
    options->heap_bytes = hold_parts(sum, largest, count, options->num_heaps);
    return FBY_OK;
}

static fby_status check_choices(const fby_heap_pool_options *options)
{
    if ((unsigned)options->backend > FBY_HEAP_VULKAN)
        return fby_error(FBY_EINVAL, "backend is %d", (int)options->backend);
    if ((unsigned)options->memory > FBY_HEAP_HOST_VISIBLE)
        return fby_error(FBY_EINVAL, "memory is %d", (int)options->memory);
    if ((unsigned)options->strategy > FBY_HEAP_LEAST_USED)
        return fby_error(FBY_EINVAL, "strategy is %d", (int)options->strategy);
    return FBY_OK;
}

static fby_status resolve_shares(fby_heap_pool_options *options)
{
    if (options->growth_trigger == 0.0)
        options->growth_trigger = 0.9;
    if (options->compaction_threshold == 0.0)
        options->compaction_threshold = 0.5;
    if (options->compaction_interval_ms == 0)
        options->compaction_interval_ms = 60000;
    if (!(options->growth_trigger > 0.0 && options->growth_trigger <= 1.0))
        return fby_error(FBY_EINVAL, "growth_trigger is %g, not from 0 to 1",
                         options->growth_trigger);
    if (!(options->compaction_threshold > 0.0 && options->compaction_threshold <= 1.0))
        return fby_error(FBY_EINVAL, "compaction_threshold is %g, not from 0 to 1",
                         options->compaction_threshold);
    return FBY_OK;
}

static fby_status resolve_heaps(fby_heap_pool_options *options)
{
    if (options->num_heaps == 0) {
        options->num_heaps = fby_min_u32(fby_cpu_count(), NUM_HEAPS_AUTO);
        if (options->heap_bytes == 0 && options->part_count != 0)
            options->num_heaps = (uint32_t)fby_min_size(options->num_heaps, options->part_count);
    }
    if (options->num_heaps > FBY_HEAP_HEAPS_MAX)
        return fby_error(FBY_EINVAL, "num_heaps is %u, at most %d", options->num_heaps,
                         FBY_HEAP_HEAPS_MAX);
    if (options->max_heaps == 0)
        options->max_heaps = fby_min_u32(2 * options->num_heaps, FBY_HEAP_HEAPS_MAX);
    if (!options->dynamic_growth)
        options->max_heaps = options->num_heaps;
    if (options->max_heaps < options->num_heaps || options->max_heaps > FBY_HEAP_HEAPS_MAX)
        return fby_error(FBY_EINVAL, "max_heaps is %u, not from num_heaps (%u) to %d",
                         options->max_heaps, options->num_heaps, FBY_HEAP_HEAPS_MAX);
    return FBY_OK;
}

static fby_status resolve_size(fby_heap_pool_options *options)
{
    if (options->heap_bytes == 0) {
        fby_status status = size_from_parts(options);
        if (status != FBY_OK)
            return status;
    }
    if (options->heap_bytes > HEAP_BYTES_MAX)
        return fby_error(FBY_EINVAL, "heap_bytes is %llu, at most %llu",
                         (unsigned long long)options->heap_bytes,
                         (unsigned long long)HEAP_BYTES_MAX);
    options->heap_bytes = fby_align_up(options->heap_bytes, HEAP_ROUND);
    if (options->blocks_max == 0)
        options->blocks_max = (uint32_t)fby_min_size(
            fby_max_size(options->heap_bytes / FBY_HEAP_ALIGN_MAX, 1024), 1 << 20);
    if (options->blocks_max < BLOCKS_MIN || options->blocks_max > FBY_HEAP_RECORDS_MAX)
        return fby_error(FBY_EINVAL, "blocks_max is %u, not from %d to %d", options->blocks_max,
                         BLOCKS_MIN, FBY_HEAP_RECORDS_MAX);
    return FBY_OK;
}

static int ascending(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static fby_status read_warmup(const fby_heap_pool_options *options, fby_heap_counting *counting)
{
    *counting = (fby_heap_counting){.on = !options->statistics_off};
    if (options->warmup_count > FBY_HEAP_WARMUP_MAX ||
        (options->warmup_count > 0 && options->warmup_bytes == NULL))
        return fby_error(FBY_EINVAL, "%zu warm-up sizes, at most %d", options->warmup_count,
                         FBY_HEAP_WARMUP_MAX);
    for (size_t i = 0; i < options->warmup_count; i++) {
        if (options->warmup_bytes[i] == 0)
            return fby_error(FBY_EINVAL, "warm-up size %zu is 0", i);
        counting->warmup_bytes[i] = options->warmup_bytes[i];
    }
    counting->warmup_count = (uint32_t)options->warmup_count;
    qsort(counting->warmup_bytes, counting->warmup_count, sizeof counting->warmup_bytes[0],
          ascending);
    return FBY_OK;
}

fby_status fby_heap_options_resolve(const fby_heap_pool_options *given,
                                    fby_heap_pool_options *options, fby_heap_counting *counting)
{
    *options = (fby_heap_pool_options)FBY_HEAP_POOL_OPTIONS_INIT;
    fby_status status = fby_options_read(options, sizeof *options, given, "fby_heap_pool_options");
    if (status == FBY_OK)
        status = check_choices(options);
    if (status == FBY_OK)
        status = resolve_shares(options);
    if (status == FBY_OK)
        status = read_warmup(options, counting);
    if (status == FBY_OK && options->disabled) {
        options->num_heaps = options->max_heaps = 0;
        options->dynamic_growth = options->compaction = false;
    } else if (status == FBY_OK) {
        status = resolve_heaps(options);
        if (status == FBY_OK)
            status = resolve_size(options);
    }
    return status;
}
