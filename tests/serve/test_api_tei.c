/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/served.h"

static const float vectors[2 * SERVED_DIM] = {0.5f,  -0.25f, 0.125f, 0, 1, -1, 1e-7f, 0.1f,
                                              -0.5f, 0.25f,  0.75f,  0, 0, 0,  3,     0.2f};

/* The example of TEI's documentation. */
static void embed_answers_rows(void **state)
{
    (void)state;
    const fby_call *call = take("/embed", "{\"inputs\":\"What is Deep Learning?\"}");
    assert_int_equal(call->kind, FBY_CALL_EMBED);
    assert_true(call->normalize && call->truncate);
    answers(call, vectors, 1, "[[0.5,-0.25,0.125,0,1,-1,1e-7,0.1]]");
    call = take("/embed", "{\"inputs\":[\"hello\",\"world\"],\"truncate\":null,\"dimensions\":2,"
                          "\"truncation_direction\":\"left\",\"normalize\":false}");
    assert_true(call->left && !call->normalize && call->truncate);
    answers(call, vectors, 2, "[[0.5,-0.25],[0.125,0]]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(embed_answers_rows),
    };
    return cmocka_run_group_tests_name("api_tei", tests, served_setup, served_teardown);
}
