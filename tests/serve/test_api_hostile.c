/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies that are broken, large, or meant to hurt; arenas that are too small. */
#include "serve/api_json.h"
#include "serve/served.h"

/* Every string as a body: what it is refused for. */
static void broken_bodies_are_refused_for_what_they_are(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        size_t size; /* 0: the string's */
        fby_refusal reason;
        const char *words; /* in the message */
    } cases[] = {
        {"", 0, FBY_REFUSED_BAD_JSON, "the body is empty"},
        {" ", 0, FBY_REFUSED_BAD_JSON, "near end of file"},
        {"\0", 1, FBY_REFUSED_BAD_JSON, "line 1"},
        {"{\"input\":\"a\"}\0", 14, FBY_REFUSED_BAD_JSON, "end of file expected"},
        {"{\"input\":\"a\0b\"}", 15, FBY_REFUSED_BAD_JSON, "control character 0x0"},
        {"{\"input\":\"a\\u0000b\"}", 0, FBY_REFUSED_BAD_JSON, "\\u0000"},
        {"{\"input\\u0000\":\"a\"}", 0, FBY_REFUSED_BAD_JSON, "NUL byte in object key"},
        {"{\"input\":\"a\nb\"}", 0, FBY_REFUSED_BAD_JSON, "unexpected newline"},
        {"{\"input\":\"a\tb\"}", 0, FBY_REFUSED_BAD_JSON, "control character 0x9"},
        {"{\"input\":\"\xff\"}", 0, FBY_REFUSED_BAD_JSON, "not UTF-8"},
        {"{\"input\":\"\xc3\"}", 0, FBY_REFUSED_BAD_JSON, "not UTF-8"},
        {"{\"input\":\"\xed\xa0\x80\"}", 0, FBY_REFUSED_BAD_JSON, "not UTF-8"},
        {"{\"input\":\"\xc0\xaf\"}", 0, FBY_REFUSED_BAD_JSON, "not UTF-8"},
        {"{\"input\":\"\xf4\x90\x80\x80\"}", 0, FBY_REFUSED_BAD_JSON, "not UTF-8"},
        {"\xef\xbb\xbf{\"input\":\"a\"}", 0, FBY_REFUSED_BAD_JSON, "not JSON"},
        {"{\"input\":\"\\ud800\"}", 0, FBY_REFUSED_BAD_JSON, "invalid Unicode '\\uD800'"},
        {"{\"input\":\"\\udc00\\ud800\"}", 0, FBY_REFUSED_BAD_JSON, "invalid Unicode"},
        {"{\"input\":\"\\ud800\\u0041\"}", 0, FBY_REFUSED_BAD_JSON, "invalid Unicode"},
        {"{\"input\":\"\\ud800", 0, FBY_REFUSED_BAD_JSON, "premature end"},
        {"{\"input\":\"\\u12g4\"}", 0, FBY_REFUSED_BAD_JSON, "invalid escape"},
        {"{\"input\":\"\\x41\"}", 0, FBY_REFUSED_BAD_JSON, "invalid escape"},
        {"{\"input\":\"a", 0, FBY_REFUSED_BAD_JSON, "premature end"},
        {"{\"input\":\"a\\", 0, FBY_REFUSED_BAD_JSON, "not JSON"},
        {"{\"input\":\"a\"", 0, FBY_REFUSED_BAD_JSON, "'}' expected"},
        {"{\"input\":\"a\",}", 0, FBY_REFUSED_BAD_JSON, "string or '}' expected"},
        {"{\"input\":[\"a\",]}", 0, FBY_REFUSED_BAD_JSON, "near ']'"},
        {"{\"input\" \"a\"}", 0, FBY_REFUSED_BAD_JSON, "':' expected"},
        {"{input:\"a\"}", 0, FBY_REFUSED_BAD_JSON, "string or '}' expected"},
        {"{'input':'a'}", 0, FBY_REFUSED_BAD_JSON, "string or '}' expected"},
        {"{\"input\":\"a\"}}", 0, FBY_REFUSED_BAD_JSON, "end of file expected"},
        {"{\"input\":\"a\"}{\"input\":\"b\"}", 0, FBY_REFUSED_BAD_JSON, "end of file expected"},
        {"{\"input\":NaN}", 0, FBY_REFUSED_BAD_JSON, "near 'NaN'"},
        {"{\"input\":\"a\",\"x\":Infinity}", 0, FBY_REFUSED_BAD_JSON, "near 'Infinity'"},
        {"{\"input\":\"a\",\"x\":-Infinity}", 0, FBY_REFUSED_BAD_JSON, "near '-'"},
        {"{\"input\":[01]}", 0, FBY_REFUSED_BAD_JSON, "near '0'"},
        {"{\"input\":[1.]}", 0, FBY_REFUSED_BAD_JSON, "near '1.'"},
        {"{\"input\":[+1]}", 0, FBY_REFUSED_BAD_JSON, "near '+'"},
        {"{\"dimensions\":99999999999999999999}", 0, FBY_REFUSED_BAD_JSON, "too big integer"},
        {"{\"dimensions\":-99999999999999999999}", 0, FBY_REFUSED_BAD_JSON, "too big negative"},
        {"{\"dimensions\":1e999}", 0, FBY_REFUSED_BAD_JSON, "real number overflow"},
        {"// a comment\n{\"input\":\"a\"}", 0, FBY_REFUSED_BAD_JSON, "near '/'"},
        {"null", 0, FBY_REFUSED_BAD_FIELD, "must be an object"},
        {"\"input\"", 0, FBY_REFUSED_BAD_FIELD, "must be an object"},
        {"[{\"input\":\"a\"}]", 0, FBY_REFUSED_BAD_FIELD, "must be an object"},
        {"5", 0, FBY_REFUSED_BAD_FIELD, "must be an object"},
        {"input=hello", 0, FBY_REFUSED_BAD_JSON, "near 'input'"},
        {"<xml/>", 0, FBY_REFUSED_BAD_JSON, "near '<'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t size = cases[i].size != 0 ? cases[i].size : strlen(cases[i].body);
        /* On the heap and not a byte more, so that a byte read too far is seen. */
        char *body = malloc(size);
        asked out;
        memcpy(body, cases[i].body, size);
        ask_in("POST", "/v1/embeddings", body, size, SERVED_ARENA, &out);
        if (out.taken || out.error.reason != cases[i].reason ||
            strstr(out.error.message, cases[i].words) == NULL)
            fail_msg("case %zu, %s: %s", i, cases[i].body, out.body);
        assert_int_equal(out.status, 400);
        json_t *root = json_loads(out.body, 0, NULL);
        assert_non_null(root);
        json_decref(root);
        free(body);
    }
}

