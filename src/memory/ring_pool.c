/* SPDX-License-Identifier: Apache-2.0 */
#include "forebay/ring_pool.h"

#include <errno.h>
#include <linux/mempolicy.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/options.h"
#include "base/status.h"
#include "memory/ring_slow.h"

enum { PAGE = 4096, HUGE_PAGE = 2 << 20 };

_Static_assert(sizeof(fby_ring_pool) + sizeof(struct fby_ring_slow_) +
                       (FBY_RING_GAP_ + 1) * sizeof(uint16_t) <=
                   FBY_RING_MARKS_,
               "pool and slow half lie before the marks, those of the gap too");
_Static_assert(FBY_RING_SMALL_ + 1 >= FBY_RING_BIG_STEP, "two big slices, two entries");
/* Lines written for each slice lie at multiples of 512 bytes in many uses; the pool's own three
 * keep away from them, modulo 4,096: loads that only look like they hit such a store wait for it.
 */
_Static_assert(FBY_RING_GAP_ *FBY_RING_GRANULE == 256, "the pool's place in its page");

/*
 * One mapping, in bytes from its start:
 *
 *     region: slices | gap | pool, slow half | marks, of the region's end first | sizes of big
 * slices
 *
 * The region ends with a page, and begins with a huge page of the mapping if its capacity is a
 * multiple of one.
 */
typedef struct layout {
    size_t capacity, region, pool, queue, big, total;
} layout;

static fby_status lay_out(size_t capacity_bytes, fby_ring_kind kind, layout *out)
{
    /* Marks are 1/32 of it, the rest less: nothing overflows below a quarter of what there is. */
    size_t most = kind == FBY_RING_SHARED ? (size_t)UINT32_MAX * FBY_RING_GRANULE : SIZE_MAX / 4;
    if (capacity_bytes == 0 || capacity_bytes > most)
        return fby_error(FBY_EINVAL, "a ring pool of %zu bytes", capacity_bytes);
    layout l = {.capacity = fby_align_up(capacity_bytes, FBY_RING_GRANULE)};
    size_t granules = l.capacity / FBY_RING_GRANULE, end = fby_align_up(l.capacity, PAGE);
    l.region = end - l.capacity;
    l.pool = end + FBY_RING_GAP_ * FBY_RING_GRANULE;
    l.queue =
        l.pool + FBY_RING_MARKS_ + fby_align_up(granules * sizeof(uint16_t), FBY_RING_GRANULE);
    l.big = l.queue + (kind == FBY_RING_SHARED ? FBY_RING_QUEUE_ * sizeof(uint32_t) : 0);
    l.total = l.big + (granules / FBY_RING_BIG_STEP + 1) * sizeof(fby_ring_word_);
    l.total = fby_align_up(l.total, PAGE);
    *out = l;
    return FBY_OK;
}

/* Asks for the pages of this mapping on the calling thread's node. A kernel that refuses (no NUMA,
 * a sandbox) gives pages from anywhere, which is not an error. */
static void bind_to_node(void *map, size_t size)
{
    unsigned node;
    unsigned long nodes[16] = {0};
    enum { BITS = 8 * sizeof nodes[0] };

    if (syscall(SYS_getcpu, NULL, &node, NULL) != 0 || node >= 16 * BITS)
        return;
    nodes[node / BITS] = 1ul << node % BITS;
    (void)syscall(SYS_mbind, map, size, MPOL_PREFERRED, nodes, 16ul * BITS + 1, 0u);
}

