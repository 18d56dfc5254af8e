/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calibrating beside neighbours. The encoder is wrapped: whoever helps is without
 * a processor for as long as its part of a batch took.
 */
#include "engine/calibrate.h"
#include "engine/plan.h"
#include "test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/clock.h"

enum { THREADS = 2, SIZES = FBY_COST_SIZES - 1 };

static pthread_t caller;

static void lose_processor(uint64_t began_ns)
{
    if (!pthread_equal(pthread_self(), caller))
        usleep((unsigned)((fby_now_ns() - began_ns) / 1000) + 100);
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
    const uint64_t began_ns = fby_now_ns();
    fby_status status =
        __real_fby_encoder_run(encoder, ids, starts, texts, scratch, vectors, cancel);
    lose_processor(began_ns);
    return status;
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
    const uint64_t began_ns = fby_now_ns();
    fby_status status =
        __real_fby_encoder_run_team(encoder, ids, starts, texts, scratch, member, vectors, cancel);
    lose_processor(began_ns);
    return status;
}

static void what_neighbours_never_left_alone_is_guessed(void **state)
{
    (void)state;
    fby_isa isa;
    fby_encoder *encoder;
    fby_encoder_info info;
    fby_costs costs, guess;
    caller = pthread_self();
    assert_int_equal(fby_isa_select(&isa), FBY_OK);
    assert_int_equal(
        fby_encoder_open(getenv("FBY_TEST_MODEL"), isa, FBY_PRECISION_INT8, NULL, &encoder),
        FBY_OK);
    fby_encoder_get_info(encoder, &info);
    assert_int_equal(fby_calibrate(encoder, THREADS, &costs), FBY_OK);
    fby_costs_guess(info.flops_per_token, info.flops_per_token_pair, &guess);
    assert_true(costs.measured && fby_costs_valid(&costs));
    assert_int_equal(costs.guessed, SIZES + 1); /* teams of each size, and the crowd */
    for (uint32_t size = 0; size < SIZES; size++)
        assert_true(costs.gain[1][size] == guess.gain[1][size]);
    assert_true(costs.pace[1] == guess.pace[1]);
    fby_encoder_close(encoder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_neighbours_never_left_alone_is_guessed),
    };
    return cmocka_run_group_tests_name("calibrate", tests, NULL, NULL);
}
