/* SPDX-License-Identifier: Apache-2.0 */
#include "model/json.h"

#include <stdlib.h>

#include "model/file.h"

/* Ordinary text makes jansson take about ten times its size. */
bool fby_json_memory_suffices(size_t size)
{
    void *probe = malloc(16 * size + (1u << 16));
    __asm__ volatile("" : : "r"(probe) : "memory"); /* or the pair would be left out */
    free(probe);
    return probe != NULL;
}

fby_status fby_json_parse(const char *name, const char *text, size_t size, size_t flags,
                          json_t **root)
{
    json_error_t error;
    char quoted[FBY_QUOTE_SIZE];
    if (!fby_json_memory_suffices(size))
        return fby_error(FBY_ENOMEM, "%s: no memory to read it", name);
    json_t *value = json_loadb(text, size, JSON_REJECT_DUPLICATES | flags, &error);
    if (value == NULL)
        return fby_error(FBY_EFORMAT, "%s:%d: %s", name, error.line < 1 ? 1 : error.line,
                         fby_quote(quoted, error.text));
    *root = value;
    return FBY_OK;
}

fby_status fby_json_load(const char *path, size_t flags, json_t **root)
{
    char *text;
    size_t size;
    fby_status status = fby_file_read(path, FBY_JSON_SIZE_MAX, &text, &size);
    if (status != FBY_OK)
        return status;
    status = fby_json_parse(path, text, size, flags, root);
    free(text);
    return status;
}

fby_status fby_json_object(const char *name, const json_t *root)
{
    if (!json_is_object(root))
        return fby_error(FBY_EFORMAT, "%s: expected an object", name);
    return FBY_OK;
}

/* NULL for a missing member and for null. */
static const json_t *member(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_null(value) ? NULL : value;
}

fby_status fby_json_u32_required(const char *name, const json_t *object, const char *key,
                                 uint32_t min, uint32_t max, uint32_t *value)
{
    const json_t *found = member(object, key);
    if (found == NULL)
        return fby_error(FBY_EFORMAT, "%s: %s is missing", name, key);
    json_int_t number = json_integer_value(found);
    if (!json_is_integer(found) || number < min || number > max)
        return fby_error(FBY_EFORMAT, "%s: %s: expected an integer from %u to %u", name, key, min,
                         max);
    *value = (uint32_t)number;
    return FBY_OK;
}

fby_status fby_json_u32(const char *name, const json_t *object, const char *key, uint32_t min,
                        uint32_t max, uint32_t otherwise, uint32_t *value)
{
    if (member(object, key) == NULL) {
        *value = otherwise;
        return FBY_OK;
    }
    return fby_json_u32_required(name, object, key, min, max, value);
}

fby_status fby_json_bool(const char *name, const json_t *object, const char *key, bool otherwise,
                         bool *value)
{
    const json_t *found = member(object, key);
    if (found != NULL && !json_is_boolean(found))
        return fby_error(FBY_EFORMAT, "%s: %s: expected true or false", name, key);
    *value = found == NULL ? otherwise : json_is_true(found);
    return FBY_OK;
}

fby_status fby_json_string(const char *name, const json_t *object, const char *key,
                           const char *otherwise, const char **value)
{
    const json_t *found = member(object, key);
    if (found != NULL && !json_is_string(found))
        return fby_error(FBY_EFORMAT, "%s: %s: expected a string", name, key);
    *value = found == NULL ? otherwise : json_string_value(found);
    return FBY_OK;
}
