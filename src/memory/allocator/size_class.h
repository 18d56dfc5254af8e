/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Size classes: steps of 16 bytes up to 128, then eight to the octave up to
 * 32 KiB, so that a class is at most 12.5 % above the one before. Class 0 is
 * "none".
 *
 * A block of class c stands at a multiple of its size from a 64 KiB boundary.
 * So a size rounded up to a multiple of a power of two A (A <= 32 KiB) has a
 * class whose blocks are all aligned to A: where the classes step by less than
 * A, the rounded size is a class itself; where they step by more, each is a
 * multiple of A.
 */
#ifndef FBY_MEMORY_ALLOCATOR_SIZE_CLASS_H
#define FBY_MEMORY_ALLOCATOR_SIZE_CLASS_H

#include <stddef.h>
#include <stdint.h>

#include "base/platform.h"

enum {
    FBY_CLASSES = 73,              /* class 0 included */
    FBY_SMALL_MAX = 32768,         /* bytes: the largest class */
    FBY_QUICK_MAX = 4096,          /* bytes: classes found in the table */
    FBY_SPAN = 1 << 16,            /* bytes of a span, the 64 KiB that blocks of a class share */
    FBY_BLOCKS_MAX = FBY_SPAN / 16 /* of a span */
};

/* By (size + 15) / 16; 8 bytes after a multiple of 64 for the reason in cache.h. */
typedef struct fby_class_map {
    _Alignas(FBY_CACHELINE) uint64_t apart;
    uint8_t of[FBY_QUICK_MAX / 16 + 1];
} fby_class_map;

/* Written once, before any block exists. */
extern fby_class_map fby_class_table __attribute__((visibility("hidden")));
extern uint32_t fby_class_sizes[FBY_CLASSES];       /* bytes; 0 for class 0 */
extern uint32_t fby_class_reciprocals[FBY_CLASSES]; /* ceil(2^32 / size) */
void fby_class_init(void);

/* For any size up to FBY_SMALL_MAX; 0 counts as 1. */
static inline uint32_t fby_class_compute(size_t size)
{
    if (size <= 128)
        return size == 0 ? 1 : (uint32_t)(size + 15) / 16;
    uint32_t octave = 63u - (uint32_t)__builtin_clzll(size - 1); /* 7: 129 … 256 */
    uint32_t step = (uint32_t)((size - 1 - ((size_t)1 << octave)) >> (octave - 3));
    return 9 + (octave - 7) * 8 + step;
}

/* For at most FBY_QUICK_MAX bytes. Relaxed: a thread that has no cache yet may read the table while
 * another fills it; what it finds then is not used. */
static inline uint32_t fby_class_quick(size_t size)
{
    return __atomic_load_n(&fby_class_table.of[(size + 15) / 16], __ATOMIC_RELAXED);
}

static inline uint32_t fby_class_of(size_t size)
{
    return size <= FBY_QUICK_MAX ? fby_class_quick(size) : fby_class_compute(size);
}

/* The number of the block that holds byte `offset` of a span; exact since
 * offset * size < 2^32. */
static inline uint32_t fby_class_block(uint32_t class_index, uint32_t offset)
{
    return (uint32_t)(((uint64_t)offset * fby_class_reciprocals[class_index]) >> 32);
}

/* Pointers that a thread keeps of a class, at most. */
uint32_t fby_class_depth(uint32_t class_index);

#endif
