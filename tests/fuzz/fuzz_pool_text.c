/* SPDX-License-Identifier: Apache-2.0 */
/* A heap pool's trace and its statistics, read by those who replay and advise. */
#include "fuzz.h"

#include "base/assert.h"
#include "cli/pool_trace.h"
#include "memory/heap_pool/series.h"

static void check_trace(const fby_pool_trace *trace)
{
    for (size_t i = 0; i < trace->call_count; i++)
        fby_assert(trace->calls[i] >> 1 < trace->block_count);
    for (size_t i = 0; i < trace->block_count; i++)
        fby_assert(trace->blocks[i].label < trace->label_count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static fby_heap_pool_stats stats;
    static const uint64_t parts[] = {UINT64_MAX, 1 << 20};
    fby_heap_advice advice[FBY_HEAP_ADVICE_MAX];
    fby_pool_trace trace;

    if (fby_pool_trace_read((const char *)data, size, &trace) == FBY_OK)
        check_trace(&trace);
    fby_pool_trace_clear(&trace);
    if (fby_heap_series_read((const char *)data, size, &stats) == FBY_OK)
        fby_assert(fby_heap_pool_advise(&stats, parts, 2, advice) <= FBY_HEAP_ADVICE_MAX);
    return 0;
}
