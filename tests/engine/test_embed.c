/* SPDX-License-Identifier: Apache-2.0 */
/* The public calls on the real model: what they return, and that a vector's bits
 * depend on its text alone. */
#include "forebay/embed.h"
#include "test.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>

enum { DIM = 384, TEXTS = 24, THREADS = 3 };

static uint32_t processors = THREADS;
uint32_t __wrap_fby_cpu_count(void);

uint32_t __wrap_fby_cpu_count(void)
{
    return processors;
}

static fby_model *model;
static fby_text texts[TEXTS];
static float alone[TEXTS][DIM];

static fby_text text_of(const char *string)
{
    return (fby_text){string, strlen(string)};
}

/* Texts of 0 to about 330 words of the vocabulary. */
static fby_text random_text(fby_rng *rng)
{
    size_t words = fby_rng_below(rng, 10) == 0 ? fby_rng_below(rng, 330) : fby_rng_below(rng, 30);
    size_t used = 0;
    char *bytes = malloc(words * 128 + 1);
    for (size_t i = 0; i < words; i++) {
        size_t size;
        const char *piece =
            fby_token_piece(model, 1000 + (uint32_t)fby_rng_below(rng, 28000), &size);
        if (size > 100)
            continue;
        memcpy(bytes + used, piece, size);
        used += size;
        bytes[used++] = ' ';
    }
    return (fby_text){bytes, used};
}

static int open_model(void **state)
{
    (void)state;
    const char *dir = getenv("FBY_TEST_MODEL");
    fby_model_options options = FBY_MODEL_OPTIONS_INIT;
    options.threads = THREADS;
    options.cache_dir = "";
    options.max_jobs = 4;
    if (dir == NULL || fby_model_open(dir, &options, &model) != FBY_OK) {
        fprintf(stderr, "FBY_TEST_MODEL=%s: %s\n", dir ? dir : "", fby_last_error());
        return -1;
    }
    fby_rng rng = fby_rng_from_env();
    for (int i = 0; i < TEXTS; i++) {
        texts[i] = random_text(&rng);
        if (fby_embed(model, &texts[i], 1, NULL, alone[i], NULL) != FBY_OK)
            return -1;
    }
    return 0;
}

static int close_model(void **state)
{
    (void)state;
    fby_model_close(model);
    for (int i = 0; i < TEXTS; i++)
        free((void *)(uintptr_t)texts[i].bytes);
    return 0;
}

static void a_text_has_the_same_bits_in_any_batch_order_and_thread_count(void **state)
{
    (void)state;
    fby_rng rng = fby_rng_from_env();
    static float vectors[TEXTS][DIM];

    for (int round = 0; round < 8; round++) {
        fby_text batch[TEXTS];
        size_t from[TEXTS], count = 1 + fby_rng_below(&rng, TEXTS);
        for (size_t i = 0; i < count; i++) {
            from[i] = fby_rng_below(&rng, TEXTS);
            batch[i] = texts[from[i]];
        }
        fby_embed_options options = FBY_EMBED_OPTIONS_INIT;
        options.threads = 1 + (uint32_t)fby_rng_below(&rng, THREADS);
        assert_int_equal(fby_embed(model, batch, count, &options, vectors[0], NULL), FBY_OK);
        for (size_t i = 0; i < count; i++)
            assert_memory_equal(vectors[i], alone[from[i]], sizeof vectors[i]);
    }
}

struct caller {
    pthread_t thread;
    float vectors[TEXTS][DIM];
    fby_status status;
};

static void *call(void *argument)
{
    struct caller *caller = argument;
    for (int i = 0; i < 2 && caller->status == FBY_OK; i++)
        caller->status = fby_embed(model, texts, TEXTS, NULL, caller->vectors[0], NULL);
    return NULL;
}

static void several_threads_embed_at_once(void **state)
{
    (void)state;
    enum { CALLERS = 4 };
    struct caller *callers = calloc(CALLERS, sizeof *callers);
    for (int i = 0; i < CALLERS; i++)
        assert_int_equal(pthread_create(&callers[i].thread, NULL, call, &callers[i]), 0);
    for (int i = 0; i < CALLERS; i++) {
        pthread_join(callers[i].thread, NULL);
        assert_int_equal(callers[i].status, FBY_OK);
        assert_memory_equal(callers[i].vectors, alone, sizeof alone);
    }
    free(callers);
}

