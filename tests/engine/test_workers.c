/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Workers apart and in teams: the same bits in every mode; starting, calling,
 * cancelling and closing at once; a worker that stalls.
 *
 * The encoder is wrapped, so that a test can hold one batch up for as long as it
 * likes.
 */
#include "forebay/embed.h"

#include "base/clock.h"
#include "base/platform.h"
#include "engine/model.h"
#include "model/encoder.h"
#include "model/temporary.h"

#include <pthread.h>
#include <unistd.h>

enum { DIM = 384, TEXTS = 16, THREADS = 3, STALL_MS = 1200 };

uint32_t __wrap_fby_cpu_count(void);
uint32_t __wrap_fby_cpu_count(void)
{
    return THREADS;
}

/* ---- a batch that is held up ---- */

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static enum { OPEN, HOLD_LEADER, HOLD_MEMBER } hold; /* the next such batch stalls */
static int stalled;                                  /* that stand at the gate */

static atomic_bool failing; /* runs by one thread do */

static void stand_at_gate(bool mine)
{
    pthread_mutex_lock(&gate);
    if (mine) {
        hold = OPEN;
        stalled++;
        pthread_cond_broadcast(&changed);
        while (stalled > 0)
            pthread_cond_wait(&changed, &gate);
    }
    pthread_mutex_unlock(&gate);
}

static bool holds(int what)
{
    pthread_mutex_lock(&gate);
    bool mine = (int)hold == what;
    pthread_mutex_unlock(&gate);
    return mine;
}

static void let_go(void)
{
    pthread_mutex_lock(&gate);
    hold = OPEN;
    stalled = 0;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&gate);
}

fby_status __real_fby_encoder_run(const fby_encoder *encoder, const uint32_t *ids,
                                  const uint32_t *starts, uint32_t texts, void *scratch,
                                  float *const *vectors, const atomic_bool *cancel);
fby_status __wrap_fby_encoder_run(const fby_encoder *encoder, const uint32_t *ids,
                                  const uint32_t *starts, uint32_t texts, void *scratch,
                                  float *const *vectors, const atomic_bool *cancel);
fby_status __wrap_fby_encoder_run(const fby_encoder *encoder, const uint32_t *ids,
                                  const uint32_t *starts, uint32_t texts, void *scratch,
                                  float *const *vectors, const atomic_bool *cancel)
{
    stand_at_gate(holds(HOLD_LEADER));
    if (atomic_load(&failing))
        return fby_error(FBY_EINVAL, "asked to fail");
    return __real_fby_encoder_run(encoder, ids, starts, texts, scratch, vectors, cancel);
}

fby_status __real_fby_encoder_run_team(const fby_encoder *encoder, const uint32_t *ids,
                                       const uint32_t *starts, uint32_t texts, void *scratch,
                                       const fby_bert_member *member, float *const *vectors,
                                       const atomic_bool *cancel);
fby_status __wrap_fby_encoder_run_team(const fby_encoder *encoder, const uint32_t *ids,
                                       const uint32_t *starts, uint32_t texts, void *scratch,
                                       const fby_bert_member *member, float *const *vectors,
                                       const atomic_bool *cancel);
fby_status __wrap_fby_encoder_run_team(const fby_encoder *encoder, const uint32_t *ids,
                                       const uint32_t *starts, uint32_t texts, void *scratch,
                                       const fby_bert_member *member, float *const *vectors,
                                       const atomic_bool *cancel)
{
    stand_at_gate(member->index == 1 && holds(HOLD_MEMBER));
    return __real_fby_encoder_run_team(encoder, ids, starts, texts, scratch, member, vectors,
                                       cancel);
}

/* ---- models and texts ---- */

static fby_text texts[TEXTS];
static float alone[TEXTS][DIM];

