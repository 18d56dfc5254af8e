/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Workers that are woken on the processor of one that is at work. Which one a
 * thread runs on is the test's to say, and so is what becomes of its wish to leave.
 */
#include "base/scheduling.h"
#include "forebay/embed.h"
#include "test.h"

#include <sched.h>
#include <stdatomic.h>

enum { DIM = 384, TEXTS = 8, THREADS = 2 };

static bool crowded; /* all threads on one processor; else each on its own */
static _Atomic int threads_seen, leaving;
static atomic_bool asked_well;

uint32_t __wrap_fby_cpu_count(void);
uint32_t __wrap_fby_cpu_count(void)
{
    return THREADS;
}

int __wrap_sched_getcpu(void);
int __wrap_sched_getcpu(void)
{
    static _Thread_local int own = -1;
    if (own < 0)
        own = atomic_fetch_add(&threads_seen, 1);
    return crowded ? 3 : own;
}

bool __real_fby_sched_leave(const cpu_set_t *busy);
bool __wrap_fby_sched_leave(const cpu_set_t *busy);
bool __wrap_fby_sched_leave(const cpu_set_t *busy)
{
    if (!CPU_ISSET(3, busy) || CPU_COUNT(busy) != 1)
        atomic_store(&asked_well, false);
    atomic_fetch_add(&leaving, 1);
    return true;
}

/* Until somebody has asked to leave, or for `most` calls. */
static int calls_until_one_leaves(int most)
{
    static float vectors[TEXTS][DIM];
    static const char bytes[] = "a pool of water that feeds a turbine";
    fby_text texts[TEXTS];
    fby_model_options options = FBY_MODEL_OPTIONS_INIT;
    options.precision = FBY_PRECISION_INT8;
    options.threads = THREADS;
    options.parallelism = FBY_PARALLELISM_COARSE;
    options.strategy = FBY_STRATEGY_FIXED;
    for (int i = 0; i < TEXTS; i++)
        texts[i] = (fby_text){bytes, sizeof bytes - 1};
    atomic_store(&asked_well, true);
    atomic_store(&leaving, 0);
    fby_model *model;
    if (fby_model_open(getenv("FBY_TEST_MODEL"), &options, &model) != FBY_OK)
        fail_msg("%s", fby_last_error());
    int calls = 0;
    for (; calls < most && atomic_load(&leaving) == 0; calls++)
        assert_int_equal(fby_embed(model, texts, TEXTS, NULL, vectors[0], NULL), FBY_OK);
    fby_model_close(model);
    return calls;
}

static void who_shares_a_processor_with_one_at_work_leaves_it(void **state)
{
    (void)state;
    crowded = true;
    assert_true(calls_until_one_leaves(2000) < 2000);
    assert_true(atomic_load(&asked_well));
}

static void who_has_one_of_its_own_stays(void **state)
{
    (void)state;
    crowded = false;
    assert_int_equal(calls_until_one_leaves(100), 100);
}

static void leaving_changes_no_affinity(void **state)
{
    (void)state;
    cpu_set_t before, after, busy;
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    CPU_ZERO(&busy);
    for (size_t cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&busy) == 0; cpu++)
        if (CPU_ISSET(cpu, &before))
            CPU_SET(cpu, &busy);
    assert_int_equal(__real_fby_sched_leave(&busy), CPU_COUNT(&before) > 1);
    assert_int_equal(sched_getaffinity(0, sizeof after, &after), 0);
    assert_true(CPU_EQUAL(&before, &after));
    assert_false(__real_fby_sched_leave(&before)); /* all of them */
    assert_int_equal(sched_getaffinity(0, sizeof after, &after), 0);
    assert_true(CPU_EQUAL(&before, &after));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_shares_a_processor_with_one_at_work_leaves_it),
        cmocka_unit_test(who_has_one_of_its_own_stays),
        cmocka_unit_test(leaving_changes_no_affinity),
    };
    return cmocka_run_group_tests_name("apart", tests, NULL, NULL);
}
