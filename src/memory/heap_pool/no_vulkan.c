/* SPDX-License-Identifier: Apache-2.0 */
/* The Vulkan backend of a build that had no Vulkan headers. */
#include "base/assert.h"
#include "base/status.h"
#include "memory/heap_pool/backend.h"

static fby_status no_device(const fby_heap_pool_options *options, void **device)
{
    (void)options, (void)device;
    return fby_error(FBY_EUNSUPPORTED, "this build has no Vulkan: its headers were missing");
}

const fby_heap_source fby_heap_device = {.name = "vulkan", .open = no_device};

void fby_heap_device_handles(void *device, fby_heap_vulkan *vulkan)
{
    (void)device, (void)vulkan;
    fby_assert(false); /* no pool has such a device */
}
