/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "serve/config_read.h"

static bool same_text(const char *a, const char *b)
{
    return (a == NULL || b == NULL) ? a == b : strcmp(a, b) == 0;
}

static bool same_models(const fby_serve_config *a, const fby_serve_config *b)
{
    if (a->model_count != b->model_count)
        return false;
    for (uint32_t i = 0; i < a->model_count; i++) {
        const fby_config_model *x = &a->models[i], *y = &b->models[i];
        if (!same_text(x->path, y->path) || !same_text(x->name, y->name) ||
            x->alias_count != y->alias_count)
            return false;
        for (uint32_t j = 0; j < x->alias_count; j++)
            if (!same_text(x->aliases[j], y->aliases[j]))
                return false;
    }
    return true;
}

static size_t scalar_size(const fby_setting *setting)
{
    switch (setting->kind) {
    case FBY_SETTING_BOOL:
    case FBY_SETTING_EITHER:
        return sizeof(bool);
    case FBY_SETTING_CHOICE:
        return sizeof(int);
    default:
        return sizeof(uint64_t);
    }
}

static const char *text_at(const fby_serve_config *config, const fby_setting *setting)
{
    const char *text;
    memcpy(&text, (const char *)config + setting->offset, sizeof text);
    return text;
}

/* Aliases and the served name are compared as the models that have them by now. */
static bool is_same(const fby_setting *setting, const fby_serve_config *a,
                    const fby_serve_config *b)
{
    switch (setting->kind) {
    case FBY_SETTING_MODELS:
        return same_models(a, b);
    case FBY_SETTING_LIST:
    case FBY_SETTING_KEYS:
        return true;
    case FBY_SETTING_TEXT:
        return setting == &fby_settings[FBY_SETTING_SERVED_MODEL_NAME] ||
               same_text(text_at(a, setting), text_at(b, setting));
    default:
        return memcmp((const char *)a + setting->offset, (const char *)b + setting->offset,
                      scalar_size(setting)) == 0;
    }
}

static bool take_models(const fby_serve_config *running, fby_serve_config *next)
{
    fby_config_clear_list(next, &fby_settings[FBY_SETTING_MODEL]);
    next->models = calloc(running->model_count, sizeof *next->models);
    if (next->models == NULL)
        return false;
    for (; next->model_count < running->model_count; next->model_count++)
        if (!fby_config_copy_model(&running->models[next->model_count],
                                   &next->models[next->model_count]))
            return false;
    return true;
}

static bool take_text(const fby_setting *setting, const fby_serve_config *running,
                      fby_serve_config *next)
{
    const char *text = text_at(running, setting);
    char *copy = text != NULL ? strdup(text) : NULL, *old;

    if (text != NULL && copy == NULL)
        return false;
    memcpy(&old, (char *)next + setting->offset, sizeof old);
    memcpy((char *)next + setting->offset, &copy, sizeof copy);
    free(old);
    return true;
}

static bool take_running(const fby_setting *setting, const fby_serve_config *running,
                         fby_serve_config *next)
{
    if (setting->kind == FBY_SETTING_MODELS)
        return take_models(running, next);
    if (setting->kind == FBY_SETTING_TEXT)
        return take_text(setting, running, next);
    memcpy((char *)next + setting->offset, (const char *)running + setting->offset,
           scalar_size(setting));
    return true;
}

/* What may not change has `running`'s value again. False: no memory. */
static bool keep_fixed(fby_config_reader *reader, const fby_serve_config *running)
{
    fby_serve_config *next = reader->config;

    for (int i = 0; i < FBY_SETTING_COUNT; i++) {
        const fby_setting *setting = &fby_settings[i];
        if (setting->live || is_same(setting, running, next))
            continue;
        fby_config_warn(reader, next->source->origins[i], setting,
                        "was changed: that takes a restart");
        if (!take_running(setting, running, next))
            return false;
        next->source->origins[i] = running->source->origins[i];
    }
    return true;
}

fby_status fby_serve_config_reread(const fby_serve_config *running, fby_serve_config **next,
                                   fby_config_notes *notes)
{
    fby_serve_config *config = malloc(sizeof *config);
    fby_config_reader reader = {.config = config, .notes = notes};

    *notes = (fby_config_notes){0};
    if (config == NULL)
        return fby_error(FBY_ENOMEM, "no memory for the configuration");
    fby_status status = fby_serve_config_load(config, &running->source->inputs, notes);
    if (status == FBY_OK && !keep_fixed(&reader, running))
        status = fby_error(FBY_ENOMEM, "no memory for the configuration");
    if (status != FBY_OK) {
        fby_serve_config_clear(config);
        free(config);
        return status;
    }
    *next = config;
    return FBY_OK;
}
