/* SPDX-License-Identifier: Apache-2.0 */
/* llama-server's POST /embedding, and /embeddings with `content` (tools/server/README.md there). */
#include "serve/api_request.h"

/* By Euclid or not at all: what that server's other norms give is no embedding of ours. */
static bool read_normalize(const fby_api_request *request)
{
    enum { NONE = -1, EUCLID = 2 };
    const json_t *value = fby_member(request->root, "embd_normalize");
    json_int_t norm = value == NULL ? EUCLID : json_integer_value(value);
    if ((value != NULL && !json_is_integer(value)) || (norm != NONE && norm != EUCLID))
        return fby_refuse(request->error, FBY_REFUSED_BAD_FIELD, "embd_normalize",
                          "`embd_normalize` must be 2 (Euclid) or -1 (none)");
    request->call->normalize = norm == EUCLID;
    return true;
}

bool fby_llama_embedding(const fby_api_request *request)
{
    static const char *const known[] = {"content", "input", "model", "embd_normalize", NULL};
    const json_t *content = fby_member(request->root, "content");
    const char *model;
    fby_texts_rule rule = {
        .key = content != NULL ? "content" : "input",
        .ids = FBY_IDS_OWN,
        .empty_text = true,
        .max_texts = (uint32_t)fby_min_size(request->api->limits.max_texts, UINT32_MAX),
    };

    if (!fby_member_string(request, request->root, "model", &model) ||
        !fby_api_request_model(request, model))
        return false;
    fby_api_request_defaults(request);
    if (content == NULL)
        content = fby_member(request->root, "input");
    if (content == NULL)
        return fby_refuse(request->error, FBY_REFUSED_BAD_FIELD, "content",
                          "\"input\" or \"content\" must be provided");
    if (!read_normalize(request) || !fby_api_request_prompt(request, "prompt", NULL) ||
        !fby_api_request_texts(request, content, &rule))
        return false;
    request->call->kind = FBY_CALL_EMBED;
    fby_api_request_ignored(request, known);
    return true;
}
