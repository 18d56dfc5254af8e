/* SPDX-License-Identifier: Apache-2.0 */
/* config_sentence_transformers.json: prompts and how much of a vector is kept. */
#include "model/config.h"

#include <stdio.h>
#include <string.h>

#include "model/file.h"
#include "model/json.h"

enum { PROMPTS_MAX = 256 };

/* sentence-transformers gives every model these two, empty unless the file fills them. */
static const char *const always[] = {"query", "document"};

static fby_status add_prompts(const char *name, json_t *given, json_t *by_name)
{
    char quoted[FBY_QUOTE_SIZE];
    const char *key;
    json_t *value;
    if (given == NULL || json_is_null(given))
        return FBY_OK;
    if (!json_is_object(given))
        return fby_error(FBY_EFORMAT, "%s: prompts: expected an object", name);
    if (json_object_size(given) > PROMPTS_MAX)
        return fby_error(FBY_EFORMAT, "%s: prompts: more than %d", name, PROMPTS_MAX);
    json_object_foreach(given, key, value)
    {
        if (!json_is_string(value) && !json_is_null(value))
            return fby_error(FBY_EFORMAT, "%s: prompts: '%s': expected a string", name,
                             fby_quote(quoted, key));
        json_t *text = json_is_null(value) ? json_string("") : json_incref(value);
        if (json_object_set_new(by_name, key, text) != 0)
            return fby_error(FBY_ENOMEM, "%s: no memory for its prompts", name);
    }
    return FBY_OK;
}

static fby_status collect(const char *name, json_t *given, json_t **out)
{
    json_t *by_name = json_object();
    fby_status status = FBY_OK;
    for (size_t i = 0; i < sizeof always / sizeof always[0] && status == FBY_OK; i++)
        if (json_object_set_new(by_name, always[i], json_string("")) != 0)
            status = fby_error(FBY_ENOMEM, "%s: no memory for its prompts", name);
    if (status == FBY_OK)
        status = add_prompts(name, given, by_name);
    if (status == FBY_OK)
        *out = by_name;
    else
        json_decref(by_name);
    return status;
}

static fby_status find_default(const char *name, const json_t *root, const json_t *by_name,
                               const char **default_prompt)
{
    char quoted[FBY_QUOTE_SIZE];
    const char *wanted;
    fby_status status = fby_json_string(name, root, "default_prompt_name", NULL, &wanted);
    if (status != FBY_OK)
        return status;
    *default_prompt = NULL;
    if (wanted == NULL)
        return FBY_OK;
    *default_prompt = json_string_value(json_object_get(by_name, wanted));
    if (*default_prompt == NULL)
        return fby_error(FBY_EFORMAT, "%s: default_prompt_name '%s' is not among the prompts", name,
                         fby_quote(quoted, wanted));
    return FBY_OK;
}

static fby_status check_kind(const char *name, const json_t *root)
{
    char quoted[FBY_QUOTE_SIZE];
    const char *kind;
    fby_status status = fby_json_string(name, root, "model_type", "SentenceTransformer", &kind);
    if (status == FBY_OK && strcmp(kind, "SentenceTransformer") != 0)
        status = fby_error(FBY_EUNSUPPORTED, "%s: model_type '%s' is not supported", name,
                           fby_quote(quoted, kind));
    return status;
}

fby_status fby_config_read_prompts(const char *name, const json_t *root, fby_prompts *prompts)
{
    json_t *by_name = NULL;
    const char *default_prompt = NULL;
    uint32_t truncate_dim = 0;
    fby_status status = fby_json_object(name, root);
    if (status == FBY_OK)
        status = check_kind(name, root);
    if (status == FBY_OK)
        status = fby_json_u32(name, root, "truncate_dim", 1, UINT32_MAX, 0, &truncate_dim);
    if (status == FBY_OK)
        status = collect(name, json_object_get(root, "prompts"), &by_name);
    if (status == FBY_OK)
        status = find_default(name, root, by_name, &default_prompt);
    if (status != FBY_OK) {
        json_decref(by_name);
        return status;
    }
    *prompts = (fby_prompts){by_name, default_prompt, truncate_dim};
    return FBY_OK;
}

fby_status fby_prompts_default(fby_prompts *prompts)
{
    json_t *none = json_object();
    fby_status status =
        none == NULL ? fby_error(FBY_ENOMEM, "no memory for prompts")
                     : fby_config_read_prompts("config_sentence_transformers.json", none, prompts);
    json_decref(none);
    return status;
}

void fby_prompts_clear(fby_prompts *prompts)
{
    json_decref(prompts->by_name);
    *prompts = (fby_prompts){NULL, NULL, 0};
}

/* "query, document", as much as fits. */
static const char *names(const json_t *by_name, char out[static FBY_QUOTE_SIZE])
{
    char joined[2 * FBY_QUOTE_SIZE];
    size_t used = 0;
    const char *key;
    json_t *value;
    joined[0] = '\0';
    json_object_foreach((json_t *)(uintptr_t)by_name, key, value)
    {
        int size =
            snprintf(joined + used, sizeof joined - used, "%s%s", used == 0 ? "" : ", ", key);
        if (size < 0 || (size_t)size >= sizeof joined - used)
            break;
        used += (size_t)size;
    }
    return fby_quote(out, joined);
}

fby_status fby_prompts_find(const fby_prompts *prompts, const char *name, const char **text)
{
    char quoted[FBY_QUOTE_SIZE], known[FBY_QUOTE_SIZE];
    if (name == NULL) {
        *text = prompts->default_prompt == NULL ? "" : prompts->default_prompt;
        return FBY_OK;
    }
    const char *found = json_string_value(json_object_get(prompts->by_name, name));
    if (found == NULL)
        return fby_error(FBY_ENOENT, "prompt '%s' is unknown; the model has %s",
                         fby_quote(quoted, name), names(prompts->by_name, known));
    *text = found;
    return FBY_OK;
}
