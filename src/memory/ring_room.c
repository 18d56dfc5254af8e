/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a ring pool's write cursor goes when it has used up what it may, and
 * how the read cursor follows.
 *
 *            oldest stretch          newest
 *     [......tail=======end][......start====head......limit][....]
 *            in flight, or           in flight      free, the cursor's
 *            released and waiting
 *
 * The write cursor may fill the bytes up to limit_, which never lie in a
 * stretch: make_room() grants them up to the start of the next stretch above,
 * the window, or the region's end, whichever comes first. Between two calls of
 * it the read cursor only moves on, which frees bytes and takes none, so what
 * was granted stays free until the write cursor itself has filled it.
 *
 * All of this is the allocating thread's. S1 -> S2 keep what statistics read of
 * one age. How a shared pool's slices come back: ring_shared.c.
 */
#include "memory/ring_slow.h"

#include "base/assert.h"
#include "base/bits.h"
#include "base/status.h"

typedef fby_ring_word_ word;

static fby_ring_stretch *stretch_at(struct fby_ring_slow_ *slow, uint32_t i)
{
    return &slow->stretches[(slow->oldest + i) % FBY_RING_STRETCHES];
}

static word *read_cursor(fby_ring_pool *pool)
{
    return pool->kind_ == FBY_RING_LOCAL ? &pool->oldest_ : &pool->tail_;
}

static word head_position(const fby_ring_pool *pool)
{
    return pool->head_ - pool->slow_->head_shift;
}

/* Takes a cursor to another address, its position unchanged. */
static void jump(struct fby_ring_slow_ *slow, word *cursor, word *shift, word to)
{
    word from = *cursor;

    /* S1, with S2 in ring_pool.c: who sees one of the new values sees that `moves` is odd. */
    fby_ring_store_(&slow->moves, slow->moves + 1);
    __atomic_store_n(shift, *shift + (to - from), __ATOMIC_RELEASE);
    __atomic_store_n(cursor, to, __ATOMIC_RELEASE);
    __atomic_store_n(&slow->moves, slow->moves + 1, __ATOMIC_RELEASE);
}

/* ---- the read cursor ---- */

/* The read cursor's stretch ends at this address. No slice begins there: those that did are older,
 * and find_hole() keeps away. A FIFO pool's mark must not say otherwise. */
static void end_at(fby_ring_pool *pool, word end)
{
    pool->turn_ = end;
    if (pool->kind_ == FBY_RING_LOCAL)
        *fby_ring_mark_of(pool, end) = FBY_RING_BIG_; /* who looks there takes the slow path */
}

/* The read cursor stands at the end of its stretch and another follows. */
static void turn(fby_ring_pool *pool)
{
    struct fby_ring_slow_ *slow = pool->slow_;

    slow->oldest = (slow->oldest + 1) % FBY_RING_STRETCHES;
    slow->count--;
    fby_ring_stretch *next = stretch_at(slow, 0);
    jump(slow, read_cursor(pool), &slow->tail_shift, next->start);
    if (slow->count == 1)
        pool->turn_ = 0;
    else
        end_at(pool, next->end);
}

