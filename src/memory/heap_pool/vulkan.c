/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory of a Vulkan device: one VkDeviceMemory a heap and one VkBuffer over it, in
 * which a block is an offset. So a pool needs few of a device's allocations, whose
 * number is limited, and a kernel binds a buffer once a heap.
 *
 * No queue is used: those are the caller's, to whom alone they belong.
 */
#include "memory/heap_pool/vulkan.h"

#include <string.h>

#include "base/assert.h"
#include "base/status.h"

enum { PAGE = 4096 };

_Static_assert(sizeof(VkBuffer) == sizeof(uint64_t) && sizeof(VkDeviceMemory) == sizeof(uint64_t),
               "handles are 64 bits wide");

static VkBuffer buffer_of(const fby_heap_region *region)
{
    VkBuffer buffer;
    memcpy(&buffer, &region->buffer, sizeof region->buffer);
    return buffer;
}

static VkDeviceMemory memory_of(const fby_heap_region *region)
{
    VkDeviceMemory memory;
    memcpy(&memory, &region->memory, sizeof region->memory);
    return memory;
}

/* VK_SUCCESS, and a buffer that a kernel may use in every way. */
static VkResult create_buffer(const fby_vulkan *vulkan, uint64_t bytes, VkBuffer *buffer)
{
    const VkBufferCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
        .size = bytes,
        .usage = VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT |
                 VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_UNIFORM_BUFFER_BIT |
                 VK_BUFFER_USAGE_INDIRECT_BUFFER_BIT,
        .sharingMode = VK_SHARING_MODE_EXCLUSIVE,
    };
    return vulkan->vkCreateBuffer(vulkan->device, &info, NULL, buffer);
}

/* ---- which memory ---- */

static bool has_flags(const VkMemoryType *type, VkMemoryPropertyFlags flags)
{
    return (type->propertyFlags & flags) == flags;
}

/* The first type of those that buffers may have: drivers list the better first. */
static fby_status choose_memory(fby_vulkan *vulkan, fby_heap_memory kind)
{
    const VkMemoryPropertyFlags visible =
        VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
    VkPhysicalDeviceMemoryProperties memory;
    VkMemoryRequirements requirements;
    VkBuffer buffer;

    vulkan->mapped = kind == FBY_HEAP_HOST_VISIBLE;
    if (create_buffer(vulkan, PAGE, &buffer) != VK_SUCCESS)
        return fby_error(FBY_ENOMEM, "the Vulkan device gives no buffer");
    vulkan->vkGetBufferMemoryRequirements(vulkan->device, buffer, &requirements);
    vulkan->vkDestroyBuffer(vulkan->device, buffer, NULL);
    vulkan->vkGetPhysicalDeviceMemoryProperties(vulkan->physical, &memory);
    for (uint32_t i = 0; i < memory.memoryTypeCount; i++) {
        const VkMemoryType *type = &memory.memoryTypes[i];
        if ((requirements.memoryTypeBits >> i & 1) == 0 ||
            !has_flags(type, vulkan->mapped ? visible : VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT))
            continue;
        vulkan->memory_type = i;
        vulkan->memory_heap = type->heapIndex;
        vulkan->faults = has_flags(type, visible);
        return FBY_OK;
    }
    return fby_error(FBY_EUNSUPPORTED, "the Vulkan device has no %s memory for buffers",
                     vulkan->mapped ? "host-visible" : "device-local");
}

static fby_status device_open(const fby_heap_pool_options *options, void **device)
{
    fby_vulkan *vulkan;
    fby_status status = fby_vulkan_open(options, &vulkan);
    if (status != FBY_OK)
        return status;
    status = choose_memory(vulkan, options->memory);
    if (status != FBY_OK) {
        fby_vulkan_close(vulkan);
        return status;
    }
    *device = vulkan;
    return FBY_OK;
}

static void device_close(void *device)
{
    fby_vulkan_close(device);
}

/* ---- regions ---- */

static VkResult allocate(const fby_vulkan *vulkan, VkBuffer buffer, VkDeviceMemory *memory)
{
    VkMemoryRequirements requirements;
    vulkan->vkGetBufferMemoryRequirements(vulkan->device, buffer, &requirements);
    const VkMemoryAllocateInfo info = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
        .allocationSize = requirements.size,
        .memoryTypeIndex = vulkan->memory_type,
    };
    return vulkan->vkAllocateMemory(vulkan->device, &info, NULL, memory);
}

