/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/ring_loops.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "base/assert.h"
#include "base/platform.h"

enum { VECTOR = sizeof(float[FBY_FEATURE_DIM]) };

/* ---- schedules ---- */

void fby_ring_schedule_fifo(fby_ring_schedule *schedule, uint32_t in_flight)
{
    fby_assert(in_flight >= 1 && in_flight <= FBY_RING_HELD_MAX);
    schedule->in_flight = in_flight;
    for (uint32_t i = 0; i < FBY_RING_TURNS; i++)
        schedule->slots[i] = (uint16_t)(i % in_flight);
    for (uint32_t i = 0; i < in_flight; i++)
        schedule->rename[i] = (uint16_t)((i + FBY_RING_TURNS) % in_flight);
}

/* xorshift64* (Vigna 2016). */
static uint32_t draw(uint64_t *state, uint32_t below)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (uint32_t)((*state * 0x2545f4914f6cdd1du) >> 32) % below;
}

void fby_ring_schedule_draw(fby_ring_schedule *schedule, uint32_t in_flight, uint32_t patience)
{
    static uint16_t order[FBY_RING_TURNS + FBY_RING_HELD_MAX]; /* by age, from `first` on */
    uint32_t first = 0, passed = 0;
    uint64_t state = 88172645463325252u;

    fby_assert(in_flight >= 1 && in_flight <= FBY_RING_HELD_MAX);
    schedule->in_flight = in_flight;
    for (uint32_t i = 0; i < in_flight; i++)
        order[i] = (uint16_t)i;
    for (uint32_t i = 0; i < FBY_RING_TURNS; i++, first++) {
        uint32_t k = draw(&state, in_flight < 8 ? in_flight : 8);
        passed = k == 0 ? 0 : passed + 1;
        if (patience != 0 && passed >= patience)
            k = passed = 0;
        uint16_t slot = order[first + k];
        memmove(&order[first + 1], &order[first], k * sizeof order[0]);
        schedule->slots[i] = slot;
        order[first + in_flight] = slot;
    }
    memcpy(schedule->rename, &order[first], in_flight * sizeof order[0]);
}

/* ---- what every loop shares ---- */

/* Slices in flight, for every loop: where it lies in its page matters to the cost of a turn. */
static alignas(4096) void *the_held[FBY_RING_HELD_MAX];
static void *renamed[FBY_RING_HELD_MAX];

/* The compiler knows nothing of memory from here on, as between two calls in a program. */
static inline void between_turns(void)
{
    __asm__ volatile("" ::: "memory");
}

static inline void write_slice(void *slice, size_t bytes, bool all, uint64_t turn)
{
    float x = (float)(turn & 1023), *floats = slice;

    if (all)
        memset(slice, (int)turn, bytes);
    else
        for (size_t i = 0; i < 64 / sizeof x; i++)
            floats[i] = x;
}

/* The time this thread had a processor: others on the machine do not count, except that they leave
 * the caches cold. */
static uint64_t thread_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t thread_faults(void)
{
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    return (uint64_t)(usage.ru_minflt + usage.ru_majflt);
}

static void rename_slots(void **held, const fby_ring_schedule *schedule)
{
    for (uint32_t i = 0; i < schedule->in_flight; i++)
        renamed[i] = held[schedule->rename[i]];
    memcpy(held, renamed, schedule->in_flight * sizeof held[0]);
}

/* ---- one thread ---- */

static inline void release(fby_ring_pool *pool, fby_ring_kind kind, void *slice)
{
    if (kind == FBY_RING_LOCAL)
        fby_ring_release_fifo(pool, slice);
    else
        fby_ring_release_unordered(pool, slice);
}

/* Out of room, as a caller with slices of many sizes may be: some end first. */
static FBY_NOINLINE void *wait_for_room(const fby_ring_load *load, size_t bytes, void **held,
                                        uint64_t *refused)
{
    void *slice = NULL;
    for (uint32_t i = 0; i < load->schedule->in_flight; i++) {
        if (held[i] == NULL)
            continue;
        fby_ring_release(load->pool, held[i]);
        held[i] = NULL;
        ++*refused;
        if (fby_ring_alloc(load->pool, bytes, &slice) == FBY_OK)
            return slice;
    }
    fby_assert(slice != NULL);
    return slice;
}

/* Inlined once for each case: `kind`, `fixed` and `all` are constants there. `fixed` is the size of
 * every slice, 0 where it varies. */
static inline __attribute__((always_inline)) void turns(const fby_ring_load *load, void **held,
                                                        uint64_t count, fby_ring_kind kind,
                                                        size_t fixed, bool all, uint64_t *refused)
{
    fby_ring_pool *pool = load->pool;
    const uint16_t *slots = load->schedule->slots;
    const uint32_t *sizes = fixed == 0 ? load->sizes : NULL;
    uint32_t slot = 0, in_flight = load->schedule->in_flight;
    size_t bytes = fixed != 0 ? fixed : load->slice_bytes;

    for (uint64_t i = 0; i < count; i++) {
        void *slice;
        if (kind != FBY_RING_LOCAL)
            slot = slots[i];
        if (sizes != NULL)
            bytes = sizes[i];
        if (sizes == NULL || held[slot] != NULL)
            release(pool, kind, held[slot]);
        if (FBY_UNLIKELY(fby_ring_alloc(pool, bytes, &slice) != FBY_OK)) {
            fby_assert(sizes !=
                       NULL); /* equal slices fit, whoever set up the load has seen to it */
            held[slot] = NULL;
            slice = wait_for_room(load, bytes, held, refused);
        }
        write_slice(slice, bytes, all, i);
        held[slot] = slice;
        if (kind == FBY_RING_LOCAL)
            slot = slot + 1 == in_flight ? 0 : slot + 1;
        between_turns();
    }
}

