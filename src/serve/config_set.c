/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "serve/config_read.h"

/* ---- notes ---- */

void fby_config_notes_clear(fby_config_notes *notes)
{
    free(notes->text);
    *notes = (fby_config_notes){0};
}

static void append(fby_config_notes *notes, const char *text)
{
    size_t size = strlen(text);

    if (notes->room - notes->size < size + 2) {
        size_t room = notes->size * 2 + size + 512;
        char *bigger = realloc(notes->text, room);
        if (bigger == NULL)
            return; /* the fault is counted all the same */
        notes->text = bigger;
        notes->room = room;
    }
    memcpy(notes->text + notes->size, text, size);
    notes->size += size;
    notes->text[notes->size++] = '\n';
    notes->text[notes->size] = '\0';
}

/* "forebay.yaml:3: port: ", "FBY_PORT: ", "--port: " */
static void say_place(const fby_config_reader *reader, fby_place place, const fby_setting *setting,
                      char *out, size_t size)
{
    const char *file = reader->config->source->inputs.file;
    char name[FBY_SETTING_NAME];

    out[0] = '\0';
    if (place.from == FBY_FROM_FLAG && setting != NULL)
        snprintf(out, size, "--%s: ", setting->name);
    else if (place.from == FBY_FROM_VARIABLE && setting != NULL)
        snprintf(out, size, "%s: ", fby_setting_variable(setting, name));
    else if (place.from == FBY_FROM_TEI_VARIABLE && setting != NULL)
        snprintf(out, size, "%s: ", setting->tei);
    else if (place.from == FBY_FROM_FILE)
        snprintf(out, size, "%.200s:%zu: %s%s", file != NULL ? file : "-", place.line,
                 setting != NULL ? fby_setting_key(setting, name) : "",
                 setting != NULL ? ": " : "");
    else if (setting != NULL)
        snprintf(out, size, "%s: ", fby_setting_key(setting, name));
}

/* No line may be broken, no terminal driven, by what a file held. */
static void make_printable(char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            *text = '?';
}

static void say(fby_config_reader *reader, fby_place place, const fby_setting *setting,
                const char *kind, const char *fmt, va_list args)
{
    char line[FBY_ERROR_SIZE];
    size_t used;

    snprintf(line, sizeof line, "%s", kind);
    used = strlen(line);
    say_place(reader, place, setting, line + used, sizeof line - used);
    used = strlen(line);
    vsnprintf(line + used, sizeof line - used, fmt, args);
    make_printable(line);
    append(reader->notes, line);
}

void fby_config_fault(fby_config_reader *reader, fby_place place, const fby_setting *setting,
                      const char *fmt, ...)
{
    if (reader->notes->faults++ >= FBY_CONFIG_NOTES_MAX)
        return;
    va_list args;
    va_start(args, fmt);
    say(reader, place, setting, "", fmt, args);
    va_end(args);
}

void fby_config_warn(fby_config_reader *reader, fby_place place, const fby_setting *setting,
                     const char *fmt, ...)
{
    if (reader->notes->warnings++ >= FBY_CONFIG_NOTES_MAX)
        return;
    va_list args;
    va_start(args, fmt);
    say(reader, place, setting, "warning: ", fmt, args);
    va_end(args);
}

/* ---- lists ---- */

void fby_config_model_clear(fby_config_model *model)
{
    for (uint32_t i = 0; i < model->alias_count; i++)
        free(model->aliases[i]);
    free(model->aliases);
    free(model->path);
    free(model->name);
    *model = (fby_config_model){0};
}

void fby_config_key_clear(fby_config_key *key)
{
    if (key->secret != NULL)
        explicit_bzero(key->secret, strlen(key->secret));
    free(key->secret);
    free(key->name);
    *key = (fby_config_key){0};
}

/* Room for one more of `item` bytes; NULL: there is none. */
static void *grown(void *items, uint32_t count, size_t item)
{
    if (fby_is_pow2(count) || count == 0)
        return realloc(items, (size_t)(count == 0 ? 1 : count * 2) * item);
    return items;
}