static void vectors_have_length_one(void **state)
{
    (void)state;
    for (int i = 0; i < TEXTS; i++) {
        double sum = 0;
        for (int j = 0; j < DIM; j++)
            sum += (double)alone[i][j] * (double)alone[i][j];
        assert_true(fabs(sqrt(sum) - 1) < 1e-5);
    }
}

static void fewer_dimensions_are_cut_and_normalised_again(void **state)
{
    (void)state;
    enum { CUT = 100 };
    float cut[2][CUT];
    fby_embed_options options = FBY_EMBED_OPTIONS_INIT;
    options.dimensions = CUT;
    assert_int_equal(fby_embed(model, texts, 2, &options, cut[0], NULL), FBY_OK);

    for (int i = 0; i < 2; i++) {
        double sum = 0;
        for (int j = 0; j < CUT; j++)
            sum += (double)alone[i][j] * (double)alone[i][j];
        for (int j = 0; j < CUT; j++)
            assert_true(fabs((double)cut[i][j] - (double)alone[i][j] / sqrt(sum)) < 1e-6);
    }
}

static void a_vector_that_is_not_normalised_points_the_same_way(void **state)
{
    (void)state;
    float raw[DIM];
    fby_embed_options options = FBY_EMBED_OPTIONS_INIT;
    options.normalize = FBY_NORMALIZE_NO;
    assert_int_equal(fby_embed(model, texts, 1, &options, raw, NULL), FBY_OK);
    double length = 0;
    for (int j = 0; j < DIM; j++)
        length += (double)raw[j] * (double)raw[j];
    length = sqrt(length);
    assert_true(fabs(length - 1) > 1e-3);
    for (int j = 0; j < DIM; j++)
        assert_true(fabs((double)raw[j] / length - (double)alone[0][j]) < 1e-6);
}

static void alike_sentences_are_closer_than_others(void **state)
{
    (void)state;
    const fby_text three[] = {text_of("A man is eating food."), text_of("A man eats something."),
                              text_of("The stock market fell today.")};
    float vectors[3][DIM];
    float near = 0, far = 0;
    assert_int_equal(fby_embed(model, three, 3, NULL, vectors[0], NULL), FBY_OK);
    for (int j = 0; j < DIM; j++) {
        near += vectors[0][j] * vectors[1][j];
        far += vectors[0][j] * vectors[2][j];
    }
    assert_true(near > 0.7f && far < 0.2f);
}

static void says_what_became_of_each_text(void **state)
{
    (void)state;
    char lots[4000];
    for (size_t i = 0; i < sizeof lots; i++)
        lots[i] = i % 2 ? ' ' : 'a';
    const fby_text three[] = {text_of(""), {lots, sizeof lots}, text_of("a \xff b")};
    float vectors[3][DIM];
    fby_text_info infos[3];
    assert_int_equal(fby_embed(model, three, 3, NULL, vectors[0], infos), FBY_OK);
    assert_int_equal(infos[0].tokens, 2);
    assert_false(infos[0].truncated || infos[0].replaced);
    assert_int_equal(infos[1].tokens, 256);
    assert_true(infos[1].truncated);
    assert_int_equal(infos[2].tokens, 4);
    assert_true(infos[2].replaced);
}

static void a_text_over_the_limit_is_refused_when_it_may_not_be_cut(void **state)
{
    (void)state;
    char lots[4000];
    memset(lots, '.', sizeof lots);
    const fby_text two[] = {text_of("short"), {lots, sizeof lots}};
    float vectors[2][DIM];
    fby_embed_options options = FBY_EMBED_OPTIONS_INIT;
    options.no_truncate = true;
    assert_int_equal(fby_embed(model, two, 2, &options, vectors[0], NULL), FBY_ETOOLONG);
    assert_string_equal(fby_last_error(), "text 1: 4002 tokens, the limit is 256");
}