static fby_model *opened(fby_parallelism parallelism, fby_strategy strategy, uint32_t stall_ms)
{
    fby_model_options options = FBY_MODEL_OPTIONS_INIT;
    options.threads = THREADS;
    options.parallelism = parallelism;
    options.strategy = strategy;
    options.precision = FBY_PRECISION_INT8; /* the fastest */
    options.stall_ms = stall_ms;
    fby_model *model = NULL;
    if (fby_model_open(getenv("FBY_TEST_MODEL"), &options, &model) != FBY_OK)
        fprintf(stderr, "%s\n", fby_last_error());
    return model;
}

static fby_model_stats stats_of(const fby_model *model)
{
    fby_model_stats stats = {.struct_size = sizeof stats};
    assert_int_equal(fby_model_get_stats(model, &stats), FBY_OK);
    return stats;
}

/* One or two long texts among short ones. */
static int make_texts(void **state)
{
    (void)state;
    static char bytes[2048];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = "a pool of water that feeds a turbine "[i % 37];
    fby_rng rng = fby_rng_from_env();
    fby_model *model = opened(FBY_PARALLELISM_COARSE, FBY_STRATEGY_FIXED, 0);
    if (model == NULL)
        return -1;
    for (int i = 0; i < TEXTS; i++) {
        texts[i] = (fby_text){bytes + fby_rng_below(&rng, 400),
                              fby_rng_below(&rng, i % 12 == 0 ? 700 : 60)};
        if (fby_embed(model, &texts[i], 1, NULL, alone[i], NULL) != FBY_OK)
            return -1;
    }
    fby_model_close(model);
    return 0;
}

/* One, of so many calls: whether somebody joins in time is the system's to say. */
static void check_teams_come(fby_model *model)
{
    float vector[DIM];
    for (int i = 0; i < 2000 && stats_of(model).split_batches == 0; i++) {
        assert_int_equal(fby_embed(model, texts, 1, NULL, vector, NULL), FBY_OK);
        assert_memory_equal(vector, alone[0], sizeof vector);
    }
    assert_true(stats_of(model).split_batches > 0);
}

static void a_text_has_the_same_bits_in_every_mode(void **state)
{
    (void)state;
    fby_rng rng = fby_rng_from_env();
    static float vectors[TEXTS][DIM];
    for (int mode = 0; mode < 9; mode++) {
        fby_model *model = opened((fby_parallelism)(mode / 3), (fby_strategy)(mode % 3), 0);
        assert_non_null(model);
        for (int round = 0; round < 5; round++) {
            fby_text batch[TEXTS];
            size_t from[TEXTS], count = 1 + fby_rng_below(&rng, round % 2 ? TEXTS : 3);
            for (size_t i = 0; i < count; i++) {
                from[i] = fby_rng_below(&rng, TEXTS);
                batch[i] = texts[from[i]];
            }
            assert_int_equal(fby_embed(model, batch, count, NULL, vectors[0], NULL), FBY_OK);
            for (size_t i = 0; i < count; i++)
                assert_memory_equal(vectors[i], alone[from[i]], sizeof vectors[i]);
        }
        if (mode / 3 == FBY_PARALLELISM_COARSE)
            assert_int_equal(stats_of(model).split_batches, 0);
        /* The table gives one text one worker; the controller may find that teams gain nothing. */
        if (mode / 3 == FBY_PARALLELISM_FINE && mode % 3 == FBY_STRATEGY_FIXED)
            check_teams_come(model);
        assert_true(stats_of(model).batches > 0);
        fby_model_close(model);
    }
}

/* ---- cancelling ---- */

static void pause_ns(uint64_t ns)
{
    for (uint64_t until = fby_now_ns() + ns; fby_now_ns() < until;)
        fby_relax();
}

