/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/bench_cpus.h"

#include <pthread.h>
#include <sched.h>

void fby_bench_cpus(int *cpus, uint32_t count)
{
    cpu_set_t allowed;
    for (uint32_t i = 0; i < count; i++)
        cpus[i] = -1;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0 ||
        (uint32_t)CPU_COUNT(&allowed) < count)
        return;
    int cpu = -1;
    for (uint32_t i = 0; i < count; i++) {
        do
            cpu++;
        while (!CPU_ISSET((unsigned)cpu, &allowed));
        cpus[i] = cpu;
    }
}

void fby_bench_pin(int cpu)
{
    cpu_set_t set;
    if (cpu < 0)
        return;
    CPU_ZERO(&set);
    CPU_SET((unsigned)cpu, &set);
    pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}
