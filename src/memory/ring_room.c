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
 * Ordering of the shared kind: R1 (release of a mark, here and in ring_pool.h)
 * -> A1 hands a slice's bytes back. Every other access to a mark, a cursor or a
 * stretch is by the one thread that writes it, or by one to which the caller
 * handed the slice; and S1 -> S2 keep what statistics read of one age.
 */
#include "memory/ring_slow.h"

#include "base/assert.h"
#include "base/bits.h"
#include "base/status.h"

typedef fby_ring_word_ word;

static void publish(word *at, word x)
{
    __atomic_store_n(at, x, __ATOMIC_RELAXED);
}

static fby_ring_stretch *stretch_at(struct fby_ring_slow_ *slow, uint32_t i)
{
    return &slow->stretches[(slow->oldest + i) % FBY_RING_STRETCHES];
}

static word granule_of(const fby_ring_pool *pool, word address)
{
    return (address - pool->slow_->base) / FBY_RING_GRANULE;
}

static uint16_t *mark_of(fby_ring_pool *pool, word address)
{
    return fby_ring_mark_(pool, ((word)(uintptr_t)pool - address) / FBY_RING_GRANULE);
}

static word *big_size(const fby_ring_pool *pool, word address)
{
    return &pool->slow_->big[granule_of(pool, address) / FBY_RING_BIG_STEP];
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
    publish(&slow->moves, slow->moves + 1);
    __atomic_store_n(shift, *shift + (to - from), __ATOMIC_RELEASE);
    __atomic_store_n(cursor, to, __ATOMIC_RELEASE);
    __atomic_store_n(&slow->moves, slow->moves + 1, __ATOMIC_RELEASE);
}

/* ---- the read cursor ---- */

/* The read cursor stands at the end of its stretch and another follows. */
static void turn(fby_ring_pool *pool)
{
    struct fby_ring_slow_ *slow = pool->slow_;

    slow->oldest = (slow->oldest + 1) % FBY_RING_STRETCHES;
    slow->count--;
    fby_ring_stretch *next = stretch_at(slow, 0);
    jump(slow, read_cursor(pool), &slow->tail_shift, next->start);
    pool->turn_ = slow->count == 1 ? 0 : next->end;
}

/* The first address in [from, to) whose mark is not 0; `to` if there is none. Marks lie downwards
 * in memory. */
static word first_marked(fby_ring_pool *pool, word from, word to)
{
    const uint16_t *marks = mark_of(pool, from);
    size_t count = (to - from) / FBY_RING_GRANULE, i = 0;

    for (; count - i >= 16; i += 16) {
        uint64_t words[4];
        __builtin_memcpy(words, marks - i - 15, sizeof words);
        if ((words[0] | words[1] | words[2] | words[3]) != 0)
            break;
    }
    for (; count - i >= 4; i += 4) {
        uint64_t four;
        __builtin_memcpy(&four, marks - i - 3, sizeof four);
        if (four != 0)
            break;
    }
    while (i < count && marks[-(ptrdiff_t)i] == 0)
        i++;
    return from + i * FBY_RING_GRANULE;
}

/* The same by the marks of two threads, which keep the size. */
static word first_unreleased(fby_ring_pool *pool, word from, word to)
{
    while (from != to) {
        /* A1, with R1. */
        unsigned mark = __atomic_load_n(mark_of(pool, from), __ATOMIC_ACQUIRE);
        if (!(mark & FBY_RING_RELEASED_))
            break;
        mark &= ~FBY_RING_RELEASED_;
        from += mark == FBY_RING_BIG_ ? *big_size(pool, from) : (word)mark * FBY_RING_GRANULE;
    }
    return from;
}

/* Moves the read cursor over every released slice before the oldest in flight. */
static void pass_released(fby_ring_pool *pool)
{
    for (;;) {
        word end = pool->turn_ != 0 ? pool->turn_ : pool->head_;
        word tail = pool->kind_ == FBY_RING_SHARED ? first_unreleased(pool, pool->tail_, end)
                                                   : first_marked(pool, pool->tail_, end);
        publish(&pool->tail_, tail);
        if (tail != pool->turn_)
            return;
        turn(pool);
    }
}

/* ---- the write cursor ---- */

