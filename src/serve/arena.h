/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that ends all at once: a block handed out piece by piece, for what one
 * request's parsing needs. One thread at a time.
 */
#ifndef FBY_SERVE_ARENA_H
#define FBY_SERVE_ARENA_H

#include <stddef.h>

#include "base/bits.h"

typedef struct fby_arena {
    char *bytes; /* 16-byte aligned; the caller's */
    size_t size, used;
} fby_arena;

/* `size` bytes, 16-byte aligned, not zeroed; NULL when the block is used up. */
static inline void *fby_arena_take(fby_arena *arena, size_t size)
{
    size_t left = arena->size - arena->used;
    if (size > left || fby_align_up(size, 16) > left)
        return NULL;
    void *piece = arena->bytes + arena->used;
    arena->used += fby_align_up(size, 16);
    return piece;
}

static inline void fby_arena_reset(fby_arena *arena)
{
    arena->used = 0;
}

#endif
