/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Vulkan backend on a real device (Mesa's lavapipe will do): bytes go up, across
 * on the device, and down again. Calls of the loader pass by the wrappers here, which
 * count what lives and refuse the Nth allocation.
 */
#include "forebay/heap_pool.h"
#include "test.h"

#define VK_NO_PROTOTYPES
#include <dlfcn.h>
#include <stdatomic.h>
#include <vulkan/vulkan_core.h>

enum { MIB = 1 << 20 };

/* ---- wrappers ---- */

static PFN_vkGetInstanceProcAddr real_instance_proc;
static PFN_vkGetDeviceProcAddr real_device_proc;
static PFN_vkAllocateMemory real_allocate;
static PFN_vkFreeMemory real_free;
static PFN_vkCreateBuffer real_create;
static PFN_vkDestroyBuffer real_destroy;
static atomic_int allocations, refused = -1, live_memory, live_buffers;

static VkResult allocate(VkDevice device, const VkMemoryAllocateInfo *info,
                         const VkAllocationCallbacks *callbacks, VkDeviceMemory *memory)
{
    if (atomic_fetch_add(&allocations, 1) == atomic_load(&refused))
        return VK_ERROR_OUT_OF_DEVICE_MEMORY;
    VkResult result = real_allocate(device, info, callbacks, memory);
    atomic_fetch_add(&live_memory, result == VK_SUCCESS);
    return result;
}

static void free_memory(VkDevice device, VkDeviceMemory memory,
                        const VkAllocationCallbacks *callbacks)
{
    atomic_fetch_sub(&live_memory, 1);
    real_free(device, memory, callbacks);
}

static VkResult create(VkDevice device, const VkBufferCreateInfo *info,
                       const VkAllocationCallbacks *callbacks, VkBuffer *buffer)
{
    VkResult result = real_create(device, info, callbacks, buffer);
    atomic_fetch_add(&live_buffers, result == VK_SUCCESS);
    return result;
}

static void destroy(VkDevice device, VkBuffer buffer, const VkAllocationCallbacks *callbacks)
{
    atomic_fetch_sub(&live_buffers, 1);
    real_destroy(device, buffer, callbacks);
}

#define WRAP(called, type, real, wrapper)                                                          \
    if (strcmp(name, called) == 0) {                                                               \
        (real) = (type)real_device_proc(device, name);                                             \
        return (PFN_vkVoidFunction)(wrapper);                                                      \
    }

static PFN_vkVoidFunction device_proc(VkDevice device, const char *name)
{
    WRAP("vkAllocateMemory", PFN_vkAllocateMemory, real_allocate, allocate)
    WRAP("vkFreeMemory", PFN_vkFreeMemory, real_free, free_memory)
    WRAP("vkCreateBuffer", PFN_vkCreateBuffer, real_create, create)
    WRAP("vkDestroyBuffer", PFN_vkDestroyBuffer, real_destroy, destroy)
    return real_device_proc(device, name);
}

static PFN_vkVoidFunction instance_proc(VkInstance instance, const char *name)
{
    PFN_vkVoidFunction found = real_instance_proc(instance, name);
    if (strcmp(name, "vkGetDeviceProcAddr") != 0)
        return found;
    real_device_proc = (PFN_vkGetDeviceProcAddr)found;
    return (PFN_vkVoidFunction)device_proc;
}

void *__real_dlsym(void *library, const char *name);
void *__wrap_dlsym(void *library, const char *name);
void *__wrap_dlsym(void *library, const char *name)
{
    void *symbol = __real_dlsym(library, name);
    if (symbol == NULL || strcmp(name, "vkGetInstanceProcAddr") != 0)
        return symbol;
    PFN_vkGetInstanceProcAddr wrapper = instance_proc;
    memcpy(&real_instance_proc, &symbol, sizeof symbol);
    memcpy(&symbol, &wrapper, sizeof symbol);
    return symbol;
}

/* ---- pools ---- */

static char last_line[512];

static void keep_line(void *context, const char *line)
{
    (void)context;
    snprintf(last_line, sizeof last_line, "%s", line);
}

static fby_heap_pool_options of_vulkan(fby_heap_memory memory)
{
    fby_heap_pool_options options = FBY_HEAP_POOL_OPTIONS_INIT;
    options.backend = FBY_HEAP_VULKAN;
    options.memory = memory;
    options.num_heaps = 2;
    options.heap_bytes = 4 * MIB;
    options.log = keep_line;
    return options;
}

/* NULL, and the test is skipped with a word, where there is no Vulkan. */
static fby_heap_pool *made(const fby_heap_pool_options *options)
{
    fby_heap_pool *pool = NULL;
    fby_status status = fby_heap_pool_create(options, &pool);
    if (status == FBY_EUNSUPPORTED) {
        print_message("skipped: %s\n", fby_last_error());
        skip();
    }
    if (status != FBY_OK)
        fail_msg("%s", fby_last_error());
    return pool;
}

/* ---- a copy on the device ---- */

typedef struct gpu {
    fby_heap_vulkan handles;
    VkCommandPool commands;
    VkCommandBuffer buffer;
} gpu;

#define CALL(gpu, name) ((PFN_##name)real_device_proc((gpu)->handles.device, #name))

static void begin(gpu *self)
{
    VkCommandPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                    .queueFamilyIndex = self->handles.queue_family};
    assert_int_equal(
        CALL(self, vkCreateCommandPool)(self->handles.device, &pool, NULL, &self->commands),
        VK_SUCCESS);
    VkCommandBufferAllocateInfo info = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                        .commandPool = self->commands,
                                        .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
                                        .commandBufferCount = 1};
    assert_int_equal(
        CALL(self, vkAllocateCommandBuffers)(self->handles.device, &info, &self->buffer),
        VK_SUCCESS);
    VkCommandBufferBeginInfo once = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
                                     .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT};
    assert_int_equal(CALL(self, vkBeginCommandBuffer)(self->buffer, &once), VK_SUCCESS);
}