static FBY_NOINLINE void turns_of(const fby_ring_load *load, void **held, uint64_t count,
                                  uint64_t *refused)
{
    bool vector = load->sizes == NULL && load->slice_bytes == VECTOR;

    if (load->kind == FBY_RING_LOCAL && load->all)
        turns(load, held, count, FBY_RING_LOCAL, 0, true, refused);
    else if (load->kind == FBY_RING_LOCAL && vector)
        turns(load, held, count, FBY_RING_LOCAL, VECTOR, false, refused);
    else if (load->kind == FBY_RING_LOCAL)
        turns(load, held, count, FBY_RING_LOCAL, 0, false, refused);
    else if (load->all)
        turns(load, held, count, FBY_RING_LOCAL_UNORDERED, 0, true, refused);
    else if (vector)
        turns(load, held, count, FBY_RING_LOCAL_UNORDERED, VECTOR, false, refused);
    else
        turns(load, held, count, FBY_RING_LOCAL_UNORDERED, 0, false, refused);
}

fby_ring_time fby_ring_run_local(const fby_ring_load *load)
{
    uint32_t in_flight = load->schedule->in_flight;
    fby_ring_time time = {0};
    uint64_t ns = 0;

    fby_assert(in_flight >= 1 && in_flight <= FBY_RING_HELD_MAX);
    void **held = the_held;
    memset(the_held, 0, sizeof the_held);
    memset(renamed, 0, sizeof renamed); /* both touched: page faults from here on are the pool's */
    for (uint32_t i = 0; i < in_flight; i++) {
        size_t bytes = load->sizes != NULL ? load->sizes[i] : load->slice_bytes;
        fby_assert(fby_ring_alloc(load->pool, bytes, &held[i]) == FBY_OK);
    }
    uint64_t done = 0, faults = thread_faults();
    while (done < load->pairs) {
        uint64_t left = load->pairs - done, start = thread_ns();
        uint64_t count = left < FBY_RING_TURNS ? left : FBY_RING_TURNS;
        turns_of(load, held, count, &time.refused);
        ns += thread_ns() - start;
        done += count;
        if (count == FBY_RING_TURNS)
            rename_slots(held, load->schedule);
    }
    time.page_faults = thread_faults() - faults;
    time.ns_per_pair = (double)ns / (double)load->pairs;
    /* In a FIFO pool's order: the slot whose turn would be next has the oldest. */
    uint32_t oldest = (uint32_t)(load->pairs % FBY_RING_TURNS % in_flight);
    for (uint32_t i = 0; i < in_flight; i++) {
        void *slice = held[(oldest + i) % in_flight];
        if (slice != NULL)
            fby_ring_release(load->pool, slice);
    }
    return time;
}

typedef struct cursors {
    unsigned char *region;
    size_t bytes, write, read;
} cursors;

static inline __attribute__((always_inline)) void bare_turns(cursors *at, void **held,
                                                             uint32_t in_flight, uint64_t count,
                                                             size_t bytes, bool all)
{
    uint32_t slot = 0;

    for (uint64_t i = 0; i < count; i++) {
        __asm__ volatile("" ::"r"(held[slot])); /* what a release is given */
        size_t read = at->read + bytes, write = at->write;
        at->read = read == at->bytes ? 0 : read;
        void *slice = at->region + write;
        write += bytes;
        at->write = write == at->bytes ? 0 : write;
        write_slice(slice, bytes, all, i);
        held[slot] = slice;
        slot = slot + 1 == in_flight ? 0 : slot + 1;
        between_turns();
    }
}

fby_ring_time fby_ring_run_bare(const fby_ring_load *load, unsigned char *region, size_t bytes)
{
    /* Like the pool's, not where lines of slices of 512 bytes, or what is held, want to be in the
     * cache. */
    static alignas(4096) struct {
        unsigned char away[2048 + 256];
        cursors at;
    } page;
    cursors *at = &page.at;
    uint32_t in_flight = load->schedule->in_flight;
    size_t slice = (load->slice_bytes + 63) / 64 * 64;

    *at = (cursors){region, bytes / slice * slice, slice * in_flight % (bytes / slice * slice), 0};
    uint64_t start = thread_ns();
    if (load->all)
        bare_turns(at, the_held, in_flight, load->pairs, slice, true);
    else if (slice == VECTOR)
        bare_turns(at, the_held, in_flight, load->pairs, VECTOR, false);
    else
        bare_turns(at, the_held, in_flight, load->pairs, slice, false);
    uint64_t ns = thread_ns() - start;
    return (fby_ring_time){.ns_per_pair = (double)ns / (double)load->pairs};
}
