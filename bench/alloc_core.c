/* SPDX-License-Identifier: Apache-2.0 */
#include "alloc_core.h"

#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "alloc_trace.h"
#include "base/platform.h"

static const alloc_workload workloads[] = {
    {"rl_small",
     ALLOC_MIX,
     {16, 32, 64, 128, 256, 512},
     {25, 25, 20, 15, 10, 5},
     65,
     4096,
     0,
     0,
     4000000},
    {"rl_medium",
     ALLOC_MIX,
     {128, 256, 512, 1024, 2048, 4096},
     {20, 25, 25, 15, 10, 5},
     60,
     2048,
     0,
     0,
     4000000},
    {"fragmentation_mix",
     ALLOC_MIX,
     {16, 32, 64, 128, 256, 512, 1024, 2048, 4096},
     {10, 10, 10, 12, 12, 12, 12, 12, 10},
     55,
     8192,
     0,
     0,
     4000000},
    {"alignment64",
     ALLOC_MIX,
     {64, 128, 256, 512, 1024},
     {35, 25, 20, 15, 5},
     60,
     2048,
     64,
     0,
     4000000},
    {"large_mix", ALLOC_MIX, {4096, 1 << 20}, {50, 50}, 55, 256, 0, 1, 400000},
    {"cross_thread",
     ALLOC_CROSS,
     {16, 32, 64, 128, 256, 512},
     {25, 25, 20, 15, 10, 5},
     100,
     0,
     0,
     0,
     4000000},
    {"batch_step",
     ALLOC_BATCH,
     {16, 32, 64, 128, 256, 512},
     {25, 25, 20, 15, 10, 5},
     100,
     384,
     0,
     0,
     4000000},
    {"pair32", ALLOC_PAIR, {32}, {100}, 50, 1, 0, 0, 20000000},
    {"recorded", ALLOC_RECORD, {0}, {0}, 0, 0, 0, 0, 4000000},
};
enum { WORKLOADS = sizeof workloads / sizeof workloads[0] };

static const char *const names[] = {"rl_small",
                                    "rl_medium",
                                    "fragmentation_mix",
                                    "alignment64",
                                    "large_mix",
                                    "cross_thread",
                                    "batch_step",
                                    "pair32",
                                    "recorded",
                                    "rl_small_uniform",
                                    "rl_medium_uniform",
                                    "fragmentation_mix_uniform",
                                    "alignment64_uniform",
                                    NULL};

const char *const *alloc_workload_names(void)
{
    return names;
}

enum { SIZE_UNIFORM = 255 }; /* percent[0] of a workload whose sizes are uniform */

const alloc_workload *alloc_workload_find(const char *name, alloc_workload *storage)
{
    for (size_t i = 0; i < WORKLOADS; i++) {
        size_t length = strlen(workloads[i].name);
        if (strncmp(name, workloads[i].name, length) != 0)
            continue;
        bool uniform = strcmp(name + length, "_uniform") == 0 && workloads[i].kind == ALLOC_MIX;
        if (name[length] != '\0' && !uniform)
            continue;
        *storage = workloads[i];
        for (size_t n = 0; n < sizeof names / sizeof names[0] - 1; n++)
            if (strcmp(names[n], name) == 0)
                storage->name = names[n];
        if (uniform)
            storage->percent[0] = SIZE_UNIFORM;
        return storage;
    }
    return NULL;
}

