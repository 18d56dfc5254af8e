/* SPDX-License-Identifier: Apache-2.0 */
/*
 * On which NUMA nodes the pages of a range lie: set_mempolicy(2) of a range
 * rather than of a thread. An advice: a system without it, or without room on
 * the node, puts pages where it likes, and everything runs.
 *
 * Threads: any.
 */
#ifndef FBY_BASE_NUMA_H
#define FBY_BASE_NUMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The system's numbers of nodes. */
enum { FBY_NUMA_NODES_MAX = 1024 };
typedef struct fby_numa_nodes {
    unsigned long bits[FBY_NUMA_NODES_MAX / (8 * sizeof(unsigned long))];
} fby_numa_nodes;

/* False for a number that has no place there. */
bool fby_numa_add(fby_numa_nodes *nodes, uint32_t node);

/* The whole pages within the range: on the one node of `nodes`, those that exist move there; false
 * where the system would not. */
bool fby_numa_prefer(void *at, size_t size, const fby_numa_nodes *nodes);

/* Dealt out to `nodes` as they are touched; existing pages move. */
bool fby_numa_interleave(void *at, size_t size, const fby_numa_nodes *nodes);

/* mbind(2), apart so that tests can put something in its place. */
long fby_mbind(void *at, unsigned long size, int mode, const unsigned long *nodes,
               unsigned long node_count, unsigned flags);

#endif
