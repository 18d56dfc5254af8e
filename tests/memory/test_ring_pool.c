/* SPDX-License-Identifier: Apache-2.0 */
#include "forebay/ring_pool.h"
#include "test.h"

#include <errno.h>
#include <math.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- calls of the system that can be made to fail ---- */

static int maps_until_failure = -1; /* negative: none fails */
static bool refuse_advice;

void *__real_mmap64(void *address, size_t size, int protection, int flags, int file, off_t offset);
void *__wrap_mmap64(void *address, size_t size, int protection, int flags, int file, off_t offset);
int __real_madvise(void *address, size_t size, int advice);
int __wrap_madvise(void *address, size_t size, int advice);
long __wrap_syscall(long number, ...);

void *__wrap_mmap64(void *address, size_t size, int protection, int flags, int file, off_t offset)
{
    if (maps_until_failure == 0) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    maps_until_failure--;
    return __real_mmap64(address, size, protection, flags, file, offset);
}

int __wrap_madvise(void *address, size_t size, int advice)
{
    if (refuse_advice) {
        errno = EINVAL;
        return -1;
    }
    return __real_madvise(address, size, advice);
}

/* getcpu and mbind, as a sandbox answers them. */
long __wrap_syscall(long number, ...)
{
    (void)number;
    errno = EPERM;
    return -1;
}

/* ---- helpers ---- */

static fby_ring_pool *made(fby_ring_kind kind, size_t capacity, bool window_off)
{
    fby_ring_pool_options options = FBY_RING_POOL_OPTIONS_INIT;
    fby_ring_pool *pool = NULL;
    options.kind = kind;
    options.capacity_bytes = capacity;
    options.window_off = window_off;
    assert_int_equal(fby_ring_pool_create(&options, &pool), FBY_OK);
    return pool;
}

static bool by_its_own_call; /* of the shared kind */

static fby_status alloc(fby_ring_pool *pool, size_t bytes, void **slice)
{
    return by_its_own_call ? fby_ring_alloc_shared(pool, bytes, slice)
                           : fby_ring_alloc(pool, bytes, slice);
}

static void *slice_of(fby_ring_pool *pool, size_t bytes)
{
    void *slice = NULL;
    assert_int_equal(alloc(pool, bytes, &slice), FBY_OK);
    assert_int_equal((uintptr_t)slice % 64, 0);
    return slice;
}

static fby_ring_pool_stats stats_of(fby_ring_pool *pool)
{
    fby_ring_pool_stats stats = {.struct_size = sizeof stats};
    assert_int_equal(fby_ring_pool_get_stats(pool, &stats), FBY_OK);
    return stats;
}

/* ---- examples ---- */

static void refuses_options_that_make_no_pool(void **state)
{
    (void)state;
    fby_ring_pool *pool = NULL;
    fby_ring_pool_options options = FBY_RING_POOL_OPTIONS_INIT;
    assert_int_equal(fby_ring_pool_create(&options, &pool), FBY_EINVAL);
    options.capacity_bytes = SIZE_MAX;
    assert_int_equal(fby_ring_pool_create(&options, &pool), FBY_EINVAL);
    options.capacity_bytes = SIZE_MAX / 8;
    assert_int_equal(fby_ring_pool_create(&options, &pool), FBY_ENOMEM);
    options.capacity_bytes = 4096;
    options.kind = (fby_ring_kind)3;
    assert_int_equal(fby_ring_pool_create(&options, &pool), FBY_EINVAL);
    options.kind = FBY_RING_SHARED;
    options.struct_size = 1;
    assert_int_equal(fby_ring_pool_create(&options, &pool), FBY_EINVAL);
    assert_null(pool);
    fby_ring_pool_destroy(NULL);
}

static void callers_of_other_versions_are_understood(void **state)
{
    (void)state;
    fby_ring_pool *pool = NULL;
    struct newer {
        fby_ring_pool_options known;
        uint64_t unknown;
    } newer = {FBY_RING_POOL_OPTIONS_INIT, 0};
    newer.known.struct_size = sizeof newer;
    newer.known.capacity_bytes = 4096;
    assert_int_equal(fby_ring_pool_create(&newer.known, &pool), FBY_OK);
    fby_ring_pool_destroy(pool);
    pool = NULL;
    newer.unknown = 1;
    assert_int_equal(fby_ring_pool_create(&newer.known, &pool), FBY_EUNSUPPORTED);
    assert_null(pool);

    fby_ring_pool_options older = {.struct_size = offsetof(fby_ring_pool_options, window_off),
                                   .capacity_bytes = 4096};
    assert_int_equal(fby_ring_pool_create(&older, &pool), FBY_OK);
    fby_ring_pool_destroy(pool);
}

