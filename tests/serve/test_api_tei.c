/* SPDX-License-Identifier: Apache-2.0 */
/* TEI's dialect: the bodies of its documentation, its statuses and words. */
#include "serve/served.h"

static const float vectors[4 * SERVED_DIM] = {
    0.5f, -0.25f, 0.125f, 0, 1, -1, 1e-7f, 0.1f, -0.5f, 0.25f, 0.75f, 0, 0, 0,  3,     0.2f,
    0,    0,      0,      0, 0, 0,  0,     0,    1,     -0.5f, 0.25f, 0, 2, -2, 2e-7f, 0.2f};

static void embed_answers_rows(void **state)
{
    (void)state;
    const fby_call *call = take("/embed", "{\"inputs\":\"What is Deep Learning?\"}");
    assert_int_equal(call->kind, FBY_CALL_EMBED);
    assert_true(call->normalize && call->truncate);
    assert_int_equal(call->characters, 22);
    answers(call, vectors, 1, "[[0.5,-0.25,0.125,0,1,-1,1e-7,0.1]]");
    call = take("/embed", "{\"inputs\":[\"hello\",\"world\"],\"truncate\":null,\"dimensions\":2,"
                          "\"truncation_direction\":\"left\",\"normalize\":false}");
    assert_true(call->left && !call->normalize && call->truncate);
    answers(call, vectors, 2, "[[0.5,-0.25],[0.125,0]]");
    assert_true(take("/", "{\"inputs\":\"a\"}")->operation == call->operation);
    assert_true(take("/invocations", "{\"inputs\":\"a\"}")->operation == call->operation);
    assert_true(take("/embeddings", "{\"inputs\":\"a\"}")->operation == call->operation);
    assert_int_equal(take("/embed", "{\"inputs\":\"a\",\"prompt_name\":\"query\"}")->prompt_size,
                     7);
}

static void statuses_and_words_are_those_of_tei(void **state)
{
    (void)state;
    static const struct {
        const char *path, *request;
        int status;
        const char *body;
    } cases[] = {
        {"/embed", "{\"inputs\":\"\"}", 400,
         "{\"error\":\"Input validation error: `inputs` cannot be empty\",\"error_type\":"
         "\"Empty\"}"},
        {"/embed", "{\"inputs\":[]}", 400,
         "{\"error\":\"Input validation error: `inputs` cannot be empty\",\"error_type\":"
         "\"Empty\"}"},
        {"/embed", "{\"inputs\":[\"a\",\"\"]}", 400,
         "{\"error\":\"Input validation error: `inputs` cannot be empty\",\"error_type\":"
         "\"Empty\"}"},
        {"/embed", "{\"inputs\":\"a\",\"dimensions\":0}", 422,
         "{\"error\":\"Input validation error: `dimensions` should be positive\",\"error_type\":"
         "\"Validation\"}"},
        {"/embed", "{\"inputs\":\"a\",\"dimensions\":9}", 422,
         "{\"error\":\"Input validation error: `dimensions` should be smaller than the maximum "
         "embedding dimension.\",\"error_type\":\"Validation\"}"},
        {"/embed", "{\"inputs\":[\"1\",\"2\",\"3\",\"4\",\"5\"]}", 422,
         "{\"error\":\"batch size 5 > maximum allowed batch size 4\",\"error_type\":"
         "\"Validation\"}"},
        {"/embed", "{\"inputs\":5}", 422,
         "{\"error\":\"`inputs` must be a string, a list of strings or token ids\","
         "\"error_type\":\"Validation\"}"},
        {"/embed", "{\"inputs\":\"a\"", 400,
         "{\"error\":\"the body is not JSON: line 1, column 13: '}' expected near end of "
         "file\",\"error_type\":\"Validation\"}"},
        {"/embed", "{\"inputs\":\"a\",\"truncation_direction\":\"up\"}", 422,
         "{\"error\":\"`truncation_direction` must be \\\"Right\\\", \\\"right\\\", \\\"Left\\\" "
         "or \\\"left\\\"\",\"error_type\":\"Validation\"}"},
        {"/rerank", "{\"query\":\"What is Deep Learning?\",\"texts\":[\"Deep Learning is ...\"]}",
         424,
         "{\"error\":\"Backend error: model is not a re-ranker model\",\"error_type\":"
         "\"Backend\"}"},
        {"/predict", "{\"inputs\":\"I like you.\"}", 424,
         "{\"error\":\"Backend error: Model is not a classifier model\",\"error_type\":"
         "\"Backend\"}"},
        {"/embed_sparse", "{\"inputs\":\"What is Deep Learning?\"}", 424,
         "{\"error\":\"Backend error: Model is not an embedding model with SPLADE pooling\","
         "\"error_type\":\"Backend\"}"},
        {"/similarity", "{\"inputs\":{\"source_sentence\":\"a\",\"sentences\":[]}}", 400,
         "{\"error\":\"`inputs.sentences` cannot be empty\",\"error_type\":\"Empty\"}"},
        {"/similarity", "{\"inputs\":{\"source_sentence\":\"a\",\"sentences\":[\"\"]}}", 400,
         "{\"error\":\"Input validation error: `inputs` cannot be empty\",\"error_type\":"
         "\"Empty\"}"},
        {"/tokenize", "{\"inputs\":[]}", 400,
         "{\"error\":\"Input validation error: `inputs` cannot be empty\",\"error_type\":"
         "\"Empty\"}"},
        {"/decode", "{\"ids\":[]}", 400,
         "{\"error\":\"Input validation error: `input_ids` cannot be empty\",\"error_type\":"
         "\"Empty\"}"},
        {"/decode", "{\"ids\":[[5],[]]}", 400,
         "{\"error\":\"Input validation error: `input_ids` cannot be empty\",\"error_type\":"
         "\"Empty\"}"},
    };
    served_api.limits.max_client_batch = 4;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        refuses(cases[i].path, cases[i].request, cases[i].status, cases[i].body);
    served_api.limits.max_client_batch = 0;
}