static bool push_text(char ***items, uint32_t *count, const char *text)
{
    char *copy = strdup(text);
    char **bigger = grown(*items, *count, sizeof **items);
    if (bigger != NULL)
        *items = bigger;
    if (bigger == NULL || copy == NULL) {
        free(copy);
        return false;
    }
    bigger[(*count)++] = copy;
    return true;
}

bool fby_config_copy_model(const fby_config_model *from, fby_config_model *to)
{
    *to = (fby_config_model){
        .path = from->path != NULL ? strdup(from->path) : NULL,
        .name = from->name != NULL ? strdup(from->name) : NULL,
    };
    bool copied =
        (to->path != NULL || from->path == NULL) && (to->name != NULL || from->name == NULL);
    for (uint32_t i = 0; i < from->alias_count && copied; i++)
        copied = push_text(&to->aliases, &to->alias_count, from->aliases[i]);
    if (!copied)
        fby_config_model_clear(to);
    return copied;
}

/* A list of texts, which lies as its pointer and behind it its count. */
struct texts {
    char **items;
    uint32_t count;
};
_Static_assert(offsetof(fby_serve_config, cors_count) ==
                       offsetof(fby_serve_config, cors_origins) + offsetof(struct texts, count) &&
                   offsetof(fby_serve_config, alias_count) ==
                       offsetof(fby_serve_config, aliases) + offsetof(struct texts, count),
               "a list's count lies behind it");

static void load_texts(const fby_serve_config *config, const fby_setting *setting,
                       struct texts *texts)
{
    memcpy(&texts->items, (const char *)config + setting->offset, sizeof texts->items);
    memcpy(&texts->count, (const char *)config + setting->offset + offsetof(struct texts, count),
           sizeof texts->count);
}

static void store_texts(fby_serve_config *config, const fby_setting *setting,
                        const struct texts *texts)
{
    memcpy((char *)config + setting->offset, &texts->items, sizeof texts->items);
    memcpy((char *)config + setting->offset + offsetof(struct texts, count), &texts->count,
           sizeof texts->count);
}

void fby_config_clear_list(fby_serve_config *config, const fby_setting *setting)
{
    if (setting->kind == FBY_SETTING_MODELS) {
        for (uint32_t i = 0; i < config->model_count; i++)
            fby_config_model_clear(&config->models[i]);
        free(config->models);
        config->models = NULL;
        config->model_count = 0;
    } else if (setting->kind == FBY_SETTING_KEYS) {
        for (uint32_t i = 0; i < config->key_count; i++)
            fby_config_key_clear(&config->keys[i]);
        free(config->keys);
        config->keys = NULL;
        config->key_count = 0;
    } else {
        struct texts texts;
        load_texts(config, setting, &texts);
        for (uint32_t i = 0; i < texts.count; i++)
            free(texts.items[i]);
        free(texts.items);
        store_texts(config, setting, &(struct texts){0});
    }
}

static fby_place *origin_of(fby_config_reader *reader, const fby_setting *setting)
{
    return &reader->config->source->origins[setting - fby_settings];
}

void fby_config_begin_list(fby_config_reader *reader, const fby_setting *setting, fby_place place)
{
    fby_place *origin = origin_of(reader, setting);
    if (origin->from == place.from)
        return;
    fby_config_clear_list(reader->config, setting);
    *origin = place;
}

static bool may_grow(fby_config_reader *reader, const fby_setting *setting, fby_place place,
                     uint32_t count)
{
    if (count == FBY_CONFIG_LIST_MAX)
        fby_config_fault(reader, place, setting, "at most %d", FBY_CONFIG_LIST_MAX);
    return count < FBY_CONFIG_LIST_MAX;
}