/* Members of the cancelled team may still be on their way out of it. */
static void a_batch_behind_a_cancelled_one_has_its_own_bits(void **state)
{
    (void)state;
    enum { ROUNDS = 300, LONGEST_NS = 2000000 };
    fby_rng rng = fby_rng_from_env();
    fby_model *model = opened(FBY_PARALLELISM_FINE, FBY_STRATEGY_FIXED, 0);
    assert_non_null(model);
    int cancelled = 0;
    for (int round = 0; round < ROUNDS; round++) {
        float vector[DIM], lost[DIM];
        const uint64_t next = fby_rng_below(&rng, TEXTS);
        fby_job *job;
        assert_int_equal(fby_embed_submit(model, texts, 1, NULL, lost, NULL, NULL, NULL, &job),
                         FBY_OK);
        pause_ns(fby_rng_below(&rng, LONGEST_NS));
        fby_job_cancel(job);
        cancelled += fby_job_wait(job, UINT32_MAX) == FBY_ECANCELED;
        assert_int_equal(fby_embed(model, &texts[next], 1, NULL, vector, NULL), FBY_OK);
        assert_memory_equal(vector, alone[next], sizeof vector);
        fby_job_free(job);
    }
    assert_true(cancelled > 0);
    fby_model_close(model);
}

/* ---- stalls ---- */

/* Waits until a batch stands at the gate; false if the job is done before. */
static bool wait_for_stall(fby_job *job)
{
    for (;;) {
        pthread_mutex_lock(&gate);
        bool there = stalled > 0;
        pthread_mutex_unlock(&gate);
        if (there)
            return true;
        if (fby_job_wait(job, 1) != FBY_EAGAIN)
            return false;
    }
}

static void hold_next(int what)
{
    pthread_mutex_lock(&gate);
    hold = what == HOLD_LEADER ? HOLD_LEADER : HOLD_MEMBER;
    pthread_mutex_unlock(&gate);
}

static void check_others_go_on(fby_model *model)
{
    static float vectors[TEXTS][DIM];
    for (int i = 0; i < 2; i++) {
        assert_int_equal(fby_embed(model, texts, TEXTS, NULL, vectors[0], NULL), FBY_OK);
        assert_memory_equal(vectors, alone, sizeof vectors);
    }
}

static void a_stalled_worker_fails_its_job_and_the_rest_goes_on(void **state)
{
    (void)state;
    fby_model *model = opened(FBY_PARALLELISM_COARSE, FBY_STRATEGY_AUTO, STALL_MS);
    float vector[DIM];
    fby_job *job;
    hold_next(HOLD_LEADER);
    assert_int_equal(fby_embed_submit(model, texts, 1, NULL, vector, NULL, NULL, NULL, &job),
                     FBY_OK);
    assert_true(wait_for_stall(job));
    assert_int_equal(fby_job_wait(job, UINT32_MAX), FBY_ESTALLED);
    assert_non_null(strstr(fby_last_error(), "no progress"));
    fby_job_free(job);
    assert_int_equal(stats_of(model).stalls, 1);
    check_others_go_on(model); /* while it still stands there */
    let_go();
    check_others_go_on(model);
    fby_model_close(model);
}

static void a_member_that_stalls_fails_its_teams_batch_alone(void **state)
{
    (void)state;
    fby_model *model = opened(FBY_PARALLELISM_FINE, FBY_STRATEGY_FIXED, STALL_MS);
    float vector[DIM];
    bool met = false;
    for (int i = 0; i < 200 && !met; i++) { /* until somebody has joined in time */
        fby_job *job;
        hold_next(HOLD_MEMBER);
        assert_int_equal(fby_embed_submit(model, texts, 1, NULL, vector, NULL, NULL, NULL, &job),
                         FBY_OK);
        met = wait_for_stall(job);
        assert_int_equal(fby_job_wait(job, UINT32_MAX), met ? FBY_ESTALLED : FBY_OK);
        fby_job_free(job);
    }
    assert_true(met);
    check_others_go_on(model);
    let_go();
    check_others_go_on(model);
    fby_model_close(model);
}

/* ---- fewer at work than there are ---- */