static void lends_its_whole_capacity_and_no_more(void **state)
{
    (void)state;
    for (fby_ring_kind kind = FBY_RING_LOCAL; kind <= FBY_RING_SHARED; kind++) {
        fby_ring_pool *pool = made(kind, 4096, false);
        unsigned char *slices[64];
        void *none = &none;
        for (int i = 0; i < 64; i++) {
            slices[i] = slice_of(pool, 1);
            assert_ptr_equal(slices[i], slices[0] + 64 * i);
        }
        assert_int_equal(fby_ring_alloc(pool, 1, &none), FBY_EAGAIN);
        assert_ptr_equal(none, &none);
        assert_int_equal(stats_of(pool).exhausted, 1);
        assert_int_equal(stats_of(pool).in_flight_bytes, 4096);
        assert_int_equal(stats_of(pool).peak_span_bytes, 4096);

        for (int i = 0; i < 64; i++)
            fby_ring_release(pool, slices[i]);
        assert_int_equal(stats_of(pool).in_flight_bytes, 0);
        slices[0] = slice_of(pool, 4096);
        assert_int_equal(fby_ring_alloc(pool, 64, &none), FBY_EAGAIN);
        fby_ring_release(pool, slices[0]);
        fby_ring_pool_destroy(pool);
    }
}

