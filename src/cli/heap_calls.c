/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/heap_calls.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "cli/bench_cpus.h"
#include "cli/bench_stats.h"

enum { PAGE = 4096 };

/* Where each thread keeps what it has measured. */
typedef struct side {
    const fby_heap_load *load;
    atomic_int *go;                  /* 1: begin; -1: do not */
    double *acquire_ns, *release_ns; /* (samples) */
    double total_ns;
    int cpu;
    fby_status status;
    char message[160];
} side;

typedef struct piece {
    fby_heap_block block;
    unsigned char *address;
} piece;

static fby_status acquire(const fby_heap_load *load, piece *made)
{
    fby_heap_place place;
    if (load->pool == NULL) {
        void *map =
            mmap(NULL, load->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (map == MAP_FAILED)
            return fby_error_errno(FBY_ENOMEM, errno, "mapping %llu bytes",
                                   (unsigned long long)load->bytes);
        made->address = map;
    } else {
        fby_status status =
            fby_heap_acquire(load->pool, load->bytes, 0, "bench", &made->block, &place);
        if (status != FBY_OK)
            return status;
        made->address = place.address;
    }
    if (load->touch && made->address != NULL)
        for (uint64_t at = 0; at < load->bytes; at += PAGE)
            *(_Atomic unsigned char *)(made->address + at) = 1;
    if (load->fill && made->address != NULL)
        memset(made->address, 1, load->bytes);
    return FBY_OK;
}

static void release(const fby_heap_load *load, const piece *made)
{
    if (load->pool == NULL)
        munmap(made->address, load->bytes);
    else
        fby_heap_release(load->pool, made->block);
}

static fby_status run_batch(side *self, piece *pieces, uint32_t sample)
{
    const fby_heap_load *load = self->load;
    fby_status status = FBY_OK;
    uint32_t held = 0;

    uint64_t begun = fby_now_ns();
    for (; held < load->batch && status == FBY_OK; held += status == FBY_OK)
        status = acquire(load, &pieces[held]);
    uint64_t between = fby_now_ns();
    for (uint32_t i = 0; i < held; i++)
        release(load, &pieces[i]);
    uint64_t ended = fby_now_ns();
    self->acquire_ns[sample] = (double)(between - begun) / load->batch;
    self->release_ns[sample] = (double)(ended - between) / load->batch;
    self->total_ns += (double)(ended - begun) / load->batch;
    return status;
}

static void *work(void *argument)
{
    side *self = argument;
    piece pieces[FBY_HEAP_BATCH];
    fby_bench_pin(self->cpu);
    int go;
    while ((go = atomic_load_explicit(self->go, memory_order_acquire)) == 0)
        sched_yield();
    for (uint32_t i = 0; go > 0 && i < self->load->samples && self->status == FBY_OK; i++)
        self->status = run_batch(self, pieces, i);
    if (self->status != FBY_OK)
        snprintf(self->message, sizeof self->message, "%s", fby_last_error());
    return NULL;
}

static void find_percentiles(double *acquire_ns, double *release_ns, size_t count,
                             fby_heap_times *times)
{
    fby_sort(acquire_ns, count);
    fby_sort(release_ns, count);
    times->acquire_p50 = fby_quantile(acquire_ns, count, 0.5);
    times->acquire_p99 = fby_quantile(acquire_ns, count, 0.99);
    times->acquire_p999 = fby_quantile(acquire_ns, count, 0.999);
    times->release_p50 = fby_quantile(release_ns, count, 0.5);
    times->release_p99 = fby_quantile(release_ns, count, 0.99);
    times->release_p999 = fby_quantile(release_ns, count, 0.999);
}

/* Runs all sides, one on this thread or each on its own. */
static fby_status run_sides(side *sides, uint32_t count, atomic_int *go)
{
    pthread_t threads[FBY_HEAP_THREADS_MAX];
    int cpus[FBY_HEAP_THREADS_MAX], failed = 0;
    uint32_t started = 0;

    if (count == 1) {
        atomic_store_explicit(go, 1, memory_order_release);
        work(&sides[0]);
        return FBY_OK;
    }
    fby_bench_cpus(cpus, count);
    for (; started < count && failed == 0; started += failed == 0) {
        sides[started].cpu = cpus[started];
        failed = pthread_create(&threads[started], NULL, work, &sides[started]);
    }
    atomic_store_explicit(go, failed == 0 ? 1 : -1, memory_order_release);
    for (uint32_t i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    return failed == 0 ? FBY_OK
                       : fby_error_errno(FBY_ENOMEM, failed, "starting thread %u of %u",
                                         started + 1, count);
}

fby_status fby_heap_time(const fby_heap_load *load, fby_heap_times *times)
{
    side sides[FBY_HEAP_THREADS_MAX];
    atomic_int go = 0;
    size_t count = (size_t)load->samples * load->threads;
    double *ns = malloc(2 * count * sizeof *ns), total = 0;
    if (ns == NULL)
        return fby_error(FBY_ENOMEM, "no memory for %zu samples", count);
    for (uint32_t i = 0; i < load->threads; i++)
        sides[i] = (side){.load = load,
                          .go = &go,
                          .acquire_ns = ns + (size_t)i * load->samples,
                          .release_ns = ns + count + (size_t)i * load->samples,
                          .cpu = -1};
    fby_status status = run_sides(sides, load->threads, &go);
    for (uint32_t i = 0; i < load->threads && status == FBY_OK; i++) {
        total += sides[i].total_ns;
        if (sides[i].status != FBY_OK)
            status = fby_error(sides[i].status, "%s", sides[i].message);
    }
    if (status == FBY_OK) {
        find_percentiles(ns, ns + count, count, times);
        times->pair = total / (double)count;
    }
    free(ns);
    return status;
}

/* ---- mixed sizes ---- */

/* splitmix64 (Steele, Lea, Flood 2014). */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint64_t mixed_size(uint64_t *random)
{
    uint64_t least = (uint64_t)64 << next_random(random) % 12;
    return least + next_random(random) % least;
}

typedef struct mixed {
    fby_heap_pool *pool;
    fby_heap_block *blocks; /* (live) */
    uint32_t live;
    uint64_t random;
} mixed;

/* The sizes and places of a batch are drawn before the clock starts. */
static fby_status mixed_batch(mixed *self, double *acquire_ns, double *release_ns)
{
    uint64_t sizes[FBY_HEAP_BATCH];
    uint32_t places[FBY_HEAP_BATCH], first = (uint32_t)(next_random(&self->random) % self->live);
    uint32_t step = 1 + (uint32_t)(next_random(&self->random) % (self->live / FBY_HEAP_BATCH - 1));
    for (uint32_t i = 0; i < FBY_HEAP_BATCH; i++) {
        sizes[i] = mixed_size(&self->random);
        places[i] = (first + i * step) % self->live;
    }
    uint64_t begun = fby_now_ns();
    for (uint32_t i = 0; i < FBY_HEAP_BATCH; i++)
        fby_heap_release(self->pool, self->blocks[places[i]]);
    uint64_t between = fby_now_ns();
    for (uint32_t i = 0; i < FBY_HEAP_BATCH; i++) {
        fby_status status =
            fby_heap_acquire(self->pool, sizes[i], 0, "mixed", &self->blocks[places[i]], NULL);
        if (status != FBY_OK)
            return status;
    }
    uint64_t ended = fby_now_ns();
    *release_ns = (double)(between - begun) / FBY_HEAP_BATCH;
    *acquire_ns = (double)(ended - between) / FBY_HEAP_BATCH;
    return FBY_OK;
}

fby_status fby_heap_time_mixed(fby_heap_pool *pool, uint32_t live, uint32_t samples,
                               fby_heap_times *times)
{
    mixed self = {.pool = pool, .live = live, .random = 1};
    double *ns = malloc(2 * (size_t)samples * sizeof *ns);
    self.blocks = calloc(live, sizeof *self.blocks);
    fby_status status = ns != NULL && self.blocks != NULL
                            ? FBY_OK
                            : fby_error(FBY_ENOMEM, "no memory for %u samples", samples);
    uint32_t held = 0;
    for (; status == FBY_OK && held < live; held += status == FBY_OK)
        status =
            fby_heap_acquire(pool, mixed_size(&self.random), 0, "mixed", &self.blocks[held], NULL);
    for (uint32_t i = 0; status == FBY_OK && i < samples; i++)
        status = mixed_batch(&self, &ns[i], &ns[samples + i]);
    for (uint32_t i = 0; i < held && status == FBY_OK; i++)
        fby_heap_release(pool, self.blocks[i]);
    if (status == FBY_OK) {
        find_percentiles(ns, ns + samples, samples, times);
        times->pair = times->acquire_p50 + times->release_p50;
    }
    free(self.blocks);
    free(ns);
    return status;
}
