/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The requests of text-embeddings-inference 1.9 (router/src/http/types.rs and
 * server.rs there) that end in vectors, and those for which a model lacks the head.
 */
#include "serve/api_request.h"

fby_texts_rule fby_tei_texts_rule(const fby_api_request *request, const char *key)
{
    const fby_api_limits *limits = &request->api->limits;
    size_t most = limits->max_client_batch != 0 ? limits->max_client_batch : limits->max_texts;
    return (fby_texts_rule){
        .key = key, .ids = FBY_IDS_TEXT, .max_texts = (uint32_t)fby_min_size(most, UINT32_MAX)};
}

bool fby_tei_prompt(const fby_api_request *request, const json_t *object, fby_texts_rule *rule)
{
    const char *name;
    if (!fby_member_string(request, object, "prompt_name", &name) ||
        !fby_api_request_prompt(request, "prompt_name", name))
        return false;
    rule->prompted = name != NULL || request->call->prompt_size > 0;
    return true;
}

static bool read_truncation(const fby_api_request *request, const json_t *object)
{
    static const char *const sides[] = {"Right", "right", "Left", "left", NULL};
    fby_call *call = request->call;
    int side;

    if (!fby_member_bool(request, object, "truncate", call->truncate, &call->truncate) ||
        !fby_member_choice(request, object, "truncation_direction", sides, 0, &side))
        return false;
    call->left = side >= 2;
    return true;
}

static bool read_dimensions(const fby_api_request *request)
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

bool fby_tei_embed(const fby_api_request *request)
{
    static const char *const known[] = {"inputs",      "truncate",  "truncation_direction",
                                        "prompt_name", "normalize", "dimensions",
                                        NULL};
    fby_texts_rule rule = fby_tei_texts_rule(request, "inputs");

    if (!fby_api_request_model(request, NULL))
        return false;
    fby_api_request_defaults(request);
    if (!read_truncation(request, request->root) ||
        !fby_tei_prompt(request, request->root, &rule) || !read_dimensions(request) ||
        !fby_member_bool(request, request->root, "normalize", true, &request->call->normalize) ||
        !fby_api_request_texts(request, fby_member(request->root, "inputs"), &rule))
        return false;
    request->call->kind = FBY_CALL_EMBED;
    fby_api_request_ignored(request, known);
    return true;
}

bool fby_tei_embed_all(const fby_api_request *request)
{
    static const char *const known[] = {"inputs", "truncate", "truncation_direction", "prompt_name",
                                        NULL};
    fby_texts_rule rule = fby_tei_texts_rule(request, "inputs");

    if (!fby_api_request_model(request, NULL))
        return false;
    fby_api_request_defaults(request);
    request->call->dimensions = request->call->served->info.hidden;
    request->call->normalize = false;
    if (!read_truncation(request, request->root) ||
        !fby_tei_prompt(request, request->root, &rule) ||
        !fby_api_request_texts(request, fby_member(request->root, "inputs"), &rule))
        return false;
    request->call->kind = FBY_CALL_TOKENS;
    fby_api_request_ignored(request, known);
    return true;
}

/* The source sentence, then those it is compared with. */
static bool read_sentences(const fby_api_request *request, const json_t *inputs,
                           fby_texts_rule rule)
{
    const json_t *source = fby_member(inputs, "source_sentence");
    const json_t *list = fby_member(inputs, "sentences");
    size_t count = json_array_size(list);

    if (!json_is_string(source) || !json_is_array(list))
        return fby_refuse(request->error, FBY_REFUSED_BAD_FIELD, "inputs",
                          "`inputs` must be an object of `source_sentence`, a string, and "
                          "`sentences`, a list of strings");
    if (count == 0)
        return fby_refuse(request->error, FBY_REFUSED_EMPTY, "inputs.sentences",
                          "`inputs.sentences` cannot be empty");
    if (count + 1 > rule.max_texts)
        return fby_refuse_text_count(request, &rule, count + 1);
    rule.ids = FBY_IDS_NEVER;
    fby_api_text *texts = fby_api_request_take(request, count + 1, sizeof *texts);
    if (texts == NULL)
        return false;
    for (size_t i = 0; i <= count; i++)
        if (!fby_api_request_text(request, i == 0 ? source : json_array_get(list, i - 1), &rule,
                                  &texts[i]))
            return false;
    request->call->texts = texts;
    request->call->count = (uint32_t)count + 1;
    return true;
}

bool fby_tei_similarity(const fby_api_request *request)
{
    static const char *const known[] = {"inputs", "parameters", NULL};
    const json_t *parameters = fby_member(request->root, "parameters");

    if (parameters != NULL && !json_is_object(parameters))
        return fby_refuse(request->error, FBY_REFUSED_BAD_FIELD, "parameters",
                          "`parameters` must be an object");
    if (!fby_api_request_model(request, NULL))
        return false;
    fby_api_request_defaults(request);
    request->call->normalize = false; /* the cosine does */
    fby_texts_rule rule = fby_tei_texts_rule(request, "inputs");
    if (!read_truncation(request, parameters) || !fby_tei_prompt(request, parameters, &rule) ||
        !read_sentences(request, fby_member(request->root, "inputs"), rule))
        return false;
    request->call->kind = FBY_CALL_EMBED;
    fby_api_request_ignored(request, known);
    return true;
}

bool fby_tei_embed_sparse(const fby_api_request *request)
{
    return fby_refuse(request->error, FBY_REFUSED_NO_HEAD, NULL,
                      "Backend error: Model is not an embedding model with SPLADE pooling");
}

bool fby_tei_rerank(const fby_api_request *request)
{
    return fby_refuse(request->error, FBY_REFUSED_NO_HEAD, NULL,
                      "Backend error: model is not a re-ranker model");
}

bool fby_tei_predict(const fby_api_request *request)
{
    return fby_refuse(request->error, FBY_REFUSED_NO_HEAD, NULL,
                      "Backend error: Model is not a classifier model");
}