/* `head`, then `unit` so often that `size` bytes are filled, then `tail`. To be freed. */
static char *filled(const char *head, const char *unit, const char *tail, size_t count,
                    size_t *size)
{
    *size = strlen(head) + count * strlen(unit) + strlen(tail);
    char *body = malloc(*size + 1), *at = body;
    assert_non_null(body);
    at = stpcpy(at, head);
    for (size_t i = 0; i < count; i++)
        at = stpcpy(at, unit);
    stpcpy(at, tail);
    return body;
}

static void large_bodies_are_refused_before_they_take_memory(void **state)
{
    (void)state;
    enum { LARGE = 10 << 20 };
    static const struct {
        const char *head, *unit, *tail;
        fby_refusal reason;
    } cases[] = {
        {"{\"input\":\"", "a", "\"}", FBY_REFUSED_TOO_LONG},
        {"{\"input\":\"", "a", "", FBY_REFUSED_TOO_LONG},
        {"{\"input\":\"", "\\n", "\"}", FBY_REFUSED_TOO_LONG},
        {"{\"", "k", "\":1}", FBY_REFUSED_TOO_LONG},
        {"", "\"", "", FBY_REFUSED_BAD_JSON},
        {"{\"input\":\"", "\\", "", FBY_REFUSED_TOO_LONG},
        {"", "[", "", FBY_REFUSED_BAD_JSON},
        {"{\"input\":", "{\"a\":", "", FBY_REFUSED_BAD_JSON},
        {"{\"input\":[", "{},", "{}]}", FBY_REFUSED_BODY_TOO_LARGE},
        {"{\"input\":[", "[],", "[]]}", FBY_REFUSED_BODY_TOO_LARGE},
        {"{\"input\":[", "0,", "0]}", FBY_REFUSED_BODY_TOO_LARGE},
        {"{\"input\":[", "\"\",", "\"\"]}", FBY_REFUSED_BODY_TOO_LARGE},
        {"{", "\"a\":0,", "\"b\":0}", FBY_REFUSED_BODY_TOO_LARGE},
        {"{\"dimensions\":1", "0", "}", FBY_REFUSED_BAD_JSON},
        {"", " ", "", FBY_REFUSED_BAD_JSON},
        {"", "]", "", FBY_REFUSED_BAD_JSON},
        {"", ",", "", FBY_REFUSED_BODY_TOO_LARGE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t size, count = LARGE / strlen(cases[i].unit);
        char *body = filled(cases[i].head, cases[i].unit, cases[i].tail, count, &size);
        asked out;
        /* The arena is a tenth of the body. */
        ask_in("POST", "/v1/embeddings", body, size, SERVED_ARENA, &out);
        bool used_up = out.error.reason == FBY_REFUSED_BODY_TOO_LARGE;
        if (out.taken || (out.error.reason != cases[i].reason && !used_up))
            fail_msg("case %zu: %s", i, out.body);
        free(body);
    }
}

/* Each of a request's allocations fails once: it is refused, or it is taken as it should be. */
static void any_arena_that_is_too_small_refuses(void **state)
{
    (void)state;
    static const struct {
        const char *path, *body;
    } cases[] = {
        {"/v1/embeddings", "{\"input\":[\"hello \\u00e9 world\",\"a\"],\"model\":\"tiny\",\"x\":"
                           "{\"y\":[1,2.5,null]},\"encoding_format\":\"base64\"}"},
        {"/v1/embeddings", "{\"input\":[[1,2,3,4,5],[6]]}"},
        {"/embed", "{\"inputs\":[[2,5,22,3],\"fox\"],\"prompt_name\":\"query\"}"},
        {"/similarity", "{\"inputs\":{\"source_sentence\":\"a\",\"sentences\":[\"b\",\"c\"]}}"},
        {"/tokenize", "{\"inputs\":[\"hello worlds\",\"a\"],\"prompt_name\":\"query\"}"},
        {"/decode", "{\"ids\":[[2,5,3],[6]]}"},
        {"/api/embed", "{\"input\":\"\"}"},
        {"/embedding", "{\"content\":[\"hello\",[5,6]]}"},
    };
    served_api.token_ids_accepted = true;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t size = strlen(cases[i].body), bound = fby_api_arena_size(&served_api, size);
        bool taken = false;
        assert_true(bound <= SERVED_ARENA);
        for (size_t arena = 0; arena <= bound; arena += 16) {
            asked out;
            ask_in("POST", cases[i].path, cases[i].body, size, arena, &out);
            if (!out.taken) {
                assert_false(taken); /* more is enough where less was */
                assert_int_equal(out.error.reason, FBY_REFUSED_BODY_TOO_LARGE);
                assert_int_equal(out.status, 413);
                continue;
            }
            taken = true;
            if (out.call.kind != FBY_CALL_AT_ONCE)
                assert_true(out.call.count > 0 &&
                            out.call.texts[0].size + out.call.texts[0].id_count > 0);
            else
                assert_true((char *)out.call.body + out.call.body_size <=
                            served_arena_bytes + arena);
        }
        assert_true(taken);
    }
    served_api.token_ids_accepted = false;
}

