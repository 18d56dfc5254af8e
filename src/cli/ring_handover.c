/* SPDX-License-Identifier: Apache-2.0 */
/* The shared kind's loops: one thread allocates and writes, another reads and releases. */
#include "cli/ring_loops.h"

#include <pthread.h>
#include <sched.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <sys/resource.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/platform.h"
#include "cli/bench_stats.h"

enum { BATCH = 16, SEGMENT = 1024, SEGMENTS_MAX = 4096 };

/* Addresses, from the one thread to the other. P1 -> K1 hands slices over, R1 -> C1 hands cells
 * back; each is done once in BATCH slices. */
static struct {
    alignas(FBY_CACHELINE) _Atomic uint64_t tail; /* the allocating thread's */
    uint64_t head_seen;
    alignas(FBY_CACHELINE) _Atomic uint64_t head; /* the releasing thread's */
    uint64_t page_faults;
    uint32_t sum;
    alignas(FBY_CACHELINE) const fby_ring_load *load;
    bool bare;
    _Atomic bool ready;
    uint64_t mask;
    alignas(FBY_CACHELINE) void *cells[FBY_RING_HELD_MAX];
} queue;

static uint64_t thread_faults(void)
{
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    return (uint64_t)(usage.ru_minflt + usage.ru_majflt);
}

static inline void wait_turn(uint32_t *spins)
{
    fby_relax();
    if (++*spins % 4096 == 0)
        sched_yield();
}

static inline uint32_t take_batch(uint64_t head, bool bare)
{
    fby_ring_pool *pool = queue.load->pool;
    uint32_t sum = 0;

    for (uint32_t i = 0; i < BATCH; i++) {
        /* In another order than they came. */
        uint32_t *slice = queue.cells[(head + (i ^ 5)) & queue.mask];
        sum += *slice;
        if (!bare)
            fby_ring_release_shared(pool, slice);
    }
    return sum;
}

static void *take(void *context)
{
    uint64_t head = 0, tail = 0;
    uint32_t spins = 0, sum = 0; /* not in a line that the other waits at */
    (void)context;

    atomic_store_explicit(&queue.ready, true, memory_order_release);
    uint64_t faults = thread_faults();
    while (head < queue.load->pairs) {
        while (tail == head) {
            tail = atomic_load_explicit(&queue.tail, memory_order_acquire); /* K1 */
            if (tail == head)
                wait_turn(&spins);
        }
        sum += queue.bare ? take_batch(head, true) : take_batch(head, false);
        head += BATCH;
        atomic_store_explicit(&queue.head, head, memory_order_release); /* R1 */
    }
    queue.page_faults = thread_faults() - faults;
    queue.sum = sum;
    return NULL;
}

static inline void give(uint64_t i, void *slice, uint32_t *spins)
{
    *(uint32_t *)slice = (uint32_t)i;
    while (i - queue.head_seen > queue.mask) {
        queue.head_seen = atomic_load_explicit(&queue.head, memory_order_acquire); /* C1 */
        if (i - queue.head_seen > queue.mask)
            wait_turn(spins);
    }
    queue.cells[i & queue.mask] = slice;
    if (i % BATCH == BATCH - 1)
        atomic_store_explicit(&queue.tail, i + 1, memory_order_release); /* P1 */
}

/*
 * When one of two threads loses its processor the other waits, for as long as
 * thousands of slices take. So the time of a run is that of its median segment of
 * SEGMENT slices: what it costs while both run.
 */
static struct {
    double ns[SEGMENTS_MAX];
    size_t count;
    uint64_t start;
} segments;

static void end_segment(void)
{
    uint64_t now = fby_now_ns();
    if (segments.count < SEGMENTS_MAX)
        segments.ns[segments.count++] = (double)(now - segments.start) / SEGMENT;
    segments.start = now;
}

static inline void write_line(void *slice, uint64_t turn)
{
    float x = (float)(turn & 1023), *floats = slice;
    for (size_t i = 0; i < 64 / sizeof x; i++)
        floats[i] = x;
}

static uint64_t give_pool(const fby_ring_load *load)
{
    uint64_t refused = 0;
    uint32_t spins = 0;

    for (uint64_t i = 0; i < load->pairs; i++) {
        void *slice;
        while (fby_ring_alloc_shared(load->pool, load->slice_bytes, &slice) != FBY_OK) {
            refused++;
            wait_turn(&spins);
        }
        write_line(slice, i);
        give(i, slice, &spins);
        if (i % SEGMENT == SEGMENT - 1)
            end_segment();
    }
    return refused;
}

static void give_bare(const fby_ring_load *load, unsigned char *region, size_t bytes)
{
    static alignas(FBY_CACHELINE) size_t write;
    uint32_t spins = 0;

    write = 0;
    for (uint64_t i = 0; i < load->pairs; i++) {
        size_t at = write;
        void *slice = region + at;
        at += load->slice_bytes;
        write = at == bytes ? 0 : at;
        __asm__ volatile("" ::: "memory"); /* in memory, as between two calls in a program */
        write_line(slice, i);
        give(i, slice, &spins);
        if (i % SEGMENT == SEGMENT - 1)
            end_segment();
    }
}

/* Puts each thread on a processor of its own where there are two. */
static void part(pthread_t other, const cpu_set_t *all)
{
    cpu_set_t set;
    size_t number[2], found = 0;

    for (size_t cpu = 0; cpu < CPU_SETSIZE && found < 2; cpu++)
        if (CPU_ISSET(cpu, all))
            number[found++] = cpu;
    if (found < 2)
        return;
    CPU_ZERO(&set);
    CPU_SET(number[1], &set);
    pthread_setaffinity_np(other, sizeof set, &set);
    CPU_ZERO(&set);
    CPU_SET(number[0], &set);
    pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

static fby_ring_time run(const fby_ring_load *load, unsigned char *region, size_t bytes)
{
    fby_ring_time time = {0};
    cpu_set_t all;
    pthread_t taker;

    fby_assert(load->pairs % BATCH == 0 && load->pairs >= SEGMENT &&
               load->schedule->in_flight >= 2 * BATCH);
    queue.load = load;
    queue.bare = region != NULL;
    queue.mask = load->schedule->in_flight - 1;
    queue.head_seen = 0;
    atomic_store_explicit(&queue.tail, 0, memory_order_relaxed);
    atomic_store_explicit(&queue.head, 0, memory_order_relaxed);
    atomic_store_explicit(&queue.ready, false, memory_order_relaxed);
    if (pthread_create(&taker, NULL, take, NULL) != 0)
        return time;
    pthread_getaffinity_np(pthread_self(), sizeof all, &all);
    part(taker, &all);
    while (!atomic_load_explicit(&queue.ready, memory_order_acquire))
        sched_yield();

    uint64_t faults = thread_faults();
    segments.count = 0;
    segments.start = fby_now_ns();
    if (region != NULL)
        give_bare(load, region, bytes / load->slice_bytes * load->slice_bytes);
    else
        time.refused = give_pool(load);
    faults = thread_faults() - faults;
    pthread_join(taker, NULL);
    time.ns_per_pair = fby_spread_of(segments.ns, segments.count).median;
    time.page_faults = faults + queue.page_faults;
    pthread_setaffinity_np(pthread_self(), sizeof all, &all);
    return time;
}

fby_ring_time fby_ring_run_shared(const fby_ring_load *load)
{
    return run(load, NULL, 0);
}

fby_ring_time fby_ring_run_bare_shared(const fby_ring_load *load, unsigned char *region,
                                       size_t bytes)
{
    return run(load, region, bytes);
}
