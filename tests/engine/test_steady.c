/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The steady state: from the second call on, embedding allocates nothing and
 * faults no page. The linker sends every allocation and mapping of our code
 * through the counters here; page faults are the kernel's own count.
 */
#include "forebay/embed.h"
#include "test.h"

#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/resource.h>

static _Atomic uint64_t allocations;

static void count(void)
{
    atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed);
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *pointer, size_t size);
void *__real_mmap64(void *address, size_t size, int protection, int flags, int file, off_t offset);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *pointer, size_t size);
void *__wrap_mmap64(void *address, size_t size, int protection, int flags, int file, off_t offset);

void *__wrap_malloc(size_t size)
{
    count();
    return __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    count();
    return __real_calloc(n, size);
}

void *__wrap_realloc(void *pointer, size_t size)
{
    count();
    return __real_realloc(pointer, size);
}

void *__wrap_mmap64(void *address, size_t size, int protection, int flags, int file, off_t offset)
{
    count();
    return __real_mmap64(address, size, protection, flags, file, offset);
}

static uint64_t page_faults(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (uint64_t)usage.ru_minflt + (uint64_t)usage.ru_majflt;
}

enum { DIM = 384, TEXTS = 24, WORDS = 30, ROUNDS = 9, TEXT_SIZE = WORDS * 32 };

static char bytes[TEXTS][TEXT_SIZE];
static fby_text texts[TEXTS];
static float vectors[TEXTS][DIM];
static fby_text_info infos[TEXTS];

/* Words that no earlier call had: a row of the embedding table that is touched
 * for the first time must not fault either. */
static void make_texts(const fby_model *model, fby_rng *rng)
{
    for (size_t i = 0; i < TEXTS; i++) {
        size_t used = 0;
        for (size_t word = 0; word < WORDS; word++) {
            size_t size;
            const char *piece =
                fby_token_piece(model, 1000 + (uint32_t)fby_rng_below(rng, 29000), &size);
            if (size > 30)
                continue;
            memcpy(bytes[i] + used, piece, size);
            used += size;
            bytes[i][used++] = ' ';
        }
        texts[i] = (fby_text){bytes[i], used};
    }
}

static void embed_now_and_later(fby_model *model)
{
    fby_job *job;
    assert_int_equal(fby_embed(model, texts, TEXTS, NULL, vectors[0], infos), FBY_OK);
    assert_int_equal(
        fby_embed_submit(model, texts, TEXTS, NULL, vectors[0], infos, NULL, NULL, &job), FBY_OK);
    assert_int_equal(fby_job_wait(job, UINT32_MAX), FBY_OK);
    fby_job_free(job);
}

static void later_calls_allocate_nothing_and_fault_no_page(void **state)
{
    (void)state;
    const char *dir = getenv("FBY_TEST_MODEL");
    assert_non_null(dir);
    fby_rng rng = fby_rng_from_env();
    fby_model_options options = FBY_MODEL_OPTIONS_INIT;
    options.threads = 2;
    fby_model *model;
    if (fby_model_open(dir, &options, &model) != FBY_OK)
        fail_msg("%s", fby_last_error());
    assert_true(atomic_load(&allocations) > 0); /* the counter counts */

    make_texts(model, &rng);
    embed_now_and_later(model);
    uint64_t allocations_before = atomic_load(&allocations);
    int rounds_with_faults = 0;
    for (int i = 0; i < ROUNDS; i++) {
        make_texts(model, &rng);
        uint64_t before = page_faults();
        embed_now_and_later(model);
        rounds_with_faults += page_faults() != before;
    }
    assert_int_equal(atomic_load(&allocations), allocations_before);
#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
    /* Each round has new words: what faulted once for us would fault in most rounds. A single one
     * may be the system's, which moves pages and takes them back when it likes. */
    assert_true(rounds_with_faults <= ROUNDS / 4);
#else
    (void)rounds_with_faults;
#endif
    fby_model_close(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(later_calls_allocate_nothing_and_fault_no_page),
    };
    return cmocka_run_group_tests_name("steady", tests, NULL, NULL);
}
