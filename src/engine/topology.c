/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/topology.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/first_line.h"
#include "base/cpu.h"
#include "engine/hwloc.h"

static int by_place(const void *a, const void *b)
{
    const fby_cpu_place *x = a, *y = b;
    if (x->node != y->node)
        return x->node < y->node ? -1 : 1;
    if (x->core != y->core)
        return x->core < y->core ? -1 : 1;
    return x->cpu < y->cpu ? -1 : x->cpu > y->cpu;
}

/* ---- lists of numbers, as the kernel writes them: "0-3,8" ---- */

typedef struct set {
    bool has[FBY_CPUS_MAX];
} set;

static bool parse_list(const char *text, set *out)
{
    *out = (set){0};
    while (*text != '\0' && *text != '\n') {
        char *end;
        unsigned long first = strtoul(text, &end, 10), last = first;
        if (end == text)
            return false;
        if (*end == '-') {
            text = end + 1;
            last = strtoul(text, &end, 10);
            if (end == text)
                return false;
        }
        if (last >= FBY_CPUS_MAX || first > last)
            return false;
        for (; first <= last; first++)
            out->has[first] = true;
        text = *end == ',' ? end + 1 : end;
        if (*end != ',' && *end != '\0' && *end != '\n')
            return false;
    }
    return true;
}

static bool read_list(const char *dir, const char *name, set *out)
{
    char path[512], text[4096];
    int size = snprintf(path, sizeof path, "%s/%s", dir, name);
    return size < (int)sizeof path && fby_first_line(path, text, sizeof text) &&
           parse_list(text, out);
}

static uint32_t least_of(const set *s)
{
    for (uint32_t i = 0; i < FBY_CPUS_MAX; i++)
        if (s->has[i])
            return i;
    return 0;
}

/* ---- the system ---- */

/* A core is named by the least of the processors that it has. */
static uint16_t core_of(const char *dir, uint32_t cpu)
{
    char name[64];
    set siblings;
    snprintf(name, sizeof name, "cpu/cpu%u/topology/thread_siblings_list", cpu);
    if (!read_list(dir, name, &siblings) || !siblings.has[cpu])
        return (uint16_t)cpu;
    return (uint16_t)least_of(&siblings);
}

/* Node numbers may have gaps; ours have none. */
static uint64_t read_free(const char *dir, uint32_t node)
{
    char path[4096], line[128];
    unsigned long long kilobytes = 0;
    snprintf(path, sizeof path, "%s/node/node%u/meminfo", dir, node);
    FILE *file = fopen(path, "re");
    while (file != NULL && kilobytes == 0 && fgets(line, sizeof line, file) != NULL) {
        const char *at = strstr(line, "MemFree:");
        if (at != NULL)
            kilobytes = strtoull(at + strlen("MemFree:"), NULL, 10);
    }
    if (file != NULL)
        fclose(file);
    return kilobytes < UINT64_MAX / 1024 ? kilobytes * 1024 : 0;
}

static uint32_t read_nodes(const char *dir, uint16_t node_of[FBY_CPUS_MAX], fby_topology *topology)
{
    set online, cpus;
    uint32_t nodes = 0;
    memset(node_of, 0, FBY_CPUS_MAX * sizeof *node_of);
    if (!read_list(dir, "node/online", &online))
        return 1;
    for (uint32_t node = 0; node < FBY_CPUS_MAX && nodes < FBY_NODES_MAX; node++) {
        char name[64];
        snprintf(name, sizeof name, "node/node%u/cpulist", node);
        if (!online.has[node] || !read_list(dir, name, &cpus))
            continue;
        bool any = false; /* a node of memory alone has no place for a worker */
        for (uint32_t cpu = 0; cpu < FBY_CPUS_MAX; cpu++)
            if (cpus.has[cpu]) {
                node_of[cpu] = (uint16_t)nodes;
                any = true;
            }
        if (any) {
            topology->node_number[nodes] = (uint16_t)node;
            topology->node_free[nodes++] = read_free(dir, node);
        }
    }
    return nodes > 0 ? nodes : 1;
}

fby_status fby_topology_read_at(const char *dir, const char *allowed, fby_topology *topology)
{
    set online, may;
    uint16_t node_of[FBY_CPUS_MAX];
    *topology = (fby_topology){0};
    if (!read_list(dir, "cpu/online", &online))
        return fby_error(FBY_EFORMAT, "%s/cpu/online: not a list of processors", dir);
    may = online;
    if (allowed != NULL && !parse_list(allowed, &may))
        return fby_error(FBY_EFORMAT, "%s: not a list of processors", allowed);
    topology->nodes = read_nodes(dir, node_of, topology);
    for (uint32_t cpu = 0; cpu < FBY_CPUS_MAX; cpu++)
        if (online.has[cpu])
            topology->cpus[topology->count++] =
                (fby_cpu_place){(uint16_t)cpu, core_of(dir, cpu), node_of[cpu], may.has[cpu]};
    qsort(topology->cpus, topology->count, sizeof *topology->cpus, by_place);
    return FBY_OK;
}