/* The first slice in [from, to) that has not been released; `to` if there is none. */
static word first_unreleased(fby_ring_pool *pool, word from, word to)
{
    const uint16_t *first = fby_ring_mark_of(pool, from), *end = fby_ring_mark_of(pool, to);
    const uint16_t *at = first; /* marks lie downwards in memory */

    while (at != end) {
        unsigned mark = __atomic_load_n(at, __ATOMIC_ACQUIRE); /* A3, with R3 in ring_shared.c */
        unsigned granules = mark - FBY_RING_RELEASED_;
        if (fby_ring_in_flight(mark))
            break;
        if (FBY_UNLIKELY(granules == 0)) {
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

/* Moves the read cursor over every released slice before the oldest in flight. */
static void pass_released(fby_ring_pool *pool)
{
    for (;;) {
        word end = pool->turn_ != 0 ? pool->turn_ : pool->head_;
        word tail = first_unreleased(pool, pool->tail_, end);
        fby_ring_store_(&pool->tail_, tail);
        if (tail != pool->turn_)
            return;
        turn(pool);
    }
}

/* ---- the write cursor ---- */

/* Where the lowest stretch at or above the address begins; the region's end if there is none. */
static word bound_above(const fby_ring_pool *pool, word at)
{
    struct fby_ring_slow_ *slow = pool->slow_;
    word bound = pool->end_;

    for (uint32_t i = 0; i < slow->count; i++) {
        fby_ring_stretch *stretch = stretch_at(slow, i);
        if (stretch->start >= at && stretch->start < bound && stretch->start != stretch->end)
            bound = stretch->start;
    }
    return bound;
}

/* The lowest hole of at least `size` bytes: it begins with the region or a granule behind a
 * stretch. (A read cursor at the end of its stretch is not yet where the next slice is: no slice
 * may be there, or it could be taken for that one.) */
static bool find_hole(const fby_ring_pool *pool, word size, word *hole)
{
    struct fby_ring_slow_ *slow = pool->slow_;
    if (bound_above(pool, pool->base_) - pool->base_ >= size) {
        *hole = pool->base_;
        return true;
    }
    word best = pool->end_;
    for (uint32_t i = 0; i < slow->count; i++) {
        word end = stretch_at(slow, i)->end;
        if (end + FBY_RING_GRANULE < best &&
            bound_above(pool, end) - end >= size + FBY_RING_GRANULE)
            best = end + FBY_RING_GRANULE;
    }
    *hole = best;
    return best != pool->end_;
}

/* Follows the recent peak of the span, and sets the window by it. */
static void set_window(fby_ring_pool *pool, word span)
{
    struct fby_ring_slow_ *slow = pool->slow_;
    word position = head_position(pool);

    if (span >= slow->recent) {
        slow->recent = span;
        slow->faded_at = position;
    } else if (position - slow->faded_at >= slow->recent / 2) {
        slow->recent = fby_max_size(span, slow->recent - slow->recent / 4);
        slow->faded_at = position;
    }
    word least = pool->kind_ == FBY_RING_SHARED ? FBY_RING_WINDOW_MIN_SHARED : FBY_RING_WINDOW_MIN;
    word window = fby_max_size(slow->recent + slow->recent * 15 / 16, least);
    window = fby_min_size(window, pool->end_ - pool->base_);
    slow->window = slow->window_off ? pool->end_ - pool->base_ : fby_align_up(window, 64);
}

/* Nothing is in flight: one stretch, empty, at the front. */
static void restart(fby_ring_pool *pool)
{
    struct fby_ring_slow_ *slow = pool->slow_;

    if (pool->head_ != pool->base_)
        fby_ring_store_(&slow->wraps, slow->wraps + 1);
    slow->count = 1;
    *stretch_at(slow, 0) = (fby_ring_stretch){.start = pool->base_, .end = pool->base_};
    jump(slow, &pool->head_, &slow->head_shift, pool->base_);
    jump(slow, read_cursor(pool), &slow->tail_shift, pool->base_);
    pool->turn_ = 0;
}

/* Ends the newest stretch, which is not empty, and begins one at `start`. */
static void move_to(fby_ring_pool *pool, word start)
{
    struct fby_ring_slow_ *slow = pool->slow_;

    fby_assert_debug(slow->count < FBY_RING_STRETCHES);
    if (slow->count == 1)
        end_at(pool, pool->head_);
    if (start < pool->head_)
        fby_ring_store_(&slow->wraps, slow->wraps + 1);
    *stretch_at(slow, slow->count++) = (fby_ring_stretch){.start = start, .end = start};
    jump(slow, &pool->head_, &slow->head_shift, start);
}

static void check_stretches(const fby_ring_pool *pool)
{
    struct fby_ring_slow_ *slow = pool->slow_;

    for (uint32_t i = 0; i < slow->count; i++) {
        fby_ring_stretch *a = stretch_at(slow, i);
        fby_assert(pool->base_ <= a->start && a->start <= a->end && a->end <= pool->end_);
        for (uint32_t k = 0; k < i; k++) {
            fby_ring_stretch *b = stretch_at(slow, k);
            fby_assert(a->end <= b->start || b->end <= a->start);
        }
    }
}

/* Brings the read cursor, the stretches and the window up to date. */
static void look_around(fby_ring_pool *pool, word size)
{
    struct fby_ring_slow_ *slow = pool->slow_;

    if (pool->kind_ == FBY_RING_SHARED)
        fby_ring_take_back(pool);
    if (pool->kind_ != FBY_RING_LOCAL)
        pass_released(pool);
    else if (pool->oldest_ == pool->turn_)
        turn(pool);
    word tail = *read_cursor(pool);
    word span = head_position(pool) - (tail - slow->tail_shift);
    set_window(pool, span + size);
    if (span == 0 && (!slow->window_off || size > pool->end_ - pool->head_)) {
        restart(pool);
        return;
    }
    stretch_at(slow, 0)->start = tail;
    stretch_at(slow, slow->count - 1)->end = pool->head_;
    if (FBY_DEBUG >= 2)
        check_stretches(pool);
}

/* Takes the write cursor to where `size` bytes are free. It may go on to the address `*bound`, and
 * is to ask again after `*step` bytes. */
static bool find_room(fby_ring_pool *pool, word size, word *bound, word *step)
{
    struct fby_ring_slow_ *slow = pool->slow_;
    word head = pool->head_, hole;
    bool may_move = slow->count < FBY_RING_STRETCHES;

    /* On within the window. */
    *bound = bound_above(pool, head);
    *step = fby_max_size(slow->window / 2, FBY_RING_STEP_MIN);
    if (pool->kind_ == FBY_RING_SHARED) { /* or the queue might fill up */
        word likely = size == slow->wanted ? size : FBY_RING_GRANULE;
        *step = fby_min_size(*step, FBY_RING_QUEUE_ / 4 * likely);
    }
    if (head + size <= fby_min_size(*bound, pool->base_ + slow->window)) {
        *bound = fby_min_size(*bound, pool->base_ + slow->window);
        return true;
    }
    /* Down to a hole, if it is one that lasts for a while. */
    if (may_move && find_hole(pool, fby_max_size(size, slow->window / 8), &hole) && hole < head) {
        move_to(pool, hole);
        *bound = bound_above(pool, hole);
        return true;
    }
    /* The window is too narrow: on above it, looking back soon. */
    if (head + size <= *bound) {
        *step = slow->window / 8;
        return true;
    }
    /* Anywhere but in crumbs, which would only cut the order of slices into ever more stretches. */
    if (!may_move || !find_hole(pool, fby_max_size(size, (pool->end_ - pool->base_) / 64), &hole))
        return false;
    move_to(pool, hole);
    *bound = bound_above(pool, hole);
    return true;
}

static bool make_room(fby_ring_pool *pool, word size)
{
    struct fby_ring_slow_ *slow = pool->slow_;
    word bound, step;

    if (pool->kind_ == FBY_RING_SHARED)
        fby_ring_guessed_wrong_(pool);
    look_around(pool, size);
    bool found = find_room(pool, size, &bound, &step);
    word limit = pool->head_;
    if (found)
        limit += fby_min_size(bound - pool->head_, fby_max_size(size, step) & ~(word)63);
    if (pool->kind_ == FBY_RING_SHARED)
        fby_ring_guess_marks(pool, limit, size);
    else
        pool->limit_ = limit;

    word reach = fby_max_size(slow->window, limit - pool->base_);
    fby_ring_store_(&slow->reach, reach);
    if (reach > slow->reach_peak)
        fby_ring_store_(&slow->reach_peak, reach);
    word span = head_position(pool) - (*read_cursor(pool) - slow->tail_shift);
    span += found ? size : 0;
    if (span > slow->span_peak)
        fby_ring_store_(&slow->span_peak, span);
    return found;
}

/* ---- the calls' rare half ---- */

fby_status fby_ring_alloc_slow_(fby_ring_pool *pool, size_t bytes, void **slice)
{
    struct fby_ring_slow_ *slow = pool->slow_;

    if (bytes == 0 || bytes > pool->end_ - pool->base_)
        return fby_error(FBY_EINVAL, "a slice of %zu bytes from a pool of %zu", bytes,
                         (size_t)(pool->end_ - pool->base_));
    word size = fby_align_up(bytes, FBY_RING_GRANULE);
    word limit = pool->kind_ == FBY_RING_SHARED ? pool->shared_limit_ : pool->limit_;
    if (size > limit - pool->head_ && !make_room(pool, size)) {
        fby_ring_store_(&slow->exhausted, slow->exhausted + 1);
        return FBY_EAGAIN;
    }
    word head = pool->head_;
    unsigned mark = FBY_RING_BIG_;
    if (size <= FBY_RING_SMALL_ * FBY_RING_GRANULE)
        mark = (unsigned)(size / FBY_RING_GRANULE);
    else
        fby_ring_store_(fby_ring_big_size(pool, head), size);
    if (pool->kind_ == FBY_RING_SHARED && slow->guess != size)
        fby_ring_guessed_wrong_(pool);
    /* Relaxed: the mark reaches the releasing thread of a shared pool with the slice's address. */
    __atomic_store_n(fby_ring_mark_of(pool, head), (uint16_t)mark, __ATOMIC_RELAXED);
    fby_ring_store_(&pool->head_, head + size);
    *slice = (void *)(uintptr_t)head;
    return FBY_OK;
}

/* The first slice of a stretch, a big slice, one at which the write cursor stands too, or the
 * caller's mistake. */
void fby_ring_release_fifo_slow_(fby_ring_pool *pool, void *slice)
{
    word address = (word)(uintptr_t)slice;

    fby_assert(pool->kind_ == FBY_RING_LOCAL);
    if (pool->oldest_ == pool->turn_)
        turn(pool);
    fby_assert(address == pool->oldest_); /* a slice of this pool, in the order of allocation */
    /* and in flight: cursors that meet mean a full pool or an empty one */
    fby_assert(address != pool->head_ || pool->slow_->count > 1);
    unsigned mark = *fby_ring_mark_of(pool, address);
    fby_assert(mark != 0);
    fby_ring_store_(&pool->oldest_, address + fby_ring_size_of(pool, address, mark));
}

/* A big slice, or the caller's mistake. */
void fby_ring_release_slow_(fby_ring_pool *pool, void *slice)
{
    word address = (word)(uintptr_t)slice;

    fby_assert(pool->kind_ == FBY_RING_LOCAL_UNORDERED);
    fby_ring_assert_within(pool, address); /* a slice of this pool */
    uint16_t *at = fby_ring_mark_of(pool, address);
    fby_assert(*at == FBY_RING_BIG_); /* in flight */
    *at = FBY_RING_RELEASED_;
    fby_ring_store_(&pool->released_, pool->released_ + *fby_ring_big_size(pool, address));
}

fby_status fby_ring_vectors_refused_(uint32_t vectors)
{
    return fby_error(FBY_EINVAL, "%u vectors in one request: at most %d", vectors,
                     FBY_RING_VECTORS_MAX);
}
