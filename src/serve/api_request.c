/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/api_request.h"

#include <stdio.h>
#include <string.h>

void *fby_api_request_take(const fby_api_request *request, size_t count, size_t size)
{
    size_t bytes;
    void *piece = fby_mul_size(count, size, &bytes) ? fby_arena_take(request->arena, bytes) : NULL;
    if (piece == NULL)
        fby_refuse(request->error, FBY_REFUSED_BODY_TOO_LARGE, NULL,
                   "the body takes more than the %zu bytes of memory that a request has",
                   request->arena->size);
    return piece;
}

const json_t *fby_member(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_null(value) ? NULL : value;
}

bool fby_member_bool(const fby_api_request *request, const json_t *object, const char *key,
                     bool otherwise, bool *value)
{
    const json_t *found = fby_member(object, key);
    if (found != NULL && !json_is_boolean(found))
        return fby_refuse(request->error, FBY_REFUSED_BAD_FIELD, key, "`%s` must be true or false",
                          key);
    *value = found == NULL ? otherwise : json_is_true(found);
    return true;
}

bool fby_member_number(const fby_api_request *request, const json_t *object, const char *key,
                       uint32_t otherwise, uint32_t *value)
{
    const json_t *found = fby_member(object, key);
    json_int_t number = json_integer_value(found);
    if (found != NULL && (!json_is_integer(found) || number < 0 || number > UINT32_MAX))
        return fby_refuse(request->error, FBY_REFUSED_BAD_FIELD, key,
                          "`%s` must be a whole number that is not negative", key);
    *value = found == NULL ? otherwise : (uint32_t)number;
    return true;
}

bool fby_member_string(const fby_api_request *request, const json_t *object, const char *key,
                       const char **value)
{
    const json_t *found = fby_member(object, key);
    if (found != NULL && !json_is_string(found))
        return fby_refuse(request->error, FBY_REFUSED_BAD_FIELD, key, "`%s` must be a string", key);
    *value = found == NULL ? NULL : json_string_value(found);
    return true;
}

/* "a", "b" or "c". */
static void name_words(const char *const *words, char *text, size_t size)
{
    size_t used = 0;
    for (int i = 0; words[i] != NULL && used < size; i++) {
        const char *between = i == 0 ? "" : words[i + 1] == NULL ? " or " : ", ";
        used += (size_t)snprintf(text + used, size - used, "%s\"%s\"", between, words[i]);
    }
}

bool fby_member_choice(const fby_api_request *request, const json_t *object, const char *key,
                       const char *const *words, int otherwise, int *choice)
{
    const json_t *found = fby_member(object, key);
    const char *word = json_string_value(found);
    char known[128];

    if (found == NULL) {
        *choice = otherwise;
        return true;
    }
    for (int i = 0; word != NULL && words[i] != NULL; i++) {
        if (strcmp(word, words[i]) == 0) {
            *choice = i;
            return true;
        }
    }
    name_words(words, known, sizeof known);
    return fby_refuse(request->error, FBY_REFUSED_BAD_FIELD, key, "`%s` must be %s", key, known);
}

static bool is_among(const char *key, const char *const *known)
{
    for (; *known != NULL; known++)
        if (strcmp(*known, key) == 0)
            return true;
    return false;
}

/* What a header may hold: no control character, nothing but ASCII. */
static size_t copy_name(char *to, const char *key, size_t size)
{
    for (size_t i = 0; i < size; i++)
        to[i] = key[i] > ' ' && key[i] < 0x7f && key[i] != ',' ? key[i] : '?';
    return size;
}

void fby_api_request_ignored(const fby_api_request *request, const char *const *known)
{
    enum { NAME_MAX_SHOWN = 32, ENOUGH = sizeof request->call->ignored - NAME_MAX_SHOWN - 8 };
    char *text = request->call->ignored;
    size_t used = 0;
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)request->root, key, value)
    {
        if (is_among(key, known))
            continue;
        if (used > 0) {
            memcpy(text + used, ", ", 2);
            used += 2;
        }
        if (used > ENOUGH) {
            memcpy(text + used, "...", 3);
            used += 3;
            break;
        }
        used += copy_name(text + used, key, fby_min_size(strlen(key), NAME_MAX_SHOWN));
    }
    text[used] = '\0';
}

bool fby_api_request_model(const fby_api_request *request, const char *name)
{
    const fby_api *api = request->api;
    for (uint32_t i = 0; i < api->served_count; i++) {
        const fby_served *served = &api->served[i];
        bool found =
            name == NULL || strcmp(name, served->name) == 0 || strcmp(name, served->path) == 0;
        for (uint32_t j = 0; j < served->alias_count && !found; j++)
            found = strcmp(name, served->aliases[j]) == 0;
        if (found) {
            request->call->served = served;
            return true;
        }
    }
    if (api->unknown_model_accepted)
        return fby_api_request_model(request, NULL);
    return fby_refuse(request->error, FBY_REFUSED_NO_MODEL, "model",
                      "The model `%.128s` does not exist; `%.128s`%s is served here", name,
                      api->served[0].name, api->served_count > 1 ? " among others" : "");
}

bool fby_api_request_prompt(const fby_api_request *request, const char *param, const char *name)
{
    fby_call *call = request->call;
    fby_status status =
        fby_encoder_prompt(call->served->encoder, name, &call->prompt, &call->prompt_size);
    if (status == FBY_OK)
        return true;
    return fby_refuse(request->error, FBY_REFUSED_BAD_FIELD, param, "`%s`: %s", param,
                      fby_last_error());
}

void fby_api_request_defaults(const fby_api_request *request)
{
    fby_call *call = request->call;
    const fby_encoder_info *info = &call->served->info;
    uint32_t limit = request->api->limits.max_tokens;

    call->limit = limit == 0 ? info->max_tokens : fby_min_u32(limit, info->max_tokens);
    call->truncate = request->api->truncates;
    call->dimensions =
        info->truncate_dim != 0 ? fby_min_u32(info->truncate_dim, info->dim) : info->dim;
    call->normalize = true;
    call->types = FBY_TYPE_FLOAT;
}

fby_sink fby_api_request_body(const fby_api_request *request)
{
    fby_arena *arena = request->arena;
    return (fby_sink){arena->bytes + arena->used, arena->bytes + arena->size, false};
}

bool fby_api_request_answer(const fby_api_request *request, const fby_sink *sink)
{
    char *body = request->arena->bytes + request->arena->used;
    if (sink->full)
        return fby_refuse(request->error, FBY_REFUSED_BODY_TOO_LARGE, NULL,
                          "the answer takes more than the %zu bytes of memory that a request has",
                          request->arena->size);
    request->call->kind = FBY_CALL_AT_ONCE;
    request->call->body = body;
    request->call->body_size = (size_t)(sink->at - body);
    /* The rest of the arena's alignment too, or the next piece would begin inside. */
    request->arena->used = fby_min_size(
        request->arena->size, request->arena->used + fby_align_up(request->call->body_size, 16));
    return true;
}
