/* SPDX-License-Identifier: Apache-2.0 */
#include "base/scheduling.h"

#include <sched.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/* As sched_setattr(2) has it; the C library has no type before its version 2.41. */
struct attributes {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime_ns, deadline_ns, period_ns;
};

bool fby_sched_short_turns(void)
{
    enum { SHORTEST_NS = 100000 };
    struct attributes attributes = {.size = sizeof attributes};
    if (syscall(SYS_sched_getattr, 0, &attributes, sizeof attributes, 0) != 0 ||
        attributes.policy != SCHED_OTHER)
        return false;
    attributes.runtime_ns = SHORTEST_NS;
    return syscall(SYS_sched_setattr, 0, &attributes, 0) == 0;
}

bool fby_sched_leave(const cpu_set_t *busy)
{
    cpu_set_t allowed, rest;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        return false;
    CPU_AND(&rest, &allowed, busy);
    CPU_XOR(&rest, &allowed, &rest);
    if (CPU_COUNT(&rest) == 0 || sched_setaffinity(0, sizeof rest, &rest) != 0)
        return false;
    (void)sched_setaffinity(0, sizeof allowed, &allowed); /* as it was */
    return true;
}