static void refuses_a_size_that_no_pool_could_give(void **state)
{
    (void)state;
    fby_ring_pool *pool = made(FBY_RING_LOCAL, 4096, false);
    void *none = &none;
    static const size_t sizes[] = {0, 4097, 1u << 30, SIZE_MAX - 63, SIZE_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        assert_int_equal(fby_ring_alloc(pool, sizes[i], &none), FBY_EINVAL);
    assert_string_equal(fby_last_error(),
                        "a slice of 18446744073709551615 bytes from a pool of 4096");
    assert_ptr_equal(none, &none);
    assert_int_equal(stats_of(pool).exhausted, 0);
    fby_ring_pool_destroy(pool);
}

static void counts_in_vectors(void **state)
{
    (void)state;
    fby_ring_pool *pool = made(FBY_RING_LOCAL, 1 << 20, false);
    float *vectors = NULL;
    assert_int_equal(fby_ring_alloc_vectors(pool, 3, &vectors), FBY_OK);
    assert_int_equal(stats_of(pool).in_flight_bytes, 3 * FBY_FEATURE_DIM * sizeof(float));
    fby_ring_release(pool, vectors);
    assert_int_equal(fby_ring_alloc_vectors(pool, FBY_RING_VECTORS_MAX, &vectors), FBY_OK);
    assert_int_equal(fby_ring_alloc_vectors(pool, FBY_RING_VECTORS_MAX + 1, &vectors), FBY_EINVAL);
    assert_string_equal(fby_last_error(), "65 vectors in one request: at most 64");
    assert_int_equal(fby_ring_alloc_vectors(pool, 0, &vectors), FBY_EINVAL);
    fby_ring_pool_destroy(pool);
}

static void a_slice_released_early_waits_for_the_older_one(void **state)
{
    (void)state;
    for (fby_ring_kind kind = FBY_RING_LOCAL_UNORDERED; kind <= FBY_RING_SHARED; kind++) {
        fby_ring_pool *pool = made(kind, 3 * 64, false);
        void *a = slice_of(pool, 64), *b = slice_of(pool, 64), *c = slice_of(pool, 64), *none;
        fby_ring_release(pool, b);
        fby_ring_release(pool, c);
        assert_int_equal(fby_ring_alloc(pool, 64, &none), FBY_EAGAIN);
        assert_int_equal(stats_of(pool).in_flight_bytes, 64);
        assert_int_equal(stats_of(pool).span_bytes, 3 * 64);
        fby_ring_release(pool, a);
        slice_of(pool, 3 * 64);
        fby_ring_pool_destroy(pool);
    }
}

static void holds_slices_whose_size_no_mark_can_say(void **state)
{
    (void)state;
    enum { BIG = 5 << 20 };
    for (fby_ring_kind kind = FBY_RING_LOCAL; kind <= FBY_RING_SHARED; kind++) {
        fby_ring_pool *pool = made(kind, 3 * BIG, false);
        for (int round = 0; round < 5; round++) {
            void *a = slice_of(pool, BIG), *b = slice_of(pool, 64), *c = slice_of(pool, BIG + 1);
            assert_int_equal(stats_of(pool).in_flight_bytes, 2 * BIG + 128);
            fby_ring_release(pool, a);
            fby_ring_release(pool, b);
            fby_ring_release(pool, c);
            assert_int_equal(stats_of(pool).in_flight_bytes, 0);
        }
        fby_ring_pool_destroy(pool);
    }
}

/* Keeps `depth` slices of 512 bytes in flight while `count` go through. */
static void go_through(fby_ring_pool *pool, void **held, size_t depth, size_t count)
{
    for (size_t i = 0; i < depth; i++)
        held[i] = slice_of(pool, 512);
    for (size_t i = 0; i < count; i++) {
        fby_ring_release(pool, held[i % depth]);
        held[i % depth] = slice_of(pool, 512);
    }
    for (size_t i = 0; i < depth; i++)
        fby_ring_release(pool, held[(count + i) % depth]);
}

static void the_window_follows_the_load(void **state)
{
    (void)state;
    static void *held[16384];
    for (fby_ring_kind kind = FBY_RING_LOCAL; kind <= FBY_RING_SHARED; kind++) {
        fby_ring_pool *pool = made(kind, 64 << 20, false);
        go_through(pool, held, 64, 10000);
        fby_ring_pool_stats stats = stats_of(pool);
        assert_true(stats.peak_span_bytes >= 64 * 512);
        assert_true(kind == FBY_RING_SHARED ||
                    stats.peak_window_bytes <= 2 * stats.peak_span_bytes);
        assert_true(stats.peak_window_bytes <= 256 << 10);

        go_through(pool, held, 16384, 16384); /* a burst of 8 MiB */
        stats = stats_of(pool);
        assert_int_equal(stats.exhausted, 0);
        assert_true(stats.peak_span_bytes >= 8 << 20);
        assert_true(stats.peak_window_bytes <= 2 * stats.peak_span_bytes);

        go_through(pool, held, 64, 4 * 16384); /* 32 MiB later it is forgotten */
        assert_true(stats_of(pool).window_bytes <=
                    (kind == FBY_RING_SHARED ? 256 << 10 : 2 * 66 * 512));
        fby_ring_pool_destroy(pool);
    }
}

static void without_a_window_the_whole_capacity_is_used(void **state)
{
    (void)state;
    fby_ring_pool *pool = made(FBY_RING_LOCAL, 1 << 20, true);
    void *held[4];
    go_through(pool, held, 4, 5 * 2048);
    assert_in_range(stats_of(pool).wraps, 4, 6);
    fby_ring_pool_destroy(pool);
}

static long page_faults(void)
{
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    return usage.ru_minflt + usage.ru_majflt;
}

static void no_page_faults_after_creation(void **state)
{
    (void)state;
    static void *held[16384];
    memset(held, 1, sizeof held);
    for (fby_ring_kind kind = FBY_RING_LOCAL; kind <= FBY_RING_SHARED; kind++) {
        fby_ring_pool *pool = made(kind, 9 << 20, true);
        stats_of(pool); /* first calls bind their symbols */
        go_through(pool, held, 1, 1);
        long before = page_faults();
        for (size_t i = 0; i < 16000; i++) {
            held[i] = slice_of(pool, 576);
            memset(held[i], 1, 576);
        }
        for (size_t i = 0; i < 16000; i++)
            fby_ring_release(pool, held[i]);
        memset(slice_of(pool, 9 << 20), 1, 9 << 20);
        long after = page_faults();
#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
        assert_int_equal(after, before);
#else
        (void)before, (void)after;
#endif
        fby_ring_pool_destroy(pool);
    }
}

/* ---- what the system refuses ---- */

static void says_when_the_system_gives_no_memory(void **state)
{
    (void)state;
    fby_ring_pool *pool = NULL;
    fby_ring_pool_options options = FBY_RING_POOL_OPTIONS_INIT;
    options.capacity_bytes = 1 << 20;
    for (int n = 0;; n++) {
        maps_until_failure = n;
        fby_status status = fby_ring_pool_create(&options, &pool);
        maps_until_failure = -1;
        if (status == FBY_OK) {
            assert_int_equal(n, 1);
            break;
        }
        assert_int_equal(status, FBY_ENOMEM);
        assert_non_null(strstr(fby_last_error(), "Cannot allocate memory"));
        assert_null(pool);
    }
    fby_ring_pool_destroy(pool);
}

static void works_where_huge_pages_and_nodes_are_refused(void **state)
{
    (void)state;
    refuse_advice = true; /* system calls are refused in this program anyway */
    fby_ring_pool *pool = made(FBY_RING_LOCAL, 5 << 20, false);
    refuse_advice = false;
    memset(slice_of(pool, 5 << 20), 1, 5 << 20);
    fby_ring_pool_destroy(pool);
}

/* ---- misuse ---- */

typedef void misuse(fby_ring_pool *pool, void *older, void *younger);

static void twice(fby_ring_pool *pool, void *older, void *younger)
{
    (void)younger;
    fby_ring_release(pool, older);
    fby_ring_release(pool, older);
}

static void the_last_twice(fby_ring_pool *pool, void *older, void *younger)
{
    fby_ring_release(pool, older);
    fby_ring_release(pool, younger);
    fby_ring_release(pool, younger);
}

static void not_given_out(fby_ring_pool *pool, void *older, void *younger)
{
    fby_ring_release(pool, older);
    fby_ring_release(pool, younger);
    fby_ring_release(pool, (char *)younger + 512);
}

static void not_of_this_pool(fby_ring_pool *pool, void *older, void *younger)
{
    (void)older, (void)younger;
    static _Alignas(64) char foreign[64];
    fby_ring_release(pool, foreign);
}

static void not_its_start(fby_ring_pool *pool, void *older, void *younger)
{
    (void)younger;
    fby_ring_release(pool, (char *)older + 1);
}

static void its_second_granule(fby_ring_pool *pool, void *older, void *younger)
{
    (void)younger;
    fby_ring_release(pool, (char *)older + 64);
}

static void no_slice(fby_ring_pool *pool, void *older, void *younger)
{
    (void)older, (void)younger;
    fby_ring_release(pool, NULL);
}

static void out_of_order(fby_ring_pool *pool, void *older, void *younger)
{
    (void)older;
    fby_ring_release(pool, younger);
}

static void as_of_another_kind(fby_ring_pool *pool, void *older, void *younger)
{
    (void)younger;
    if (pool->kind_ == FBY_RING_LOCAL)
        fby_ring_release_unordered(pool, older);
    else if (pool->kind_ == FBY_RING_SHARED)
        fby_ring_release_fifo(pool, older);
    else
        fby_ring_release_shared(pool, older);
}

/* Where the oldest slices end and the next lie elsewhere, and a slice once was. */
static void at_the_turn(fby_ring_pool *pool, void *older, void *younger)
{
    unsigned char *slices[64] = {younger};
    fby_ring_release(pool, older);
    fby_ring_release(pool, younger);
    for (int lap = 0; lap < 2; lap++) { /* the second lap ends early, before a larger slice */
        int count = lap == 0 ? 64 : 60;
        for (int i = 0; i < count; i++)
            slices[i] = slice_of(pool, 64);
        for (int i = 0; i < (lap == 0 ? count : 40); i++)
            fby_ring_release(pool, slices[i]);
    }
    unsigned char *large = slice_of(pool, 512);
    assert_ptr_equal(large, slices[0]);
    for (int i = 40; i < 60; i++)
        fby_ring_release(pool, slices[i]);
    fby_ring_release(pool, slices[59] + 64);
}

/* Where the next slice would be, in a pool that knows how large it would be. */
static void not_yet_given_out(fby_ring_pool *pool, void *older, void *younger)
{
    fby_ring_release(pool, older);
    fby_ring_release(pool, younger);
    for (int i = 0; i < 20; i++) {
        older = slice_of(pool, 512);
        fby_ring_release(pool, older);
    }
    fby_ring_release(pool, (char *)older + 512);
    slice_of(pool, 3072); /* looks for room */
}

/* Inside of a slice that takes the place of smaller ones. */
static void where_slices_were(fby_ring_pool *pool, void *older, void *younger)
{
    fby_ring_release(pool, older);
    fby_ring_release(pool, younger);
    for (int i = 0; i < 200; i++)
        fby_ring_release(pool, slice_of(pool, 64));
    older = slice_of(pool, 2048);
    fby_ring_release(pool, (char *)older + 1024);
    slice_of(pool, 2048);
}

static bool aborts(fby_ring_kind kind, misuse *what)
{
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        fclose(stderr);
        fby_ring_pool *pool = made(kind, 4096, false);
        void *older = slice_of(pool, 512), *younger = slice_of(pool, 512);
        what(pool, older, younger);
        /* A shared pool finds out when it takes slices back. */
        while (kind == FBY_RING_SHARED && alloc(pool, 64, &older) == FBY_OK)
            continue;
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void a_shared_pool_takes_back_more_than_its_queue_holds(void **state)
{
    (void)state;
    enum { SLICES = 10000 };
    static void *held[SLICES];
    fby_ring_pool *pool = made(FBY_RING_SHARED, SLICES * 64, false);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < SLICES; i++)
            held[i] = slice_of(pool, 64);
        for (int i = 0; i < SLICES; i++) {
            fby_ring_release(pool, held[(i * 7) % SLICES]);
            assert_int_equal(stats_of(pool).in_flight_bytes, (SLICES - i - 1) * 64);
        }
    }
    fby_ring_pool_destroy(pool);
}

