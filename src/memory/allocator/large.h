/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks above the size classes.
 *
 *     32 KiB ... 2 MiB  units of 64 KiB in the thread's own arena, best fit, lowest address
 *     above             units of the region: a whole mapping each
 *
 * An arena belongs to a thread cache and grows by chunks, each as large as all
 * before it together, up to 8 MiB; where there is no room for another, a block is a
 * whole mapping. Its lock is taken by that one thread, now and then by the purge. Another thread's
 * free puts the block on the arena's list of remote frees, one atomic exchange, and the next
 * operation of the owner (or the purge) takes the list.
 *
 * A block's usable size is what was asked for rounded up to a page; what remains
 * of its last unit is address space that nobody touches. Blocks begin at units, so
 * that few pages are ever the first of a block, and a few freed blocks of each
 * length wait unmerged on a quick list, the last one first: the next block of that
 * length stands where memory was touched already.
 */
#ifndef FBY_MEMORY_ALLOCATOR_LARGE_H
#define FBY_MEMORY_ALLOCATOR_LARGE_H

#include "memory/allocator/os.h"
#include "memory/allocator/region.h"

enum {
    FBY_LARGE_MAX = 2 << 20, /* bytes: above, a whole mapping */
    FBY_CHUNK_UNITS_MIN = 8, /* 512 KiB */
    FBY_CHUNK_UNITS = 128,   /* at most, 8 MiB */
};

enum {
    FBY_QUICK_LISTS = FBY_LARGE_MAX / FBY_UNIT + 1, /* by length in units */
    FBY_QUICK_DEPTH = 16,                           /* blocks of one length */
    FBY_QUICK_BYTES_MAX = 16 << 20,                 /* of all, in one arena */
};

typedef struct fby_quick_list {
    uint32_t count;
    uint32_t unit[FBY_QUICK_DEPTH]; /* first unit of each block */
} fby_quick_list;

typedef struct fby_arena {
    _Alignas(FBY_CACHELINE) _Atomic uint32_t remote; /* first unit of the last remote free */
    _Alignas(FBY_CACHELINE) fby_lock lock;
    fby_run_set units;
    uint32_t chunks;      /* head of the first one, linked by their spans; 0: none */
    uint32_t chunk_units; /* of all */
    uint32_t node;        /* of memory; UINT32_MAX: no preference */
    size_t quick_bytes;   /* on quick lists */
    uint32_t operations;  /* ever, modulo 2^32 */
    uint32_t seen;        /* of them, when the purge last looked */
    fby_quick_list quick[FBY_QUICK_LISTS];
} fby_arena;

void fby_arena_init(fby_arena *arena, uint32_t node);

/*
 * A block of `size` bytes above FBY_SMALL_MAX, or aligned to more than the
 * classes are; NULL for want of memory. `align` is a power of two; `*zeroed` says
 * that the block reads as zeros.
 */
void *fby_large_malloc(fby_arena *mine, size_t size, size_t align, bool *zeroed);

/* The same, always a whole mapping, which no arena knows of. */
void *fby_whole_malloc(size_t size, size_t align, bool *zeroed);

/* Any block that is not of a class: aborts if there is no such block. `mine` is the calling
 * thread's arena or NULL. */
void fby_large_free(fby_arena *mine, void *block);

/* 0 if `block` is no large block. */
size_t fby_large_usable(const void *block);

/* Makes the block hold `size` bytes where it stands; false if it cannot. */
bool fby_large_resize(void *block, size_t size);

/* Remote frees to their place, old dirty units and empty chunks given back, those that hold memory
 * too if the arena is not `used` by a thread; whether any remain. For the purge. */
bool fby_arena_purge(fby_arena *arena, bool used, uint32_t now_ms, uint32_t decay_ms,
                     size_t limit_bytes);

#endif
