/* SPDX-License-Identifier: Apache-2.0 */
#include "base/numa.h"

#include <linux/mempolicy.h>
#include <unistd.h>

#include "base/bits.h"

enum { WORD_BITS = 8 * sizeof(unsigned long) };

bool fby_numa_add(fby_numa_nodes *nodes, uint32_t node)
{
    if (node >= FBY_NUMA_NODES_MAX)
        return false;
    nodes->bits[node / WORD_BITS] |= 1UL << node % WORD_BITS;
    return true;
}

static bool place(void *at, size_t size, int mode, const fby_numa_nodes *nodes)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = (uintptr_t)at;
    const uintptr_t first = (begin + page - 1) / page * page;
    const uintptr_t last = (begin + size) / page * page;
    /* The kernel wants one more than the bits that it reads (mbind(2), of 2.6 to now). */
    return last > first && fby_mbind((char *)at + (first - begin), last - first, mode, nodes->bits,
                                     FBY_NUMA_NODES_MAX + 1, MPOL_MF_MOVE) == 0;
}

bool fby_numa_prefer(void *at, size_t size, const fby_numa_nodes *nodes)
{
    return place(at, size, MPOL_PREFERRED, nodes);
}

bool fby_numa_interleave(void *at, size_t size, const fby_numa_nodes *nodes)
{
    return place(at, size, MPOL_INTERLEAVE, nodes);
}