static fby_status device_map(void *device, uint64_t bytes, fby_heap_region *region)
{
    const fby_vulkan *vulkan = device;
    fby_heap_region made = {.bytes = bytes};
    VkBuffer buffer;
    VkDeviceMemory memory;
    void *address = NULL;

    VkResult result = create_buffer(vulkan, bytes, &buffer);
    if (result != VK_SUCCESS)
        goto failed;
    result = allocate(vulkan, buffer, &memory);
    if (result != VK_SUCCESS)
        goto destroy_buffer;
    result = vulkan->vkBindBufferMemory(vulkan->device, buffer, memory, 0);
    if (result == VK_SUCCESS && vulkan->mapped)
        result = vulkan->vkMapMemory(vulkan->device, memory, 0, VK_WHOLE_SIZE, 0, &address);
    if (result != VK_SUCCESS)
        goto free_memory;
    made.address = address;
    memcpy(&made.buffer, &buffer, sizeof made.buffer);
    memcpy(&made.memory, &memory, sizeof made.memory);
    *region = made;
    return FBY_OK;

free_memory:
    vulkan->vkFreeMemory(vulkan->device, memory, NULL);
destroy_buffer:
    vulkan->vkDestroyBuffer(vulkan->device, buffer, NULL);
failed:
    return fby_error(FBY_ENOMEM, "%llu bytes of the Vulkan device (%d)", (unsigned long long)bytes,
                     (int)result);
}

/* Where device and host share pages (or the device is the host), the first touch is a fault; memory
 * of a device's own is there once it is allocated. */
static void device_touch(void *device, const fby_heap_region *region)
{
    const fby_vulkan *vulkan = device;
    void *address = region->address;

    if (!vulkan->faults)
        return;
    if (address == NULL && vulkan->vkMapMemory(vulkan->device, memory_of(region), 0, VK_WHOLE_SIZE,
                                               0, &address) != VK_SUCCESS)
        return;
    for (uint64_t at = 0; at < region->bytes; at += PAGE)
        *((_Atomic unsigned char *)address + at) = 0;
    if (region->address == NULL)
        vulkan->vkUnmapMemory(vulkan->device, memory_of(region));
}

static void device_unmap(void *device, const fby_heap_region *region)
{
    const fby_vulkan *vulkan = device;
    vulkan->vkDestroyBuffer(vulkan->device, buffer_of(region), NULL);
    vulkan->vkFreeMemory(vulkan->device, memory_of(region), NULL); /* its mapping ends with it */
}

static uint64_t device_available(void *device)
{
    const fby_vulkan *vulkan = device;
    VkPhysicalDeviceMemoryBudgetPropertiesEXT budget = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT};
    VkPhysicalDeviceMemoryProperties2 memory = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2,
        .pNext = vulkan->budget ? &budget : NULL,
    };
    uint32_t heap = vulkan->memory_heap;

    vulkan->vkGetPhysicalDeviceMemoryProperties2(vulkan->physical, &memory);
    if (!vulkan->budget)
        return memory.memoryProperties.memoryHeaps[heap].size;
    return budget.heapUsage[heap] < budget.heapBudget[heap]
               ? budget.heapBudget[heap] - budget.heapUsage[heap]
               : 0;
}

const fby_heap_source fby_heap_device = {
    .name = "vulkan",
    .open = device_open,
    .close = device_close,
    .map = device_map,
    .touch = device_touch,
    .unmap = device_unmap,
    .available = device_available,
};

void fby_heap_device_handles(void *device, fby_heap_vulkan *out)
{
    const fby_vulkan *vulkan = device;
    *out = (fby_heap_vulkan){
        .instance = vulkan->instance,
        .physical_device = vulkan->physical,
        .device = vulkan->device,
        .queue_family = vulkan->queue_family,
        .queue = vulkan->queue,
    };
    memcpy(&out->get_instance_proc_addr, &vulkan->get_instance_proc_addr,
           sizeof out->get_instance_proc_addr);
}
