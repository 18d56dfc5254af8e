/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a shared pool's slices come back.
 *
 *     releasing thread                         allocating thread
 *       returned_ --> [queue of 4,096 places] --> taken_     when it looks for room
 *            \                                    |
 *             +-- full: the mark itself           v
 *                          \------------> marks: RELEASED --> passed when their turn comes
 *
 * The releasing thread puts a slice's place into a queue, which the allocating
 * thread empties; it alone writes marks. So what goes from cache to cache for a
 * slice is 4 bytes of the queue, and neither thread waits for a line that the
 * other writes at that time. If the queue is full the releasing thread sets the
 * mark itself: slower, but it never waits.
 *
 * Ordering: R1 (queue) -> A1 and R3 (mark) -> A3 hand a slice's bytes back, A2 ->
 * R2 a cell of the queue. Every other access to a mark, a cursor or a stretch is
 * by the one thread that writes it, or by one to which the caller handed the
 * slice. tests/spin/ring_pool.pml has the model.
 */
#include "base/assert.h"
#include "base/platform.h"
#include "memory/ring_slow.h"

typedef fby_ring_word_ word;

/* The first lines of the queue, which the other thread's cache has. */
static void prefetch_returned(const fby_ring_pool *pool, word taken, word returned)
{
    enum { LINE = 64 / sizeof pool->queue_[0], LINES = 16 };

    for (word i = 0; i < returned - taken && i < LINES * LINE; i += LINE)
        __builtin_prefetch(&pool->queue_[(taken + i) % FBY_RING_QUEUE_]);
}

void fby_ring_take_back(fby_ring_pool *pool)
{
    struct fby_ring_slow_ *slow = pool->slow_;
    word taken = pool->taken_, bytes = 0;
    word returned = __atomic_load_n(&pool->returned_, __ATOMIC_ACQUIRE); /* A1, with R1 */

    if (taken == returned)
        return;
    prefetch_returned(pool, taken, returned);
    for (; taken != returned; taken++) {
        const uint32_t *cell = &pool->queue_[taken % FBY_RING_QUEUE_];
        word distance = __atomic_load_n(cell, __ATOMIC_RELAXED);
        uint16_t *at = fby_ring_mark_(pool, distance);
        unsigned mark = __atomic_load_n(at, __ATOMIC_RELAXED);
        fby_assert(mark != 0 && !(mark & FBY_RING_RELEASED)); /* a slice, released once */
        __atomic_store_n(at, (uint16_t)(mark | FBY_RING_RELEASED), __ATOMIC_RELAXED);
        bytes += fby_ring_size_of(pool, (word)(uintptr_t)pool - distance * FBY_RING_GRANULE, mark);
    }
    fby_ring_store_(&slow->taken_bytes, slow->taken_bytes + bytes);
    __atomic_store_n(&pool->taken_, taken, __ATOMIC_RELEASE); /* A2, with R2: cells are free */
}

word fby_ring_first_unreleased(fby_ring_pool *pool, word from, word to)
{
    const uint16_t *first = fby_ring_mark_of(pool, from), *end = fby_ring_mark_of(pool, to),
                   *at = first;

    while (at != end) {
        unsigned mark = __atomic_load_n(at, __ATOMIC_ACQUIRE); /* A3, with R3 */
        if (!(mark & FBY_RING_RELEASED))
            break;
        unsigned granules = mark - FBY_RING_RELEASED;
        if (FBY_UNLIKELY(granules > FBY_RING_SMALL_)) {
            word address = from + (word)(first - at) * FBY_RING_GRANULE;
            at -= *fby_ring_big_size(pool, address) / FBY_RING_GRANULE;
            continue;
        }
        at -= granules;
        /* Of equal slices no load waits for the one before. */
        while (at != end && __atomic_load_n(at, __ATOMIC_ACQUIRE) == mark) /* A3 */
            at -= granules;
    }
    return from + (word)(first - at) * FBY_RING_GRANULE;
}

/* ---- guessed marks ---- */

/* Four marks as one word. */
typedef uint64_t __attribute__((may_alias)) four_marks;

