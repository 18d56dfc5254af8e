/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/heap_pool/vulkan.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"

enum { DEVICES_MAX = 32, FAMILIES_MAX = 32, EXTENSIONS_MAX = 1024 };

/* A pointer to a function out of a library, which ISO C has no cast for. */
static PFN_vkGetInstanceProcAddr entry_of(void *library)
{
    PFN_vkGetInstanceProcAddr entry;
    void *symbol = dlsym(library, "vkGetInstanceProcAddr");
    memcpy(&entry, &symbol, sizeof entry);
    return entry;
}

static fby_status open_loader(fby_vulkan *vulkan)
{
    vulkan->library = dlopen("libvulkan.so.1", RTLD_NOW | RTLD_LOCAL);
    if (vulkan->library == NULL)
        return fby_error(FBY_EUNSUPPORTED, "no Vulkan loader: %s", dlerror());
    vulkan->get_instance_proc_addr = entry_of(vulkan->library);
    if (vulkan->get_instance_proc_addr == NULL)
        return fby_error(FBY_EUNSUPPORTED, "libvulkan.so.1 is no Vulkan loader");
    return FBY_OK;
}

static fby_status create_instance(fby_vulkan *vulkan)
{
    PFN_vkCreateInstance create =
        (PFN_vkCreateInstance)vulkan->get_instance_proc_addr(NULL, "vkCreateInstance");
    const VkApplicationInfo application = {
        .sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
        .pApplicationName = "forebay",
        .apiVersion = VK_API_VERSION_1_1,
    };
    const VkInstanceCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
        .pApplicationInfo = &application,
    };
    VkResult result =
        create != NULL ? create(&info, NULL, &vulkan->instance) : VK_ERROR_INITIALIZATION_FAILED;
    if (result != VK_SUCCESS) {
        vulkan->instance = VK_NULL_HANDLE;
        return fby_error(FBY_EUNSUPPORTED, "no Vulkan instance (%d): no driver?", (int)result);
    }
    return FBY_OK;
}