static void invalid_utf8_is_refused_when_strict(void **state)
{
    (void)state;
    const fby_text two[] = {text_of("fine"), text_of("not \xc3\x28 fine")};
    float vectors[2][DIM];
    fby_embed_options options = FBY_EMBED_OPTIONS_INIT;
    options.strict_utf8 = true;
    assert_int_equal(fby_embed(model, two, 2, &options, vectors[0], NULL), FBY_EENCODING);
    assert_string_equal(fby_last_error(), "text 1: invalid UTF-8");
    assert_int_equal(fby_embed(model, two, 1, &options, vectors[0], NULL), FBY_OK);
}

static void options_out_of_range_are_named(void **state)
{
    (void)state;
    float vector[DIM];
    fby_embed_options options = FBY_EMBED_OPTIONS_INIT;
    options.dimensions = DIM + 1;
    assert_int_equal(fby_embed(model, texts, 1, &options, vector, NULL), FBY_EINVAL);
    assert_non_null(strstr(fby_last_error(), "dimensions is 385"));

    options = (fby_embed_options)FBY_EMBED_OPTIONS_INIT;
    options.max_tokens = 257;
    assert_int_equal(fby_embed(model, texts, 1, &options, vector, NULL), FBY_EINVAL);
    options.max_tokens = 2;
    assert_int_equal(fby_embed(model, texts, 1, &options, vector, NULL), FBY_EINVAL);

    options = (fby_embed_options)FBY_EMBED_OPTIONS_INIT;
    options.prompt_name = "no such prompt";
    assert_int_equal(fby_embed(model, texts, 1, &options, vector, NULL), FBY_ENOENT);

    const fby_text nowhere = {NULL, 3};
    assert_int_equal(fby_embed(model, &nowhere, 1, NULL, vector, NULL), FBY_EINVAL);
}

static void no_texts_are_done_at_once(void **state)
{
    (void)state;
    fby_job *job;
    assert_int_equal(fby_embed(model, NULL, 0, NULL, NULL, NULL), FBY_OK);
    assert_int_equal(fby_embed_submit(model, NULL, 0, NULL, NULL, NULL, NULL, NULL, &job), FBY_OK);
    assert_int_equal(fby_job_poll(job), FBY_OK);
    fby_job_free(job);
}

static void count_call(fby_job *job, fby_status status, void *context)
{
    (void)job;
    assert_int_equal(status, FBY_OK);
    atomic_fetch_add_explicit((_Atomic int *)context, 1, memory_order_relaxed);
}

static void submitted_jobs_give_the_same_vectors_and_call_back_once(void **state)
{
    (void)state;
    enum { JOBS = 4 };
    static float vectors[JOBS][TEXTS][DIM];
    _Atomic int calls = 0;
    fby_job *jobs[JOBS], *fifth = NULL;
    for (int i = 0; i < JOBS; i++)
        assert_int_equal(fby_embed_submit(model, texts, TEXTS, NULL, vectors[i][0], NULL,
                                          count_call, &calls, &jobs[i]),
                         FBY_OK);
    assert_int_equal(
        fby_embed_submit(model, texts, 1, NULL, vectors[0][0], NULL, NULL, NULL, &fifth),
        FBY_EAGAIN);
    assert_null(fifth);
    for (int i = 0; i < JOBS; i++) {
        assert_int_equal(fby_job_wait(jobs[i], UINT32_MAX), FBY_OK);
        assert_int_equal(fby_job_poll(jobs[i]), FBY_OK);
        fby_job_free(jobs[i]);
        assert_memory_equal(vectors[i], alone, sizeof alone);
    }
    assert_int_equal(calls, JOBS);
}

static void a_cancelled_job_stops(void **state)
{
    (void)state;
    enum { MANY = 20000 };
    fby_text *many = malloc(MANY * sizeof *many);
    float *vectors = malloc((size_t)MANY * DIM * sizeof(float));
    for (int i = 0; i < MANY; i++)
        many[i] = text_of("one of very many texts that will never all be embedded");
    fby_job *job;
    assert_int_equal(fby_embed_submit(model, many, MANY, NULL, vectors, NULL, NULL, NULL, &job),
                     FBY_OK);
    assert_int_equal(fby_job_wait(job, 1), FBY_EAGAIN);
    fby_job_cancel(job);
    assert_int_equal(fby_job_wait(job, UINT32_MAX), FBY_ECANCELED);
    fby_job_free(job);
    free(many);
    free(vectors);
}

