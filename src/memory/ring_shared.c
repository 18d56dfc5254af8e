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
        fby_assert(fby_ring_in_flight(mark)); /* a slice, released once */
        __atomic_store_n(at, (uint16_t)(mark | FBY_RING_RELEASED_), __ATOMIC_RELAXED);
        bytes += fby_ring_size_of(pool, (word)(uintptr_t)pool - distance * FBY_RING_GRANULE, mark);
    }
    fby_ring_store_(&slow->taken_bytes, slow->taken_bytes + bytes);
    __atomic_store_n(&pool->taken_, taken, __ATOMIC_RELEASE); /* A2, with R2: cells are free */
}

/* ---- guessed marks ---- */

static void mark_ahead(fby_ring_pool *pool, word mark)
{
    word size = pool->slow_->guess;

    for (word at = pool->head_; size != 0 && pool->shared_limit_ - at >= size; at += size)
        __atomic_store_n(fby_ring_mark_of(pool, at), (uint16_t)mark, __ATOMIC_RELAXED);
}

/* So far all slices were as guessed: the write cursor is where the next was to begin. */
void fby_ring_guessed_wrong_(fby_ring_pool *pool)
{
    mark_ahead(pool, 0);
    pool->slow_->guess = 0;
}

void fby_ring_guess_marks(fby_ring_pool *pool, word limit, word size)
{
    struct fby_ring_slow_ *slow = pool->slow_;

    pool->shared_limit_ = limit;
    if (size == slow->wanted && size <= FBY_RING_SMALL_ * FBY_RING_GRANULE) {
        slow->guess = size;
        mark_ahead(pool, size / FBY_RING_GRANULE);
    }
    slow->wanted = size;
}

/* ---- the releasing thread ---- */

/* The queue is full, for the allocating thread has not allocated for long: marks it here. */
static void release_marked(fby_ring_pool *pool, word address)
{
    uint16_t *at = fby_ring_mark_of(pool, address);
    unsigned mark = __atomic_load_n(at, __ATOMIC_RELAXED);

    fby_assert(fby_ring_in_flight(mark)); /* a slice, released once */
    fby_ring_store_(&pool->released_, pool->released_ + fby_ring_size_of(pool, address, mark));
    /* R3, with A3. */
    __atomic_store_n(at, (uint16_t)(mark | FBY_RING_RELEASED_), __ATOMIC_RELEASE);
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
        if (fby_ring_in_flight(mark))
            bytes += fby_ring_size_of(pool, address, mark);
    }
    return bytes;
}
