/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bodies of requests against a tiny model: refused with a body that is JSON, or
 * a call within what api.h promises, whose answer is JSON within its bounds.
 * The input's first byte chooses the path, its second the arena and settings.
 */
#ifndef FBY_FUZZ_API_H
#define FBY_FUZZ_API_H

#include "fuzz.h"

#include "model/utf8.h"
#include "serve/served.h"

static inline void fuzz_is_json(const char *text, size_t size)
{
    json_t *root = json_loadb(text, size, 0, NULL);
    FUZZ_CHECK(root != NULL);
    json_decref(root);
}

static inline void fuzz_is_utf8(const char *text, size_t size)
{
    uint32_t length;
    for (size_t at = 0; at < size; at += length)
        FUZZ_CHECK(fby_utf8_decode((const unsigned char *)text + at, size - at, &length) >= 0);
}

static inline void fuzz_texts(const fby_call *call)
{
    const fby_tokenizer *tokenizer = fby_encoder_tokenizer(call->served->encoder);
    FUZZ_CHECK(call->count >= 1 && call->count <= served_api.limits.max_texts);
    FUZZ_CHECK(!call->single || call->count == 1);
    for (uint32_t i = 0; i < call->count; i++) {
        const fby_api_text *text = &call->texts[i];
        if (text->bytes != NULL) {
            fuzz_is_utf8(text->bytes, text->size);
            continue;
        }
        FUZZ_CHECK(text->id_count >= 1);
        for (uint32_t j = 0; j < text->id_count; j++)
            FUZZ_CHECK(text->ids[j] < fby_tokenizer_vocabulary(tokenizer));
    }
}

static inline void fuzz_answer(const fby_call *call)
{
    enum { MOST = 64 };
    static float vectors[MOST * SERVED_DIM];
    static fby_text_info infos[MOST];
    uint64_t rows = call->count;
    FUZZ_CHECK(call->dimensions >= 1 && call->dimensions <= SERVED_DIM);
    FUZZ_CHECK(call->types != 0 && call->types < 64);
    for (uint32_t i = 0; i < MOST * SERVED_DIM; i++)
        vectors[i] = (float)((int)(i * 2654435761u % 2001) - 1000) / 999;
    for (uint32_t i = 0; i < call->count; i++)
        infos[i].tokens = 1;
    fby_answer answer = {.call = call, .vectors = vectors, .infos = infos};
    size_t used = 0, max = fby_answer_max(call, rows), piece = fby_answer_piece_max(call);
    char *text = malloc(max + piece);
    for (size_t size; (size = fby_answer_next(&answer, text + used)) != 0; used += size)
        FUZZ_CHECK(size <= piece && used + size <= max);
    fuzz_is_json(text, used);
    free(text);
    fby_header headers[FBY_API_HEADERS_MAX];
    FUZZ_CHECK(fby_api_headers(call, &answer, headers) <= FBY_API_HEADERS_MAX);
}

static inline void fuzz_call(const asked *out)
{
    const fby_call *call = &out->call;
    for (const char *at = call->ignored; *at != '\0'; at++)
        FUZZ_CHECK(*at >= ' ' && *at < 0x7f);
    FUZZ_CHECK(strlen(call->ignored) < sizeof call->ignored);
    if (call->kind == FBY_CALL_AT_ONCE) {
        fuzz_is_json(call->body, call->body_size);
        return;
    }
    fuzz_texts(call);
    fuzz_answer(call);
}

static inline int fuzz_api(const uint8_t *data, size_t size, const char *const *paths,
                           size_t path_count)
{
    static bool ready;
    static const uint16_t arenas[] = {65535, 65535, 4096, 2048, 1024, 512, 96, 0};
    static asked out;
    if (!ready) {
        served_setup(NULL);
        temporary_remove(served_dir); /* all of it is in memory */
        ready = true;
    }
    size_t path = fuzz_byte(&data, &size) % path_count;
    uint8_t settings = fuzz_byte(&data, &size);
    served_api.token_ids_accepted = (settings & 8) != 0;
    served_api.unknown_model_accepted = (settings & 16) != 0;
    served_api.truncates = (settings & 32) != 0;
    served_api.limits.max_client_batch = (settings & 64) != 0 ? 3 : 0;
    ask_in("POST", paths[path], (const char *)data, size, arenas[settings & 7], &out);
    if (out.taken)
        fuzz_call(&out);
    else
        fuzz_is_json(out.body, strlen(out.body));
    fuzz_is_utf8(out.error.message, strlen(out.error.message));
    return 0;
}

#endif