static void misuse_is_an_assertion(void **state)
{
    (void)state;
    static misuse *const always[] = {twice,
                                     the_last_twice,
                                     not_given_out,
                                     not_of_this_pool,
                                     not_its_start,
                                     its_second_granule,
                                     no_slice,
                                     as_of_another_kind,
                                     not_yet_given_out,
                                     where_slices_were};
    for (int round = 0; round < 4; round++) {
        fby_ring_kind kind = round < 3 ? (fby_ring_kind)round : FBY_RING_SHARED;
        by_its_own_call = round == 3;
        for (size_t i = 0; i < sizeof always / sizeof always[0]; i++)
            if (kind != FBY_RING_SHARED || always[i] != not_given_out)
                assert_true(aborts(kind, always[i]));
        assert_int_equal(aborts(kind, out_of_order), kind == FBY_RING_LOCAL);
        assert_true(kind == FBY_RING_SHARED || aborts(kind, at_the_turn));
    }
    by_its_own_call = false;
}

/* ---- a random schedule against a plain model ---- */

/* Slices in the order of allocation, and who has each granule: 0, or a slice's number + 1 while it
 * is in flight or waits for an older one. */
enum { MODEL_CAPACITY = 64 << 10, MODEL_GRANULES = MODEL_CAPACITY / 64, MODEL_SLICES = 200000 };