static fby_status load_instance(fby_vulkan *vulkan)
{
#define LOAD(name)                                                                                 \
    vulkan->name = (PFN_##name)vulkan->get_instance_proc_addr(vulkan->instance, #name);            \
    if (vulkan->name == NULL)                                                                      \
        return fby_error(FBY_EUNSUPPORTED, "this Vulkan has no " #name);
    FBY_VULKAN_INSTANCE_CALLS(LOAD)
#undef LOAD
    return FBY_OK;
}

static fby_status load_device(fby_vulkan *vulkan)
{
#define LOAD(name)                                                                                 \
    vulkan->name = (PFN_##name)vulkan->vkGetDeviceProcAddr(vulkan->device, #name);                 \
    if (vulkan->name == NULL)                                                                      \
        return fby_error(FBY_EUNSUPPORTED, "this Vulkan device has no " #name);
    FBY_VULKAN_DEVICE_CALLS(LOAD)
#undef LOAD
    return FBY_OK;
}

static fby_status choose_physical(fby_vulkan *vulkan, uint32_t wanted)
{
    VkPhysicalDevice devices[DEVICES_MAX];
    uint32_t count = DEVICES_MAX;
    VkResult result = vulkan->vkEnumeratePhysicalDevices(vulkan->instance, &count, devices);
    if ((result != VK_SUCCESS && result != VK_INCOMPLETE) || wanted >= count)
        return fby_error(FBY_EUNSUPPORTED, "device %u: this system has %u Vulkan devices", wanted,
                         result < 0 ? 0 : count);
    vulkan->physical = devices[wanted];
    return FBY_OK;
}

/* One that computes, for the programs that bring kernels; such a queue also copies. */
static fby_status choose_family(fby_vulkan *vulkan)
{
    VkQueueFamilyProperties families[FAMILIES_MAX];
    uint32_t count = FAMILIES_MAX;
    vulkan->vkGetPhysicalDeviceQueueFamilyProperties(vulkan->physical, &count, families);
    for (uint32_t i = 0; i < count; i++)
        if (families[i].queueCount > 0 && (families[i].queueFlags & VK_QUEUE_COMPUTE_BIT) != 0) {
            vulkan->queue_family = i;
            return FBY_OK;
        }
    return fby_error(FBY_EUNSUPPORTED, "the Vulkan device has no queue that computes");
}

static bool has_extension(const fby_vulkan *vulkan, const char *name)
{
    uint32_t count = EXTENSIONS_MAX;
    VkExtensionProperties *all = calloc(count, sizeof *all);
    bool found = false;
    if (all != NULL && vulkan->vkEnumerateDeviceExtensionProperties(vulkan->physical, NULL, &count,
                                                                    all) >= VK_SUCCESS)
        for (uint32_t i = 0; i < count && !found; i++)
            found = strcmp(all[i].extensionName, name) == 0;
    free(all);
    return found;
}

static fby_status create_device(fby_vulkan *vulkan)
{
    const float priority = 1.0f;
    const char *const budget = VK_EXT_MEMORY_BUDGET_EXTENSION_NAME;
    const VkDeviceQueueCreateInfo queue = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
        .queueFamilyIndex = vulkan->queue_family,
        .queueCount = 1,
        .pQueuePriorities = &priority,
    };
    vulkan->budget = has_extension(vulkan, budget);
    const VkDeviceCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
        .queueCreateInfoCount = 1,
        .pQueueCreateInfos = &queue,
        .enabledExtensionCount = vulkan->budget,
        .ppEnabledExtensionNames = &budget,
    };
    VkResult result = vulkan->vkCreateDevice(vulkan->physical, &info, NULL, &vulkan->device);
    if (result != VK_SUCCESS) {
        vulkan->device = VK_NULL_HANDLE;
        return fby_error(FBY_EUNSUPPORTED, "no Vulkan device (%d)", (int)result);
    }
    return FBY_OK;
}

static fby_status open_own(fby_vulkan *vulkan, uint32_t device)
{
    vulkan->own = true;
    fby_status status = open_loader(vulkan);
    if (status == FBY_OK)
        status = create_instance(vulkan);
    if (status == FBY_OK)
        status = load_instance(vulkan);
    if (status == FBY_OK)
        status = choose_physical(vulkan, device);
    if (status == FBY_OK)
        status = choose_family(vulkan);
    if (status == FBY_OK)
        status = create_device(vulkan);
    if (status == FBY_OK)
        status = load_device(vulkan);
    if (status == FBY_OK)
        vulkan->vkGetDeviceQueue(vulkan->device, vulkan->queue_family, 0, &vulkan->queue);
    return status;
}

/* Whether the caller's device was made with the budget's extension is not known: it is not asked.
 */
static fby_status open_given(fby_vulkan *vulkan, const fby_heap_vulkan *given)
{
    if (given->get_instance_proc_addr == NULL || given->instance == NULL ||
        given->physical_device == NULL || given->device == NULL)
        return fby_error(FBY_EINVAL, "fby_heap_vulkan lacks a handle");
    memcpy(&vulkan->get_instance_proc_addr, &given->get_instance_proc_addr,
           sizeof vulkan->get_instance_proc_addr);
    vulkan->instance = given->instance;
    vulkan->physical = given->physical_device;
    vulkan->device = given->device;
    vulkan->queue = given->queue;
    vulkan->queue_family = given->queue_family;
    fby_status status = load_instance(vulkan);
    return status == FBY_OK ? load_device(vulkan) : status;
}

fby_status fby_vulkan_open(const fby_heap_pool_options *options, fby_vulkan **out)
{
    fby_vulkan *vulkan = calloc(1, sizeof *vulkan);
    if (vulkan == NULL)
        return fby_error(FBY_ENOMEM, "no memory for a heap pool's backend");
    fby_status status = options->vulkan != NULL ? open_given(vulkan, options->vulkan)
                                                : open_own(vulkan, options->device);
    if (status != FBY_OK) {
        fby_vulkan_close(vulkan);
        return status;
    }
    *out = vulkan;
    return FBY_OK;
}

void fby_vulkan_close(fby_vulkan *vulkan)
{
    if (vulkan->own && vulkan->device != VK_NULL_HANDLE && vulkan->vkDestroyDevice != NULL)
        vulkan->vkDestroyDevice(vulkan->device, NULL);
    if (vulkan->own && vulkan->instance != VK_NULL_HANDLE && vulkan->vkDestroyInstance != NULL)
        vulkan->vkDestroyInstance(vulkan->instance, NULL);
    if (vulkan->library != NULL)
        dlclose(vulkan->library);
    free(vulkan);
}