void fby_config_add_model(fby_config_reader *reader, fby_place place, const fby_config_model *model)
{
    const fby_setting *setting = &fby_settings[FBY_SETTING_MODEL];
    fby_serve_config *config = reader->config;

    fby_config_begin_list(reader, setting, place);
    if (!may_grow(reader, setting, place, config->model_count))
        return;
    if (model->path == NULL || model->path[0] == '\0') {
        fby_config_fault(reader, place, setting, "a model wants a path, its directory");
        return;
    }
    fby_config_model *bigger = grown(config->models, config->model_count, sizeof *bigger);
    if (bigger != NULL)
        config->models = bigger;
    if (bigger == NULL || !fby_config_copy_model(model, &bigger[config->model_count]))
        fby_config_fault(reader, place, setting, "no memory");
    else
        config->model_count++;
}

/* What an Authorization header can carry. */
static bool is_secret(const char *text)
{
    size_t size = strlen(text);
    for (size_t i = 0; i < size; i++)
        if (text[i] <= ' ' || text[i] > '~')
            return false;
    return size > 0 && size <= 512;
}

void fby_config_add_key(fby_config_reader *reader, fby_place place, const fby_config_key *key)
{
    const fby_setting *setting = &fby_settings[FBY_SETTING_API_KEY];
    fby_serve_config *config = reader->config;

    if (!may_grow(reader, setting, place, config->key_count))
        return;
    if (key->secret == NULL || !is_secret(key->secret)) {
        fby_config_fault(reader, place, setting,
                         "a key has 1 to 512 characters of ASCII, and no spaces");
        return;
    }
    fby_config_key *bigger = grown(config->keys, config->key_count, sizeof *bigger);
    if (bigger != NULL)
        config->keys = bigger;
    fby_config_key copy = {
        .secret = strdup(key->secret),
        .name = key->name != NULL ? strdup(key->name) : NULL,
        .requests_per_minute = key->requests_per_minute,
        .tokens_per_minute = key->tokens_per_minute,
    };
    if (bigger == NULL || copy.secret == NULL || (key->name != NULL && copy.name == NULL)) {
        fby_config_key_clear(&copy);
        fby_config_fault(reader, place, setting, "no memory");
        return;
    }
    bigger[config->key_count++] = copy;
}

/* ---- one value ---- */

/* "NAME=DIR", or a directory. */
static void set_model(fby_config_reader *reader, fby_place place, const char *text)
{
    const char *equals = strchr(text, '=');
    char *name = NULL;
    bool named = false;

    if (equals != NULL && equals != text && memchr(text, '/', (size_t)(equals - text)) == NULL) {
        name = strndup(text, (size_t)(equals - text));
        named = true;
        text = equals + 1;
    }
    char *path = strdup(text);
    if (path == NULL || (named && name == NULL))
        fby_config_fault(reader, place, &fby_settings[FBY_SETTING_MODEL], "no memory");
    else
        fby_config_add_model(reader, place, &(fby_config_model){.path = path, .name = name});
    free(path);
    free(name);
}

static void set_item(fby_config_reader *reader, const fby_setting *setting, fby_place place,
                     const char *text)
{
    struct texts texts;

    fby_config_begin_list(reader, setting, place);
    load_texts(reader->config, setting, &texts);
    if (!may_grow(reader, setting, place, texts.count))
        return;
    if (text[0] == '\0')
        fby_config_fault(reader, place, setting, "an item is empty");
    else if (!push_text(&texts.items, &texts.count, text))
        fby_config_fault(reader, place, setting, "no memory");
    store_texts(reader->config, setting, &texts);
}

void fby_config_set(fby_config_reader *reader, const fby_setting *setting, fby_place place,
                    const char *text)
{
    char expected[FBY_EXPECTED_SIZE];
    char *secret;

    switch (setting->kind) {
    case FBY_SETTING_MODELS:
        set_model(reader, place, text);
        return;
    case FBY_SETTING_KEYS:
        fby_config_begin_list(reader, setting, place);
        secret = strdup(text);
        fby_config_add_key(reader, place, &(fby_config_key){.secret = secret});
        free(secret);
        return;
    case FBY_SETTING_LIST:
        set_item(reader, setting, place, text);
        return;
    default:
        if (fby_setting_store(setting, text, reader->config, expected))
            *origin_of(reader, setting) = place;
        else
            fby_config_fault(reader, place, setting, "\"%.40s\": expected %s", text, expected);
    }
}
