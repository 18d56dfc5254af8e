/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenAI's POST /v1/embeddings and this server's extensions of it. Formats:
 * github.com/openai/openai-openapi, CreateEmbeddingRequest and its answer.
 */
#include <string.h>

#include "serve/api_request.h"

static const char *const known[] = {"input",       "model",      "encoding_format", "dimensions",
                                    "user",        "truncate",   "normalize",       "truncate_side",
                                    "prompt_name", "input_type", "embedding_types", "return_meta",
                                    NULL};

static bool read_dimensions(const fby_api_request *request)
{
    fby_call *call = request->call;
    uint32_t most = call->served->info.dim;
    if (!fby_member_number(request, request->root, "dimensions", call->dimensions,
                           &call->dimensions))
        return false;
    if (call->dimensions == 0 || call->dimensions > most)
        return fby_refuse(request->error, FBY_REFUSED_BAD_FIELD, "dimensions",
                          "`dimensions` must be from 1 to %u, the model's", most);
    return true;
}

static const char *const type_words[] = {"float",  "base64",  "int8", "uint8",
                                         "binary", "ubinary", NULL};
_Static_assert(FBY_TYPE_UBINARY == 1 << 5, "the words' indices are the types' bits");

/* `embedding_types` where it is given: a word or a list of them; else `encoding_format`. */
static bool read_types(const fby_api_request *request)
{
    static const char *const formats[] = {"float", "base64", NULL};
    const json_t *types = fby_member(request->root, "embedding_types");
    int format;

    if (!fby_member_choice(request, request->root, "encoding_format", formats, 0, &format))
        return false;
    request->call->types = 1u << format;
    if (types == NULL)
        return true;
    request->call->types = 0;
    size_t count = json_is_array(types) ? json_array_size(types) : 1;
    for (size_t i = 0; i < count; i++) {
        const char *word =
            json_string_value(json_is_array(types) ? json_array_get(types, i) : types);
        int at = 0;
        while (type_words[at] != NULL && (word == NULL || strcmp(word, type_words[at]) != 0))
            at++;
        if (type_words[at] == NULL)
            break;
        request->call->types |= 1u << at;
        if (i + 1 == count)
            return true;
    }
    return fby_refuse(request->error, FBY_REFUSED_BAD_FIELD, "embedding_types",
                      "`embedding_types` must be a list of float, base64, int8, uint8, binary and "
                      "ubinary");
}

static bool read_prompt(const fby_api_request *request)
{
    static const char *const inputs[] = {"query", "passage", "document", NULL};
    const char *name;
    int input;

    if (!fby_member_string(request, request->root, "prompt_name", &name) ||
        !fby_member_choice(request, request->root, "input_type", inputs, -1, &input))
        return false;
    if (name != NULL && input >= 0)
        return fby_refuse(request->error, FBY_REFUSED_BAD_FIELD, "input_type",
                          "`input_type` and `prompt_name` say the same: give one of them");
    if (input >= 0)
        name = input == 0 ? "query" : "document";
    return fby_api_request_prompt(request, input >= 0 ? "input_type" : "prompt_name", name);
}

static bool read_options(const fby_api_request *request)
{
    static const char *const sides[] = {"right", "left", NULL};
    fby_call *call = request->call;
    const json_t *root = request->root;
    int side;

    if (!fby_member_bool(request, root, "truncate", call->truncate, &call->truncate) ||
        !fby_member_choice(request, root, "truncate_side", sides, 0, &side) ||
        !fby_member_bool(request, root, "normalize", true, &call->normalize) ||
        !fby_member_bool(request, root, "return_meta", false, &call->return_meta))
        return false;
    call->left = side == 1;
    if (!call->normalize && (call->types & (FBY_TYPE_INT8 | FBY_TYPE_UINT8)) != 0)
        return fby_refuse(request->error, FBY_REFUSED_BAD_FIELD, "normalize",
                          "int8 and uint8 state their scale for vectors of length 1: leave out "
                          "`normalize`");
    return true;
}

/* Token ids are used as they are: a prompt that was asked for would be left out. */
static bool check_prompted_ids(const fby_api_request *request)
{
    const fby_call *call = request->call;
    bool asked = fby_member(request->root, "prompt_name") != NULL ||
                 fby_member(request->root, "input_type") != NULL;
    for (uint32_t i = 0; i < call->count && asked && call->prompt_size > 0; i++)
        if (call->texts[i].bytes == NULL)
            return fby_refuse(request->error, FBY_REFUSED_BAD_FIELD, "input",
                              "no prompt can be put before token ids: send text");
    return true;
}

bool fby_openai_embeddings(const fby_api_request *request)
{
    const char *model;
    fby_texts_rule rule = {
        .key = "input",
        .ids = request->api->token_ids_accepted ? FBY_IDS_OWN : FBY_IDS_FOREIGN,
        .max_texts = (uint32_t)fby_min_size(request->api->limits.max_texts, UINT32_MAX),
    };

    if (!fby_member_string(request, request->root, "model", &model) ||
        !fby_api_request_model(request, model))
        return false;
    fby_api_request_defaults(request);
    if (!read_dimensions(request) || !read_types(request) || !read_options(request) ||
        !read_prompt(request) ||
        !fby_api_request_texts(request, fby_member(request->root, "input"), &rule) ||
        !check_prompted_ids(request))
        return false;
    request->call->kind = FBY_CALL_EMBED;
    fby_api_request_ignored(request, known);
    return true;
}