/* What takes the most memory for its size, up to what is taken at all. */
static void the_arena_that_is_asked_for_suffices(void **state)
{
    (void)state;
    static const struct {
        const char *head, *unit, *tail;
    } cases[] = {
        {"{\"input\":\"", "a", "\"}"},
        {"{\"input\":\"", "\\u0001", "\"}"},
        {"{\"input\":\"a\",\"x\":[", "{},", "{}]}"},
        {"{\"input\":\"a\",\"x\":[", "[],", "[]]}"},
        {"{\"input\":\"a\",\"x\":[", "0,", "0]}"},
        {"{\"input\":\"a\",\"x\":[", "0.5,", "0]}"},
        {"{\"input\":\"a\",\"x\":[", "\"\",", "\"\"]}"},
        {"{\"input\":\"a\",\"x\":[", "\"0123456789abcdef\",", "\"\"]}"},
        {"{\"input\":\"a\",\"x\":[", "{\"\":0},", "{}]}"},
        {"{\"input\":[", "0,", "0]}"},
        {"{\"input\":[", "\"a\",", "\"a\"]}"},
        {"{\"input\":[", "[0],", "[0]]}"},
    };
    served_api.token_ids_accepted = true;
    served_api.limits.max_texts = 20000;
    served_api.limits.max_text_bytes = 1 << 20;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (size_t count = 1; count < 60000; count = count * 3 / 2 + 1) {
            size_t size;
            char *body = filled(cases[i].head, cases[i].unit, cases[i].tail, count, &size);
            fby_arena arena = {.size = fby_api_arena_size(&served_api, size) & ~(size_t)15};
            arena.bytes = aligned_alloc(16, arena.size);
            fby_call call;
            fby_api_error error;
            fby_dialect dialect;
            const fby_route *route = fby_api_route("POST", "/v1/embeddings", &dialect, &error);
            if (!fby_api_parse(&served_api, route, body, size, &arena, &call, &error) &&
                error.reason == FBY_REFUSED_BODY_TOO_LARGE &&
                strstr(error.message, "memory") != NULL)
                fail_msg("case %zu, %zu units: %s", i, count, error.message);
            free(arena.bytes);
            free(body);
        }
    }
    served_api.limits.max_texts = 16;
    served_api.limits.max_text_bytes = 4096;
    served_api.token_ids_accepted = false;
    assert_true(fby_api_arena_size(&served_api, SIZE_MAX) == SIZE_MAX);
}