/* Where the lowest stretch at or above the address begins; the region's end if there is none. */
static word bound_above(struct fby_ring_slow_ *slow, word at)
{
    word bound = slow->end;

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
static bool find_hole(struct fby_ring_slow_ *slow, word size, word *hole)
{
    if (bound_above(slow, slow->base) - slow->base >= size) {
        *hole = slow->base;
        return true;
    }
    word best = slow->end;
    for (uint32_t i = 0; i < slow->count; i++) {
        word end = stretch_at(slow, i)->end;
        if (end + FBY_RING_GRANULE < best &&
            bound_above(slow, end) - end >= size + FBY_RING_GRANULE)
            best = end + FBY_RING_GRANULE;
    }
    *hole = best;
    return best != slow->end;
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
    word window = fby_max_size(slow->recent + slow->recent * 15 / 16, FBY_RING_WINDOW_MIN);
    window = fby_min_size(window, slow->end - slow->base);
    slow->window = slow->window_off ? slow->end - slow->base : fby_align_up(window, 64);
}

/* Nothing is in flight: one stretch, empty, at the front. */
static void restart(fby_ring_pool *pool)
{
    struct fby_ring_slow_ *slow = pool->slow_;

    if (pool->head_ != slow->base)
        publish(&slow->wraps, slow->wraps + 1);
    slow->count = 1;
    *stretch_at(slow, 0) = (fby_ring_stretch){.start = slow->base, .end = slow->base};
    jump(slow, &pool->head_, &slow->head_shift, slow->base);
    jump(slow, read_cursor(pool), &slow->tail_shift, slow->base);
    pool->turn_ = 0;
}

/* Ends the newest stretch, which is not empty, and begins one at `start`. */
static void move_to(fby_ring_pool *pool, word start)
{
    struct fby_ring_slow_ *slow = pool->slow_;

    fby_assert_debug(slow->count < FBY_RING_STRETCHES);
    if (slow->count == 1)
        pool->turn_ = pool->head_;
    if (start < pool->head_)
        publish(&slow->wraps, slow->wraps + 1);
    *stretch_at(slow, slow->count++) = (fby_ring_stretch){.start = start, .end = start};
    jump(slow, &pool->head_, &slow->head_shift, start);
}

static void check_stretches(struct fby_ring_slow_ *slow)
{
    for (uint32_t i = 0; i < slow->count; i++) {
        fby_ring_stretch *a = stretch_at(slow, i);
        fby_assert(slow->base <= a->start && a->start <= a->end && a->end <= slow->end);
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

    if (pool->kind_ != FBY_RING_LOCAL)
        pass_released(pool);
    else if (pool->oldest_ == pool->turn_)
        turn(pool);
    word tail = *read_cursor(pool);
    word span = head_position(pool) - (tail - slow->tail_shift);
    set_window(pool, span + size);
    if (span == 0 && (!slow->window_off || size > slow->end - pool->head_)) {
        restart(pool);
        return;
    }
    stretch_at(slow, 0)->start = tail;
    stretch_at(slow, slow->count - 1)->end = pool->head_;
    if (FBY_DEBUG >= 2)
        check_stretches(slow);
}

/* Takes the write cursor to where `size` bytes are free. It may go on to the address `*bound`, and
 * is to ask again after `*step` bytes. */
static bool find_room(fby_ring_pool *pool, word size, word *bound, word *step)
{
    struct fby_ring_slow_ *slow = pool->slow_;
    word head = pool->head_, hole;
    bool may_move = slow->count < FBY_RING_STRETCHES;

    /* On within the window. */
    *bound = bound_above(slow, head);
    *step = fby_max_size(slow->window / 2, FBY_RING_STEP_MIN);
    if (head + size <= fby_min_size(*bound, slow->base + slow->window)) {
        *bound = fby_min_size(*bound, slow->base + slow->window);
        return true;
    }
    /* Down to a hole, if it is one that lasts for a while. */
    if (may_move && find_hole(slow, fby_max_size(size, slow->window / 8), &hole) && hole < head) {
        move_to(pool, hole);
        *bound = bound_above(slow, hole);
        return true;
    }
    /* The window is too narrow: on above it, looking back soon. */
    if (head + size <= *bound) {
        *step = slow->window / 8;
        return true;
    }
    /* Anywhere but in crumbs, which would only cut the order of slices into ever more stretches. */
    if (!may_move || !find_hole(slow, fby_max_size(size, (slow->end - slow->base) / 64), &hole))
        return false;
    move_to(pool, hole);
    *bound = bound_above(slow, hole);
    return true;
}

static bool make_room(fby_ring_pool *pool, word size)
{
    struct fby_ring_slow_ *slow = pool->slow_;
    word bound, step;

    look_around(pool, size);
    bool found = find_room(pool, size, &bound, &step);
    pool->limit_ = pool->head_;
    if (found)
        pool->limit_ += fby_min_size(bound - pool->head_, fby_max_size(size, step) & ~(word)63);

    word reach = fby_max_size(slow->window, pool->limit_ - slow->base);
    publish(&slow->reach, reach);
    if (reach > slow->reach_peak)
        publish(&slow->reach_peak, reach);
    word span = head_position(pool) - (*read_cursor(pool) - slow->tail_shift);
    span += found ? size : 0;
    if (span > slow->span_peak)
        publish(&slow->span_peak, span);
    return found;
}

/* ---- the calls' rare half ---- */

fby_status fby_ring_alloc_slow_(fby_ring_pool *pool, size_t bytes, void **slice)
{
    struct fby_ring_slow_ *slow = pool->slow_;

    if (bytes == 0 || bytes > slow->end - slow->base)
        return fby_error(FBY_EINVAL, "a slice of %zu bytes from a pool of %zu", bytes,
                         (size_t)(slow->end - slow->base));
    word size = fby_align_up(bytes, FBY_RING_GRANULE);
    if (size > pool->limit_ - pool->head_ && !make_room(pool, size)) {
        publish(&slow->exhausted, slow->exhausted + 1);
        return FBY_EAGAIN;
    }
    word head = pool->head_;
    unsigned mark = FBY_RING_BIG_;
    if (size <= FBY_RING_SMALL_ * FBY_RING_GRANULE)
        mark = (unsigned)(size / FBY_RING_GRANULE);
    else
        *big_size(pool, head) = size;
    __atomic_store_n(mark_of(pool, head), (uint16_t)mark, __ATOMIC_RELAXED);
    publish(&pool->head_, head + size);
    *slice = (void *)(uintptr_t)head;
    return FBY_OK;
}

/* The first slice of a stretch, a big slice, or the caller's mistake. */
void fby_ring_release_fifo_slow_(fby_ring_pool *pool, void *slice)
{
    word address = (word)(uintptr_t)slice;

    fby_assert(pool->kind_ == FBY_RING_LOCAL);
    if (pool->oldest_ == pool->turn_)
        turn(pool);
    fby_assert(address == pool->oldest_); /* a slice of this pool, in the order of allocation */
    uint16_t *at = mark_of(pool, address);
    fby_assert(*at != 0); /* and in flight */
    word size = *at == FBY_RING_BIG_ ? *big_size(pool, address) : (word)*at * FBY_RING_GRANULE;
    *at = 0;
    publish(&pool->oldest_, address + size);
}

/* A big slice, or the caller's mistake. */
void fby_ring_release_slow_(fby_ring_pool *pool, void *slice)
{
    struct fby_ring_slow_ *slow = pool->slow_;
    word address = (word)(uintptr_t)slice;

    fby_assert(pool->kind_ != FBY_RING_LOCAL);
    fby_assert(address % FBY_RING_GRANULE == 0 && address - slow->base < slow->end - slow->base);
    uint16_t *at = mark_of(pool, address);
    fby_assert(__atomic_load_n(at, __ATOMIC_RELAXED) == FBY_RING_BIG_); /* in flight */

    word size = *big_size(pool, address);
    if (pool->kind_ == FBY_RING_SHARED)
        /* R1, with A1. */
        __atomic_store_n(at, FBY_RING_BIG_ | FBY_RING_RELEASED_, __ATOMIC_RELEASE);
    else
        __atomic_store_n(at, 0, __ATOMIC_RELAXED);
    publish(&pool->released_, pool->released_ + size);
}

fby_status fby_ring_vectors_refused_(uint32_t vectors)
{
    return fby_error(FBY_EINVAL, "%u vectors in one request: at most %d", vectors,
                     FBY_RING_VECTORS_MAX);
}
