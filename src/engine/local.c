/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/local.h"

#include "base/numa.h"

static void place_on(void *memory, size_t bytes, void *nodes)
{
    (void)fby_numa_prefer(memory, bytes, nodes); /* an advice */
}

static void deal_out(void *memory, size_t bytes, void *nodes)
{
    (void)fby_numa_interleave(memory, bytes, nodes);
}

static bool uses(const fby_placement *placement, uint32_t node)
{
    for (uint32_t i = 0; i < placement->workers; i++)
        if (placement->node[i] == node)
            return true;
    return false;
}

static fby_status copy_to_nodes(const fby_encoder *encoder, const fby_topology *topology,
                                const fby_placement *placement, fby_local *local)
{
    fby_status status = FBY_OK;
    for (uint32_t node = 0; status == FBY_OK && node < topology->nodes; node++) {
        fby_numa_nodes nodes = {0};
        if (!uses(placement, node) || !fby_numa_add(&nodes, topology->node_number[node]))
            continue;
        const fby_encoder_place place = {place_on, &nodes};
        status = fby_encoder_copy(encoder, &place, &local->copies[node]);
    }
    return status;
}

static fby_status deal_out_copy(const fby_encoder *encoder, const fby_topology *topology,
                                const fby_placement *placement, fby_local *local)
{
    fby_numa_nodes nodes = {0};
    for (uint32_t node = 0; node < topology->nodes; node++)
        if (uses(placement, node))
            (void)fby_numa_add(&nodes, topology->node_number[node]);
    const fby_encoder_place place = {deal_out, &nodes};
    return fby_encoder_copy(encoder, &place, &local->copies[0]);
}

void fby_local_make(const fby_encoder *encoder, const fby_topology *topology,
                    const fby_placement *placement, fby_local *local)
{
    fby_status status = FBY_OK;
    *local = (fby_local){0};
    if (placement->weights == FBY_WEIGHTS_REPLICATED)
        status = copy_to_nodes(encoder, topology, placement, local);
    else if (placement->weights == FBY_WEIGHTS_INTERLEAVED)
        status = deal_out_copy(encoder, topology, placement, local);
    if (status != FBY_OK)
        fby_local_clear(local);
}

void fby_local_clear(fby_local *local)
{
    for (uint32_t node = 0; node < FBY_NODES_MAX; node++)
        fby_encoder_close(local->copies[node]);
    *local = (fby_local){0};
}

const fby_encoder *fby_local_encoder(const fby_local *local, const fby_encoder *encoder,
                                     uint32_t node)
{
    if (local->copies[node] != NULL)
        return local->copies[node];
    return local->copies[0] != NULL ? local->copies[0] : encoder;
}

void fby_local_context(const fby_topology *topology, uint32_t node, void *memory, size_t bytes)
{
    fby_numa_nodes nodes = {0};
    if (fby_numa_add(&nodes, topology->node_number[node]))
        (void)fby_numa_prefer(memory, bytes, &nodes);
}