static void the_agents_refusals_have_statuses_too(void **state)
{
    (void)state;
    static const struct {
        fby_refusal reason;
        int status;
    } pairs[] = {{FBY_REFUSED_NO_KEY, 401},   {FBY_REFUSED_OVERLOADED, 429},
                 {FBY_REFUSED_DRAINING, 503}, {FBY_REFUSED_INTERNAL, 424},
                 {FBY_REFUSED_SLOW, 504},     {FBY_REFUSED_BODY_TOO_LARGE, 413}};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
        assert_int_equal(fby_refusal_status(FBY_DIALECT_TEI, pairs[i].reason), pairs[i].status);
    fby_api_error error;
    char body[FBY_API_ERROR_MAX];
    fby_refuse(&error, FBY_REFUSED_NO_KEY, NULL, "no key");
    assert_int_equal(fby_api_error_body(FBY_DIALECT_TEI, &error, body), 0);
    fby_refuse(&error, FBY_REFUSED_OVERLOADED, NULL, "Model is overloaded");
    size_t size = fby_api_error_body(FBY_DIALECT_TEI, &error, body);
    static const char wanted[] =
        "{\"error\":\"Model is overloaded\",\"error_type\":\"Overloaded\"}";
    assert_int_equal(size, sizeof wanted - 1);
    assert_memory_equal(body, wanted, size);
    const fby_call *call = take("/embed", "{\"inputs\":\"a\"}");
    assert_false(fby_api_refuse_too_long(call, 2, &error));
    assert_string_equal(error.message,
                        "Input validation error: `inputs` must have less than 16 tokens; text 2 "
                        "has more");
}

static void embed_all_answers_a_row_a_token(void **state)
{
    (void)state;
    const fby_call *call = take("/embed_all", "{\"inputs\":[\"a\",\"b\"]}");
    assert_int_equal(call->kind, FBY_CALL_TOKENS);
    assert_int_equal(call->dimensions, SERVED_DIM);
    assert_false(call->normalize);
    answers(call, vectors, 4,
            "[[[0.5,-0.25,0.125,0,1,-1,1e-7,0.1],[-0.5,0.25,0.75,0,0,0,3,0.2]],"
            "[[0,0,0,0,0,0,0,0],[1,-0.5,0.25,0,2,-2,2e-7,0.2]]]");
    answers(call, vectors, 0, "[[],[]]");
    answers(take("/embed_all", "{\"inputs\":\"a\"}"), vectors, 1,
            "[[[0.5,-0.25,0.125,0,1,-1,1e-7,0.1]]]");
}

