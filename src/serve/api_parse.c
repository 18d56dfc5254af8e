/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/assert.h"
#include "serve/api_request.h"

/* Where dialects share a path, the keys decide. */
static void choose_dialect(const fby_api_request *request)
{
    fby_call *call = request->call;
    if (call->operation != FBY_OP_SHARED)
        return;
    call->operation = FBY_OP_OPENAI;
    call->dialect = FBY_DIALECT_OPENAI;
    if (fby_member(request->root, "input") != NULL)
        return;
    if (fby_member(request->root, "inputs") != NULL) {
        call->operation = FBY_OP_EMBED;
        call->dialect = FBY_DIALECT_TEI;
    } else if (fby_member(request->root, "content") != NULL) {
        call->operation = FBY_OP_LLAMA;
        call->dialect = FBY_DIALECT_LLAMA;
    }
}

/* Token ids are values: as many as a request's tokens may reasonably be, or as texts ask for. */
static fby_json_limits limits_of(const fby_api *api)
{
    enum { VALUES = 1 << 19, BESIDES = 256 };
    size_t texts = fby_min_size(api->limits.max_texts, SIZE_MAX / 8);
    return (fby_json_limits){.text_bytes = api->limits.max_text_bytes,
                             .values = fby_max_size(VALUES, 4 * texts),
                             .containers = texts + BESIDES};
}

static bool read_body(const char *body, size_t size, fby_api_request *request)
{
    fby_json_limits limits = limits_of(request->api);
    json_t *root;
    if (!fby_api_json_read(body, size, &limits, request->arena, &root, request->error))
        return false;
    if (!json_is_object(root))
        return fby_refuse(request->error, FBY_REFUSED_BAD_FIELD, NULL,
                          "the body must be an object, { ... }");
    request->root = root;
    choose_dialect(request);
    return true;
}

bool fby_api_parse(const fby_api *api, const fby_route *route, const char *body, size_t size,
                   fby_arena *arena, fby_call *call, fby_api_error *error)
{
    static bool (*const read[FBY_OPERATIONS])(const fby_api_request *) = {
        [FBY_OP_OPENAI] = fby_openai_embeddings,
        [FBY_OP_MODELS] = fby_openai_models,
        [FBY_OP_EMBED] = fby_tei_embed,
        [FBY_OP_EMBED_ALL] = fby_tei_embed_all,
        [FBY_OP_EMBED_SPARSE] = fby_tei_embed_sparse,
        [FBY_OP_SIMILARITY] = fby_tei_similarity,
        [FBY_OP_TOKENIZE] = fby_tei_tokenize,
        [FBY_OP_DECODE] = fby_tei_decode,
        [FBY_OP_INFO] = fby_tei_info,
        [FBY_OP_RERANK] = fby_tei_rerank,
        [FBY_OP_PREDICT] = fby_tei_predict,
        [FBY_OP_OLLAMA] = fby_ollama_embed,
        [FBY_OP_LLAMA] = fby_llama_embedding,
    };
    fby_api_request request = {.api = api, .arena = arena, .call = call, .error = error};

    fby_assert(route->kind == FBY_ROUTE_API && api->served_count > 0);
    *call = (fby_call){.api = api,
                       .served = &api->served[0],
                       .dialect = route->dialect,
                       .operation = route->operation,
                       .prompt = ""};
    *error = (fby_api_error){0};
    if (strcmp(route->methods, "POST") == 0 && !read_body(body, size, &request))
        return false;
    if (read[call->operation] == NULL)
        return fby_refuse(error, FBY_REFUSED_NO_ROUTE, NULL, "nothing is served at %s",
                          route->path);
    return read[call->operation](&request);
}

/* Beside what jansson takes: a text's struct and, for each 2 bytes of a body, a token id's 4. */
size_t fby_api_arena_size(const fby_api *api, size_t size)
{
    enum { IDS = 2, SOME = 1 << 14 };
    fby_json_limits limits = limits_of(api);
    size_t bytes = fby_api_json_memory(&limits, size), more;
    size_t texts = fby_min_size(api->limits.max_texts, size);
    if (!fby_mul_size(texts, sizeof(fby_api_text) + 16, &more) ||
        !fby_add_size(bytes, more, &bytes) || !fby_mul_size(size, IDS, &more) ||
        !fby_add_size(bytes, more, &bytes) || !fby_add_size(bytes, SOME, &bytes))
        return SIZE_MAX;
    return bytes;
}