static VkBuffer buffer_at(const fby_heap_place *place)
{
    VkBuffer buffer;
    memcpy(&buffer, &place->buffer, sizeof buffer);
    return buffer;
}

static void copy(gpu *self, const fby_heap_place *from, const fby_heap_place *to)
{
    VkBufferCopy region = {from->offset, to->offset, from->bytes};
    VkMemoryBarrier barrier = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                               .srcAccessMask = VK_ACCESS_TRANSFER_WRITE_BIT,
                               .dstAccessMask = VK_ACCESS_TRANSFER_READ_BIT};
    CALL(self, vkCmdCopyBuffer)(self->buffer, buffer_at(from), buffer_at(to), 1, &region);
    CALL(self, vkCmdPipelineBarrier)
    (self->buffer, VK_PIPELINE_STAGE_TRANSFER_BIT, VK_PIPELINE_STAGE_TRANSFER_BIT, 0, 1, &barrier,
     0, NULL, 0, NULL);
}

static void end(gpu *self)
{
    VkSubmitInfo submit = {.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
                           .commandBufferCount = 1,
                           .pCommandBuffers = &self->buffer};
    assert_int_equal(CALL(self, vkEndCommandBuffer)(self->buffer), VK_SUCCESS);
    assert_int_equal(CALL(self, vkQueueSubmit)(self->handles.queue, 1, &submit, VK_NULL_HANDLE),
                     VK_SUCCESS);
    assert_int_equal(CALL(self, vkQueueWaitIdle)(self->handles.queue), VK_SUCCESS);
    CALL(self, vkDestroyCommandPool)(self->handles.device, self->commands, NULL);
}

static void bytes_go_up_across_and_down_again(void **state)
{
    (void)state;
    enum { BYTES = 1000003 };
    fby_rng rng = fby_rng_from_env();
    fby_heap_pool_options visible = of_vulkan(FBY_HEAP_HOST_VISIBLE);
    fby_heap_pool *staging = made(&visible), *device;
    gpu self = {0};
    assert_int_equal(fby_heap_pool_vulkan(staging, &self.handles), FBY_OK);

    fby_heap_pool_options local = of_vulkan(FBY_HEAP_DEVICE);
    local.vulkan = &self.handles; /* as a program does that has a device */
    device = made(&local);

    fby_heap_block blocks[4];
    fby_heap_place up, first, second, down;
    fby_heap_pool *of[] = {staging, device, device, staging};
    fby_heap_place *places[] = {&up, &first, &second, &down};
    for (int i = 0; i < 4; i++)
        assert_int_equal(fby_heap_acquire(of[i], BYTES, 256, "copy", &blocks[i], places[i]),
                         FBY_OK);
    assert_null(first.address);
    assert_non_null(up.address);
    assert_true(first.offset % 256 == 0 && first.buffer != 0);
    for (int i = 0; i < BYTES; i++)
        ((unsigned char *)up.address)[i] = (unsigned char)fby_rng_next(&rng);
    memset(down.address, 0, BYTES);

    begin(&self);
    copy(&self, &up, &first);
    copy(&self, &first, &second);
    copy(&self, &second, &down);
    end(&self);
    assert_memory_equal(up.address, down.address, BYTES);

    for (int i = 0; i < 4; i++)
        fby_heap_release(of[i], blocks[i]);
    fby_heap_pool_close(device, NULL);
    fby_heap_pool_close(staging, NULL);
    assert_int_equal(atomic_load(&live_memory), 0);
    assert_int_equal(atomic_load(&live_buffers), 0);
}

