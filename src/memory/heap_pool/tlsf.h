/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two-level segregated fit over a range of granules, which it never touches: what
 * it knows lies in an array of records, one a block, free or not.
 *
 *     by address:  record <-before/after-> record <-> ...     no two neighbours are free
 *     free:        heads[class] -> record <-prev/next-> ...   two bitmaps say which are not empty
 *     spare:       records that stand for no block, linked by next
 *
 * Classes: below 32 granules one a size, from there 32 to a power of two. Taking looks
 * in the class above, of which every block is large enough, then at a few blocks of
 * the class itself. Both ways a fixed number of steps.
 *
 * Threads: one at a time, but for fby_tlsf_nearest().
 */
#ifndef FBY_MEMORY_HEAP_POOL_TLSF_H
#define FBY_MEMORY_HEAP_POOL_TLSF_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    FBY_TLSF_STEPS = 32,  /* classes to a power of two */
    FBY_TLSF_POWERS = 28, /* granules are counted in 32 bits */
    FBY_TLSF_CLASSES = FBY_TLSF_STEPS * FBY_TLSF_POWERS,
    FBY_TLSF_LOOKS_LARGEST = 256
};
#define FBY_TLSF_NONE    UINT32_MAX
#define FBY_TLSF_CROWDED (UINT32_MAX - 1)

typedef enum fby_record_state {
    FBY_RECORD_SPARE = 0,
    FBY_RECORD_FREE,
    FBY_RECORD_HELD, /* free, but a block is being moved over it */
    FBY_RECORD_USED,
    FBY_RECORD_MOVING, /* used, to be found in both places */
    FBY_RECORD_DYING   /* released while it was moving */
} fby_record_state;

typedef struct fby_record {
    uint32_t first, count;  /* granules */
    uint32_t before, after; /* neighbours by address */
    uint32_t prev, next;    /* in the list of its class, or of the spare ones */

    /* Not TLSF's: of a block that is used. */
    uint32_t serial; /* of the acquisition */
    uint32_t pins;
    uint8_t state;       /* fby_record_state */
    uint8_t align_shift; /* granules */
    uint16_t unused[3];
    uint64_t bytes; /* as asked for */
    const char *label, *site;
} fby_record;
_Static_assert(sizeof(fby_record) == 64, "a cache line");

typedef struct fby_tlsf {
    /* Changed by whoever may change the rest, read by any thread. */
    _Atomic uint32_t powers;                 /* bit p: steps[p] is not 0 */
    _Atomic uint32_t steps[FBY_TLSF_POWERS]; /* bit s: heads[p][s] is not empty */
    uint32_t heads[FBY_TLSF_CLASSES];
    fby_record *records;
    uint32_t records_max, records_begun; /* those at and after records_begun were never used */
    uint32_t spare;                      /* first of the list */
    uint32_t lowest;                     /* the block at granule 0 */
    uint32_t granules;
} fby_tlsf;

/* One free block of `granules` ≥ 1; `records_max` ≥ 1 records, zeroed, which stay the caller's. */
void fby_tlsf_init(fby_tlsf *tlsf, fby_record *records, uint32_t records_max, uint32_t granules);

/* A block of `count` ≥ 1 granules that begins at a multiple of 1 << `align_shift`. FBY_TLSF_NONE
 * when none is free, FBY_TLSF_CROWDED when one is but no record for what would be left of it. */
uint32_t fby_tlsf_take(fby_tlsf *tlsf, uint32_t count, uint32_t align_shift);
void fby_tlsf_give(fby_tlsf *tlsf, uint32_t block);

/* The class of the smallest free blocks among which one of `count` granules may be; classes ascend
 * with sizes. FBY_TLSF_NONE: there is none. A guess, unless nobody else changes anything: in the
 * middle of a take or give the only free block is in no class. */
uint32_t fby_tlsf_nearest(const fby_tlsf *tlsf, uint32_t count);

/* Granules of the largest free block; where more than FBY_TLSF_LOOKS_LARGEST are of the largest
 * class, of some of those: at most a 32nd less. */
uint32_t fby_tlsf_largest(const fby_tlsf *tlsf);

/* ---- moving a block towards the beginning ---- */

/* Prepares to move `block` down over the free block before it, which is held until settled; the
 * block's new first granule to `*to`. False: nothing free there, or no gain. */
bool fby_tlsf_hold(fby_tlsf *tlsf, uint32_t block, uint32_t *to);
/* The block is there now; what it left is free. */
void fby_tlsf_settle(fby_tlsf *tlsf, uint32_t block);

/* Whether every link, list and bitmap says the same. For assertions of the deepest tier, tests. */
bool fby_tlsf_is_sound(const fby_tlsf *tlsf);

#endif