static void similarity_answers_cosines(void **state)
{
    (void)state;
    const fby_call *call =
        take("/similarity", "{\"inputs\":{\"source_sentence\":\"What is Deep Learning?\","
                            "\"sentences\":[\"a\",\"b\",\"c\"]},\"parameters\":{\"truncate\":true,"
                            "\"prompt_name\":\"query\"}}");
    assert_int_equal(call->kind, FBY_CALL_EMBED);
    assert_int_equal(call->count, 4);
    assert_int_equal(call->prompt_size, 7);
    assert_memory_equal(call->texts[0].bytes, "What is", 7);
    /* By Python, of the rows as f32. */
    answers(call, vectors, 4, "[-0.041278724,0,1]");
}

static void tokens_have_their_bytes(void **state)
{
    (void)state;
    const asked *out = ask("/tokenize", "{\"inputs\":\"Hello, \xe4\xb8\xad learning zz\"}");
    static const char wanted[] =
        "[[{\"id\":2,\"text\":\"[CLS]\",\"special\":true,\"start\":null,\"stop\":null},"
        "{\"id\":5,\"text\":\"Hello\",\"special\":false,\"start\":0,\"stop\":5},"
        "{\"id\":15,\"text\":\",\",\"special\":false,\"start\":5,\"stop\":6},"
        "{\"id\":29,\"text\":\"\xe4\xb8\xad\",\"special\":false,\"start\":7,\"stop\":10},"
        "{\"id\":10,\"text\":\"learn\",\"special\":false,\"start\":11,\"stop\":16},"
        "{\"id\":11,\"text\":\"ing\",\"special\":false,\"start\":16,\"stop\":19},"
        "{\"id\":1,\"text\":\"zz\",\"special\":false,\"start\":20,\"stop\":22},"
        "{\"id\":3,\"text\":\"[SEP]\",\"special\":true,\"start\":null,\"stop\":null}]]";
    assert_true(out->taken);
    assert_int_equal(out->call.kind, FBY_CALL_AT_ONCE);
    assert_int_equal(out->call.body_size, sizeof wanted - 1);
    assert_memory_equal(out->call.body, wanted, sizeof wanted - 1);
    out = ask("/tokenize", "{\"inputs\":[\"a\",\"fox\"],\"add_special_tokens\":false,"
                           "\"prompt_name\":\"query\"}");
    static const char both[] =
        "[[{\"id\":17,\"text\":\"query\",\"special\":false,\"start\":0,\"stop\":5},"
        "{\"id\":18,\"text\":\":\",\"special\":false,\"start\":5,\"stop\":6},"
        "{\"id\":27,\"text\":\"a\",\"special\":false,\"start\":7,\"stop\":8}],"
        "[{\"id\":17,\"text\":\"query\",\"special\":false,\"start\":0,\"stop\":5},"
        "{\"id\":18,\"text\":\":\",\"special\":false,\"start\":5,\"stop\":6},"
        "{\"id\":21,\"text\":\"fox\",\"special\":false,\"start\":7,\"stop\":10}]]";
    assert_true(out->taken);
    assert_int_equal(out->call.body_size, sizeof both - 1);
    assert_memory_equal(out->call.body, both, sizeof both - 1);
}

static void ids_are_decoded(void **state)
{
    (void)state;
    const asked *out = ask("/decode", "{\"ids\":[2,5,15,6,22,13,999,3]}");
    assert_true(out->taken);
    assert_int_equal(out->call.body_size, strlen("[\"hello, worlds!\"]"));
    assert_memory_equal(out->call.body, "[\"hello, worlds!\"]", out->call.body_size);
    out = ask("/decode", "{\"ids\":[[2,5,3],[6]],\"skip_special_tokens\":false}");
    assert_true(out->taken);
    assert_memory_equal(out->call.body, "[\"[CLS] hello [SEP]\",\"world\"]", out->call.body_size);
    assert_int_equal(ask("/decode", "{\"ids\":\"5\"}")->status, 422);
    assert_int_equal(ask("/decode", "{\"ids\":[5,\"a\"]}")->status, 422);
    assert_int_equal(ask("/decode", "{\"ids\":[-5]}")->status, 422);
    assert_int_equal(ask("/decode", "{\"ids\":[[5],6]}")->status, 422);
    assert_int_equal(ask("/decode", "{}")->status, 422);
}

