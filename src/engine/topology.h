/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The processors that this process may use: which share a core, which lie on one
 * NUMA node. From the system, or from a synthetic description as hwloc's.
 *
 * Constant once read; any thread.
 */
#ifndef FBY_ENGINE_TOPOLOGY_H
#define FBY_ENGINE_TOPOLOGY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

enum { FBY_CPUS_MAX = 1024, FBY_NODES_MAX = 64 };

typedef struct fby_cpu_place {
    uint16_t cpu;  /* the system's number */
    uint16_t core; /* equal for hardware threads of one core; unique over nodes */
    uint16_t node; /* 0 … nodes - 1, by the system's order */
    bool allowed;  /* by affinity and cpuset */
} fby_cpu_place;

typedef struct fby_topology {
    fby_cpu_place cpus[FBY_CPUS_MAX]; /* by node, core, number */
    uint32_t count, nodes;
    uint16_t node_number[FBY_NODES_MAX]; /* the system's, by ours */
    uint64_t node_free[FBY_NODES_MAX];   /* bytes; 0: not known */
    uint32_t quota;                      /* processors that the cgroup pays for; 0: no limit */
} fby_topology;

/* What /sys says, else hwloc, where it is; one node and a core a processor where none does. */
void fby_topology_read(fby_topology *topology);

/* The same under a directory laid out as /sys/devices/system. `allowed` as a list: "0-3,8"; NULL:
 * all that there are. */
fby_status fby_topology_read_at(const char *dir, const char *allowed, fby_topology *topology);

/*
 * A description of levels as hwloc's synthetic topologies have it, outermost first:
 * "node:2 core:64 pu:2", also "package:2 numa:1 core:4 pu:1". Processors are numbered in their
 * order, all allowed. A level that is not a node, a core or a pu only multiplies. FBY_EFORMAT.
 */
fby_status fby_topology_parse(const char *text, fby_topology *topology);

/* ---- where workers and weights go ---- */

typedef enum fby_weights_at {
    FBY_WEIGHTS_ONCE,       /* one node */
    FBY_WEIGHTS_REPLICATED, /* a copy a node: every read is local */
    FBY_WEIGHTS_INTERLEAVED /* one copy, its pages dealt out to the nodes */
} fby_weights_at;

typedef struct fby_placement {
    uint32_t workers;
    uint16_t cpu[FBY_CPUS_MAX];  /* worker i's core, by its first allowed processor */
    uint16_t node[FBY_CPUS_MAX]; /* its node: where its context is to lie */
    bool pinned;                 /* each to the processors of its node; false: one node */
    fby_weights_at weights;
    uint32_t nodes_used;
} fby_placement;

/*
 * At most `wanted` workers (0: as many as pay), never two on one core, never more than the quota,
 * on nodes in proportion to the cores that are allowed there. `weight_bytes` a copy and
 * `node_free_bytes` of every node decide about copies: replicated where they take at most an eighth
 * of what is free. engine/local.h does what is planned.
 */
/* Of the nodes that have an allowed processor, the least that is free on one; 0: not known. */
uint64_t fby_topology_node_free(const fby_topology *topology);

void fby_placement_make(const fby_topology *topology, uint32_t wanted, uint64_t weight_bytes,
                        uint64_t node_free_bytes, fby_placement *placement);

#endif
