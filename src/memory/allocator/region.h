/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The region: one reservation of address space that all of the allocator's
 * memory comes from, cut into units of 64 KiB, with everything known of a unit
 * out of band just below it.
 *
 *     | free bits | live bits | spans | arena nodes | class map | gap | unit 0, 1, 2 ... |
 *                                                                 ^ base
 *
 * The class map has a byte a unit: the size class if the unit is a span of the
 * thread caches, else 0. It stands at a fixed distance below `base`, so that
 * free() finds a block's class with one load beside `base` itself. Unit 0 is
 * never used, and the unused part of the map reads as 0: an address inside the
 * region that was never handed out has class 0.
 *
 * Free units are runs (runs.h) under one lock, taken for a span of 64 KiB, a
 * chunk of units for the large path, or a whole mapping.
 */
#ifndef FBY_MEMORY_ALLOCATOR_REGION_H
#define FBY_MEMORY_ALLOCATOR_REGION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/platform.h"
#include "memory/allocator/lock.h"
#include "memory/allocator/runs.h"
#include "memory/allocator/size_class.h"

enum {
    FBY_UNIT_SHIFT = 16,
    FBY_UNIT = 1 << FBY_UNIT_SHIFT, /* bytes */
    FBY_REGION_SHIFT_MAX = 40,      /* 1 TiB */
    FBY_MAP_BYTES = 1 << (FBY_REGION_SHIFT_MAX - FBY_UNIT_SHIFT),
    FBY_MAP_BELOW = FBY_MAP_BYTES + FBY_UNIT, /* from the map to `base` */
    FBY_ALIGN_MAX = 1 << 30,
};

enum fby_unit_kind {
    FBY_UNIT_NONE = 0, /* free, or the inside of something */
    FBY_UNIT_SPAN,     /* blocks of a class */
    FBY_UNIT_CHUNK,    /* of a large arena; each unit of a chunk says so */
    FBY_UNIT_WHOLE,    /* one block, or a scope's memory: the head of it */
    FBY_UNIT_SCOPE,
};

struct fby_pool;
struct fby_arena;

/* What is known of a unit. The fields beyond `run` belong to whoever took the unit. */
typedef struct fby_span {
    fby_run run; /* while taken: links in the owner's order of spans, and the length in units */
    union {
        struct {                   /* FBY_UNIT_SPAN; under its class's lock */
            struct fby_pool *pool; /* that its blocks go back to */
            uint16_t capacity;     /* blocks */
            uint16_t carved;       /* first so many have been handed out at least once */
            uint16_t free_blocks;  /* set bits */
            uint16_t scan;         /* no set bit in a word of bits below this one */
        } small;
        struct { /* FBY_UNIT_CHUNK */
            struct fby_arena *arena;
            uint32_t head;  /* the chunk's first unit */
            uint32_t pages; /* usable, of the block that begins here */
        } chunk;
        struct {          /* FBY_UNIT_WHOLE */
            size_t bytes; /* usable */
            void *heap;   /* the heap of one's own that it belongs to; NULL: none */
        } whole;
    };
    uint32_t list_next, list_prev; /* the owner's list */
    uint8_t kind;
    uint8_t class_index;
    bool listed;                 /* in its class's order of spans with room */
    bool fresh;                  /* its memory was clean when it was taken */
    _Atomic uint16_t counted_by; /* of a block that is of no class: who allocated it; counts.h */
    uint8_t home;                /* its memory prefers this node; 0: none, else one more */
    bool guarded;                /* its last page is inaccessible */
} fby_span;
_Static_assert(sizeof(fby_span) == 64, "a span is one cache line");

typedef struct fby_region {
    /* Constant after fby_region_init(). */
    uintptr_t base;
    uint32_t unit_count;
    size_t align_max;    /* bytes: `base` is a multiple of it */
    char *arena_nodes;   /* fby_run of each unit, as the arenas see it */
    uint64_t *free_bits; /* FBY_BLOCKS_MAX bits a unit: free blocks of a span */
    uint64_t *live_bits; /* the same for FBY_MALLOC_SECURE: blocks handed out */
    fby_span *spans;
    bool huge; /* ask for huge pages */

    _Alignas(FBY_CACHELINE) fby_lock lock;
    fby_run_set runs;
    uint32_t grown;             /* units that have been made usable, unit 0 included */
    _Atomic uint32_t described; /* units whose metadata is writable; only grows */
} fby_region;

extern fby_region fby_the_region __attribute__((visibility("hidden")));

/* `base` before there is a region: no address, NULL included, is less than 1 TiB above it. */
#define FBY_BASE_NONE ((uintptr_t)1 << 63)

/* Reserves up to 1 TiB, less where the system refuses or `limit_bytes` says so (0: no limit). */
bool fby_region_init(size_t limit_bytes, bool huge);

/* Whether one more part of the region may differ in protection or policy from what lies beside it.
 * Each may cost two mappings, of which the system allows a process some number
 * (vm.max_map_count); half of that is for these. */
bool fby_region_may_split(void);
void fby_region_unsplit(void); /* one fewer */

/* `count` units, the first a multiple of `align` units; 0 if there is no memory. `*clean` says that
 * they read as zeros. */
uint32_t fby_region_take(uint32_t count, uint32_t align, bool *clean);
void fby_region_give(uint32_t unit, uint32_t count, bool clean);
/* The units just behind a run of `count` at `unit`, if they are free. */
bool fby_region_extend(uint32_t unit, uint32_t count, uint32_t more, bool *clean);
/* Gives back the memory of dirty units that have been free for `decay_ms`, and of the oldest while
 * more than `limit_bytes` are dirty. Returns whether dirty units remain. */
bool fby_region_purge(uint32_t now_ms, uint32_t decay_ms, size_t limit_bytes);

typedef struct fby_region_usage {
    uint64_t mapped_bytes; /* made usable */
    uint64_t free_bytes;   /* of those, in no one's hands */
    uint64_t dirty_bytes;  /* of those, still holding memory */
} fby_region_usage;
void fby_region_get_usage(fby_region_usage *usage);

static inline uint8_t *fby_map_of(uintptr_t base)
{
    return (uint8_t *)(base - FBY_MAP_BELOW);
}

static inline void *fby_unit_address(uint32_t unit)
{
    return (void *)(fby_the_region.base + ((uintptr_t)unit << FBY_UNIT_SHIFT));
}

/* The unit of an address; 0 if it is not in the region's usable part. */
static inline uint32_t fby_unit_of(const void *address)
{
    uintptr_t offset = (uintptr_t)address - fby_the_region.base;
    uintptr_t unit = offset >> FBY_UNIT_SHIFT;
    return unit < fby_the_region.unit_count ? (uint32_t)unit : 0;
}

/* Whether there is a span to look at: for addresses that may be anyone's. */
static inline bool fby_region_describes(uint32_t unit)
{
    return unit < atomic_load_explicit(&fby_the_region.described, memory_order_relaxed);
}

static inline fby_span *fby_span_at(uint32_t unit)
{
    return &fby_the_region.spans[unit];
}

static inline uint64_t *fby_free_bits(uint32_t unit)
{
    return fby_the_region.free_bits + (size_t)unit * (FBY_BLOCKS_MAX / 64);
}

static inline uint64_t *fby_live_bits(uint32_t unit)
{
    return fby_the_region.live_bits + (size_t)unit * (FBY_BLOCKS_MAX / 64);
}

#endif