typedef struct model {
    fby_ring_pool *pool;
    fby_ring_kind kind;
    fby_rng rng;
    unsigned char *base; /* the lowest address seen, found by the first slice */
    uint32_t owner[MODEL_GRANULES];
    struct {
        uint64_t *slice;
        size_t size;
        bool released;
    } slices[MODEL_SLICES];
    uint32_t oldest, count; /* slices before `oldest` are released and passed */
    size_t in_flight, refused;
} model;

static size_t longest_free_run(const model *m)
{
    size_t longest = 0, run = 0;
    for (size_t i = 0; i < MODEL_GRANULES; i++) {
        run = m->owner[i] == 0 ? run + 1 : 0;
        longest = run > longest ? run : longest;
    }
    return longest * 64;
}

/* How often the order of slices leaps from one place to another. */
static size_t stretches(const model *m)
{
    size_t count = 1;
    for (uint32_t i = m->oldest + 1; i < m->count; i++)
        count +=
            (char *)m->slices[i].slice != (char *)m->slices[i - 1].slice + m->slices[i - 1].size;
    return count;
}

static void model_alloc(model *m, size_t bytes)
{
    void *memory = NULL;
    size_t size = (bytes + 63) / 64 * 64;
    by_its_own_call = m->kind == FBY_RING_SHARED && fby_rng_bool(&m->rng);
    fby_status status = alloc(m->pool, bytes, &memory);
    by_its_own_call = false;
    if (status != FBY_OK) {
        size_t room = longest_free_run(m);
        assert_int_equal(status, FBY_EAGAIN);
        assert_true(room < size + 64 || room < MODEL_CAPACITY / 64 + 64 || stretches(m) >= 16);
        m->refused++;
        return;
    }
    if (m->count == 0)
        m->base = memory;
    size_t offset = (size_t)((unsigned char *)memory - m->base);
    assert_true(offset % 64 == 0 && offset + size <= MODEL_CAPACITY);
    for (size_t i = offset / 64; i < (offset + size) / 64; i++) {
        assert_int_equal(m->owner[i], 0);
        m->owner[i] = m->count + 1;
    }
    uint64_t *words = memory;
    for (size_t i = 0; i < size / 8; i++)
        words[i] = m->count;
    m->slices[m->count].slice = words;
    m->slices[m->count].size = size;
    m->in_flight += size;
    m->count++;
}