static fby_status map_pool(const fby_ring_pool_options *options, size_t size, unsigned char **map)
{
    /* More than asked for, so that the region can begin on a huge page. */
    size_t slack = size >= HUGE_PAGE ? HUGE_PAGE : 0;
    unsigned char *raw =
        mmap(NULL, size + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (raw == MAP_FAILED)
        return fby_error_errno(FBY_ENOMEM, errno, "mapping %zu bytes for a ring pool", size);

    size_t skip = slack == 0 ? 0 : (HUGE_PAGE - (uintptr_t)raw % HUGE_PAGE) % HUGE_PAGE;
    if (skip != 0)
        munmap(raw, skip);
    if (slack - skip != 0)
        munmap(raw + skip + size, slack - skip);
    raw += skip;

    if (size >= HUGE_PAGE && !options->no_huge_pages)
        (void)madvise(raw, size, MADV_HUGEPAGE);
    if (!options->no_numa)
        bind_to_node(raw, size);
    for (size_t at = 0; at < size; at += PAGE)
        *(_Atomic unsigned char *)(raw + at) = 0;
    *map = raw;
    return FBY_OK;
}

fby_status fby_ring_pool_create(const fby_ring_pool_options *given, fby_ring_pool **pool)
{
    layout l = {0};
    unsigned char *map = NULL;
    fby_ring_pool_options read = FBY_RING_POOL_OPTIONS_INIT;
    const fby_ring_pool_options *options = &read;

    fby_status status = fby_options_read(&read, sizeof read, given, "fby_ring_pool_options");
    if (status != FBY_OK)
        return status;
    if ((unsigned)options->kind > FBY_RING_SHARED)
        return fby_error(FBY_EINVAL, "ring pool of kind %d", (int)options->kind);
    status = lay_out(options->capacity_bytes, options->kind, &l);
    if (status != FBY_OK)
        return status;
    status = map_pool(options, l.total, &map);
    if (status != FBY_OK)
        return status;

    fby_ring_pool *made = (fby_ring_pool *)(void *)(map + l.pool);
    struct fby_ring_slow_ *slow = (struct fby_ring_slow_ *)(void *)(made + 1);
    fby_ring_word_ base = (uintptr_t)map + l.region;
    bool fifo = options->kind == FBY_RING_LOCAL;
    fby_ring_word_ beyond = l.capacity / FBY_RING_GRANULE + FBY_RING_GAP_ + 1;
    *slow = (struct fby_ring_slow_){
        .stretches = {{.start = base, .end = base}},
        .count = 1,
        .window_off = options->window_off,
        .map = map,
        .map_bytes = l.total,
        .head_shift = base,
        .tail_shift = base,
    };
    *made = (fby_ring_pool){
        .kind_ = (fby_ring_word_)options->kind,
        .unordered_ = options->kind == FBY_RING_LOCAL_UNORDERED ? beyond : 0,
        .shared_ = options->kind == FBY_RING_SHARED ? beyond : 0,
        .base_ = base,
        .end_ = base + l.capacity,
        .big_ = (fby_ring_word_ *)(void *)(map + l.big),
        .queue_ = (uint32_t *)(void *)(map + l.queue),
        .slow_ = slow,
        .head_ = base,
        .limit_ = options->kind == FBY_RING_SHARED ? 0 : base,
        .shared_limit_ = base,
        .oldest_ = fifo ? base : 0,
        .tail_ = base,
    };
    *pool = made;
    return FBY_OK;
}

void fby_ring_pool_destroy(fby_ring_pool *pool)
{
    if (pool != NULL)
        munmap(pool->slow_->map, pool->slow_->map_bytes);
}

static fby_ring_word_ word(const fby_ring_word_ *at)
{
    return __atomic_load_n(at, __ATOMIC_RELAXED);
}

/* Positions of both cursors. Between two moves of a cursor its position grows with its address. */
static void read_positions(const fby_ring_pool *pool, uint64_t *tail, uint64_t *head)
{
    const struct fby_ring_slow_ *slow = pool->slow_;
    const fby_ring_word_ *cursor = pool->kind_ == FBY_RING_LOCAL ? &pool->oldest_ : &pool->tail_;
    fby_ring_word_ moves;

    do {
        moves = __atomic_load_n(&slow->moves, __ATOMIC_ACQUIRE);
        /* S2, with S1 in ring_room.c; in this order, so that the head is the younger one. */
        fby_ring_word_ tail_at = __atomic_load_n(cursor, __ATOMIC_ACQUIRE);
        fby_ring_word_ tail_shift = __atomic_load_n(&slow->tail_shift, __ATOMIC_ACQUIRE);
        fby_ring_word_ head_at = __atomic_load_n(&pool->head_, __ATOMIC_ACQUIRE);
        fby_ring_word_ head_shift = __atomic_load_n(&slow->head_shift, __ATOMIC_ACQUIRE);
        *tail = tail_at - tail_shift;
        *head = head_at - head_shift;
    } while (moves % 2 != 0 || word(&slow->moves) != moves);
}

fby_status fby_ring_pool_get_stats(fby_ring_pool *pool, fby_ring_pool_stats *stats)
{
    const struct fby_ring_slow_ *slow = pool->slow_;
    uint64_t tail, head;

    if (stats->struct_size != sizeof *stats)
        return fby_error(FBY_EINVAL, "fby_ring_pool_stats.struct_size is %zu, not %zu",
                         stats->struct_size, sizeof *stats);
    uint64_t released = __atomic_load_n(&pool->released_, __ATOMIC_ACQUIRE);
    if (pool->kind_ == FBY_RING_SHARED)
        released +=
            __atomic_load_n(&slow->taken_bytes, __ATOMIC_ACQUIRE) + fby_ring_returned_bytes(pool);
    read_positions(pool, &tail, &head);
    if (pool->kind_ == FBY_RING_LOCAL)
        released = tail;
    stats->capacity_bytes = pool->end_ - pool->base_;
    stats->in_flight_bytes = released <= head ? head - released : 0;
    stats->span_bytes = head - tail;
    stats->peak_span_bytes = fby_max_size(word(&slow->span_peak), stats->span_bytes);
    stats->window_bytes = word(&slow->reach);
    stats->peak_window_bytes = word(&slow->reach_peak);
    stats->wraps = word(&slow->wraps);
    stats->exhausted = word(&slow->exhausted);
    return FBY_OK;
}
