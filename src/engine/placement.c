/* SPDX-License-Identifier: Apache-2.0 */
/* Where workers and weights go: from a topology alone. */
#include <string.h>

#include "base/bits.h"
#include "engine/topology.h"

/* Of what is free on a node, what a copy of the weights may take. */
enum { COPY_SHARE = 8 };

/* The first allowed processor of each core, node by node: `core` (count) indices into cpus. */
static uint32_t find_cores(const fby_topology *topology, uint16_t *core,
                           uint32_t cores_of[FBY_NODES_MAX])
{
    uint32_t count = 0;
    memset(cores_of, 0, FBY_NODES_MAX * sizeof *cores_of);
    for (uint32_t i = 0; i < topology->count; i++) {
        const fby_cpu_place *cpu = &topology->cpus[i];
        const fby_cpu_place *last = count > 0 ? &topology->cpus[core[count - 1]] : NULL;
        bool same = last != NULL && last->core == cpu->core && last->node == cpu->node;
        if (!cpu->allowed || same)
            continue;
        core[count++] = (uint16_t)i;
        cores_of[cpu->node]++;
    }
    return count;
}

/* Shares of `workers` in proportion to the nodes' cores, by largest remainder. */
static void deal(uint32_t workers, uint32_t cores, const uint32_t cores_of[FBY_NODES_MAX],
                 uint32_t share[FBY_NODES_MAX])
{
    uint32_t dealt = 0;
    for (uint32_t node = 0; node < FBY_NODES_MAX; node++)
        dealt += share[node] = (uint32_t)((uint64_t)workers * cores_of[node] / cores);
    for (; dealt < workers; dealt++) {
        uint32_t best = 0;
        uint64_t most = 0;
        for (uint32_t node = 0; node < FBY_NODES_MAX; node++) {
            uint64_t lacks = (uint64_t)workers * cores_of[node] - (uint64_t)share[node] * cores;
            if (share[node] < cores_of[node] &&
                (uint64_t)share[node] * cores < (uint64_t)workers * cores_of[node] &&
                lacks > most) {
                most = lacks;
                best = node;
            }
        }
        share[best]++;
    }
}

void fby_placement_make(const fby_topology *topology, uint32_t wanted, uint64_t weight_bytes,
                        uint64_t node_free_bytes, fby_placement *placement)
{
    uint16_t core[FBY_CPUS_MAX];
    uint32_t cores_of[FBY_NODES_MAX], share[FBY_NODES_MAX];
    const uint32_t cores = find_cores(topology, core, cores_of);
    uint32_t workers = wanted != 0 ? fby_min_u32(wanted, cores) : cores;
    if (topology->quota != 0)
        workers = fby_min_u32(workers, topology->quota);
    *placement = (fby_placement){0};
    if (workers == 0)
        return;
    deal(workers, cores, cores_of, share);
    for (uint32_t i = 0; i < cores; i++) {
        const fby_cpu_place *cpu = &topology->cpus[core[i]];
        if (share[cpu->node] == 0)
            continue;
        share[cpu->node]--;
        placement->nodes_used +=
            placement->workers == 0 || placement->node[placement->workers - 1] != cpu->node;
        placement->cpu[placement->workers] = cpu->cpu;
        placement->node[placement->workers++] = cpu->node;
    }
    placement->pinned = placement->nodes_used > 1;
    if (placement->nodes_used > 1)
        placement->weights = weight_bytes <= node_free_bytes / COPY_SHARE ? FBY_WEIGHTS_REPLICATED
                                                                          : FBY_WEIGHTS_INTERLEAVED;
}
