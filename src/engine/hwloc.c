/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/hwloc.h"

#include <dlfcn.h>
#include <stdlib.h>

/* The part of hwloc 2's interface that is used, as its manual describes it; the ABI is that of all
 * versions 2.x (libhwloc.so.15). */
typedef struct hwloc_topology *topology_handle;
typedef struct hwloc_object {
    int type;
    char *subtype;
    unsigned os_index;
    char *name;
    uint64_t total_memory;
    void *attributes;
    int depth;
    unsigned logical_index;
    struct hwloc_object *next_cousin, *prev_cousin, *parent;
    unsigned sibling_rank;
    struct hwloc_object *next_sibling, *prev_sibling;
    unsigned arity;
    struct hwloc_object **children, *first_child, *last_child;
    int symmetric_subtree;
    unsigned memory_arity;
    struct hwloc_object *memory_first_child;
    unsigned io_arity;
    struct hwloc_object *io_first_child;
    unsigned misc_arity;
    struct hwloc_object *misc_first_child;
    void *cpuset, *complete_cpuset, *nodeset, *complete_nodeset;
} object;
enum { TYPE_CORE = 2, TYPE_PU = 3, TYPE_NUMANODE = 13 };

typedef struct library {
    void *handle;
    unsigned (*version)(void);
    int (*init)(topology_handle *);
    int (*set_synthetic)(topology_handle, const char *);
    int (*load)(topology_handle);
    void (*destroy)(topology_handle);
    int (*type_depth)(topology_handle, int);
    unsigned (*count)(topology_handle, int);
    object *(*at)(topology_handle, int, unsigned);
    int (*isset)(const void *, unsigned);
    const void *(*allowed)(topology_handle);
} library;

static bool open_library(library *l)
{
    l->handle = dlopen("libhwloc.so.15", RTLD_NOW | RTLD_LOCAL);
    if (l->handle == NULL)
        return false;
    const struct {
        const char *name;
        void *to;
    } symbols[] = {
        {"hwloc_get_api_version", &l->version},
        {"hwloc_topology_init", &l->init},
        {"hwloc_topology_set_synthetic", &l->set_synthetic},
        {"hwloc_topology_load", &l->load},
        {"hwloc_topology_destroy", &l->destroy},
        {"hwloc_get_type_depth", &l->type_depth},
        {"hwloc_get_nbobjs_by_depth", &l->count},
        {"hwloc_get_obj_by_depth", &l->at},
        {"hwloc_bitmap_isset", &l->isset},
        {"hwloc_topology_get_allowed_cpuset", &l->allowed},
    };
    for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++) {
        void *symbol = dlsym(l->handle, symbols[i].name);
        if (symbol == NULL)
            return false;
        *(void **)symbols[i].to = symbol;
    }
    return l->version() >> 16 == 2;
}

/* The index of the object of `type` that has processor `cpu`; 0 where there is none. */
static uint16_t holder(const library *l, topology_handle t, int type, unsigned cpu)
{
    int depth = l->type_depth(t, type);
    unsigned count = l->count(t, depth);
    for (unsigned i = 0; i < count; i++)
        if (l->isset(l->at(t, depth, i)->cpuset, cpu))
            return (uint16_t)i;
    return 0;
}

static bool take(const library *l, topology_handle t, fby_topology *topology)
{
    const int pu = l->type_depth(t, TYPE_PU);
    const unsigned count = l->count(t, pu);
    const unsigned nodes = l->count(t, l->type_depth(t, TYPE_NUMANODE));
    if (count == 0 || count > FBY_CPUS_MAX || nodes > FBY_NODES_MAX)
        return false;
    *topology = (fby_topology){.count = count, .nodes = nodes > 0 ? nodes : 1};
    for (unsigned i = 0; i < nodes; i++)
        topology->node_number[i] = (uint16_t)l->at(t, l->type_depth(t, TYPE_NUMANODE), i)->os_index;
    for (unsigned i = 0; i < count; i++) { /* in logical order: by node, core, number */
        unsigned cpu = l->at(t, pu, i)->os_index;
        if (cpu >= FBY_CPUS_MAX)
            return false;
        topology->cpus[i] =
            (fby_cpu_place){(uint16_t)cpu, holder(l, t, TYPE_CORE, cpu),
                            holder(l, t, TYPE_NUMANODE, cpu), l->isset(l->allowed(t), cpu) == 1};
    }
    return true;
}

bool fby_hwloc_read(const char *synthetic, fby_topology *topology)
{
    library l = {0};
    topology_handle t = NULL;
    bool read = false;
    if (open_library(&l) && l.init(&t) == 0) {
        read = (synthetic == NULL || l.set_synthetic(t, synthetic) == 0) && l.load(t) == 0 &&
               take(&l, t, topology);
        l.destroy(t);
    }
    if (l.handle != NULL)
        dlclose(l.handle);
    return read;
}
