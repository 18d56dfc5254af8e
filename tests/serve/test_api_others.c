/* SPDX-License-Identifier: Apache-2.0 */
/* Ollama's and llama-server's dialects, and which path goes where. */
#include "serve/served.h"

static const float vectors[2 * SERVED_DIM] = {0.5f,  -0.25f, 0.125f, 0, 1, -1, 1e-7f, 0.1f,
                                              -0.5f, 0.25f,  0.75f,  0, 0, 0,  3,     0.2f};

/* ---- Ollama ---- */

static void ollama_answers_a_string_and_a_list(void **state)
{
    (void)state;
    const fby_call *call =
        take("/api/embed", "{\"model\":\"tiny\",\"input\":\"Why is the sky blue?\",\"options\":"
                           "{\"num_ctx\":8},\"keep_alive\":\"5m\",\"dimensions\":2}");
    assert_true(call->normalize && call->dimensions == 2);
    assert_string_equal(call->ignored, "");
    answers(call, vectors, 1,
            "{\"model\":\"tiny\",\"embeddings\":[[0.5,-0.25]],\"total_duration\":14000000,"
            "\"load_duration\":0,\"prompt_eval_count\":5}");
    call = take("/api/embed", "{\"model\":\"other:latest\",\"input\":[\"a\",\"\"],\"dimensions\":"
                              "900,\"truncate\":false}");
    assert_ptr_equal(call->served, &served_models[1]);
    assert_int_equal(call->count, 2);
    assert_int_equal(call->dimensions, SERVED_DIM);
    assert_false(call->truncate);
    fby_api_error error;
    fby_api_refuse_too_long(call, 0, &error);
    assert_int_equal(fby_refusal_status(FBY_DIALECT_OLLAMA, error.reason), 400);
    char body[FBY_API_ERROR_MAX + 1];
    body[fby_api_error_body(FBY_DIALECT_OLLAMA, &error, body)] = '\0';
    assert_string_equal(body, "{\"error\":\"the input length exceeds the context length\"}");
}

static void ollama_answers_nothing_with_nothing(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "{\"model\":\"tiny\"}", "{\"model\":\"tiny\",\"input\":null}",
        "{\"model\":\"tiny\",\"input\":\"\"}", "{\"model\":\"tiny\",\"input\":[]}"};
    for (int i = 0; i < 4; i++) {
        const fby_call *call = take("/api/embed", bodies[i]);
        static const char wanted[] = "{\"model\":\"tiny\",\"embeddings\":[]}";
        assert_int_equal(call->kind, FBY_CALL_AT_ONCE);
        assert_int_equal(call->body_size, sizeof wanted - 1);
        assert_memory_equal(call->body, wanted, sizeof wanted - 1);
    }
}

static void ollama_refuses_in_its_own_words(void **state)
{
    (void)state;
    refuses("/api/embed", "{\"model\":\"gone\",\"input\":\"a\"}", 404,
            "{\"error\":\"The model `gone` does not exist; `tiny` among others is served here\"}");
    refuses("/api/embed", "{\"model\":\"tiny\",\"input\":[5]}", 400,
            "{\"error\":\"`input` must be a string or a list of strings\"}");
    refuses("/api/embed", "{\"model\":\"tiny\",\"input\":[[5]]}", 400,
            "{\"error\":\"`input` must be a string or a list of strings\"}");
    refuses("/api/embed", "{\"model\":\"tiny\",\"input\":\"a\",\"dimensions\":-1}", 400,
            "{\"error\":\"`dimensions` must be a whole number that is not negative\"}");
    assert_int_equal(fby_refusal_status(FBY_DIALECT_OLLAMA, FBY_REFUSED_OVERLOADED), 503);
}

/* ---- llama-server ---- */

static void llama_answers_content(void **state)
{
    (void)state;
    const fby_call *call = take("/embedding", "{\"content\":\"hello\"}");
    assert_true(call->normalize);
    answers(call, vectors, 1, "[{\"index\":0,\"embedding\":[[0.5,-0.25,0.125,0,1,-1,1e-7,0.1]]}]");
    call = take("/embeddings", "{\"content\":[\"hello\",[5,6]],\"embd_normalize\":-1}");
    assert_int_equal(call->dialect, FBY_DIALECT_LLAMA);
    assert_false(call->normalize);
    assert_int_equal(call->texts[1].id_count, 2);
    answers(call, vectors, 2,
            "[{\"index\":0,\"embedding\":[[0.5,-0.25,0.125,0,1,-1,1e-7,0.1]]},"
            "{\"index\":1,\"embedding\":[[-0.5,0.25,0.75,0,0,0,3,0.2]]}]");
    assert_int_equal(take("/embedding", "{\"input\":\"a\",\"content\":\"\"}")->texts[0].size, 0);
    assert_int_equal(take("/embedding", "{\"input\":\"a\"}")->texts[0].size, 1);
}

