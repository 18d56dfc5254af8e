/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/heap_pool/backend.h"

#include "base/status.h"

static fby_status device_open(const fby_heap_pool_options *options, void **device)
{
    (void)options, (void)device;
    return fby_error(FBY_EUNSUPPORTED, "this build has no Vulkan backend");
}

const fby_heap_source fby_heap_device = {.name = "vulkan", .open = device_open};

void fby_heap_device_handles(void *device, fby_heap_vulkan *vulkan)
{
    (void)device, (void)vulkan;
}
