/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Heap pool: blocks of any size from heaps that were mapped, touched and warmed
 * before the first of them was asked for.
 *
 *     create --> acquire --> pin --> the caller's bytes --> unpin --> release --> ... --> close
 *                   |         ^                               |          ^                  |
 *                   |         +-------- moved, perhaps -------+          |                  v
 *                   +-- no heap has room: the system's, counted ---------+          what leaked
 *
 * A pool has `num_heaps` heaps on one backend (memory of this process, or of a
 * Vulkan device). Each heap has a lock of its own and none is for all; a call
 * passes by a heap that another thread is in while a further one has room. Inside a
 * heap blocks are placed by TLSF in constant time, from 64 bytes to the whole heap,
 * aligned to 64 bytes up to 4 KiB. What is known about a block lies apart from it,
 * so that a block's memory need not be memory that this process can read.
 *
 * A block is a handle. Its address is known while it is pinned, and only then:
 * compaction moves what is not pinned. A block that is pinned when it is acquired,
 * and stays so, is an ordinary piece of memory.
 *
 * Threads: every function but create and close from any thread at any time; the
 * bytes of a block are the caller's to synchronise. No call waits for the system
 * unless every heap is full. A pin waits while its block is being moved, which
 * takes as long as copying it.
 *
 * Misuse (a handle of another pool, one that was released, an unpin too many) is an
 * assertion in every build: a message, then abort().
 *
 * Algorithm: M. Masmano, I. Ripoll, A. Crespo, J. Real, "TLSF: a New Dynamic Memory
 * Allocator for Real-Time Systems", 2004.
 */
#ifndef FOREBAY_HEAP_POOL_H
#define FOREBAY_HEAP_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "forebay/status.h"