static void model_release(model *m)
{
    uint32_t i = m->oldest;
    if (m->kind != FBY_RING_LOCAL) {
        uint64_t reach =
            m->count - m->oldest < 8 || fby_rng_below(&m->rng, 16) == 0 ? m->count - m->oldest : 8;
        i += (uint32_t)fby_rng_below(&m->rng, reach);
        while (m->slices[i].released)
            i = i + 1 < m->count ? i + 1 : m->oldest;
    }
    for (size_t k = 0; k < m->slices[i].size / 8; k++)
        assert_int_equal(m->slices[i].slice[k], i);
    fby_ring_release(m->pool, m->slices[i].slice);
    m->slices[i].released = true;
    m->in_flight -= m->slices[i].size;
    for (; m->oldest < m->count && m->slices[m->oldest].released; m->oldest++) {
        size_t first = (size_t)((unsigned char *)m->slices[m->oldest].slice - m->base) / 64;
        memset(&m->owner[first], 0, m->slices[m->oldest].size / 64 * sizeof m->owner[0]);
    }
}

static void run_model(fby_ring_kind kind, bool window_off)
{
    model *m = calloc(1, sizeof *m);
    assert_non_null(m);
    m->rng = fby_rng_from_env();
    m->kind = kind;
    m->pool = made(kind, MODEL_CAPACITY, window_off);
    uint64_t goal = 0, largest = 0;
    bool uniform = false;
    while (m->count < MODEL_SLICES && m->refused < MODEL_SLICES) {
        if (fby_rng_below(&m->rng, 500) == 0) { /* another load: quiet, usual, bursts, all of it */
            goal = fby_rng_below(&m->rng, 4) == 0 ? MODEL_CAPACITY
                                                  : fby_rng_below(&m->rng, MODEL_CAPACITY / 2);
            largest = (uint64_t)64 << fby_rng_below(&m->rng, 9);
            uniform = fby_rng_bool(&m->rng);
        }
        bool empty = m->oldest == m->count;
        if (empty || (m->in_flight < goal && fby_rng_below(&m->rng, 8) != 0))
            model_alloc(m, uniform ? largest : 1 + fby_rng_below(&m->rng, largest + 1));
        else
            model_release(m);
        fby_ring_pool_stats stats = stats_of(m->pool);
        assert_int_equal(stats.in_flight_bytes, m->in_flight);
        assert_true(stats.span_bytes >= m->in_flight && stats.span_bytes <= MODEL_CAPACITY);
        assert_true(stats.peak_window_bytes <= MODEL_CAPACITY);
        assert_int_equal(stats.exhausted, m->refused);
    }
    assert_true(m->refused > 0);
    while (m->oldest < m->count)
        model_release(m);
    assert_int_equal(stats_of(m->pool).in_flight_bytes, 0);
    slice_of(m->pool, MODEL_CAPACITY);
    fby_ring_pool_destroy(m->pool);
    free(m);
}

static void matches_its_model(void **state)
{
    (void)state;
    for (fby_ring_kind kind = FBY_RING_LOCAL; kind <= FBY_RING_SHARED; kind++)
        for (int off = 0; off < 2; off++)
            run_model(kind, off);
}

/* ---- sizing ---- */