/* As if the controller had found it in a crowd, last seen at `seen_ns`. */
static void allow_one_worker(fby_model *model, uint64_t seen_ns)
{
    fby_tuner *tuner = fby_engine_tuner(model->engine);
    pthread_mutex_lock(&tuner->lock);
    tuner->controller.decision.workers = 1;
    tuner->controller.crowd_seen_ns = seen_ns;
    atomic_store(&tuner->workers, 1);
    pthread_mutex_unlock(&tuner->lock);
}

/* One that is lost to a stall is not the one that may work. */
static void a_stalled_worker_leaves_room_for_another_where_one_may_work(void **state)
{
    (void)state;
    fby_model *model = opened(FBY_PARALLELISM_COARSE, FBY_STRATEGY_AUTO, STALL_MS);
    allow_one_worker(model, UINT64_MAX / 2);
    float vector[DIM];
    fby_job *job;
    hold_next(HOLD_LEADER);
    assert_int_equal(fby_embed_submit(model, texts, 1, NULL, vector, NULL, NULL, NULL, &job),
                     FBY_OK);
    assert_true(wait_for_stall(job));
    assert_int_equal(fby_job_wait(job, UINT32_MAX), FBY_ESTALLED);
    fby_job_free(job);
    check_others_go_on(model);
    let_go();
    check_others_go_on(model);
    assert_int_equal(stats_of(model).workers, 1);
    fby_model_close(model);
}

/* The batch at the gate goes on, the next stands there. */
static void let_go_and_hold_next(void)
{
    pthread_mutex_lock(&gate);
    hold = HOLD_LEADER;
    stalled = 0;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&gate);
}

/* The first job's first batch ends, and the crowd is found to be over: the second job is begun,
 * though the first goes on. */
static void who_found_no_room_is_called_when_more_may_work(void **state)
{
    (void)state;
    enum { ENOUGH_MS = 60000, A_LOOK_MS = 5, TIMES = 8 };
    static float vectors[2][TIMES][TEXTS][DIM];
    fby_text many[TIMES * TEXTS]; /* several batches */
    for (size_t i = 0; i < TIMES * TEXTS; i++)
        many[i] = texts[i % TEXTS];
    fby_model *model = opened(FBY_PARALLELISM_COARSE, FBY_STRATEGY_AUTO, UINT32_MAX);
    allow_one_worker(model, 0);
    fby_job *jobs[2];
    hold_next(HOLD_LEADER);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(fby_embed_submit(model, many, TIMES * TEXTS, NULL, vectors[i][0][0], NULL,
                                          NULL, NULL, &jobs[i]),
                         FBY_OK);
        if (i == 0)
            assert_true(wait_for_stall(jobs[0]));
    }
    let_go_and_hold_next(); /* a batch of the one or the other */
    bool done = false;
    for (int ms = 0; !done && ms < ENOUGH_MS; ms += A_LOOK_MS)
        done = fby_job_wait(jobs[0], A_LOOK_MS) == FBY_OK || fby_job_poll(jobs[1]) == FBY_OK;
    assert_true(done);
    let_go();
    for (int i = 0; i < 2; i++) {
        assert_int_equal(fby_job_wait(jobs[i], UINT32_MAX), FBY_OK);
        for (int time = 0; time < TIMES; time++)
            assert_memory_equal(vectors[i][time], alone, sizeof alone);
        fby_job_free(jobs[i]);
    }
    fby_model_close(model);
}

/* ---- everything at once ---- */

static atomic_bool over;

