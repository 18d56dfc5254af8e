/* SPDX-License-Identifier: Apache-2.0 */
/* OpenAI's dialect: bodies as its clients send them, answers and refusals byte by byte. */
#include "serve/served.h"

static const float vectors[2 * SERVED_DIM] = {0.5f,  -0.25f, 0.125f, 0, 1, -1, 1e-7f, 0.1f,
                                              -0.5f, 0.25f,  0.75f,  0, 0, 0,  3,     0.2f};
#define EMBEDDINGS "/v1/embeddings"

static void answers_a_string_with_floats(void **state)
{
    (void)state;
    const fby_call *call = take(EMBEDDINGS, "{\"model\": \"tiny\", \"input\": \"hello\"}");
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
    const fby_call *call = take(EMBEDDINGS, "{\"input\":[\"hello\",\"world\"],\"model\":"
                                            "\"text-embedding-3-small\",\"encoding_format\":"
                                            "\"base64\"}");
    assert_int_equal(call->count, 2);
    assert_false(call->single);
    answers(call, vectors, 2,
            "{\"object\":\"list\",\"data\":[{\"object\":\"embedding\",\"index\":0,\"embedding\":"
            "\"AAAAPwAAgL4AAAA+AAAAAAAAgD8AAIC/lb/WM83MzD0=\"},{\"object\":\"embedding\","
            "\"index\":1,\"embedding\":\"AAAAvwAAgD4AAEA/AAAAAAAAAAAAAAAAAABAQM3MTD4=\"}],"
            "\"model\":\"tiny\",\"usage\":{\"prompt_tokens\":5,\"total_tokens\":5}}");
}

static void a_model_has_a_name_a_path_and_aliases(void **state)
{
    (void)state;
    char body[4200];
    assert_ptr_equal(take(EMBEDDINGS, "{\"input\":\"a\"}")->served, &served_models[0]);
    assert_ptr_equal(take(EMBEDDINGS, "{\"input\":\"a\",\"model\":null}")->served,
                     &served_models[0]);
    assert_ptr_equal(take(EMBEDDINGS, "{\"input\":\"a\",\"model\":\"other\"}")->served,
                     &served_models[1]);
    assert_ptr_equal(take(EMBEDDINGS, "{\"input\":\"a\",\"model\":\"models/other\"}")->served,
                     &served_models[1]);
    snprintf(body, sizeof body, "{\"input\":\"a\",\"model\":\"%s\"}", served_dir);
    assert_ptr_equal(take(EMBEDDINGS, body)->served, &served_models[0]);
    refuses(EMBEDDINGS, "{\"input\":\"a\",\"model\":\"gpt-5\"}", 404,
            "{\"error\":{\"message\":\"The model `gpt-5` does not exist; `tiny` among others is "
            "served here\",\"type\":\"invalid_request_error\",\"param\":\"model\",\"code\":"
            "\"model_not_found\"}}");
    served_api.unknown_model_accepted = true;
    assert_ptr_equal(take(EMBEDDINGS, "{\"input\":\"a\",\"model\":\"gpt-5\"}")->served,
                     &served_models[0]);
    served_api.unknown_model_accepted = false;
}

static void dimensions_cut_and_normalise(void **state)
{
    (void)state;
    const fby_call *call = take(EMBEDDINGS, "{\"input\":\"a\",\"dimensions\":2}");
    assert_int_equal(call->dimensions, 2);
    assert_true(call->normalize);
    take(EMBEDDINGS, "{\"input\":\"a\",\"dimensions\":8}");
    static const char *const wrong[] = {"9", "0", "4294967296", "-1", "2.0", "\"2\"", "true", "[]"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char body[64];
        snprintf(body, sizeof body, "{\"input\":\"a\",\"dimensions\":%s}", wrong[i]);
        const asked *out = ask(EMBEDDINGS, body);
        assert_false(out->taken);
        assert_int_equal(out->status, 400);
        assert_string_equal(out->error.param, "dimensions");
    }
    refuses(EMBEDDINGS, "{\"input\":\"a\",\"dimensions\":9}", 400,
            "{\"error\":{\"message\":\"`dimensions` must be from 1 to 8, the model's\",\"type\":"
            "\"invalid_request_error\",\"param\":\"dimensions\",\"code\":\"invalid_value\"}}");
}