/* As tokenize_input() there: text again, whose special tokens are those that the ids have, but
 * behind a prompt text like any other. */
static void token_ids_become_text(void **state)
{
    (void)state;
    const fby_call *call = take("/embed", "{\"inputs\":[[2,5,22,3],\"fox\"]}");
    assert_int_equal(call->count, 2);
    assert_int_equal(call->texts[0].size, strlen("[CLS] hellos [SEP]"));
    assert_memory_equal(call->texts[0].bytes, "[CLS] hellos [SEP]", call->texts[0].size);
    assert_true(call->texts[0].no_special && !call->texts[1].no_special);
    assert_int_equal(call->characters, 7);
    call = take("/embed", "{\"inputs\":[2,5,22,3],\"prompt_name\":\"query\"}");
    assert_true(call->single && !call->texts[0].no_special);
    assert_int_equal(call->texts[0].size, strlen("hellos"));
    assert_memory_equal(call->texts[0].bytes, "hellos", call->texts[0].size);
    assert_int_equal(ask("/embed", "{\"inputs\":[999]}")->status, 400); /* no text comes of it */
}

static void info_describes_the_first_model(void **state)
{
    (void)state;
    asked out;
    char wanted[2048];
    ask_in("GET", "/info", NULL, 0, SERVED_ARENA, &out);
    assert_true(out.taken);
    snprintf(wanted, sizeof wanted,
             "{\"model_id\":\"%s\",\"model_sha\":null,\"model_dtype\":\"float32\","
             "\"served_model_name\":\"tiny\",\"model_type\":{\"embedding\":{\"pooling\":\"mean\"}},"
             "\"max_concurrent_requests\":512,\"max_input_length\":16,\"max_batch_tokens\":16384,"
             "\"max_batch_requests\":null,\"max_client_batch_size\":16,\"auto_truncate\":true,"
             "\"tokenization_workers\":2,\"version\":\"" FBY_VERSION
             "\",\"sha\":null,\"docker_label\":null}",
             served_dir);
    assert_int_equal(out.call.body_size, strlen(wanted));
    assert_memory_equal(out.call.body, wanted, strlen(wanted));
}

static void headers_tell_where_the_time_went(void **state)
{
    (void)state;
    static const char *const wanted[][2] = {
        {"content-type", "application/json"}, {"x-compute-type", "cpu"}, {"x-compute-time", "14"},
        {"x-compute-characters", "5"},        {"x-compute-tokens", "3"}, {"x-total-time", "14"},
        {"x-tokenization-time", "1"},         {"x-queue-time", "2"},     {"x-inference-time", "3"}};
    fby_text_info infos[1] = {{3, false, false}};
    fby_answer answer = {.call = take("/embed", "{\"inputs\":\"h\xc3\xa9llo\"}"),
                         .infos = infos,
                         .tokens = 3,
                         .total_ns = 14000000,
                         .tokenize_ns = 1500000,
                         .queue_ns = 2000000,
                         .compute_ns = 3999999};
    fby_header headers[FBY_API_HEADERS_MAX];
    assert_int_equal(fby_api_headers(answer.call, &answer, headers), 9);
    for (int i = 0; i < 9; i++) {
        assert_string_equal(headers[i].name, wanted[i][0]);
        assert_string_equal(headers[i].value, wanted[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(embed_answers_rows),
        cmocka_unit_test(statuses_and_words_are_those_of_tei),
        cmocka_unit_test(the_agents_refusals_have_statuses_too),
        cmocka_unit_test(embed_all_answers_a_row_a_token),
        cmocka_unit_test(similarity_answers_cosines),
        cmocka_unit_test(tokens_have_their_bytes),
        cmocka_unit_test(ids_are_decoded),
        cmocka_unit_test(token_ids_become_text),
        cmocka_unit_test(info_describes_the_first_model),
        cmocka_unit_test(headers_tell_where_the_time_went),
    };
    return cmocka_run_group_tests_name("api_tei", tests, served_setup, served_teardown);
}