/* Keys that come one by one, each with its pair: what the bound says of objects. */
static void objects_of_many_members_fit_too(void **state)
{
    (void)state;
    for (size_t count = 1; count < 30000; count = count * 2 + 1) {
        char *body = malloc(32 + count * 20), *at = body;
        at = stpcpy(at, "{\"input\":\"a\"");
        for (size_t i = 0; i < count; i++)
            at += sprintf(at, ",\"%zx\":0", i);
        at = stpcpy(at, "}");
        size_t size = (size_t)(at - body);
        fby_arena arena = {.size = fby_api_arena_size(&served_api, size) & ~(size_t)15};
        arena.bytes = aligned_alloc(16, arena.size);
        fby_call call;
        fby_api_error error;
        fby_dialect dialect;
        const fby_route *route = fby_api_route("POST", "/v1/embeddings", &dialect, &error);
        if (!fby_api_parse(&served_api, route, body, size, &arena, &call, &error))
            fail_msg("%zu members: %s", count, error.message);
        free(arena.bytes);
        free(body);
    }
}

static void a_text_has_as_many_bytes_as_it_may(void **state)
{
    (void)state;
    for (size_t size = 4094; size <= 4098; size++) {
        size_t body_size;
        char *body = filled("{\"input\":[\"b\",\"", "a", "\"]}", size, &body_size);
        const asked *out = ask("/v1/embeddings", body);
        assert_int_equal(out->taken, size <= 4096);
        if (!out->taken) {
            assert_int_equal(out->error.reason, FBY_REFUSED_TOO_LONG);
            assert_non_null(strstr(out->body, "context_length_exceeded"));
        }
        free(body);
    }
    /* 4096 bytes, each of them written with six. */
    size_t body_size;
    char *body = filled("{\"input\":\"", "\\u0061", "\"}", 4096, &body_size);
    assert_int_equal(take("/v1/embeddings", body)->texts[0].size, 4096);
    free(body);
}

/* ---- writing ---- */

static void a_string_is_escaped_and_made_utf8(void **state)
{
    (void)state;
    static const char text[] =
        "a\"b\\c/\n\r\t\x01\x1f\x7f\xc3\xa9\xf0\x9f\xa6\x80\xff\xed\xa0\x80z";
    static const char wanted[] = "\"a\\\"b\\\\c/\\n\\r\\t\\u0001\\u001f\x7f\xc3\xa9\xf0\x9f\xa6\x80"
                                 "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz\"";
    char out[256];
    fby_sink sink = {out, out + sizeof out, false};
    fby_sink_string(&sink, text, sizeof text - 1);
    assert_false(sink.full);
    assert_int_equal(sink.at - out, sizeof wanted - 1);
    assert_memory_equal(out, wanted, sizeof wanted - 1);
}

static void random_strings_read_back_and_nothing_is_written_too_far(void **state)
{
    (void)state;
    fby_rng rng = fby_rng_from_env();
    for (int round = 0; round < 20000; round++) {
        char text[40];
        size_t size = fby_rng_below(&rng, sizeof text);
        bool ascii = fby_rng_bool(&rng);
        for (size_t i = 0; i < size; i++)
            text[i] = (char)(ascii ? 1 + fby_rng_below(&rng, 127) : fby_rng_next(&rng));
        size_t room = fby_sink_string_max(size), cut = fby_rng_below(&rng, room + 1);
        char *out = malloc(room);
        fby_sink sink = {out, out + room, false};
        fby_sink_string(&sink, text, size);
        assert_false(sink.full);
        json_t *back =
            json_loadb(out, (size_t)(sink.at - out), JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        assert_non_null(back);
        if (ascii) {
            assert_int_equal(json_string_length(back), size);
            assert_memory_equal(json_string_value(back), text, size);
        }
        json_decref(back);
        size_t whole = (size_t)(sink.at - out);
        free(out);
        out = malloc(cut + 1);
        sink = (fby_sink){out, out + cut, false};
        fby_sink_string(&sink, text, size);
        assert_int_equal(sink.full, whole > cut);
        assert_true(sink.at <= out + cut);
        free(out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(broken_bodies_are_refused_for_what_they_are),
        cmocka_unit_test(large_bodies_are_refused_before_they_take_memory),
        cmocka_unit_test(any_arena_that_is_too_small_refuses),
        cmocka_unit_test(the_arena_that_is_asked_for_suffices),
        cmocka_unit_test(objects_of_many_members_fit_too),
        cmocka_unit_test(a_text_has_as_many_bytes_as_it_may),
        cmocka_unit_test(a_string_is_escaped_and_made_utf8),
        cmocka_unit_test(random_strings_read_back_and_nothing_is_written_too_far),
    };
    return cmocka_run_group_tests_name("api_hostile", tests, served_setup, served_teardown);
}
