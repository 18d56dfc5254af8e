/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tiny model that is served, for the dialects' tests: 8 dimensions, a vocabulary
 * of a few words, two prompts. Requests go through route and parse as an agent
 * would take them, answers are put together from their pieces.
 */
#ifndef FBY_TEST_SERVED_H
#define FBY_TEST_SERVED_H

#include <jansson.h>

#include "model/tiny_model.h"
#include "serve/api.h"

enum { SERVED_DIM = 8, SERVED_TOKENS_MAX = 16, SERVED_ARENA = 1 << 20 };

/* Ids are the lines' numbers. */
static const char *const served_vocabulary[] = {
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "hello", "world", "what",  "is",  "deep",
    "learn", "##ing", "?",     "!",     ".",      ",",     "'",     "query", ":",   "the",
    "quick", "fox",   "##s",   "don",   "t",      "n",     "e",     "a",     "##b", "中"};
enum { SERVED_VOCABULARY = sizeof served_vocabulary / sizeof served_vocabulary[0] };

static const char *const served_aliases[] = {"text-embedding-3-small", "tiny:latest"};
static char *served_dir;
static fby_served served_models[2];
static fby_api served_api;

static inline void served_write(const char *dir)
{
    tiny_model model = {.vocabulary = SERVED_VOCABULARY,
                        .hidden = SERVED_DIM,
                        .layers = 1,
                        .heads = 2,
                        .intermediate = 16,
                        .positions = SERVED_TOKENS_MAX,
                        .activation = "gelu"};
    char vocabulary[1024] = "";
    fby_rng rng = {7};

    tiny_fill(&model, &rng);
    tiny_write(&model, dir);
    tiny_free(&model);
    for (int i = 0; i < SERVED_VOCABULARY; i++)
        strcat(strcat(vocabulary, served_vocabulary[i]), "\n");
    temporary_text(dir, "vocab.txt", vocabulary);
    temporary_text(dir, "tokenizer_config.json", "{\"do_lower_case\": true}");
    temporary_text(dir, "modules.json",
                   "[{\"idx\": 0, \"name\": \"0\", \"path\": \"\", \"type\": "
                   "\"sentence_transformers.models.Transformer\"},"
                   " {\"idx\": 1, \"name\": \"1\", \"path\": \"1_Pooling\", \"type\": "
                   "\"sentence_transformers.models.Pooling\"}]");
    temporary_subdir(dir, "1_Pooling");
    temporary_text(dir, "1_Pooling/config.json",
                   "{\"word_embedding_dimension\": 8, \"pooling_mode_mean_tokens\": true}");
    temporary_text(dir, "config_sentence_transformers.json",
                   "{\"prompts\": {\"query\": \"query: \", \"document\": \"\"}}");
}

static inline fby_served served_open(const char *name)
{
    fby_served served = {.name = name, .path = served_dir, .isa = "c", .precision = "f32"};
    fby_encoder *encoder;
    assert_int_equal(fby_encoder_open(served_dir, FBY_ISA_C, FBY_PRECISION_F32, "", &encoder),
                     FBY_OK);
    served.encoder = encoder;
    fby_encoder_get_info(encoder, &served.info);
    return served;
}

static inline int served_setup(void **state)
{
    (void)state;
    served_dir = temporary_dir();
    served_write(served_dir);
    served_models[0] = served_open("tiny");
    served_models[0].aliases = served_aliases;
    served_models[0].alias_count = 2;
    served_models[1] = served_open("other");
    served_models[1].path = "models/other";
    served_api = (fby_api){.served = served_models,
                           .served_count = 2,
                           .limits = {.max_texts = 16, .max_text_bytes = 4096},
                           .truncates = true,
                           .started_unix_s = 1700000000,
                           .max_concurrent_requests = 512,
                           .max_batch_tokens = 16384,
                           .workers = 2};
    return 0;
}

static inline int served_teardown(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++)
        fby_encoder_close((fby_encoder *)(uintptr_t)served_models[i].encoder);
    temporary_remove(served_dir);
    free(served_dir);
    return 0;
}

/* A request's fate: the call, or the refusal with its status and body. */
typedef struct asked {
    bool taken;
    fby_call call;
    fby_api_error error;
    int status;
    char body[FBY_API_ERROR_MAX + 1]; /* of the refusal */
} asked;

static _Alignas(16) char served_arena_bytes[SERVED_ARENA];

static inline void ask_in(const char *method, const char *path, const char *body, size_t size,
                          size_t arena_size, asked *out)
{
    fby_arena arena = {served_arena_bytes, arena_size, 0};
    fby_dialect dialect;
    memset(out, 0, sizeof *out);
    const fby_route *route = fby_api_route(method, path, &dialect, &out->error);
    if (route != NULL) {
        out->taken = fby_api_parse(&served_api, route, body, size, &arena, &out->call, &out->error);
        dialect = out->call.dialect;
    }
    if (!out->taken) {
        assert_true(out->error.reason > FBY_REFUSED_NOT && out->error.reason < FBY_REFUSALS);
        out->status = fby_refusal_status(dialect, out->error.reason);
        out->body[fby_api_error_body(dialect, &out->error, out->body)] = '\0';
    }
}

/* Static memory: one at a time. */
static inline asked *ask(const char *path, const char *body)
{
    static asked out;
    ask_in("POST", path, body, strlen(body), SERVED_ARENA, &out);
    return &out;
}

/* The same, expected to be taken. */
static inline const fby_call *take(const char *path, const char *body)
{
    asked *out = ask(path, body);
    if (!out->taken)
        fail_msg("%s %s: %d %s", path, body, out->status, out->body);
    return &out->call;
}

/* Expected to be refused: its status and body. */
static inline void refuses(const char *path, const char *request, int status, const char *body)
{
    asked *out = ask(path, request);
    assert_false(out->taken);
    assert_string_equal(out->body, body);
    assert_int_equal(out->status, status);
}

/* All pieces of the answer with `rows` vectors, each as long as promised at most. To be freed. */
static inline char *answered(const fby_call *call, const float *vectors, uint64_t rows)
{
    fby_text_info infos[64];
    assert_true(call->count <= 64);
    for (uint32_t i = 0; i < call->count; i++)
        infos[i] = (fby_text_info){.tokens = (uint32_t)(rows / call->count), .truncated = i % 2};
    fby_answer answer = {.call = call,
                         .vectors = vectors,
                         .infos = infos,
                         .tokens = 5,
                         .total_ns = 14000000,
                         .tokenize_ns = 1000000,
                         .queue_ns = 2000000,
                         .compute_ns = 3000000};
    size_t piece_max = fby_answer_piece_max(call), max = fby_answer_max(call, rows), used = 0;
    char *text = malloc(max + piece_max + 1);
    assert_non_null(text);
    for (size_t size; (size = fby_answer_next(&answer, text + used)) != 0; used += size) {
        assert_true(size <= piece_max);
        assert_true(used + size <= max);
    }
    assert_int_equal(fby_answer_next(&answer, text + used), 0);
    text[used] = '\0';
    return text;
}

static inline void answers(const fby_call *call, const float *vectors, uint64_t rows,
                           const char *body)
{
    char *text = answered(call, vectors, rows);
    assert_string_equal(text, body);
    free(text);
}

#endif