uint64_t fby_topology_node_free(const fby_topology *topology)
{
    uint64_t least = UINT64_MAX;
    for (uint32_t i = 0; i < topology->count; i++) {
        const fby_cpu_place *cpu = &topology->cpus[i];
        if (cpu->allowed && topology->node_free[cpu->node] < least)
            least = topology->node_free[cpu->node];
    }
    return least != UINT64_MAX ? least : 0;
}

static void guess(fby_topology *topology)
{
    *topology = (fby_topology){.nodes = 1, .count = fby_cpu_count()};
    topology->count = topology->count < FBY_CPUS_MAX ? topology->count : FBY_CPUS_MAX;
    for (uint32_t i = 0; i < topology->count; i++)
        topology->cpus[i] = (fby_cpu_place){(uint16_t)i, (uint16_t)i, 0, true};
}

void fby_topology_read(fby_topology *topology)
{
    cpu_set_t affinity;
    const uint32_t quota = fby_cpu_count(); /* affinity, then the cgroup's */
    if (fby_topology_read_at("/sys/devices/system", NULL, topology) != FBY_OK &&
        !fby_hwloc_read(NULL, topology))
        guess(topology);
    topology->quota = quota;
    if (sched_getaffinity(0, sizeof affinity, &affinity) != 0)
        return;
    for (uint32_t i = 0; i < topology->count; i++)
        topology->cpus[i].allowed =
            topology->cpus[i].cpu < CPU_SETSIZE && CPU_ISSET(topology->cpus[i].cpu, &affinity);
}

/* ---- a description ---- */

typedef struct levels {
    uint32_t nodes, cores_a_node, threads_a_core;
} levels;

/* "name:count"; what it stands for multiplies into the level that it is inside of. */
static bool take_level(const char *name, size_t size, uint32_t count, bool *in_node, bool *in_core,
                       levels *l)
{
    bool node = (size == 4 && strncmp(name, "node", 4) == 0) ||
                (size == 4 && strncmp(name, "numa", 4) == 0) ||
                (size == 8 && strncmp(name, "numanode", 8) == 0);
    bool core = size == 4 && strncmp(name, "core", 4) == 0;
    bool pu = size == 2 && strncmp(name, "pu", 2) == 0;
    if ((node && (*in_node || *in_core)) || (core && *in_core))
        return false;
    *in_node |= node;
    *in_core |= core;
    if (pu)
        *(*in_core ? &l->threads_a_core : &l->cores_a_node) *= count;
    else if (node || !*in_node)
        l->nodes *= count;
    else
        *(core || !*in_core ? &l->cores_a_node : &l->threads_a_core) *= count;
    return (uint64_t)l->nodes * l->cores_a_node * l->threads_a_core <= FBY_CPUS_MAX &&
           l->nodes <= FBY_NODES_MAX;
}

fby_status fby_topology_parse(const char *text, fby_topology *topology)
{
    levels l = {1, 1, 1};
    bool in_node = strstr(text, "node") == NULL && strstr(text, "numa") == NULL, in_core = false;
    const char *at = text;
    while (*at != '\0') {
        size_t size = strcspn(at, ":");
        char *end;
        unsigned long count = at[size] == ':' ? strtoul(at + size + 1, &end, 10) : 0;
        if (size == 0 || count == 0 || count > FBY_CPUS_MAX || (*end != ' ' && *end != '\0') ||
            !take_level(at, size, (uint32_t)count, &in_node, &in_core, &l))
            return fby_error(FBY_EFORMAT, "%.64s: not a topology of at most %d processors", text,
                             FBY_CPUS_MAX);
        at = end + strspn(end, " ");
    }
    *topology = (fby_topology){.nodes = l.nodes};
    for (uint32_t node = 0; node < l.nodes; node++)
        topology->node_number[node] = (uint16_t)node;
    for (uint32_t node = 0, core = 0; node < l.nodes; node++)
        for (uint32_t i = 0; i < l.cores_a_node; i++, core++)
            for (uint32_t thread = 0; thread < l.threads_a_core; thread++) {
                uint32_t cpu = topology->count++;
                topology->cpus[cpu] =
                    (fby_cpu_place){(uint16_t)cpu, (uint16_t)core, (uint16_t)node, true};
            }
    return FBY_OK;
}
