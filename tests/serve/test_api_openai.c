/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/served.h"

static const float vectors[2 * SERVED_DIM] = {0.5f,  -0.25f, 0.125f, 0, 1, -1, 1e-7f, 0.1f,
                                              -0.5f, 0.25f,  0.75f,  0, 0, 0,  3,     0.2f};

static void answers_a_string_with_floats(void **state)
{
    (void)state;
    const fby_call *call = take("/v1/embeddings", "{\"model\": \"tiny\", \"input\": \"hello\"}");
    assert_int_equal(call->kind, FBY_CALL_EMBED);
    assert_int_equal(call->count, 1);
    assert_true(call->single && call->normalize && call->truncate && !call->left);
    assert_int_equal(call->dimensions, SERVED_DIM);
    assert_int_equal(call->limit, SERVED_TOKENS_MAX);
    assert_int_equal(call->texts[0].size, 5);
    assert_memory_equal(call->texts[0].bytes, "hello", 5);
    assert_string_equal(call->ignored, "");
    answers(call, vectors, 1,
            "{\"object\":\"list\",\"data\":[{\"object\":\"embedding\",\"index\":0,\"embedding\":"
            "[0.5,-0.25,0.125,0,1,-1,1e-7,0.1]}],\"model\":\"tiny\",\"usage\":"
            "{\"prompt_tokens\":5,\"total_tokens\":5}}");
}

/* What openai-python sends where numpy is installed. */
static void answers_a_list_with_base64(void **state)
{
    (void)state;
    const fby_call *call =
        take("/v1/embeddings", "{\"input\":[\"hello\",\"world\"],\"model\":"
                               "\"text-embedding-3-small\",\"encoding_format\":\"base64\"}");
    assert_int_equal(call->count, 2);
    assert_false(call->single);
    answers(call, vectors, 2,
            "{\"object\":\"list\",\"data\":[{\"object\":\"embedding\",\"index\":0,\"embedding\":"
            "\"AAAAPwAAgL4AAAA+AAAAAAAAgD8AAIC/lb/WM83MzD0=\"},{\"object\":\"embedding\","
            "\"index\":1,\"embedding\":\"AAAAvwAAgD4AAEA/AAAAAAAAAAAAAAAAAABAQM3MTD4=\"}],"
            "\"model\":\"tiny\",\"usage\":{\"prompt_tokens\":5,\"total_tokens\":5}}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_a_string_with_floats),
        cmocka_unit_test(answers_a_list_with_base64),
    };
    return cmocka_run_group_tests_name("api_openai", tests, served_setup, served_teardown);
}