#ifdef __cplusplus
extern "C" {
#endif

#define FBY_HEAP_GRANULE    64   /* bytes; unit of a block, and its alignment at least */
#define FBY_HEAP_ALIGN_MAX  4096 /* bytes */
#define FBY_HEAP_HEAPS_MAX  32   /* of a pool */
#define FBY_HEAP_WARMUP_MAX 16   /* sizes */

typedef struct fby_heap_pool fby_heap_pool;

/* ---- creation ---- */

typedef enum fby_heap_backend {
    FBY_HEAP_HOST = 0,  /* pages of this process */
    FBY_HEAP_VULKAN = 1 /* memory of a Vulkan device, a VkBuffer over each heap */
} fby_heap_backend;

/* Which of a Vulkan device's memory. */
typedef enum fby_heap_memory {
    FBY_HEAP_DEVICE = 0,      /* the device's own; pinned blocks may have no address */
    FBY_HEAP_HOST_VISIBLE = 1 /* mapped and coherent */
} fby_heap_memory;

/* Which heap is asked first. */
typedef enum fby_heap_strategy {
    FBY_HEAP_ROUND_ROBIN = 0, /* the next */
    FBY_HEAP_BEST_FIT = 1,    /* the one with the smallest free block that is large enough */
    FBY_HEAP_LEAST_USED = 2   /* the one with the most free bytes */
} fby_heap_strategy;

/* A line for people, without its line feed. Any thread that acquires, and the pool's own; it must
 * not call the pool. */
typedef void fby_heap_log(void *context, const char *line);

/* What a Vulkan program already has: the pool then makes no device of its own. The handles as
 * vulkan.h has them. The device was made by `instance` from `physical_device`. */
typedef struct fby_heap_vulkan {
    void *get_instance_proc_addr; /* PFN_vkGetInstanceProcAddr */
    void *instance, *physical_device, *device;
    uint32_t queue_family; /* whose queues use the heaps' buffers */
    void *queue;           /* one of them */
} fby_heap_vulkan;

typedef struct fby_heap_pool_options {
    size_t struct_size;
    bool disabled; /* no heaps: every block is the system's, and counted as fallback */
    fby_heap_backend backend;
    fby_heap_memory memory; /* Vulkan */
    uint32_t device;        /* Vulkan: which of the system's */
    uint64_t heap_bytes;    /* rounded up to 64 KiB; 0: from `parts` */
    uint32_t num_heaps;     /* 0: one a processor, 4 at most, one a part at most */

    /* What will be acquired together (bytes each), for heap_bytes 0: heaps that hold all of it in
     * whatever order it comes, as long as nothing is released in between. */
    const uint64_t *parts;
    size_t part_count;

    const uint64_t *warmup_bytes; /* acquired and released in every heap at start */
    size_t warmup_count;
    fby_heap_strategy strategy;
    bool statistics_off;
    bool log_exhaustion; /* one line at most a second */
    fby_heap_log *log;   /* where lines go; NULL: standard error */
    void *log_context;

    bool dynamic_growth;
    uint32_t max_heaps;    /* 0: twice num_heaps */
    double growth_trigger; /* a heap is added when more than this share of all is used; 0: 0.9 */

    bool compaction;                 /* by a thread of the pool's own, from time to time */
    double compaction_threshold;     /* of heaps more fragmented than this; 0: 0.5 */
    uint32_t compaction_interval_ms; /* 0: 60,000 */

    uint32_t blocks_max;           /* and free pieces between them, in a heap at once; 0: one a
                                    * 4 KiB, from 1,024 to 1,048,576 */
    bool no_huge_pages;            /* host: do not ask for them */
    bool on_node;                  /* host: take memory of `node`, as far as it goes */
    uint32_t node;                 /* NUMA */
    const fby_heap_vulkan *vulkan; /* NULL: the pool opens a device */
    const char *trace_file; /* every call is written there, for `forebay pool run`; NULL: none.
                             * While another pool writes there, FILE.2, FILE.3 … */
} fby_heap_pool_options;
#define FBY_HEAP_POOL_OPTIONS_INIT                                                                 \
    {                                                                                              \
        sizeof(fby_heap_pool_options), false, FBY_HEAP_HOST, FBY_HEAP_DEVICE, 0, 0, 0, NULL, 0,    \
            NULL, 0, FBY_HEAP_ROUND_ROBIN, false, false, NULL, NULL, false, 0, 0.0, false, 0.0, 0, \
            0, false, false, 0, NULL, NULL                                                         \
    }

/*
 * Maps all heaps, touches every page of them (a thread a heap, as far as there are
 * processors) and warms them. All or nothing: FBY_ENOMEM names the heap, the size
 * asked for, what the system has and a configuration that fits, and nothing is left
 * behind. FBY_EINVAL names the field that is wrong, FBY_EUNSUPPORTED what this
 * machine or build lacks (a Vulkan loader, a device). A warm-up size larger than a
 * heap is skipped, with a line to the log that names both.
 */
FBY_API fby_status fby_heap_pool_create(const fby_heap_pool_options *options, fby_heap_pool **pool);

/* ---- blocks ---- */

/* A block: opaque, never 0 while it lives. */
typedef uint64_t fby_heap_block;

/* Where a pinned block lies. */
typedef struct fby_heap_place {
    void *address;   /* NULL: memory that this process cannot reach */
    uint64_t bytes;  /* as acquired */
    uint64_t buffer; /* Vulkan: the VkBuffer, in which the block begins at `offset`; else 0 */
    uint64_t offset;
} fby_heap_place;

/* Where in the source a block was acquired: in builds for debugging. */
#ifndef FBY_HEAP_SITE
#ifdef NDEBUG
#define FBY_HEAP_SITE ((const char *)0)
#else
#define FBY_HEAP_TEXT_(x) #x
#define FBY_HEAP_LINE_(x) FBY_HEAP_TEXT_(x)
#define FBY_HEAP_SITE     __FILE__ ":" FBY_HEAP_LINE_(__LINE__)
#endif
#endif

/*
 * A block of `bytes` bytes, their content whatever was there, aligned to `align`, a
 * power of two of at most FBY_HEAP_ALIGN_MAX (0: 64). `label` says what it is for
 * and, like `site`, is kept as a pointer; NULL is fine. With `place` the block is
 * pinned, once, and its place written.
 *
 * When no heap has room, the block is the system's or the device's, counted as a
 * fallback; FBY_ENOMEM when there is none either, FBY_EINVAL for 0 bytes or an
 * alignment that is none.
 */
FBY_API fby_status fby_heap_acquire_at(fby_heap_pool *pool, uint64_t bytes, uint32_t align,
                                       const char *label, const char *site, fby_heap_block *block,
                                       fby_heap_place *place);
#define fby_heap_acquire(pool, bytes, align, label, block, place)                                  \
    fby_heap_acquire_at((pool), (bytes), (align), (label), FBY_HEAP_SITE, (block), (place))

/* Ends the block, and its pins: nobody uses it any more. */
FBY_API void fby_heap_release(fby_heap_pool *pool, fby_heap_block block);

/* The block stays where it is until as many calls of unpin have come. */
FBY_API void fby_heap_pin(fby_heap_pool *pool, fby_heap_block block, fby_heap_place *place);
FBY_API void fby_heap_unpin(fby_heap_pool *pool, fby_heap_block block);

/* ---- upkeep ---- */

/* What the pool's thread does from time to time: moves unpinned blocks together in heaps that are
 * more fragmented than the threshold, gives back heaps that growth added and nothing uses. Other
 * calls go on meanwhile. The number of blocks moved. */
FBY_API uint64_t fby_heap_pool_compact(fby_heap_pool *pool);

/* ---- statistics ---- */

/* Counts are since creation or the last reset, but for what says "now". */
typedef struct fby_heap_stats {
    bool present;                /* now */
    bool grown;                  /* added by growth */
    uint64_t acquired;           /* blocks; in fby_heap_pool_stats those of the system too */
    uint64_t released;           /* likewise */
    uint64_t active;             /* blocks, now */
    uint64_t active_bytes;       /* as asked for, now */
    uint64_t used_bytes;         /* of the capacity, now: active_bytes rounded up */
    uint64_t capacity_bytes;     /* now */
    uint64_t largest_free_bytes; /* now: the largest free block; among hundreds, a 32nd less */
    uint64_t peak_used_bytes; /* the most that used_bytes was; of all: each heap at its own time */
    uint64_t largest_bytes;   /* asked for at once */
    uint64_t acquired_bytes;  /* all together */
    uint64_t busy;            /* times that another thread was in the heap */
    uint64_t lock_waits;      /* times that a call had to wait for it */
    uint64_t moved;           /* blocks, by compaction */
    uint64_t moved_bytes;
    /* Acquired blocks by the smallest warm-up size that holds them, the last for those larger. */
    uint64_t by_warmup[FBY_HEAP_WARMUP_MAX + 1];
} fby_heap_stats;

typedef struct fby_heap_pool_stats {
    size_t struct_size; /* set by the caller */
    fby_heap_stats all; /* the heaps' sums (of the largest two the largest), with the system's
                         * blocks among acquired, released, active, active_bytes, largest_bytes,
                         * acquired_bytes, by_warmup */
    uint64_t fallback;  /* blocks of the system or device */
    uint64_t fallback_active;
    uint64_t fallback_active_bytes;
    uint64_t refused; /* no block at all */
    uint64_t grown, shrunk, growth_failures;
    uint32_t heap_count, active_heaps; /* now; active: those with a block */
    uint32_t max_heaps;
    bool counting;         /* statistics are on */
    double hit_rate;       /* served by a heap / all; 1 when there were none */
    double fallback_rate;  /* served by system or device / all */
    double utilisation;    /* used / capacity */
    double fragmentation;  /* 1 - largest free block / free, both summed over the heaps */
    double average_bytes;  /* a block */
    uint32_t warmup_count; /* of warmup_bytes, ascending */
    uint64_t warmup_bytes[FBY_HEAP_WARMUP_MAX];
    fby_heap_stats heaps[FBY_HEAP_HEAPS_MAX];
    uint64_t crowded; /* of the fallback: a heap had the bytes, but blocks_max blocks and pieces */
} fby_heap_pool_stats;

/* Consistent within each heap; the totals are the sums of what is shown. As many bytes are written
 * as struct_size says, so that the struct may grow at its end; FBY_EINVAL where that is too small
 * to be one. With statistics off, what is now is there and all counts but those of blocks are 0. */
FBY_API fby_status fby_heap_pool_get_stats(fby_heap_pool *pool, fby_heap_pool_stats *stats);

/* Counts begin again. */
FBY_API void fby_heap_pool_reset_stats(fby_heap_pool *pool);

/* ---- advice ---- */

typedef enum fby_heap_grade {
    FBY_HEAP_GOOD = 0,
    FBY_HEAP_FAIR = 1,
    FBY_HEAP_POOR = 2
} fby_heap_grade;

typedef struct fby_heap_advice {
    fby_heap_grade grade;
    char what[80];  /* "hit rate 87.0 %: fair" */
    char why[240];  /* what it means; "" */
    char yaml[120]; /* what to write: "num_heaps: 6"; "" for nothing to change */
} fby_heap_advice;

enum { FBY_HEAP_ADVICE_MAX = 16 };

/*
 * What the statistics of some time under load say, and what to change: hit rate,
 * utilisation, fallbacks, sizes, warm-up, waits, fragmentation. With `parts`, the
 * bytes of a model's parts that shall be there together, whether they fit too. How
 * many `advice` it wrote. Pure; any thread.
 */
FBY_API uint32_t fby_heap_pool_advise(const fby_heap_pool_stats *stats, const uint64_t *parts,
                                      size_t part_count,
                                      fby_heap_advice advice[FBY_HEAP_ADVICE_MAX]);

typedef struct fby_heap_proposal {
    const char *model; /* "small", "medium", "large", "very large" */
    uint64_t heap_bytes_min, heap_bytes_max;
    uint32_t num_heaps_min, num_heaps_max;
    uint64_t heap_bytes; /* of those, the pair that takes at most a quarter of the memory */
    uint32_t num_heaps;
} fby_heap_proposal;

/* A configuration for a model of so many parameters on a machine of so many bytes, before anything
 * runs. FBY_EINVAL for a 0. Pure; any thread. */
FBY_API fby_status fby_heap_pool_propose(uint64_t parameters, uint64_t ram_bytes,
                                         fby_heap_proposal *proposal);

/* ---- the end ---- */

typedef struct fby_heap_leak {
    uint64_t bytes;
    const char *label, *site; /* as given; NULL: none */
} fby_heap_leak;

typedef struct fby_heap_closing {
    size_t struct_size;                                     /* set by the caller */
    void (*leak)(void *context, const fby_heap_leak *leak); /* NULL: only counted */
    void *context;
    uint64_t acquired, released; /* blocks, since creation */
    uint64_t leaked, leaked_bytes;
} fby_heap_closing;

/* Ends the pool with all its blocks; `closing` (NULL: nobody asks) says what was not released, as
 * much of it as struct_size has. No other call may run. NULL is fine. */
FBY_API void fby_heap_pool_close(fby_heap_pool *pool, fby_heap_closing *closing);

/* The device of a Vulkan pool; FBY_EUNSUPPORTED for another's. */
FBY_API fby_status fby_heap_pool_vulkan(const fby_heap_pool *pool, fby_heap_vulkan *vulkan);

#ifdef __cplusplus
}
#endif
#endif
