/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/syscall.h>
#include <unistd.h>

#include "base/numa.h"

long fby_mbind(void *at, unsigned long size, int mode, const unsigned long *nodes,
               unsigned long node_count, unsigned flags)
{
    return syscall(SYS_mbind, at, size, mode, nodes, node_count, flags);
}
