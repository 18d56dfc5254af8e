/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/assert.h"
#include "serve/api_request.h"

/* Where dialects share a path, the keys decide. */
static void choose_dialect(const fby_request *request)
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
    }
}

static bool read_body(const char *body, size_t size, fby_request *request)
{
    json_t *root;
    if (!fby_api_json_read(body, size, request->arena, &root, request->error))
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
    static bool (*const read[FBY_OPERATIONS])(const fby_request *) = {
        [FBY_OP_OPENAI] = fby_openai_embeddings,
        [FBY_OP_EMBED] = fby_tei_embed,
    };
    fby_request request = {.api = api, .arena = arena, .call = call, .error = error};

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

size_t fby_api_arena_size(const fby_api *api, size_t size)
{
    size_t bytes, texts;
    if (!fby_mul_size(size, 80, &bytes) ||
        !fby_mul_size(api->limits.max_texts, 2 * sizeof(fby_api_text), &texts) ||
        !fby_add_size(bytes, texts, &bytes) || !fby_add_size(bytes, 1 << 16, &bytes))
        return SIZE_MAX;
    return bytes;
}