static void host_visible_blocks_are_memory_that_compaction_moves(void **state)
{
    (void)state;
    fby_heap_pool_options options = of_vulkan(FBY_HEAP_HOST_VISIBLE);
    options.num_heaps = 1;
    options.compaction_threshold = 0.01;
    fby_heap_pool *pool = made(&options);
    fby_heap_block hole, kept;
    fby_heap_place place;
    assert_int_equal(fby_heap_acquire(pool, MIB, 0, "hole", &hole, NULL), FBY_OK);
    assert_int_equal(fby_heap_acquire(pool, MIB, 0, "kept", &kept, &place), FBY_OK);
    memset(place.address, 0x77, MIB);
    fby_heap_unpin(pool, kept);
    fby_heap_release(pool, hole);
    assert_int_equal(fby_heap_pool_compact(pool), 1);
    fby_heap_pin(pool, kept, &place);
    assert_int_equal(place.offset, 0);
    for (int i = 0; i < MIB; i++)
        assert_int_equal(((unsigned char *)place.address)[i], 0x77);
    fby_heap_pool_close(pool, NULL);
}

static void what_finds_no_room_is_the_devices(void **state)
{
    (void)state;
    fby_heap_pool_options options = of_vulkan(FBY_HEAP_DEVICE);
    options.log_exhaustion = true;
    fby_heap_pool *pool = made(&options);
    fby_heap_pool_stats stats = {.struct_size = sizeof stats};
    fby_heap_block block;
    fby_heap_place place;
    assert_int_equal(fby_heap_acquire(pool, 5 * MIB, 0, "large", &block, &place), FBY_OK);
    assert_int_equal(place.offset, 0);
    assert_true(place.buffer != 0);
    assert_non_null(strstr(last_line, "taken from the device"));
    assert_int_equal(fby_heap_pool_get_stats(pool, &stats), FBY_OK);
    assert_int_equal(stats.fallback, 1);
    fby_heap_release(pool, block);
    fby_heap_pool_close(pool, NULL);
    assert_int_equal(atomic_load(&live_memory), 0);
    assert_int_equal(atomic_load(&live_buffers), 0);
}

static void a_start_without_the_nth_allocation_leaves_nothing_behind(void **state)
{
    (void)state;
    fby_heap_pool_options options = of_vulkan(FBY_HEAP_DEVICE);
    fby_heap_pool_close(made(&options), NULL);
    for (int n = 0; n < 2; n++) {
        fby_heap_pool *pool = NULL;
        atomic_store(&allocations, 0);
        atomic_store(&refused, n);
        assert_int_equal(fby_heap_pool_create(&options, &pool), FBY_ENOMEM);
        assert_null(pool);
        assert_non_null(strstr(fby_last_error(), " of 2: 4 MiB asked for, the device has "));
        assert_non_null(strstr(fby_last_error(), "would fit"));
        assert_int_equal(atomic_load(&live_memory), 0);
        assert_int_equal(atomic_load(&live_buffers), 0);
    }
    atomic_store(&refused, -1);
}

static void a_device_that_is_not_there_is_named(void **state)
{
    (void)state;
    fby_heap_pool_options options = of_vulkan(FBY_HEAP_DEVICE);
    fby_heap_pool *pool = NULL;
    fby_heap_pool_close(made(&options), NULL);
    options.device = 31;
    assert_int_equal(fby_heap_pool_create(&options, &pool), FBY_EUNSUPPORTED);
    assert_non_null(strstr(fby_last_error(), "device 31"));
    assert_null(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_go_up_across_and_down_again),
        cmocka_unit_test(host_visible_blocks_are_memory_that_compaction_moves),
        cmocka_unit_test(what_finds_no_room_is_the_devices),
        cmocka_unit_test(a_start_without_the_nth_allocation_leaves_nothing_behind),
        cmocka_unit_test(a_device_that_is_not_there_is_named),
    };
    return cmocka_run_group_tests_name("heap_vulkan", tests, NULL, NULL);
}
