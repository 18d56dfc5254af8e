/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where heaps come from: one table of functions for each kind of memory.
 *
 *     open --> { map --> touch --> unmap } --> close          available at any time between
 *
 * A region is memory of one kind in one piece; the pool cuts it up and never asks
 * the backend again until it gives the whole back. What has no address here (memory
 * of a device) is not moved by compaction, and nothing else changes.
 *
 * Threads: open and close on one; map, touch, unmap, available on any, at once.
 */
#ifndef FBY_MEMORY_HEAP_POOL_BACKEND_H
#define FBY_MEMORY_HEAP_POOL_BACKEND_H

#include "forebay/heap_pool.h"

typedef struct fby_heap_region {
    unsigned char *address; /* NULL: not to be reached from here */
    uint64_t bytes;
    uint64_t buffer, memory; /* Vulkan: VkBuffer, VkDeviceMemory */
} fby_heap_region;

typedef struct fby_heap_source {
    const char *name;
    fby_status (*open)(const fby_heap_pool_options *options, void **device);
    void (*close)(void *device);

    /* `bytes`, a multiple of 4 KiB, aligned to that. FBY_ENOMEM. */
    fby_status (*map)(void *device, uint64_t bytes, fby_heap_region *region);
    /* Every page is there afterwards. */
    void (*touch)(void *device, const fby_heap_region *region);
    void (*unmap)(void *device, const fby_heap_region *region);

    /* Bytes that map() would find now; UINT64_MAX where nobody says. */
    uint64_t (*available)(void *device);
} fby_heap_source;

extern const fby_heap_source fby_heap_host;
extern const fby_heap_source fby_heap_device; /* Vulkan */

/* The Vulkan device's handles. */
void fby_heap_device_handles(void *device, fby_heap_vulkan *vulkan);

#endif