/* wyrand (Wang Yi, wyhash). */
static inline uint64_t next_random(uint64_t *state)
{
    *state += 0xa0761d6478bd642fu;
    __uint128_t product = (__uint128_t)*state * (*state ^ 0xe7037ed1a0b428dbu);
    return (uint64_t)(product >> 64) ^ (uint64_t)product;
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Time that this thread was on a processor: what counts where others compete for it. */
static uint64_t thread_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- resident memory ---- */

/* Bytes of the line "KEY: n kB" of a file under /proc/self; read without stdio, so that nothing is
 * allocated. */
static uint64_t proc_bytes(const char *path, const char *key)
{
    char text[4096];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    size_t size = 0;
    for (ssize_t got; size < sizeof text - 1; size += (size_t)got) {
        got = read(fd, text + size, sizeof text - 1 - size);
        if (got <= 0)
            break;
    }
    close(fd);
    text[size] = '\0';
    const char *line = strstr(text, key);
    return line != NULL ? strtoull(line + strlen(key), NULL, 10) * 1024 : 0;
}

static uint64_t rss_now(void)
{
    return proc_bytes("/proc/self/smaps_rollup", "Rss:");
}

static uint64_t rss_peak(void)
{
    return proc_bytes("/proc/self/status", "VmHWM:");
}

/* ---- latencies ---- */

/* A histogram of ns a call: 1/8 ns steps below 32 ns, then 32 steps an octave. */
enum { HISTOGRAM = 256 + 32 * 40 };
typedef struct histogram {
    uint64_t total;
    uint32_t count[HISTOGRAM];
} histogram;

static void histogram_add(histogram *h, double ns)
{
    uint32_t at = 0;
    if (ns < 32) {
        at = (uint32_t)(ns * 8);
    } else {
        uint64_t whole = (uint64_t)ns;
        uint32_t octave = 63u - (uint32_t)__builtin_clzll(whole);
        at = 256 + (octave - 5) * 32 + (uint32_t)((whole >> (octave - 5)) & 31);
        if (at >= HISTOGRAM)
            at = HISTOGRAM - 1;
    }
    h->count[at]++;
    h->total++;
}

static double histogram_value(uint32_t at)
{
    if (at < 256)
        return at / 8.0;
    uint32_t octave = (at - 256) / 32 + 5;
    return (double)(((uint64_t)32 + (at - 256) % 32) << (octave - 5));
}

static double histogram_at(const histogram *h, double share)
{
    uint64_t want = (uint64_t)ceil((double)h->total * share), seen = 0;
    for (uint32_t at = 0; at < HISTOGRAM; at++) {
        seen += h->count[at];
        if (seen >= want && seen > 0)
            return histogram_value(at);
    }
    return 0;
}

static alloc_percentiles percentiles(const histogram *h)
{
    return (alloc_percentiles){histogram_at(h, .5), histogram_at(h, .99), histogram_at(h, .999)};
}

typedef struct latencies {
    histogram alloc_batch, free_batch, alloc_single, free_single;
    histogram alloc_size[ALLOC_SIZES_MAX], free_size[ALLOC_SIZES_MAX];
} latencies;

static void histogram_merge(histogram *into, const histogram *from)
{
    into->total += from->total;
    for (uint32_t at = 0; at < HISTOGRAM; at++)
        into->count[at] += from->count[at];
}

/* ---- a thread ---- */

typedef struct live_block {
    void *block;
    uint32_t size;
    uint32_t size_index;
} live_block;

enum { RING = 1024, CROSS_BATCH = 32, DRAWS = 1024, TRACE_EVENTS_MAX = 2000000 };

typedef struct cross_ring {
    _Alignas(128) _Atomic uint64_t tail;
    _Alignas(128) _Atomic uint64_t head;
    _Alignas(128) void *slot[RING];
} cross_ring;

typedef struct shared {
    const alloc_run *run;
    pthread_barrier_t start, end;
    cross_ring *rings;
    const alloc_trace *trace;
    uint32_t uniform_span; /* sizes[0] to sizes[0] + span - 1, each as likely; 0: weights */
    uint8_t draw[DRAWS];   /* size index by weight */
} shared;

typedef struct worker {
    shared *all;
    uint32_t index;
    uint64_t random;
    uint32_t live;
    live_block *blocks;
    uint64_t live_bytes, peak_bytes;
    uint64_t usable, requested; /* of the live blocks after the throughput phase */
    uint64_t ops;               /* done in the throughput phase */
    uint64_t began_ns, ended_ns, thread_ns;
    latencies *latency;
    void **trace_blocks;
    bool failed;
} worker;

static inline uint32_t draw_size(const worker *w, uint64_t r, uint32_t *index)
{
    const alloc_workload *load = w->all->run->workload;
    if (load->log_uniform) {
        /* Exponent uniform between 12 and 20, mantissa linear between two powers of two. */
        uint32_t low = load->sizes[0], octaves = 8;
        uint32_t octave = (uint32_t)(r >> 16) % octaves;
        uint32_t base = low << octave;
        *index = 0;
        return base + (uint32_t)(((uint64_t)(uint32_t)(r >> 32) * base) >> 32);
    }
    if (w->all->uniform_span != 0) {
        *index = 0;
        return load->sizes[0] + (uint32_t)(((r >> 32) * w->all->uniform_span) >> 32);
    }
    uint32_t at = w->all->draw[(r >> 16) % DRAWS];
    *index = at;
    return load->sizes[at];
}

static inline void *allocate(const alloc_table *table, uint32_t alignment, size_t size)
{
    return alignment != 0 ? table->aligned_alloc(alignment, size) : table->malloc(size);
}

static bool allocate_one(worker *w, uint64_t r)
{
    const alloc_run *run = w->all->run;
    uint32_t index, size = draw_size(w, r, &index);
    uint64_t *block = allocate(run->table, run->workload->alignment, size);
    if (block == NULL)
        return false;
    *block = r;
    w->blocks[w->live++] = (live_block){block, size, index};
    w->live_bytes += size;
    if (w->live_bytes > w->peak_bytes)
        w->peak_bytes = w->live_bytes;
    return true;
}

static live_block take_random(worker *w, uint64_t r)
{
    uint32_t at = (uint32_t)(((r >> 32) * w->live) >> 32);
    live_block chosen = w->blocks[at];
    w->blocks[at] = w->blocks[--w->live];
    w->live_bytes -= chosen.size;
    return chosen;
}

static bool run_mix(worker *w, uint64_t ops)
{
    const alloc_run *run = w->all->run;
    uint32_t limit = run->workload->allocate_percent * 65536 / 100, max = run->workload->live_max;
    for (uint64_t i = 0; i < ops; i++) {
        uint64_t r = next_random(&w->random);
        if (w->live == 0 || (w->live < max && (r & 0xffff) < limit)) {
            if (!allocate_one(w, r))
                return false;
        } else {
            run->table->free(take_random(w, r).block);
        }
    }
    return true;
}

static bool run_batch(worker *w, uint64_t ops)
{
    const alloc_run *run = w->all->run;
    for (uint64_t done = 0; done < ops; done += 2 * (uint64_t)run->workload->live_max) {
        while (w->live < run->workload->live_max)
            if (!allocate_one(w, next_random(&w->random)))
                return false;
        for (uint32_t i = 0; i < w->live; i++)
            run->table->free(w->blocks[i].block);
        w->live = 0;
        w->live_bytes = 0;
    }
    return true;
}

static bool run_pair(worker *w, uint64_t ops)
{
    const alloc_run *run = w->all->run;
    size_t size = run->workload->sizes[0];
    for (uint64_t i = 0; i < ops / 2; i++) {
        uint64_t *block = run->table->malloc(size);
        if (block == NULL)
            return false;
        *block = i;
        run->table->free(block);
    }
    w->peak_bytes = size;
    return true;
}

/* Even threads allocate, odd ones free; `ops` mallocs and as many frees a pair. */
static bool run_cross(worker *w, uint64_t ops)
{
    const alloc_run *run = w->all->run;
    cross_ring *ring = &w->all->rings[w->index / 2];
    bool consumer = w->index % 2 == 1;
    uint64_t count = ops / CROSS_BATCH * CROSS_BATCH;
    for (uint64_t at = 0; at < count; at += CROSS_BATCH) {
        if (consumer) {
            while (atomic_load_explicit(&ring->tail, memory_order_acquire) < at + CROSS_BATCH)
                fby_relax();
            for (uint32_t i = 0; i < CROSS_BATCH; i++)
                run->table->free(ring->slot[(at + i) % RING]);
            atomic_store_explicit(&ring->head, at + CROSS_BATCH, memory_order_release);
        } else {
            while (at + CROSS_BATCH - atomic_load_explicit(&ring->head, memory_order_acquire) >
                   RING)
                fby_relax();
            for (uint32_t i = 0; i < CROSS_BATCH; i++) {
                uint64_t r = next_random(&w->random);
                uint32_t index;
                uint64_t *block = run->table->malloc(draw_size(w, r, &index));
                if (block == NULL)
                    return false;
                *block = r;
                ring->slot[(at + i) % RING] = block;
            }
            atomic_store_explicit(&ring->tail, at + CROSS_BATCH, memory_order_release);
        }
    }
    return true;
}

static bool run_trace(worker *w, uint64_t ops)
{
    const alloc_table *table = w->all->run->table;
    const alloc_trace *trace = w->all->trace;
    for (uint64_t done = 0; done < ops; done += trace->count) {
        for (uint64_t i = 0; i < trace->count; i++) {
            const alloc_event *event = &trace->events[i];
            void **block = &w->trace_blocks[event->id];
            if (event->op == ALLOC_EVENT_FREE) {
                table->free(*block);
                *block = NULL;
                continue;
            }
            void *got = event->op == ALLOC_EVENT_REALLOC ? table->realloc(*block, event->size)
                        : event->shift > 4
                            ? table->aligned_alloc((size_t)1 << event->shift, event->size)
                            : table->malloc(event->size);
            if (got == NULL)
                return false;
            *(unsigned char *)got = (unsigned char)i;
            *block = got;
        }
        for (uint32_t id = 0; id < trace->ids; id++) {
            table->free(w->trace_blocks[id]);
            w->trace_blocks[id] = NULL;
        }
    }
    w->peak_bytes = trace->peak_bytes;
    return true;
}

static bool run_some(worker *w, uint64_t ops)
{
    switch (w->all->run->workload->kind) {
    case ALLOC_MIX:
        return run_mix(w, ops);
    case ALLOC_BATCH:
        return run_batch(w, ops);
    case ALLOC_PAIR:
        return run_pair(w, ops);
    case ALLOC_RECORD:
        return run_trace(w, ops);
    case ALLOC_CROSS:
        break;
    }
    return run_cross(w, ops);
}

enum { CALLS = 64 };

/* 64 allocations, then 64 frees of random blocks: the mean of each 64 is one sample. */
static bool measure_batches(worker *w, uint64_t rounds)
{
    const alloc_run *run = w->all->run;
    uint32_t size[CALLS], index[CALLS], alignment = run->workload->alignment;
    void *block[CALLS];
    if (run->workload->live_max < 4 * CALLS)
        return true;
    while (w->live > run->workload->live_max - CALLS)
        run->table->free(take_random(w, next_random(&w->random)).block);
    for (uint64_t round = 0; round < rounds; round++) {
        for (uint32_t i = 0; i < CALLS; i++)
            size[i] = draw_size(w, next_random(&w->random), &index[i]);
        uint64_t began = now_ns();
        for (uint32_t i = 0; i < CALLS; i++) {
            block[i] = allocate(run->table, alignment, size[i]);
            *(uint64_t *)block[i] = i;
        }
        histogram_add(&w->latency->alloc_batch, (double)(now_ns() - began) / CALLS);
        for (uint32_t i = 0; i < CALLS; i++) {
            w->blocks[w->live++] = (live_block){block[i], size[i], index[i]};
            w->live_bytes += size[i];
        }
        for (uint32_t i = 0; i < CALLS; i++)
            block[i] = take_random(w, next_random(&w->random)).block;
        began = now_ns();
        for (uint32_t i = 0; i < CALLS; i++)
            run->table->free(block[i]);
        histogram_add(&w->latency->free_batch, (double)(now_ns() - began) / CALLS);
    }
    return true;
}

static bool measure_singles(worker *w, uint64_t ops)
{
    const alloc_run *run = w->all->run;
    uint32_t limit = run->workload->allocate_percent * 65536 / 100, max = run->workload->live_max;
    for (uint64_t i = 0; i < ops; i++) {
        uint64_t r = next_random(&w->random);
        if (w->live == 0 || (w->live < max && (r & 0xffff) < limit)) {
            uint64_t began = now_ns();
            if (!allocate_one(w, r))
                return false;
            double ns = (double)(now_ns() - began);
            histogram_add(&w->latency->alloc_single, ns);
            histogram_add(&w->latency->alloc_size[w->blocks[w->live - 1].size_index], ns);
        } else {
            live_block chosen = take_random(w, r);
            uint64_t began = now_ns();
            run->table->free(chosen.block);
            double ns = (double)(now_ns() - began);
            histogram_add(&w->latency->free_single, ns);
            histogram_add(&w->latency->free_size[chosen.size_index], ns);
        }
    }
    return true;
}

static void sum_usable(worker *w)
{
    for (uint32_t i = 0; i < w->live; i++) {
        w->usable += w->all->run->table->usable_size(w->blocks[i].block);
        w->requested += w->blocks[i].size;
    }
}

static void free_all(worker *w)
{
    while (w->live > 0)
        w->all->run->table->free(w->blocks[--w->live].block);
    w->live_bytes = 0;
}

static void *worker_main(void *argument)
{
    worker *w = argument;
    const alloc_run *run = w->all->run;
    uint64_t ops = run->ops != 0 ? run->ops : run->workload->ops;
    bool cross = run->workload->kind == ALLOC_CROSS, ok = true;

    pthread_barrier_wait(&w->all->start);
    if (!cross)
        ok = run_some(w, ops / 10);
    pthread_barrier_wait(&w->all->start);
    w->thread_ns = thread_ns();
    w->began_ns = now_ns();
    ok = ok && run_some(w, ops);
    w->ended_ns = now_ns();
    w->thread_ns = thread_ns() - w->thread_ns;
    w->ops = ops;
    pthread_barrier_wait(&w->all->end);
    sum_usable(w);
    if (ok && run->latency && run->workload->kind == ALLOC_MIX)
        ok = measure_batches(w, ops / 400) && measure_singles(w, ops / 4);
    free_all(w);
    pthread_barrier_wait(&w->all->end);
    pthread_barrier_wait(&w->all->end); /* alive while the RSS is read */
    w->failed = !ok;
    return NULL;
}

/* ---- the run ---- */

static double timer_step(void)
{
    uint64_t step = UINT64_MAX;
    for (int i = 0; i < 10000; i++) {
        uint64_t first = now_ns(), next = first;
        while (next == first)
            next = now_ns();
        if (next - first < step)
            step = next - first;
    }
    return (double)step;
}

static void *map_touched(size_t size)
{
    void *memory =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    memset(memory, 0, size);
    return memory;
}

static void fill_draws(const alloc_workload *load, uint8_t *draw)
{
    uint32_t total = 0, at = 0;
    for (uint32_t i = 0; i < ALLOC_SIZES_MAX && load->sizes[i] != 0; i++) {
        total += load->percent[i];
        for (; at < total * DRAWS / 100 && at < DRAWS; at++)
            draw[at] = (uint8_t)i;
    }
    for (; at > 0 && at < DRAWS; at++)
        draw[at] = draw[at - 1];
}

static uint32_t largest_size(const alloc_workload *load)
{
    uint32_t last = 0;
    while (last + 1 < ALLOC_SIZES_MAX && load->sizes[last + 1] != 0)
        last++;
    return load->sizes[last];
}

static void merge(alloc_result *result, const worker *workers, uint32_t count)
{
    uint64_t usable = 0, requested = 0, began = UINT64_MAX, ended = 0, on_processor = 0;
    latencies *sum = map_touched(sizeof *sum);
    for (uint32_t i = 0; i < count; i++) {
        const worker *w = &workers[i];
        result->ops += w->ops;
        result->peak_live_bytes += w->peak_bytes;
        usable += w->usable;
        requested += w->requested;
        on_processor += w->thread_ns;
        began = w->began_ns < began ? w->began_ns : began;
        ended = w->ended_ns > ended ? w->ended_ns : ended;
        if (sum == NULL)
            continue;
        histogram_merge(&sum->alloc_batch, &w->latency->alloc_batch);
        histogram_merge(&sum->free_batch, &w->latency->free_batch);
        histogram_merge(&sum->alloc_single, &w->latency->alloc_single);
        histogram_merge(&sum->free_single, &w->latency->free_single);
        for (uint32_t s = 0; s < ALLOC_SIZES_MAX; s++) {
            histogram_merge(&sum->alloc_size[s], &w->latency->alloc_size[s]);
            histogram_merge(&sum->free_size[s], &w->latency->free_size[s]);
        }
    }
    result->mops_per_s = (double)result->ops * 1e3 / (double)(ended - began);
    result->mops_per_cpu_s = (double)result->ops * 1e3 * count / (double)on_processor;
    result->ns_per_op = (double)(ended - began) * count / (double)result->ops;
    result->usable_per_requested = requested != 0 ? (double)usable / (double)requested : 0;
    if (sum == NULL)
        return;
    result->alloc_batch = percentiles(&sum->alloc_batch);
    result->free_batch = percentiles(&sum->free_batch);
    result->alloc_single = percentiles(&sum->alloc_single);
    result->free_single = percentiles(&sum->free_single);
    for (uint32_t s = 0; s < result->size_count; s++) {
        result->alloc_size[s] = percentiles(&sum->alloc_size[s]);
        result->free_size[s] = percentiles(&sum->free_size[s]);
    }
    munmap(sum, sizeof *sum);
}

static bool worker_prepare(worker *w, shared *all, uint32_t index)
{
    const alloc_run *run = all->run;
    size_t blocks = (size_t)run->workload->live_max + CALLS;
    w->all = all;
    w->index = index;
    w->random = (run->seed + index) * 0x9e3779b97f4a7c15u;
    w->blocks = map_touched(blocks * sizeof *w->blocks);
    w->latency = map_touched(sizeof *w->latency);
    if (all->trace != NULL)
        w->trace_blocks = map_touched((all->trace->ids + 1) * sizeof(void *));
    return w->blocks != NULL && w->latency != NULL &&
           (all->trace == NULL || w->trace_blocks != NULL);
}

static void worker_finish(worker *w)
{
    const shared *all = w->all;
    size_t blocks = (size_t)all->run->workload->live_max + CALLS;
    if (w->blocks != NULL)
        munmap(w->blocks, blocks * sizeof *w->blocks);
    if (w->latency != NULL)
        munmap(w->latency, sizeof *w->latency);
    if (w->trace_blocks != NULL)
        munmap(w->trace_blocks, (all->trace->ids + 1) * sizeof(void *));
}

static void settle_and_read(const alloc_run *run, shared *all, alloc_result *result)
{
    pthread_barrier_wait(&all->start);
    pthread_barrier_wait(&all->start);
    pthread_barrier_wait(&all->end);
    pthread_barrier_wait(&all->end);
    result->rss_peak_bytes = rss_peak();
    if (run->settle_ms != 0) {
        struct timespec wait = {run->settle_ms / 1000, (long)(run->settle_ms % 1000) * 1000000};
        nanosleep(&wait, NULL);
    }
    result->rss_after_bytes = rss_now();
    pthread_barrier_wait(&all->end);
}

bool alloc_run_workload(const alloc_run *run, alloc_result *result)
{
    static shared all;
    static worker workers[ALLOC_THREADS_MAX];
    pthread_t threads[ALLOC_THREADS_MAX];
    uint32_t count = run->threads;
    alloc_trace trace = {0};

    memset(result, 0, sizeof *result);
    memset(&all, 0, sizeof all);
    memset(workers, 0, sizeof workers);
    if (run->workload->kind == ALLOC_CROSS)
        count = count < 2 ? 2 : count / 2 * 2;
    if (count > ALLOC_THREADS_MAX)
        return fprintf(stderr, "at most %d threads\n", ALLOC_THREADS_MAX), false;
    all.run = run;
    if (run->workload->kind == ALLOC_RECORD) {
        if (!alloc_trace_load(run->trace, TRACE_EVENTS_MAX, &trace))
            return false;
        all.trace = &trace;
    }
    all.rings = map_touched(sizeof(cross_ring) * ALLOC_THREADS_MAX);
    if (run->workload->percent[0] == SIZE_UNIFORM)
        all.uniform_span = largest_size(run->workload) - run->workload->sizes[0] + 1;
    else
        fill_draws(run->workload, all.draw);
    pthread_barrier_init(&all.start, NULL, count + 1);
    pthread_barrier_init(&all.end, NULL, count + 1);
    for (uint32_t i = 0; i < count; i++)
        if (!worker_prepare(&workers[i], &all, i))
            return fprintf(stderr, "no memory for the bench's arrays\n"), false;
    for (uint32_t s = 0; s < ALLOC_SIZES_MAX && run->workload->sizes[s] != 0; s++)
        result->size_bytes[result->size_count++] = run->workload->sizes[s];
    result->threads = count;
    result->timer_step_ns = timer_step();
    for (uint32_t i = 0; i < count; i++)
        if (pthread_create(&threads[i], NULL, worker_main, &workers[i]) != 0)
            return fprintf(stderr, "cannot start thread %u\n", i), false;
    result->rss_before_bytes = rss_now();
    settle_and_read(run, &all, result);
    bool ok = true;
    for (uint32_t i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
        ok = ok && !workers[i].failed;
    }
    merge(result, workers, count);
    for (uint32_t i = 0; i < count; i++)
        worker_finish(&workers[i]);
    munmap(all.rings, sizeof(cross_ring) * ALLOC_THREADS_MAX);
    if (!ok)
        fprintf(stderr, "an allocation failed\n");
    return ok;
}