static void sizes_a_pool_from_its_workload(void **state)
{
    (void)state;
    size_t bytes = 0;
    fby_ring_workload workload = FBY_RING_WORKLOAD_INIT;
    workload.mean_vectors = 6;
    workload.peak_vectors = 64;
    workload.requests_in_flight = 4096;
    assert_int_equal(fby_ring_pool_size(&workload, &bytes), FBY_OK);
    assert_in_range(bytes, 4096 * 6 * 512, 4096 * 64 * 512 / 5);

    /* Never more than every request at its peak, and two slices. */
    workload.requests_in_flight = 2;
    assert_int_equal(fby_ring_pool_size(&workload, &bytes), FBY_OK);
    assert_in_range(bytes, 2 * 64 * 512, 4 * 64 * 512 + 512);
    workload.mean_vectors = 64;
    workload.requests_in_flight = 1000;
    assert_int_equal(fby_ring_pool_size(&workload, &bytes), FBY_OK);
    assert_in_range(bytes, 1000 * 64 * 512, 1002 * 64 * 512 + 512);
}

static void refuses_a_workload_that_is_none(void **state)
{
    (void)state;
    size_t bytes = 7;
    static const struct {
        double mean;
        uint32_t peak, requests;
        size_t vector;
    } bad[] = {
        {0, 4, 4, 512}, {5, 4, 4, 512}, {-1, 4, 4, 512}, {(double)NAN, 4, 4, 512},
        {1, 0, 4, 512}, {1, 4, 0, 512}, {1, 4, 4, 0},    {1, UINT32_MAX, UINT32_MAX, SIZE_MAX}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        fby_ring_workload workload = FBY_RING_WORKLOAD_INIT;
        workload.mean_vectors = bad[i].mean;
        workload.peak_vectors = bad[i].peak;
        workload.requests_in_flight = bad[i].requests;
        workload.vector_bytes = bad[i].vector;
        assert_int_equal(fby_ring_pool_size(&workload, &bytes), FBY_EINVAL);
    }
    fby_ring_workload workload = {.struct_size = 1};
    assert_int_equal(fby_ring_pool_size(&workload, &bytes), FBY_EINVAL);
    assert_int_equal(bytes, 7);
}

static void a_pool_of_that_size_holds_the_workload(void **state)
{
    (void)state;
    enum { IN_FLIGHT = 256, REQUESTS = 300000 };
    fby_rng rng = fby_rng_from_env();
    size_t bytes = 0;
    fby_ring_workload workload = FBY_RING_WORKLOAD_INIT;
    workload.mean_vectors = 5.4; /* half of 1 to 8, but one in fifty of 1 to 64 */
    workload.peak_vectors = 64;
    workload.requests_in_flight = IN_FLIGHT;
    assert_int_equal(fby_ring_pool_size(&workload, &bytes), FBY_OK);
    fby_ring_pool *pool = made(FBY_RING_LOCAL, bytes, false);
    float *held[IN_FLIGHT];
    for (uint32_t i = 0; i < REQUESTS; i++) {
        uint64_t most = fby_rng_below(&rng, 50) == 0 ? 64 : 8;
        if (i >= IN_FLIGHT)
            fby_ring_release(pool, held[i % IN_FLIGHT]);
        assert_int_equal(fby_ring_alloc_vectors(pool, (uint32_t)(1 + fby_rng_below(&rng, most)),
                                                &held[i % IN_FLIGHT]),
                         FBY_OK);
    }
    fby_ring_pool_destroy(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_options_that_make_no_pool),
        cmocka_unit_test(callers_of_other_versions_are_understood),
        cmocka_unit_test(lends_its_whole_capacity_and_no_more),
        cmocka_unit_test(refuses_a_size_that_no_pool_could_give),
        cmocka_unit_test(counts_in_vectors),
        cmocka_unit_test(a_slice_released_early_waits_for_the_older_one),
        cmocka_unit_test(holds_slices_whose_size_no_mark_can_say),
        cmocka_unit_test(the_window_follows_the_load),
        cmocka_unit_test(without_a_window_the_whole_capacity_is_used),
        cmocka_unit_test(no_page_faults_after_creation),
        cmocka_unit_test(says_when_the_system_gives_no_memory),
        cmocka_unit_test(works_where_huge_pages_and_nodes_are_refused),
        cmocka_unit_test(a_shared_pool_takes_back_more_than_its_queue_holds),
        cmocka_unit_test(misuse_is_an_assertion),
        cmocka_unit_test(matches_its_model),
        cmocka_unit_test(sizes_a_pool_from_its_workload),
        cmocka_unit_test(refuses_a_workload_that_is_none),
        cmocka_unit_test(a_pool_of_that_size_holds_the_workload),
    };
    return cmocka_run_group_tests_name("ring_pool", tests, NULL, NULL);
}