/* What langchain-openai sends unless it is told otherwise: ids of cl100k. */
static void token_ids_are_refused_and_the_switch_is_named(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "{\"input\": [[15339, 1917], [3923]], \"encoding_format\": \"base64\"}",
        "{\"input\": [15339, 1917], \"model\": \"tiny\"}",
        "{\"input\": [5], \"model\": \"tiny\"}",
    };
    for (int i = 0; i < 3; i++) {
        const asked *out = ask(EMBEDDINGS, bodies[i]);
        assert_false(out->taken);
        assert_int_equal(out->status, 400);
        assert_non_null(strstr(out->body, "\"code\":\"token_ids_foreign\""));
        assert_non_null(strstr(out->body, "\"param\":\"input\""));
        assert_non_null(strstr(out->body, "check_embedding_ctx_length=False"));
    }
}

static void own_token_ids_are_taken_as_they_are(void **state)
{
    (void)state;
    served_api.token_ids_accepted = true;
    const fby_call *call = take(EMBEDDINGS, "{\"input\": [2, 5, 3]}");
    assert_true(call->single);
    assert_int_equal(call->count, 1);
    assert_null(call->texts[0].bytes);
    assert_int_equal(call->texts[0].id_count, 3);
    assert_int_equal(call->texts[0].ids[1], 5);
    call = take(EMBEDDINGS, "{\"input\": [[2, 5, 3], [6]]}");
    assert_int_equal(call->count, 2);
    assert_int_equal(call->texts[1].ids[0], 6);
    static const char *const wrong[] = {"[30]",       "[-1]",  "[5000000000]", "[[1], [30]]",
                                        "[1, \"a\"]", "[1.0]", "[[[1]]]"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char body[64];
        snprintf(body, sizeof body, "{\"input\":%s}", wrong[i]);
        const asked *out = ask(EMBEDDINGS, body);
        assert_false(out->taken);
        assert_int_equal(out->error.reason, FBY_REFUSED_BAD_FIELD);
    }
    assert_false(ask(EMBEDDINGS, "{\"input\":[5],\"input_type\":\"query\"}")->taken);
    take(EMBEDDINGS, "{\"input\":[5],\"input_type\":\"passage\"}"); /* an empty prompt */
    served_api.token_ids_accepted = false;
}

static void empty_input_is_refused(void **state)
{
    (void)state;
    static const char *const bodies[] = {"{\"input\":\"\"}", "{\"input\":[]}",
                                         "{\"input\":[\"a\",\"\"]}", "{\"input\":[[]]}"};
    for (int i = 0; i < 4; i++)
        refuses(EMBEDDINGS, bodies[i], 400,
                "{\"error\":{\"message\":\"`input` is empty, or a text in it is\",\"type\":"
                "\"invalid_request_error\",\"param\":\"input\",\"code\":\"empty_input\"}}");
}

