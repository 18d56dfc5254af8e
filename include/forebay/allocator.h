/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A general allocator for inference and reinforcement learning: many small
 * blocks of a few sizes, freed by whichever thread is done with them.
 *
 *     fby_malloc --> use, hand to any thread --> fby_free
 *
 * A block's address is a multiple of 16, and of the largest power of two that
 * divides the block's usable size, up to 4,096. Memory that nobody uses goes back
 * to the system some half a second after it was freed, also while the process
 * sleeps.
 *
 * Threads: every function may be called from any thread, and a block may be
 * freed by any. Scopes belong to the thread that began them.
 *
 * A program that hands over a pointer that cannot be right (freed already, not
 * the beginning of a block, another allocator's) is stopped with a message on
 * stderr as soon as it is noticed: at once for foreign and large blocks, for
 * others at the latest when the block leaves the thread's cache. Set
 * FBY_MALLOC_SECURE=1 to have each call checked.
 *
 * Built with AddressSanitizer, every function here is libc's of the same name,
 * so that it sees each block.
 *
 * libforebay-malloc.so is this allocator under libc's names, for LD_PRELOAD.
 */
#ifndef FOREBAY_ALLOCATOR_H
#define FOREBAY_ALLOCATOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "forebay/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- blocks ---- */

/* NULL with errno ENOMEM for want of memory. 0 bytes is a block of its own. */
FBY_API void *fby_malloc(size_t size);
/* All bits 0. NULL with ENOMEM too when the product overflows. */
FBY_API void *fby_calloc(size_t count, size_t size);
/* Keeps the contents up to the smaller size; `block` stays valid when NULL is returned for want of
 * memory. NULL allocates; 0 bytes frees and returns NULL. */
FBY_API void *fby_realloc(void *block, size_t size);
/* `alignment` is a power of two, at most 1 GiB; else NULL with EINVAL. */
FBY_API void *fby_aligned_alloc(size_t alignment, size_t size);
/* NULL is fine. Keeps errno. */
FBY_API void fby_free(void *block);
/* As fby_free(); `size` is what the block was allocated with. */
FBY_API void fby_free_sized(void *block, size_t size);
/* Bytes that may be used, at least what was asked for; 0 for NULL. */
FBY_API size_t fby_usable_size(const void *block);

/* `count` blocks of `size` bytes each to blocks[0 …]. Returns how many there are: fewer for want of
 * memory. */
FBY_API size_t fby_malloc_batch(size_t size, size_t count, void **blocks);
FBY_API void fby_free_batch(void *const *blocks, size_t count);

/* ---- scopes ---- */

/*
 * What this thread allocates until the matching end, by any function of this
 * header except those of heaps, goes at that end, at once. Scopes nest. Freeing
 * such a block earlier is allowed. An older block that fby_realloc() has to move
 * while a scope is open becomes the scope's: keep it, or resize it outside. Where
 * libc's malloc is this one, as in the shim, what libc allocates for itself meanwhile
 * (a stream's buffer, a locale) goes too. FBY_ENOMEM for want of memory.
 */
FBY_API fby_status fby_scope_begin(void);
/* FBY_EINVAL if this thread has no scope. */
FBY_API fby_status fby_scope_end(void);
/* A copy of `block`, as large, that no scope takes away; `block` itself is freed. NULL for want of
 * memory, `block` valid. A block that no scope owns comes back as it is. */
FBY_API void *fby_scope_keep(void *block);

/* ---- heaps of one's own ---- */

/* A heap keeps its blocks apart from all others and can go with all of them. A lock a size class:
 * for sets of objects with a common end, not for speed. fby_free(), fby_realloc() and
 * fby_usable_size() take its blocks as any others; what fby_realloc() moves leaves the heap. */
typedef struct fby_heap fby_heap;

FBY_API fby_status fby_heap_create(fby_heap **heap);
FBY_API void *fby_heap_malloc(fby_heap *heap, size_t size);
/* Frees every block of the heap. No other call for it or its blocks may be running. NULL is fine.
 */
FBY_API void fby_heap_destroy(fby_heap *heap);

/* ---- memory as a whole ---- */

/* Gives back what can be given back now: the calling thread's free blocks, those of threads that
 * do not move, every unused page. */
FBY_API void fby_allocator_purge(void);
/* Free memory is kept `decay_ms` (500 at first), and at most `dirty_bytes` of it (64 MiB), before
 * it goes back. */
FBY_API void fby_allocator_set_decay(uint32_t decay_ms, size_t dirty_bytes);
/* Counts each call from now on, in threads that have not yet allocated; off at first, since it
 * costs. */
FBY_API void fby_allocator_count_calls(bool on);

enum { FBY_ALLOCATOR_CLASSES = 73 };

typedef struct fby_allocator_stats {
    size_t struct_size; /* set by the caller */
    /* Always known, bytes. */
    uint64_t mapped;   /* address space made usable */
    uint64_t active;   /* of that, in spans, pages and mappings that hold blocks */
    uint64_t dirty;    /* free, and not yet given back */
    uint64_t metadata; /* what the allocator keeps for itself, roughly */
    uint32_t thread_caches;
    /* Where calls are counted; 0 otherwise. */
    uint64_t mallocs, frees;
    uint64_t requested, usable; /* bytes of all mallocs */
    uint64_t live, live_peak;   /* usable bytes of blocks whose malloc was counted */
    uint64_t remote_frees;      /* frees of those by another thread than allocated them */
    struct {
        uint32_t size;  /* bytes; 0: all above the classes */
        uint32_t spans; /* of 64 KiB; always known */
        uint64_t out;   /* blocks that are live or in caches; always known */
        uint64_t mallocs, frees, remote_frees;
        uint64_t requested;       /* bytes of all mallocs; what was usable is size * mallocs */
        uint64_t live, live_peak; /* blocks */
    } of_class[FBY_ALLOCATOR_CLASSES];
} fby_allocator_stats;

/* FBY_EINVAL if struct_size is not one that this library knows. */
FBY_API fby_status fby_allocator_get_stats(fby_allocator_stats *stats);

#ifdef __cplusplus
}
#endif
#endif