static void a_job_cancelled_before_it_began_does_not_wait_for_others(void **state)
{
    (void)state;
    enum { MANY = 3000 };
    fby_text *many = malloc(MANY * sizeof *many);
    float *vectors = malloc((size_t)MANY * DIM * sizeof(float)), vector[DIM];
    for (int i = 0; i < MANY; i++)
        many[i] = text_of("one of very many texts that will never all be embedded");
    fby_job *first, *second;
    assert_int_equal(fby_embed_submit(model, many, MANY, NULL, vectors, NULL, NULL, NULL, &first),
                     FBY_OK);
    assert_int_equal(fby_job_wait(first, 20), FBY_EAGAIN); /* every context is at it by now */
    assert_int_equal(fby_embed_submit(model, texts, 1, NULL, vector, NULL, NULL, NULL, &second),
                     FBY_OK);
    fby_job_cancel(second);
    assert_int_equal(fby_job_poll(second), FBY_ECANCELED);
    fby_job_free(second);
    assert_int_equal(fby_job_poll(first), FBY_EAGAIN);
    fby_job_cancel(first);
    fby_job_free(first);
    free(many);
    free(vectors);
}

static void cancelling_leaves_the_callers_message_alone(void **state)
{
    (void)state;
    enum { MANY = 3000 };
    fby_text *many = malloc(MANY * sizeof *many);
    float *vectors = malloc((size_t)MANY * DIM * sizeof(float)), vector[DIM];
    for (int i = 0; i < MANY; i++)
        many[i] = text_of("one of very many texts that will never all be embedded");
    fby_job *first, *second;
    assert_int_equal(fby_embed_submit(model, many, MANY, NULL, vectors, NULL, NULL, NULL, &first),
                     FBY_OK);
    assert_int_equal(fby_job_wait(first, 20), FBY_EAGAIN);
    assert_int_equal(fby_embed_submit(model, texts, 1, NULL, vector, NULL, NULL, NULL, &second),
                     FBY_OK);
    fby_model *none = NULL;
    assert_int_equal(fby_model_open("no such directory", NULL, &none), FBY_ENOENT);
    char message[256];
    snprintf(message, sizeof message, "%s", fby_last_error());
    fby_job_cancel(second); /* had not begun */
    fby_job_cancel(first);  /* had */
    fby_job_free(second);
    fby_job_free(first);
    assert_string_equal(fby_last_error(), message);
    free(many);
    free(vectors);
}

static void a_finished_job_is_not_cancelled(void **state)
{
    (void)state;
    float vector[DIM];
    fby_job *job;
    assert_int_equal(fby_embed_submit(model, texts, 1, NULL, vector, NULL, NULL, NULL, &job),
                     FBY_OK);
    assert_int_equal(fby_job_wait(job, UINT32_MAX), FBY_OK);
    fby_job_cancel(job);
    assert_int_equal(fby_job_poll(job), FBY_OK);
    fby_job_free(job);
}

static void tokens_can_be_counted_and_named(void **state)
{
    (void)state;
    uint32_t ids[256];
    size_t count, size;
    fby_text_info info;
    fby_text text = text_of("Hello world");
    assert_int_equal(fby_tokenize(model, text, NULL, NULL, 0, &count, NULL), FBY_OK);
    assert_int_equal(count, 4);
    assert_int_equal(fby_tokenize(model, text, NULL, ids, 256, &count, &info), FBY_OK);
    const uint32_t expected[] = {101, 7592, 2088, 102};
    assert_memory_equal(ids, expected, sizeof expected);
    assert_int_equal(info.tokens, 4);
    assert_memory_equal(fby_token_piece(model, 7592, &size), "hello", 5);
    assert_int_equal(size, 5);
    assert_null(fby_token_piece(model, 30522, &size));
}