static void wrong_types_are_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *body, *param;
    } cases[] = {
        {"{}", "input"},
        {"{\"input\":null}", "input"},
        {"{\"input\":5}", "input"},
        {"{\"input\":true}", "input"},
        {"{\"input\":{\"a\":1}}", "input"},
        {"{\"input\":[\"a\",5]}", "input"},
        {"{\"input\":[\"a\",null]}", "input"},
        {"{\"input\":[{\"text\":\"a\"}]}", "input"},
        {"{\"input\":[1.5]}", "input"},
        {"{\"input\":\"a\",\"model\":5}", "model"},
        {"{\"input\":\"a\",\"model\":[\"tiny\"]}", "model"},
        {"{\"input\":\"a\",\"encoding_format\":\"hex\"}", "encoding_format"},
        {"{\"input\":\"a\",\"encoding_format\":1}", "encoding_format"},
        {"{\"input\":\"a\",\"truncate\":\"yes\"}", "truncate"},
        {"{\"input\":\"a\",\"truncate_side\":\"top\"}", "truncate_side"},
        {"{\"input\":\"a\",\"normalize\":1}", "normalize"},
        {"{\"input\":\"a\",\"return_meta\":\"x\"}", "return_meta"},
        {"{\"input\":\"a\",\"normalize\":false,\"embedding_types\":\"uint8\"}", "normalize"},
        {"{\"input\":\"a\",\"prompt_name\":\"poem\"}", "prompt_name"},
        {"{\"input\":\"a\",\"prompt_name\":7}", "prompt_name"},
        {"{\"input\":\"a\",\"input_type\":\"poem\"}", "input_type"},
        {"{\"input\":\"a\",\"input_type\":\"query\",\"prompt_name\":\"query\"}", "input_type"},
        {"{\"input\":\"a\",\"embedding_types\":[]}", "embedding_types"},
        {"{\"input\":\"a\",\"embedding_types\":[\"float\",\"f16\"]}", "embedding_types"},
        {"{\"input\":\"a\",\"embedding_types\":{\"a\":1}}", "embedding_types"},
        {"{\"input\":\"a\",\"embedding_types\":[[\"float\"]]}", "embedding_types"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const asked *out = ask(EMBEDDINGS, cases[i].body);
        if (out->taken || out->error.reason != FBY_REFUSED_BAD_FIELD)
            fail_msg("%s is taken", cases[i].body);
        assert_int_equal(out->status, 400);
        assert_string_equal(out->error.param, cases[i].param);
    }
    refuses(EMBEDDINGS, "[1]", 400,
            "{\"error\":{\"message\":\"the body must be an object, { ... }\",\"type\":"
            "\"invalid_request_error\",\"param\":null,\"code\":\"invalid_value\"}}");
    refuses(EMBEDDINGS, "{\"input\":\"a\",\"encoding_format\":\"hex\"}", 400,
            "{\"error\":{\"message\":\"`encoding_format` must be \\\"float\\\" or \\\"base64\\\"\","
            "\"type\":\"invalid_request_error\",\"param\":\"encoding_format\",\"code\":"
            "\"invalid_value\"}}");
}

static void a_list_has_as_many_texts_as_a_request_may(void **state)
{
    (void)state;
    assert_int_equal(take(EMBEDDINGS, "{\"input\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\","
                                      "\"9\",\"a\",\"b\",\"c\",\"d\",\"e\",\"f\",\"g\"]}")
                         ->count,
                     16);
    refuses(EMBEDDINGS,
            "{\"input\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\",\"a\",\"b\",\"c\","
            "\"d\",\"e\",\"f\",\"g\",\"h\"]}",
            400,
            "{\"error\":{\"message\":\"`input` has 17 texts; a request may have 16\",\"type\":"
            "\"invalid_request_error\",\"param\":\"input\",\"code\":\"too_many_inputs\"}}");
}

static void extensions_are_read(void **state)
{
    (void)state;
    const fby_call *call =
        take(EMBEDDINGS, "{\"input\":\"a\",\"truncate\":false,\"truncate_side\":\"left\","
                         "\"normalize\":false,\"input_type\":\"query\"}");
    assert_true(!call->truncate && call->left && !call->normalize);
    assert_int_equal(call->prompt_size, 7);
    assert_memory_equal(call->prompt, "query: ", 7);
    assert_int_equal(take(EMBEDDINGS, "{\"input\":\"a\",\"input_type\":\"passage\"}")->prompt_size,
                     0);
    assert_int_equal(take(EMBEDDINGS, "{\"input\":\"a\",\"prompt_name\":\"query\"}")->prompt_size,
                     7);
    served_api.truncates = false;
    assert_false(take(EMBEDDINGS, "{\"input\":\"a\"}")->truncate);
    assert_true(take(EMBEDDINGS, "{\"input\":\"a\",\"truncate\":true}")->truncate);
    served_api.truncates = true;
}

