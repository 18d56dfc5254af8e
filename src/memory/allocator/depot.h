/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Magazines and depots. A magazine is an array of free blocks of one class; a
 * depot is a stack of full magazines, one a class and pool, through which
 * threads hand each other free blocks: one atomic exchange a magazine, no lock,
 * whoever allocated the blocks.
 *
 *     thread A --fill, push--> depot --pop, empty--> thread B
 *
 * Magazines live in an array of their own and are never unmapped, so a thread
 * that lost a race may still read the link of one. A head is the number of the
 * top magazine and a count of changes, so that a magazine that went and came
 * back is not mistaken for one that stayed (Treiber 1986, with a tag).
 */
#ifndef FBY_MEMORY_ALLOCATOR_DEPOT_H
#define FBY_MEMORY_ALLOCATOR_DEPOT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { FBY_MAGAZINE_SLOTS = 126 }; /* with the rest: 1 KiB */

typedef struct fby_magazine {
    _Atomic uint32_t next; /* number of the magazine below; 0: none */
    uint32_t count;        /* blocks */
    void *block[FBY_MAGAZINE_SLOTS];
    uint64_t reserved;
} fby_magazine;
_Static_assert(sizeof(fby_magazine) == 1024, "magazines do not share lines");

typedef struct fby_depot {
    _Atomic uint64_t head;  /* number of the top magazine, changes << 32 */
    _Atomic uint32_t count; /* magazines, about */
    uint32_t seen;          /* changes when the purge last looked */
} fby_depot;

/* Address space for `most` magazines. */
bool fby_depot_init(uint32_t most);

/* An empty magazine; NULL if there is no memory. */
fby_magazine *fby_magazine_get(void);
void fby_magazine_put(fby_magazine *magazine);

void fby_depot_push(fby_depot *depot, fby_magazine *magazine);
/* NULL if there is none. What its blocks held is visible to the caller. */
fby_magazine *fby_depot_pop(fby_depot *depot);

/* When every magazine is empty, their memory goes back. For the purge. */
void fby_depot_trim(void);

/* For fork. */
void fby_depot_lock(void);
void fby_depot_unlock(void);

/* Magazines ever made. */
uint32_t fby_magazine_count(void);

#endif
