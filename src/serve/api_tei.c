/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The requests of text-embeddings-inference 1.9 (router/src/http/types.rs and
 * server.rs there) that end in vectors.
 */
#include "serve/api_request.h"

static fby_texts_rule texts_rule(const fby_request *request)
{
    const fby_api_limits *limits = &request->api->limits;
    size_t most = limits->max_client_batch != 0 ? limits->max_client_batch : limits->max_texts;
    return (fby_texts_rule){.key = "inputs",
                            .ids = FBY_IDS_TEXT,
                            .max_texts = (uint32_t)fby_min_size(most, UINT32_MAX)};
}

/* truncate, truncation_direction and prompt_name, which every one of these requests has. */
static bool read_common(const fby_request *request, const json_t *object)
{
    static const char *const sides[] = {"Right", "right", "Left", "left", NULL};
    fby_call *call = request->call;
    const char *prompt;
    int side;

    if (!fby_member_bool(request, object, "truncate", call->truncate, &call->truncate) ||
        !fby_member_choice(request, object, "truncation_direction", sides, 0, &side) ||
        !fby_member_string(request, object, "prompt_name", &prompt) ||
        !fby_request_prompt(request, "prompt_name", prompt))
        return false;
    call->left = side >= 2;
    return true;
}

static bool read_dimensions(const fby_request *request)
{
    fby_call *call = request->call;
    if (!fby_member_number(request, request->root, "dimensions", call->dimensions,
                           &call->dimensions))
        return false;
    if (call->dimensions == 0)
        return fby_refuse(request->error, FBY_REFUSED_BAD_FIELD, "dimensions",
                          "Input validation error: `dimensions` should be positive");
    if (call->dimensions > call->served->info.dim)
        return fby_refuse(request->error, FBY_REFUSED_BAD_FIELD, "dimensions",
                          "Input validation error: `dimensions` should be smaller than the maximum "
                          "embedding dimension.");
    return true;
}

bool fby_tei_embed(const fby_request *request)
{
    static const char *const known[] = {"inputs",      "truncate",  "truncation_direction",
                                        "prompt_name", "normalize", "dimensions",
                                        NULL};
    fby_texts_rule rule = texts_rule(request);

    if (!fby_request_model(request, NULL))
        return false;
    fby_request_defaults(request);
    if (!read_common(request, request->root) || !read_dimensions(request) ||
        !fby_member_bool(request, request->root, "normalize", true, &request->call->normalize) ||
        !fby_request_texts(request, fby_member(request->root, "inputs"), &rule))
        return false;
    request->call->kind = FBY_CALL_EMBED;
    fby_request_ignored(request, known);
    return true;
}