static void *disturb(void *argument)
{
    fby_model *model = argument;
    static _Thread_local float vectors[TEXTS][DIM];
    fby_rng rng = {(uintptr_t)&rng};
    while (!atomic_load(&over)) {
        size_t count = 1 + fby_rng_below(&rng, fby_rng_bool(&rng) ? 2 : TEXTS);
        fby_job *job;
        if (fby_rng_below(&rng, 3) == 0) {
            if (fby_embed(model, texts, count, NULL, vectors[0], NULL) != FBY_OK ||
                memcmp(vectors, alone, count * sizeof vectors[0]) != 0)
                return (void *)1;
            continue;
        }
        if (fby_embed_submit(model, texts, count, NULL, vectors[0], NULL, NULL, NULL, &job) !=
            FBY_OK)
            return (void *)2;
        if (fby_rng_bool(&rng))
            fby_job_cancel(job);
        fby_status status = fby_job_wait(job, UINT32_MAX);
        fby_job_free(job);
        if (status != FBY_ECANCELED &&
            (status != FBY_OK || memcmp(vectors, alone, count * sizeof vectors[0]) != 0))
            return (void *)3;
    }
    return NULL;
}

static void calling_cancelling_and_closing_at_once(void **state)
{
    (void)state;
    enum { CALLERS = 3, ROUNDS = 6, ROUND_US = 60000 };
    for (int round = 0; round < ROUNDS; round++) {
        pthread_t callers[CALLERS];
        fby_model *model = opened((fby_parallelism)(round % 3), FBY_STRATEGY_AUTO, 0);
        assert_non_null(model);
        atomic_store(&over, false);
        for (int i = 0; i < CALLERS; i++)
            assert_int_equal(pthread_create(&callers[i], NULL, disturb, model), 0);
        usleep(ROUND_US);
        atomic_store(&over, true);
        for (int i = 0; i < CALLERS; i++) {
            void *wrong;
            pthread_join(callers[i], &wrong);
            assert_null(wrong);
        }
        fby_model_close(model);
    }
}

static void what_was_measured_is_used_and_kept(void **state)
{
    (void)state;
    char *dir = temporary_dir();
    fby_model_options options = FBY_MODEL_OPTIONS_INIT;
    options.threads = 2;
    options.cache_dir = dir;
    options.precision = FBY_PRECISION_INT8;
    for (int i = 0; i < 2; i++) {
        fby_model *model;
        assert_int_equal(fby_model_open(getenv("FBY_TEST_MODEL"), &options, &model), FBY_OK);
        assert_int_equal(stats_of(model).measured, i > 0);
        if (i == 0)
            assert_int_equal(fby_model_tune(model), FBY_OK);
        assert_true(stats_of(model).measured);
        float vector[DIM];
        assert_int_equal(fby_embed(model, texts, 1, NULL, vector, NULL), FBY_OK);
        assert_memory_equal(vector, alone[0], sizeof vector);
        fby_model_close(model);
    }
    temporary_remove(dir);
    free(dir);
}

static void a_calibration_whose_runs_fail_is_not_kept(void **state)
{
    (void)state;
    fby_model *model = opened(FBY_PARALLELISM_AUTO, FBY_STRATEGY_AUTO, 0);
    assert_non_null(model);
    atomic_store(&failing, true);
    assert_int_equal(fby_model_tune(model), FBY_EINVAL);
    atomic_store(&failing, false);
    assert_false(stats_of(model).measured);
    fby_model_close(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_has_the_same_bits_in_every_mode),
        cmocka_unit_test(a_batch_behind_a_cancelled_one_has_its_own_bits),
        cmocka_unit_test(a_stalled_worker_fails_its_job_and_the_rest_goes_on),
        cmocka_unit_test(a_member_that_stalls_fails_its_teams_batch_alone),
        cmocka_unit_test(a_stalled_worker_leaves_room_for_another_where_one_may_work),
        cmocka_unit_test(who_found_no_room_is_called_when_more_may_work),
        cmocka_unit_test(calling_cancelling_and_closing_at_once),
        cmocka_unit_test(what_was_measured_is_used_and_kept),
        cmocka_unit_test(a_calibration_whose_runs_fail_is_not_kept),
    };
    return cmocka_run_group_tests_name("workers", tests, make_texts, NULL);
}
