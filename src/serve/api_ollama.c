/* SPDX-License-Identifier: Apache-2.0 */
/* Ollama's POST /api/embed (server/routes.go, EmbedHandler, there). */
#include <stdio.h>
#include <string.h>

#include "serve/api_request.h"

/* Names may end in ":latest", as that server completes them. */
static bool read_model(const fby_api_request *request)
{
    static const char tag[] = ":latest";
    const char *name;
    char bare[256];

    if (!fby_member_string(request, request->root, "model", &name))
        return false;
    size_t size = name == NULL ? 0 : strlen(name), tag_size = sizeof tag - 1;
    if (fby_api_request_model(request, name))
        return true;
    if (size <= tag_size || size - tag_size >= sizeof bare ||
        strcmp(name + size - tag_size, tag) != 0)
        return false;
    memcpy(bare, name, size - tag_size);
    bare[size - tag_size] = '\0';
    return fby_api_request_model(request, bare);
}

/* More dimensions than there are is no fault there. */
static bool read_dimensions(const fby_api_request *request)
{
    fby_call *call = request->call;
    uint32_t wanted, all = call->served->info.dim;
    if (!fby_member_number(request, request->root, "dimensions", 0, &wanted))
        return false;
    if (wanted > 0)
        call->dimensions = fby_min_u32(wanted, all);
    return true;
}

static bool answer_nothing(const fby_api_request *request)
{
    const char *name = request->call->served->name;
    fby_sink sink = fby_api_request_body(request);
    fby_sink_text(&sink, "{\"model\":");
    fby_sink_string(&sink, name, strlen(name));
    fby_sink_text(&sink, ",\"embeddings\":[]}");
    return fby_api_request_answer(request, &sink);
}

/* An empty string is no text; in a list it is one. */
static bool has_texts(const json_t *input)
{
    return json_is_array(input)
               ? json_array_size(input) > 0
               : input != NULL && (!json_is_string(input) || json_string_length(input) > 0);
}

bool fby_ollama_embed(const fby_api_request *request)
{
    static const char *const known[] = {"model",   "input",      "truncate", "dimensions",
                                        "options", "keep_alive", NULL};
    const json_t *input = fby_member(request->root, "input");
    fby_texts_rule rule = {
        .key = "input",
        .ids = FBY_IDS_NEVER,
        .empty_text = true,
        .max_texts = (uint32_t)fby_min_size(request->api->limits.max_texts, UINT32_MAX),
    };

    if (!read_model(request))
        return false;
    fby_api_request_defaults(request);
    fby_api_request_ignored(request, known);
    if (!fby_member_bool(request, request->root, "truncate", request->call->truncate,
                         &request->call->truncate) ||
        !read_dimensions(request) || !fby_api_request_prompt(request, "prompt", NULL))
        return false;
    if (!has_texts(input))
        return answer_nothing(request);
    request->call->kind = FBY_CALL_EMBED;
    return fby_api_request_texts(request, input, &rule);
}