static void llama_refuses_in_its_own_words(void **state)
{
    (void)state;
    refuses("/embedding", "{}", 400,
            "{\"error\":{\"code\":400,\"message\":\"\\\"input\\\" or \\\"content\\\" must be "
            "provided\",\"type\":\"invalid_request_error\"}}");
    refuses("/embedding", "{\"content\":\"a\",\"model\":\"gone\"}", 404,
            "{\"error\":{\"code\":404,\"message\":\"The model `gone` does not exist; `tiny` among "
            "others is served here\",\"type\":\"not_found_error\"}}");
    refuses("/embedding", "{\"content\":[99]}", 400,
            "{\"error\":{\"code\":400,\"message\":\"`content` holds the token id 99, which is not "
            "from 0 to 29\",\"type\":\"invalid_request_error\"}}");
    refuses("/embedding", "{\"content\":\"a\",\"embd_normalize\":1}", 400,
            "{\"error\":{\"code\":400,\"message\":\"`embd_normalize` must be 2 (Euclid) or -1 "
            "(none)\",\"type\":\"invalid_request_error\"}}");
    fby_api_error error;
    char body[FBY_API_ERROR_MAX + 1];
    fby_api_refuse_too_long(take("/embedding", "{\"content\":\"a\"}"), 0, &error);
    body[fby_api_error_body(FBY_DIALECT_LLAMA, &error, body)] = '\0';
    assert_string_equal(body, "{\"error\":{\"code\":400,\"message\":\"input (text 0) is larger "
                              "than the max context size (16 tokens)\",\"type\":"
                              "\"exceed_context_size_error\"}}");
}

/* ---- paths ---- */

static void the_keys_of_a_shared_path_decide(void **state)
{
    (void)state;
    assert_int_equal(take("/embeddings", "{\"input\":\"a\"}")->dialect, FBY_DIALECT_OPENAI);
    assert_int_equal(take("/embeddings", "{\"inputs\":\"a\"}")->dialect, FBY_DIALECT_TEI);
    assert_int_equal(take("/embeddings", "{\"content\":\"a\"}")->dialect, FBY_DIALECT_LLAMA);
    assert_int_equal(
        take("/embeddings", "{\"content\":\"a\",\"inputs\":\"b\",\"input\":\"c\"}")->dialect,
        FBY_DIALECT_OPENAI);
    refuses("/embeddings", "{\"text\":\"a\"}", 400,
            "{\"error\":{\"message\":\"`input` is missing\",\"type\":\"invalid_request_error\","
            "\"param\":\"input\",\"code\":\"invalid_value\"}}");
    refuses("/embeddings", "{\"inputs\":\"\"}", 400,
            "{\"error\":\"Input validation error: `inputs` cannot be empty\",\"error_type\":"
            "\"Empty\"}");
}

static const fby_route *route(const char *method, const char *path, fby_refusal reason)
{
    fby_dialect dialect;
    fby_api_error error = {0};
    const fby_route *found = fby_api_route(method, path, &dialect, &error);
    assert_int_equal(error.reason, reason);
    assert_int_equal(found == NULL, reason != FBY_REFUSED_NOT);
    return found;
}

static void paths_have_their_methods(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        fby_route_kind kind;
    } probes[] = {{"/", FBY_ROUTE_PAGE},           {"/live", FBY_ROUTE_LIVE},
                  {"/health", FBY_ROUTE_HEALTH},   {"/v1/health", FBY_ROUTE_HEALTH},
                  {"/metrics", FBY_ROUTE_METRICS}, {"/ping", FBY_ROUTE_HEALTH}};
    for (size_t i = 0; i < sizeof probes / sizeof probes[0]; i++) {
        const fby_route *found = route("GET", probes[i].path, FBY_REFUSED_NOT);
        assert_int_equal(found->kind, probes[i].kind);
        assert_true(found->open);
        assert_ptr_equal(route("HEAD", probes[i].path, FBY_REFUSED_NOT), found);
    }
    static const char *const posts[] = {
        "/v1/embeddings", "/embeddings", "/embedding", "/embed",      "/embed_all",
        "/embed_sparse",  "/similarity", "/tokenize",  "/decode",     "/rerank",
        "/predict",       "/api/embed",  "/",          "/invocations"};
    for (size_t i = 0; i < sizeof posts / sizeof posts[0]; i++) {
        const fby_route *found = route("POST", posts[i], FBY_REFUSED_NOT);
        assert_int_equal(found->kind, FBY_ROUTE_API);
        assert_false(found->open);
    }
    route("GET", "/v1/embeddings", FBY_REFUSED_METHOD);
    route("POST", "/v1/models", FBY_REFUSED_METHOD);
    route("POS", "/v1/embeddings", FBY_REFUSED_METHOD);
    route("EAD", "/live", FBY_REFUSED_METHOD);
    route("", "/live", FBY_REFUSED_METHOD);
    route("PUT", "/", FBY_REFUSED_METHOD);
    route("GET", "/v1/embedding", FBY_REFUSED_NO_ROUTE);
    route("GET", "", FBY_REFUSED_NO_ROUTE);
    route("GET", "//", FBY_REFUSED_NO_ROUTE);
    assert_string_equal(fby_api_allow("/v1/embeddings"), "POST");
    assert_string_equal(fby_api_allow("/"), "GET, HEAD, POST");
    assert_string_equal(fby_api_allow("/health"), "GET, HEAD");
    assert_null(fby_api_allow("/nowhere"));
}

