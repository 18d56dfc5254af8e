/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/plan.h"

#include "base/bits.h"
#include "forebay/ring_pool.h"

enum {
    BATCH_TOKENS = 256, /* as the engine's: rows enough for the weights, few enough for the cache */
    LONG_SLOTS = 64,
    PEAK_VECTORS = 64 /* of a request whose memory is the pool's, for the pool's size */
};
static const size_t large_most = (size_t)1 << 30, ready_most = (size_t)16 << 20,
                    pool_least = (size_t)1 << 20;

/* Room for as many requests as there are slots or connections, of inline_result_vectors rows in the
 * mean, each with ids, answer and its text beside it: about six times the vectors. As many again
 * have been answered and wait behind an older one. */
static size_t pool_for(const fby_serve_config *config, size_t memory, uint32_t dim)
{
    fby_ring_workload workload = FBY_RING_WORKLOAD_INIT;
    workload.vector_bytes = (size_t)dim * sizeof(float) * 6;
    workload.mean_vectors = (double)config->inline_result_vectors;
    workload.peak_vectors = PEAK_VECTORS;
    workload.requests_in_flight =
        (uint32_t)fby_min_size(config->ring_slots, config->max_connections);
    workload.requests_waiting = workload.requests_in_flight;
    size_t bytes = 0;
    if (fby_ring_pool_size(&workload, &bytes) != FBY_OK)
        bytes = (size_t)64 << 20;
    return fby_min_size(bytes, fby_max_size(memory / 8, pool_least));
}

static uint32_t power_below(uint64_t n)
{
    while (!fby_is_pow2(n))
        n &= n - 1;
    return (uint32_t)n;
}

fby_serve_plan fby_serve_plan_make(const fby_serve_config *config, const fby_serve_machine *machine,
                                   uint32_t dim)
{
    uint32_t agents = (uint32_t)config->agents;
    uint32_t workers = config->threads != 0 ? (uint32_t)config->threads : machine->processors;
    uint64_t batch = config->max_batch_tokens != 0 ? config->max_batch_tokens : BATCH_TOKENS;
    size_t memory = machine->memory_bytes < SIZE_MAX ? (size_t)machine->memory_bytes : SIZE_MAX;
    size_t pool = config->pool_bytes != 0 ? config->pool_bytes : pool_for(config, memory, dim);
    size_t large =
        config->large_bytes != 0 ? config->large_bytes : fby_min_size(memory / 4, large_most);

    return (fby_serve_plan){
        .workers = workers,
        .batch_tokens = batch,
        .long_slots = LONG_SLOTS,
        .ready_bytes = fby_min_size(large / 8, ready_most),
        .connections = (uint32_t)fby_max_size(config->max_connections / agents, 1),
        .pool_bytes = pool / agents,
        .large_bytes = large / agents,
        /* One batch a worker is computed while the next one waits. */
        .ahead_tokens = fby_max_size(2 * batch * workers / agents, 1),
        .max_queued = config->max_queued_tokens / agents,
        /* Half of the lanes' slots: copies that lag have the others. config_finish.c sees to it
         * that there is one for each agent. */
        .max_events = power_below(config->ring_slots / 2 / agents),
        .max_long = (uint32_t)fby_max_size(LONG_SLOTS / agents, 1),
    };
}
