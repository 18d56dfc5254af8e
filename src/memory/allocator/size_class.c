/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/allocator/size_class.h"

fby_class_map fby_class_table;
uint32_t fby_class_sizes[FBY_CLASSES];
uint32_t fby_class_reciprocals[FBY_CLASSES];

void fby_class_init(void)
{
    for (uint32_t c = 1; c < FBY_CLASSES; c++) {
        uint32_t octave = (c - 9) / 8, step = (c - 9) % 8;
        uint32_t size = c <= 8 ? c * 16 : (128u << octave) + (step + 1) * (16u << octave);
        fby_class_sizes[c] = size;
        fby_class_reciprocals[c] = (uint32_t)((((uint64_t)1 << 32) + size - 1) / size);
    }
    for (uint32_t i = 0; i < sizeof fby_class_table.of; i++)
        __atomic_store_n(&fby_class_table.of[i], (uint8_t)fby_class_compute((size_t)i * 16),
                         __ATOMIC_RELAXED);
}

/* Deep enough that a random walk of allocations and frees seldom reaches an end, bounded to some
 * 256 KiB a class. */
uint32_t fby_class_depth(uint32_t class_index)
{
    uint32_t size = fby_class_sizes[class_index];
    if (size <= 512)
        return 256;
    if (size <= 2048)
        return 128;
    uint32_t depth = (256u << 10) / size;
    return depth < 64 ? depth : 64;
}