static void an_unknown_path_is_refused_in_the_dialect_it_looks_like(void **state)
{
    (void)state;
    refuses("/v1/chat/completions", "{}", 404,
            "{\"error\":{\"message\":\"nothing is served at /v1/chat/completions\",\"type\":"
            "\"invalid_request_error\",\"param\":null,\"code\":\"unknown_url\"}}");
    refuses("/api/generate", "{}", 404, "{\"error\":\"nothing is served at /api/generate\"}");
    refuses("/a\"\xff\n", "{}", 404,
            "{\"error\":\"nothing is served at /a\\\"?\\n\",\"code\":\"unknown_url\"}");
    refuses("/v1/models", "{}", 405,
            "{\"error\":{\"message\":\"POST is not allowed for /v1/models: use GET, HEAD\","
            "\"type\":\"invalid_request_error\",\"param\":null,\"code\":\"method_not_allowed\"}}");
}

/* Whatever the reason and the dialect: JSON (but TEI's 401), a status, OpenAI's four keys. */
static void every_refusal_has_a_body_in_every_dialect(void **state)
{
    (void)state;
    for (int dialect = FBY_DIALECT_NATIVE; dialect <= FBY_DIALECT_LLAMA; dialect++) {
        for (int reason = FBY_REFUSED_NOT + 1; reason < FBY_REFUSALS; reason++) {
            fby_api_error error;
            char body[FBY_API_ERROR_MAX], message[600], param[600];
            memset(message, '\x01', sizeof message - 1);
            memset(param, '"', sizeof param - 1);
            message[sizeof message - 1] = param[sizeof param - 1] = '\0';
            fby_refuse(&error, (fby_refusal)reason, param, "%s", message);
            size_t size = fby_api_error_body((fby_dialect)dialect, &error, body);
            int status = fby_refusal_status((fby_dialect)dialect, (fby_refusal)reason);
            assert_true(status >= 400 && status < 600);
            assert_true(strlen(fby_refusal_name((fby_refusal)reason)) > 0);
            if (dialect == FBY_DIALECT_TEI && reason == FBY_REFUSED_NO_KEY) {
                assert_int_equal(size, 0);
                continue;
            }
            json_t *root = json_loadb(body, size, 0, NULL);
            assert_non_null(root);
            if (dialect == FBY_DIALECT_OPENAI) {
                const json_t *inner = json_object_get(root, "error");
                assert_int_equal(json_object_size(inner), 4);
                assert_true(json_is_string(json_object_get(inner, "message")));
                assert_true(json_is_string(json_object_get(inner, "type")));
                assert_true(json_is_string(json_object_get(inner, "param")));
                assert_true(json_is_string(json_object_get(inner, "code")));
            }
            json_decref(root);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ollama_answers_a_string_and_a_list),
        cmocka_unit_test(ollama_answers_nothing_with_nothing),
        cmocka_unit_test(ollama_refuses_in_its_own_words),
        cmocka_unit_test(llama_answers_content),
        cmocka_unit_test(llama_refuses_in_its_own_words),
        cmocka_unit_test(the_keys_of_a_shared_path_decide),
        cmocka_unit_test(paths_have_their_methods),
        cmocka_unit_test(an_unknown_path_is_refused_in_the_dialect_it_looks_like),
        cmocka_unit_test(every_refusal_has_a_body_in_every_dialect),
    };
    return cmocka_run_group_tests_name("api_others", tests, served_setup, served_teardown);
}
