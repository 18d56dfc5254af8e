/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a placement plans for memory on several NUMA nodes, done: contexts on the
 * nodes of their workers, a copy of the weights on each node, or one that is
 * dealt out to all. On one node there is nothing to do, and nothing is done.
 *
 * The file of packed weights, which other processes map too, stays as it is:
 * copies are private memory, filled from it.
 *
 * Threads: one until it is made; then constant.
 */
#ifndef FBY_ENGINE_LOCAL_H
#define FBY_ENGINE_LOCAL_H

#include "engine/topology.h"
#include "model/encoder.h"

typedef struct fby_local {
    fby_encoder *copies[FBY_NODES_MAX]; /* by node; interleaved: the first alone */
} fby_local;

/* Where there is no memory for copies, the weights stay where they are. */
void fby_local_make(const fby_encoder *encoder, const fby_topology *topology,
                    const fby_placement *placement, fby_local *local);
void fby_local_clear(fby_local *local);

/* What a worker of `node` is to run: a copy, or `encoder` itself. */
const fby_encoder *fby_local_encoder(const fby_local *local, const fby_encoder *encoder,
                                     uint32_t node);

/* A context's memory. */
void fby_local_context(const fby_topology *topology, uint32_t node, void *memory, size_t bytes);

#endif