static void a_short_array_gets_the_first_ids_and_the_full_count(void **state)
{
    (void)state;
    uint32_t ids[2] = {0, 0};
    size_t count;
    fby_text text = text_of("Hello world");
    assert_int_equal(fby_tokenize(model, text, NULL, ids, 2, &count, NULL), FBY_OK);
    assert_int_equal(count, 4);
    assert_int_equal(ids[1], 7592);

    fby_tokenize_options options = FBY_TOKENIZE_OPTIONS_INIT;
    options.truncate_side = FBY_SIDE_LEFT;
    assert_int_equal(fby_tokenize(model, text, &options, ids, 2, &count, NULL), FBY_EINVAL);
    assert_int_equal(fby_tokenize(model, text, &options, NULL, 0, &count, NULL), FBY_OK);
    assert_int_equal(count, 4);
}

static void says_what_the_model_is(void **state)
{
    (void)state;
    fby_model_info info = {.struct_size = sizeof info};
    assert_int_equal(fby_model_get_info(model, &info), FBY_OK);
    assert_string_equal(info.architecture, "bert");
    assert_string_equal(info.pooling, "mean");
    assert_int_equal(info.dim, DIM);
    assert_int_equal(info.max_tokens, 256);
    assert_int_equal(info.threads, THREADS);
    assert_int_equal(strlen(info.fingerprint), 32);
    assert_true(info.normalizes);
    /* 2 multiplications and additions a weight of the layers: 6 (4 384² + 2 384 1536). */
    assert_int_equal(info.flops_per_token, 2u * 6 * (4 * 384 * 384 + 2 * 384 * 1536));
    assert_int_equal(info.flops_per_token_pair, 2u * 2 * 384 * 6);

    fby_model_info older = {.struct_size = offsetof(fby_model_info, pooling)};
    assert_int_equal(fby_model_get_info(model, &older), FBY_OK);
    assert_non_null(older.architecture);
    assert_null(older.pooling);
}

static void more_threads_than_processors_are_not_started(void **state)
{
    (void)state;
    fby_model *many = NULL;
    fby_model_info info = {.struct_size = sizeof info};
    fby_model_options options = FBY_MODEL_OPTIONS_INIT;
    options.threads = 1024;
    options.cache_dir = "";
    processors = 2;
    assert_int_equal(fby_model_open(getenv("FBY_TEST_MODEL"), &options, &many), FBY_OK);
    processors = THREADS;
    assert_int_equal(fby_model_get_info(many, &info), FBY_OK);
    assert_int_equal(info.threads, 2);
    fby_model_close(many);
}

static void a_missing_model_is_named(void **state)
{
    (void)state;
    fby_model *none = NULL;
    assert_int_equal(fby_model_open("no/such/model", NULL, &none), FBY_ENOENT);
    assert_non_null(strstr(fby_last_error(), "no/such/model"));
    assert_null(none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_has_the_same_bits_in_any_batch_order_and_thread_count),
        cmocka_unit_test(several_threads_embed_at_once),
        cmocka_unit_test(vectors_have_length_one),
        cmocka_unit_test(fewer_dimensions_are_cut_and_normalised_again),
        cmocka_unit_test(a_vector_that_is_not_normalised_points_the_same_way),
        cmocka_unit_test(alike_sentences_are_closer_than_others),
        cmocka_unit_test(says_what_became_of_each_text),
        cmocka_unit_test(a_text_over_the_limit_is_refused_when_it_may_not_be_cut),
        cmocka_unit_test(invalid_utf8_is_refused_when_strict),
        cmocka_unit_test(options_out_of_range_are_named),
        cmocka_unit_test(no_texts_are_done_at_once),
        cmocka_unit_test(submitted_jobs_give_the_same_vectors_and_call_back_once),
        cmocka_unit_test(a_cancelled_job_stops),
        cmocka_unit_test(a_job_cancelled_before_it_began_does_not_wait_for_others),
        cmocka_unit_test(cancelling_leaves_the_callers_message_alone),
        cmocka_unit_test(a_finished_job_is_not_cancelled),
        cmocka_unit_test(tokens_can_be_counted_and_named),
        cmocka_unit_test(a_short_array_gets_the_first_ids_and_the_full_count),
        cmocka_unit_test(says_what_the_model_is),
        cmocka_unit_test(more_threads_than_processors_are_not_started),
        cmocka_unit_test(a_missing_model_is_named),
    };
    return cmocka_run_group_tests_name("embed", tests, open_model, close_model);
}
