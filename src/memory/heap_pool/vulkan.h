/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the files of the Vulkan backend. The loader is opened at run time; nothing
 * links it, and where it is missing the backend says so.
 *
 *     vulkan_open.c   loader, instance, device: found or handed in
 *     vulkan.c        memory, a buffer over it, the backend's table
 */
#ifndef FBY_MEMORY_HEAP_POOL_VULKAN_H
#define FBY_MEMORY_HEAP_POOL_VULKAN_H

#include "memory/heap_pool/backend.h"

#define VK_NO_PROTOTYPES
#include <vulkan/vulkan_core.h>

/* What is called of the device, and of its instance from the first on. */
#define FBY_VULKAN_INSTANCE_CALLS(CALL)                                                            \
    CALL(vkDestroyInstance)                                                                        \
    CALL(vkEnumeratePhysicalDevices)                                                               \
    CALL(vkEnumerateDeviceExtensionProperties)                                                     \
    CALL(vkGetPhysicalDeviceQueueFamilyProperties)                                                 \
    CALL(vkGetPhysicalDeviceMemoryProperties)                                                      \
    CALL(vkGetPhysicalDeviceMemoryProperties2)                                                     \
    CALL(vkCreateDevice)                                                                           \
    CALL(vkGetDeviceProcAddr)
#define FBY_VULKAN_DEVICE_CALLS(CALL)                                                              \
    CALL(vkDestroyDevice)                                                                          \
    CALL(vkGetDeviceQueue)                                                                         \
    CALL(vkAllocateMemory)                                                                         \
    CALL(vkFreeMemory)                                                                             \
    CALL(vkMapMemory)                                                                              \
    CALL(vkUnmapMemory)                                                                            \
    CALL(vkCreateBuffer)                                                                           \
    CALL(vkDestroyBuffer)                                                                          \
    CALL(vkGetBufferMemoryRequirements)                                                            \
    CALL(vkBindBufferMemory)

#define FBY_VULKAN_FIELD(name) PFN_##name name;

typedef struct fby_vulkan {
    void *library; /* NULL: the caller's */
    PFN_vkGetInstanceProcAddr get_instance_proc_addr;
    FBY_VULKAN_INSTANCE_CALLS(FBY_VULKAN_FIELD)
    FBY_VULKAN_DEVICE_CALLS(FBY_VULKAN_FIELD)

    VkInstance instance;
    VkPhysicalDevice physical;
    VkDevice device;
    VkQueue queue;
    uint32_t queue_family;
    bool own;    /* instance and device */
    bool budget; /* VK_EXT_memory_budget can be asked */

    uint32_t memory_type, memory_heap;
    bool mapped; /* blocks have addresses */
    bool faults; /* the first touch of a page costs, and can be done from here */
} fby_vulkan;

/* Everything but the memory type. FBY_EUNSUPPORTED where there is no loader, no such device. */
fby_status fby_vulkan_open(const fby_heap_pool_options *options, fby_vulkan **vulkan);
void fby_vulkan_close(fby_vulkan *vulkan);

#endif