/* Clears the marks from the write cursor to the limit, where nothing is in flight; what they were,
 * or-ed by fours. */
static uint64_t clear_marks(fby_ring_pool *pool)
{
    uint16_t *at = fby_ring_mark_of(pool, pool->shared_limit_) + 1; /* marks lie downwards */
    uint16_t *end = fby_ring_mark_of(pool, pool->head_) + 1;
    uint64_t found = 0;

    while (at != end && ((uintptr_t)at % sizeof(four_marks) != 0 || end - at < 4)) {
        found |= *at;
        __atomic_store_n(at++, 0, __ATOMIC_RELAXED);
    }
    for (; end - at >= 4; at += 4) {
        four_marks *four = (four_marks *)(void *)at;
        found |= *four;
        __atomic_store_n(four, 0, __ATOMIC_RELAXED);
    }
    for (; at != end; at++) {
        found |= *at;
        __atomic_store_n(at, 0, __ATOMIC_RELAXED);
    }
    return found;
}

void fby_ring_guessed_wrong_(fby_ring_pool *pool)
{
    /* None was released before it was given out. */
    fby_assert((clear_marks(pool) & FBY_RING_RELEASED * 0x0001000100010001u) == 0);
}

void fby_ring_guess_marks(fby_ring_pool *pool, word limit, word size)
{
    struct fby_ring_slow_ *slow = pool->slow_;
    word mark = size / FBY_RING_GRANULE;

    pool->shared_limit_ = limit;
    clear_marks(pool); /* of slices long passed */
    if (size == slow->wanted && mark <= FBY_RING_SMALL_)
        for (word at = pool->head_; limit - at >= size; at += size)
            __atomic_store_n(fby_ring_mark_of(pool, at), (uint16_t)mark, __ATOMIC_RELAXED);
    slow->wanted = size;
}

/* ---- the releasing thread ---- */

/* The queue is full, for the allocating thread has not allocated for long: marks it here. */
static void release_marked(fby_ring_pool *pool, word address)
{
    uint16_t *at = fby_ring_mark_of(pool, address);
    unsigned mark = __atomic_load_n(at, __ATOMIC_RELAXED);

    fby_assert(mark != 0 && !(mark & FBY_RING_RELEASED)); /* a slice, released once */
    fby_ring_store_(&pool->released_, pool->released_ + fby_ring_size_of(pool, address, mark));
    /* R3, with A3. */
    __atomic_store_n(at, (uint16_t)(mark | FBY_RING_RELEASED), __ATOMIC_RELEASE);
}

void fby_ring_release_shared_slow_(fby_ring_pool *pool, void *slice)
{
    word address = (word)(uintptr_t)slice;

    fby_assert(pool->kind_ == FBY_RING_SHARED);
    fby_ring_assert_within(pool, address);                                /* a slice of this pool */
    pool->taken_seen_ = __atomic_load_n(&pool->taken_, __ATOMIC_ACQUIRE); /* R2, with A2 */
    if (pool->returned_ - pool->taken_seen_ == FBY_RING_QUEUE_)
        release_marked(pool, address);
    else
        fby_ring_release_shared(pool, slice);
}

/* ---- statistics ---- */

uint64_t fby_ring_returned_bytes(fby_ring_pool *pool)
{
    word taken = __atomic_load_n(&pool->taken_, __ATOMIC_ACQUIRE), bytes = 0;
    word returned = __atomic_load_n(&pool->returned_, __ATOMIC_ACQUIRE);

    for (; taken != returned; taken++) {
        const uint32_t *cell = &pool->queue_[taken % FBY_RING_QUEUE_];
        word distance = __atomic_load_n(cell, __ATOMIC_RELAXED);
        word address = (word)(uintptr_t)pool - distance * FBY_RING_GRANULE;
        unsigned mark = __atomic_load_n(fby_ring_mark_of(pool, address), __ATOMIC_RELAXED);
        if (!(mark & FBY_RING_RELEASED))
            bytes += fby_ring_size_of(pool, address, mark);
    }
    return bytes;
}
