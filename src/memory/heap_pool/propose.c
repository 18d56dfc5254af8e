/* SPDX-License-Identifier: Apache-2.0 */
#include "base/status.h"
#include "forebay/heap_pool.h"

#define MIB       ((uint64_t)1 << 20)
#define GIB       ((uint64_t)1 << 30)
#define PARAMS(b) ((uint64_t)(b)*1000000000u)

/* By parameters, then by memory: the rows up to a bound, the last without one. */
static const struct {
    const char *model;
    uint64_t below, heap_min, heap_max;
} models[] = {
    {"small", PARAMS(7), 128 * MIB, 256 * MIB},
    {"medium", PARAMS(13), 256 * MIB, 512 * MIB},
    {"large", PARAMS(30), 512 * MIB, GIB},
    {"very large", UINT64_MAX, GIB, 2 * GIB},
};

static const struct {
    uint64_t below;
    uint32_t heaps_min, heaps_max;
} machines[] = {
    {16 * GIB, 1, 2},
    {32 * GIB, 2, 3},
    {64 * GIB, 4, 6},
    {UINT64_MAX, 6, 8},
};

fby_status fby_heap_pool_propose(uint64_t parameters, uint64_t ram_bytes,
                                 fby_heap_proposal *proposal)
{
    if (parameters == 0 || ram_bytes == 0)
        return fby_error(FBY_EINVAL, "a model of %llu parameters in %llu bytes",
                         (unsigned long long)parameters, (unsigned long long)ram_bytes);
    size_t model = 0, machine = 0;
    while (parameters >= models[model].below && models[model].below != UINT64_MAX)
        model++;
    while (ram_bytes >= machines[machine].below && machines[machine].below != UINT64_MAX)
        machine++;
    fby_heap_proposal made = {
        .model = models[model].model,
        .heap_bytes_min = models[model].heap_min,
        .heap_bytes_max = models[model].heap_max,
        .num_heaps_min = machines[machine].heaps_min,
        .num_heaps_max = machines[machine].heaps_max,
    };
    made.heap_bytes = made.heap_bytes_max;
    made.num_heaps = made.num_heaps_max;
    while (made.heap_bytes * made.num_heaps > ram_bytes / 4 && made.num_heaps > made.num_heaps_min)
        made.num_heaps--;
    if (made.heap_bytes * made.num_heaps > ram_bytes / 4)
        made.heap_bytes = made.heap_bytes_min;
    *proposal = made;
    return FBY_OK;
}