static void each_number_type_is_answered(void **state)
{
    (void)state;
    const float one[SERVED_DIM] = {1, -1, 0.5f, -0.25f, 0, 0.004f, -0.1f, 0.9f};
    static const char *const pairs[][2] = {
        {"\"int8\"", "[127,-127,64,-32,0,1,-13,114]"},
        {"[\"uint8\"]", "[255,1,192,96,128,129,115,242]"},
        {"[\"ubinary\"]", "[165]"},
        {"[\"binary\"]", "[37]"},
        {"[\"base64\"]", "\"AACAPwAAgL8AAAA/AACAvgAAAABvEoM7zczMvWZmZj8=\""},
        {"[\"float\"]", "[1,-1,0.5,-0.25,0,0.004,-0.1,0.9]"},
        {"[\"ubinary\",\"int8\",\"int8\"]",
         "{\"int8\":[127,-127,64,-32,0,1,-13,114],\"ubinary\":[165]}"},
        {"[\"float\",\"base64\",\"int8\",\"uint8\",\"binary\",\"ubinary\"]",
         "{\"float\":[1,-1,0.5,-0.25,0,0.004,-0.1,0.9],\"base64\":"
         "\"AACAPwAAgL8AAAA/AACAvgAAAABvEoM7zczMvWZmZj8=\",\"int8\":[127,-127,64,-32,0,1,-13,114],"
         "\"uint8\":[255,1,192,96,128,129,115,242],\"binary\":[37],\"ubinary\":[165]}"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        char body[256], wanted[512];
        snprintf(body, sizeof body,
                 "{\"input\":\"a\",\"encoding_format\":\"base64\",\"embedding_types\":%s}",
                 pairs[i][0]);
        snprintf(wanted, sizeof wanted,
                 "{\"object\":\"list\",\"data\":[{\"object\":\"embedding\",\"index\":0,"
                 "\"embedding\":%s}],\"model\":\"tiny\",\"usage\":{\"prompt_tokens\":5,"
                 "\"total_tokens\":5}}",
                 pairs[i][1]);
        answers(take(EMBEDDINGS, body), one, 1, wanted);
    }
}

static void meta_tells_tokens_and_truncation(void **state)
{
    (void)state;
    answers(take(EMBEDDINGS, "{\"input\":[\"a\",\"b\"],\"return_meta\":true,\"dimensions\":1}"),
            vectors, 2,
            "{\"object\":\"list\",\"data\":[{\"object\":\"embedding\",\"index\":0,\"embedding\":"
            "[0.5],\"meta\":{\"tokens\":1,\"truncated\":false}},{\"object\":\"embedding\","
            "\"index\":1,\"embedding\":[-0.25],\"meta\":{\"tokens\":1,\"truncated\":true}}],"
            "\"model\":\"tiny\",\"usage\":{\"prompt_tokens\":5,\"total_tokens\":5}}");
}

static void what_json_has_no_number_for_is_null(void **state)
{
    (void)state;
    const float odd[SERVED_DIM] = {1, (float)(0.0 / 0.0), (float)(1 / 0.0), 2};
    char *text = answered(take(EMBEDDINGS, "{\"input\":\"a\",\"dimensions\":4}"), odd, 1);
    assert_non_null(strstr(text, "[1,null,null,2]"));
    free(text);
}

static void unknown_keys_are_named(void **state)
{
    (void)state;
    const fby_call *call = take(
        EMBEDDINGS, "{\"input\":\"a\",\"user\":\"u1\",\"top_p\":1,\"a\\nb,\xc3\xa9\":2,\"x\":3}");
    assert_string_equal(call->ignored, "top_p, a?b???, x");
    char body[2048] = "{\"input\":\"a\"";
    for (int i = 0; i < 40; i++)
        snprintf(body + strlen(body), sizeof body - strlen(body), ",\"a_rather_long_key_%d\":1", i);
    strcat(body, "}");
    call = take(EMBEDDINGS, body);
    assert_true(strlen(call->ignored) < sizeof call->ignored);
    assert_string_equal(call->ignored + strlen(call->ignored) - 5, ", ...");
    fby_header headers[FBY_API_HEADERS_MAX];
    fby_text_info infos[1] = {{3, true, false}};
    fby_answer answer = {.call = call, .infos = infos};
    assert_int_equal(fby_api_headers(call, &answer, headers), 3);
    assert_string_equal(headers[0].name, "content-type");
    assert_string_equal(headers[0].value, "application/json");
    assert_string_equal(headers[1].name, "x-forebay-ignored");
    assert_string_equal(headers[1].value, call->ignored);
    assert_string_equal(headers[2].name, "x-forebay-truncated");
    assert_string_equal(headers[2].value, "1");
}

/* A key that comes twice has its last value, as Python's json reads it. */
static void the_last_of_two_members_counts(void **state)
{
    (void)state;
    const fby_call *call =
        take(EMBEDDINGS, "{\"input\":\"first\",\"dimensions\":2,\"input\":\"a\",\"dimensions\":3}");
    assert_int_equal(call->texts[0].size, 1);
    assert_int_equal(call->dimensions, 3);
}

static void escapes_become_utf8(void **state)
{
    (void)state;
    const fby_call *call =
        take(EMBEDDINGS,
             "{\"input\":\"\\u00e9\\ud83e\\udd80\\n\\t\\\"\\\\\\/ \xf0\x9f\xa6\x80\\u0001\"}");
    static const char wanted[] = "\xc3\xa9\xf0\x9f\xa6\x80\n\t\"\\/ \xf0\x9f\xa6\x80\x01";
    assert_int_equal(call->texts[0].size, sizeof wanted - 1);
    assert_memory_equal(call->texts[0].bytes, wanted, sizeof wanted);
}

static void models_are_listed(void **state)
{
    (void)state;
    asked out;
    ask_in("GET", "/v1/models", NULL, 0, SERVED_ARENA, &out);
    assert_true(out.taken);
    assert_int_equal(out.call.kind, FBY_CALL_AT_ONCE);
    char wanted[2048];
    const char *fingerprint = served_models[0].info.fingerprint;
    snprintf(wanted, sizeof wanted,
             "{\"object\":\"list\",\"data\":[{\"id\":\"tiny\",\"object\":\"model\",\"created\":"
             "1700000000,\"owned_by\":\"forebay\",\"meta\":{\"dimensions\":8,\"max_tokens\":16,"
             "\"architecture\":\"bert\",\"pooling\":\"mean\",\"precision\":\"f32\",\"fingerprint\":"
             "\"%s\",\"aliases\":[\"text-embedding-3-small\",\"tiny:latest\"]}},{\"id\":\"other\","
             "\"object\":\"model\",\"created\":1700000000,\"owned_by\":\"forebay\",\"meta\":"
             "{\"dimensions\":8,\"max_tokens\":16,\"architecture\":\"bert\",\"pooling\":\"mean\","
             "\"precision\":\"f32\",\"fingerprint\":\"%s\",\"aliases\":[]}}]}",
             fingerprint, fingerprint);
    assert_int_equal(out.call.body_size, strlen(wanted));
    assert_memory_equal(out.call.body, wanted, strlen(wanted));
    fby_header headers[FBY_API_HEADERS_MAX];
    assert_int_equal(fby_api_headers(&out.call, NULL, headers), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_a_string_with_floats),
        cmocka_unit_test(answers_a_list_with_base64),
        cmocka_unit_test(a_model_has_a_name_a_path_and_aliases),
        cmocka_unit_test(dimensions_cut_and_normalise),
        cmocka_unit_test(token_ids_are_refused_and_the_switch_is_named),
        cmocka_unit_test(own_token_ids_are_taken_as_they_are),
        cmocka_unit_test(empty_input_is_refused),
        cmocka_unit_test(wrong_types_are_refused_by_name),
        cmocka_unit_test(a_list_has_as_many_texts_as_a_request_may),
        cmocka_unit_test(extensions_are_read),
        cmocka_unit_test(each_number_type_is_answered),
        cmocka_unit_test(meta_tells_tokens_and_truncation),
        cmocka_unit_test(what_json_has_no_number_for_is_null),
        cmocka_unit_test(unknown_keys_are_named),
        cmocka_unit_test(the_last_of_two_members_counts),
        cmocka_unit_test(escapes_become_utf8),
        cmocka_unit_test(models_are_listed),
    };
    return cmocka_run_group_tests_name("api_openai", tests, served_setup, served_teardown);
}
