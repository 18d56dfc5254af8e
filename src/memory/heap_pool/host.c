/* SPDX-License-Identifier: Apache-2.0 */
/* Pages of this process, on a node and in huge pages where the system grants that. */
#include <errno.h>
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/cgroup.h"
#include "base/digits.h"
#include "base/status.h"
#include "memory/heap_pool/backend.h"

enum { PAGE = 4096, HUGE_PAGE = 2 << 20, NODES_MAX = 1024 };

typedef struct host {
    bool huge_pages, on_node;
    uint32_t node;
} host;

static fby_status host_open(const fby_heap_pool_options *options, void **device)
{
    if (options->on_node && options->node >= NODES_MAX)
        return fby_error(FBY_EINVAL, "node is %u, at most %d", options->node, NODES_MAX - 1);
    host *made = malloc(sizeof *made);
    if (made == NULL)
        return fby_error(FBY_ENOMEM, "no memory for a heap pool's backend");
    *made = (host){!options->no_huge_pages, options->on_node, options->node};
    *device = made;
    return FBY_OK;
}

static void host_close(void *device)
{
    free(device);
}

/* A kernel that refuses (no NUMA, a sandbox) gives pages from anywhere, which is no error. */
static void prefer_node(void *address, size_t size, uint32_t node)
{
    enum { BITS = 8 * sizeof(unsigned long) };
    unsigned long nodes[NODES_MAX / BITS] = {0};

    nodes[node / BITS] = 1ul << node % BITS;
    (void)syscall(SYS_mbind, address, size, MPOL_PREFERRED, nodes, (unsigned long)NODES_MAX + 1,
                  0u);
}

static fby_status host_map(void *device, uint64_t bytes, fby_heap_region *region)
{
    const host *self = device;
    /* More than asked for, so that it can begin on a huge page. */
    size_t slack = bytes >= HUGE_PAGE ? HUGE_PAGE : 0, size;

    if (!fby_add_size(bytes, slack, &size))
        return fby_error(FBY_ENOMEM, "cannot map %llu bytes", (unsigned long long)bytes);
    unsigned char *raw =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (raw == MAP_FAILED)
        return fby_error_errno(FBY_ENOMEM, errno, "mapping %llu bytes", (unsigned long long)bytes);
    size_t skip = slack == 0 ? 0 : (HUGE_PAGE - (uintptr_t)raw % HUGE_PAGE) % HUGE_PAGE;
    if (skip != 0)
        munmap(raw, skip);
    if (slack != skip)
        munmap(raw + skip + bytes, slack - skip);
    raw += skip;
    if (self->huge_pages && bytes >= HUGE_PAGE)
        (void)madvise(raw, bytes, MADV_HUGEPAGE);
    if (self->on_node)
        prefer_node(raw, bytes, self->node);
    *region = (fby_heap_region){.address = raw, .bytes = bytes};
    return FBY_OK;
}

static void host_touch(void *device, const fby_heap_region *region)
{
    const host *self = device;
    for (uint64_t at = 0; at < region->bytes; at += PAGE)
        *(_Atomic unsigned char *)(region->address + at) = 0;
    /* What is huge stays so; what is not shall not be collected later, which would unmap it for a
     * moment. */
    if (self->huge_pages && region->bytes >= HUGE_PAGE)
        (void)madvise(region->address, region->bytes, MADV_NOHUGEPAGE);
}

static void host_unmap(void *device, const fby_heap_region *region)
{
    (void)device;
    munmap(region->address, region->bytes);
}

/* ---- what there is ---- */

/* The number that follows `key` in a file. */
static bool read_number(const char *path, const char *key, uint64_t *x)
{
    char text[2048];
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return false;
    ssize_t size = read(file, text, sizeof text - 1);
    close(file);
    if (size <= 0)
        return false;
    text[size] = '\0';
    const char *at = strstr(text, key), *end;
    if (at == NULL)
        return false;
    at += strlen(key);
    return fby_read_digits(at + strspn(at, " "), x, &end);
}

/* Of the machine, and of the control group where that is less. */
static uint64_t host_available(void *device)
{
    uint64_t kib, available = fby_cgroup_memory_left();

    (void)device;
    if (read_number("/proc/meminfo", "MemAvailable:", &kib) && kib << 10 < available)
        available = kib << 10;
    return available;
}

const fby_heap_source fby_heap_host = {
    .name = "host",
    .open = host_open,
    .close = host_close,
    .map = host_map,
    .touch = host_touch,
    .unmap = host_unmap,
    .available = host_available,
};
