/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The settings file, event by event:
 *
 *     port: 8080                     a value
 *     aliases: [small, large]        a list
 *     models:                        a list of texts, or of maps
 *       - path: models/minilm
 *         aliases: [text-embedding-3-small]
 *     api_keys:
 *       - {key: "…", name: search, requests_per_minute: 600}
 *
 * No anchors, no aliases, no tags, one document: what a file says is what stands
 * there, and reading takes time in proportion to its bytes.
 */
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/suggest.h"
#include "serve/config_read.h"

enum { DEPTH_MAX = 8 };

struct yaml {
    yaml_parser_t parser;
    yaml_event_t event; /* the one being looked at */
    fby_config_reader *reader;
    size_t lines[FBY_SETTING_COUNT]; /* where a setting was given; 0: not yet */
    bool failed;                     /* the file makes no sense from here on */
};

static fby_place here(const struct yaml *yaml)
{
    return (fby_place){.from = FBY_FROM_FILE, .line = yaml->event.start_mark.line + 1};
}

static bool refuse(struct yaml *yaml, const char *what)
{
    fby_config_fault(yaml->reader, here(yaml), NULL, "%s", what);
    yaml->failed = true;
    return false;
}

static bool fail_parse(struct yaml *yaml)
{
    fby_place place = {.from = FBY_FROM_FILE, .line = yaml->parser.problem_mark.line + 1};
    fby_config_fault(yaml->reader, place, NULL, "this is no YAML: %s",
                     yaml->parser.problem != NULL ? yaml->parser.problem : "no memory");
    yaml->failed = true;
    return false;
}

static bool is_plain(struct yaml *yaml)
{
    const yaml_event_t *event = &yaml->event;
    const yaml_char_t *anchor = NULL, *tag = NULL;

    if (event->type == YAML_SCALAR_EVENT) {
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
    } else if (event->type == YAML_SEQUENCE_START_EVENT) {
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
    } else if (event->type == YAML_MAPPING_START_EVENT) {
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
    }
    if (event->type == YAML_ALIAS_EVENT || anchor != NULL)
        return refuse(yaml, "anchors and aliases (& and *) are not read: write the value out");
    if (tag != NULL)
        return refuse(yaml, "tags (!) are not read");
    return true;
}

/* The next event is in yaml->event. False: the file failed. */
static bool advance(struct yaml *yaml)
{
    if (yaml->failed)
        return false;
    yaml_event_delete(&yaml->event);
    if (!yaml_parser_parse(&yaml->parser, &yaml->event)) {
        yaml->event = (yaml_event_t){0};
        return fail_parse(yaml);
    }
    return is_plain(yaml);
}

static bool is_at(const struct yaml *yaml, yaml_event_type_t type)
{
    return yaml->event.type == type;
}

static const char *text_of(const struct yaml *yaml)
{
    return (const char *)yaml->event.data.scalar.value;
}

/* A text's bytes may hold a 0, which would end it early. */
static bool check_text(struct yaml *yaml)
{
    return memchr(text_of(yaml), '\0', yaml->event.data.scalar.length) == NULL ||
           refuse(yaml, "a text holds the character 0");
}

static bool is_null(const struct yaml *yaml)
{
    const char *text = text_of(yaml);
    return yaml->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (text[0] == '\0' || strcmp(text, "~") == 0 || strcmp(text, "null") == 0);
}

/* Past the value that begins here. */
static void skip(struct yaml *yaml)
{
    size_t depth = 0;

    do {
        if (is_at(yaml, YAML_SEQUENCE_START_EVENT) || is_at(yaml, YAML_MAPPING_START_EVENT))
            depth++;
        else if (is_at(yaml, YAML_SEQUENCE_END_EVENT) || is_at(yaml, YAML_MAPPING_END_EVENT))
            depth--;
        if (depth > DEPTH_MAX) {
            refuse(yaml, "nested too deep");
            return;
        }
    } while (depth > 0 && advance(yaml));
}

/* ---- maps of a list ---- */

/* One entry of a model or a key being read: the field's name, and what reads it. */
struct entry {
    const fby_setting *setting;
    fby_config_model model;
    fby_config_key key;
};

static void take_text(struct yaml *yaml, char **field)
{
    if (!is_at(yaml, YAML_SCALAR_EVENT)) {
        fby_config_fault(yaml->reader, here(yaml), NULL, "expected a text");
        skip(yaml);
        return;
    }
    if (!check_text(yaml))
        return;
    free(*field);
    *field = strdup(text_of(yaml));
    if (*field == NULL)
        refuse(yaml, "no memory");
}

static void take_limit(struct yaml *yaml, const char *name, uint64_t *field)
{
    fby_serve_config limits = {0};
    char expected[FBY_EXPECTED_SIZE];
    const fby_setting *setting = &fby_settings[FBY_SETTING_REQUESTS_PER_MINUTE];

    if (!is_at(yaml, YAML_SCALAR_EVENT) || !check_text(yaml)) {
        fby_config_fault(yaml->reader, here(yaml), NULL, "%s: expected a number", name);
        skip(yaml);
    } else if (fby_setting_store(setting, text_of(yaml), &limits, expected)) {
        *field = limits.requests_per_minute;
    } else {
        fby_config_fault(yaml->reader, here(yaml), NULL, "%s: \"%.40s\": expected %s", name,
                         text_of(yaml), expected);
    }
}

/* Aliases of a model that is not in the config yet. */
static void push_alias(struct yaml *yaml, fby_config_model *model)
{
    if (is_null(yaml) || !check_text(yaml))
        return;
    if (model->alias_count == FBY_CONFIG_LIST_MAX) {
        refuse(yaml, "too many aliases");
        return;
    }
    char **bigger = realloc(model->aliases, (model->alias_count + 1) * sizeof *bigger);
    char *copy = strdup(text_of(yaml));
    if (bigger != NULL)
        model->aliases = bigger;
    if (bigger == NULL || copy == NULL) {
        free(copy);
        refuse(yaml, "no memory");
        return;
    }
    bigger[model->alias_count++] = copy;
}

static void take_aliases(struct yaml *yaml, fby_config_model *model)
{
    if (is_at(yaml, YAML_SCALAR_EVENT)) {
        push_alias(yaml, model);
        return;
    }
    if (!is_at(yaml, YAML_SEQUENCE_START_EVENT)) {
        fby_config_fault(yaml->reader, here(yaml), NULL, "aliases: expected a list of names");
        skip(yaml);
        return;
    }
    while (advance(yaml) && !is_at(yaml, YAML_SEQUENCE_END_EVENT)) {
        if (is_at(yaml, YAML_SCALAR_EVENT)) {
            push_alias(yaml, model);
        } else {
            fby_config_fault(yaml->reader, here(yaml), NULL, "aliases: expected a name");
            skip(yaml);
        }
    }
}

/* The value of the field called `name`. False: there is no such field. */
static bool take_field(struct yaml *yaml, struct entry *entry, const char *name)
{
    bool model = entry->setting->kind == FBY_SETTING_MODELS;

    if (strcmp(name, "name") == 0)
        take_text(yaml, model ? &entry->model.name : &entry->key.name);
    else if (model && strcmp(name, "path") == 0)
        take_text(yaml, &entry->model.path);
    else if (model && strcmp(name, "aliases") == 0)
        take_aliases(yaml, &entry->model);
    else if (!model && strcmp(name, "key") == 0)
        take_text(yaml, &entry->key.secret);
    else if (!model && strcmp(name, "requests_per_minute") == 0)
        take_limit(yaml, name, &entry->key.requests_per_minute);
    else if (!model && strcmp(name, "tokens_per_minute") == 0)
        take_limit(yaml, name, &entry->key.tokens_per_minute);
    else
        return false;
    return true;
}

static void read_fields(struct yaml *yaml, struct entry *entry)
{
    char name[32];

    while (advance(yaml) && !is_at(yaml, YAML_MAPPING_END_EVENT)) {
        fby_place place = here(yaml);
        if (!is_at(yaml, YAML_SCALAR_EVENT)) {
            refuse(yaml, "a key is no text");
            return;
        }
        snprintf(name, sizeof name, "%s", text_of(yaml));
        if (!advance(yaml))
            return;
        if (is_at(yaml, YAML_SCALAR_EVENT) && is_null(yaml))
            continue;
        if (!take_field(yaml, entry, name)) {
            fby_config_fault(yaml->reader, place, entry->setting,
                             "\"%s\" is none of the keys here: %s", name,
                             entry->setting->kind == FBY_SETTING_MODELS
                                 ? "path, name, aliases"
                                 : "key, name, requests_per_minute, tokens_per_minute");
            skip(yaml);
        }
    }
}

static void read_map(struct yaml *yaml, const fby_setting *setting)
{
    fby_place place = here(yaml);
    struct entry entry = {.setting = setting};

    if (setting->kind != FBY_SETTING_MODELS && setting->kind != FBY_SETTING_KEYS) {
        fby_config_fault(yaml->reader, place, setting, "expected %s, not a map",
                         fby_setting_is_list(setting) ? "a text" : "a value");
        skip(yaml);
        return;
    }
    read_fields(yaml, &entry);
    if (yaml->failed) {
        /* The fault is named. */
    } else if (setting->kind == FBY_SETTING_MODELS) {
        fby_config_add_model(yaml->reader, place, &entry.model);
    } else {
        fby_config_begin_list(yaml->reader, setting, place);
        fby_config_add_key(yaml->reader, place, &entry.key);
    }
    fby_config_model_clear(&entry.model);
    fby_config_key_clear(&entry.key);
}

/* ---- settings ---- */

static void read_list(struct yaml *yaml, const fby_setting *setting)
{
    fby_place place = here(yaml);

    if (!fby_setting_is_list(setting)) {
        fby_config_fault(yaml->reader, place, setting, "expected one value, not a list");
        skip(yaml);
        return;
    }
    fby_config_begin_list(yaml->reader, setting, place);
    while (advance(yaml) && !is_at(yaml, YAML_SEQUENCE_END_EVENT)) {
        if (is_at(yaml, YAML_SCALAR_EVENT)) {
            if (check_text(yaml))
                fby_config_set(yaml->reader, setting, here(yaml), text_of(yaml));
        } else if (is_at(yaml, YAML_MAPPING_START_EVENT)) {
            read_map(yaml, setting);
        } else {
            fby_config_fault(yaml->reader, here(yaml), setting, "a list within the list");
            skip(yaml);
        }
    }
}

static void read_value(struct yaml *yaml, const fby_setting *setting)
{
    if (is_at(yaml, YAML_SEQUENCE_START_EVENT)) {
        read_list(yaml, setting);
    } else if (is_at(yaml, YAML_MAPPING_START_EVENT)) {
        read_map(yaml, setting);
    } else if (is_at(yaml, YAML_SCALAR_EVENT)) {
        if (!is_null(yaml) && check_text(yaml))
            fby_config_set(yaml->reader, setting, here(yaml), text_of(yaml));
    } else {
        refuse(yaml, "expected a value");
    }
}

static const fby_setting *known_key(struct yaml *yaml)
{
    const char *key = text_of(yaml);
    size_t size = yaml->event.data.scalar.length;
    const fby_setting *setting = fby_setting_find_key(key, size);
    char name[FBY_SETTING_NAME];

    if (setting == NULL) {
        const fby_setting *near = fby_setting_near(key);
        fby_config_fault(yaml->reader, here(yaml), NULL, "there is no key \"%.40s\"%s%s%s", key,
                         near != NULL ? "; did you mean " : "",
                         near != NULL ? fby_setting_key(near, name) : "", near != NULL ? "?" : "");
        return NULL;
    }
    size_t *line = &yaml->lines[setting - fby_settings];
    if (*line != 0) {
        fby_config_fault(yaml->reader, here(yaml), setting, "given before, in line %zu", *line);
        return NULL;
    }
    *line = here(yaml).line;
    return setting;
}

static void read_settings(struct yaml *yaml)
{
    while (advance(yaml) && !is_at(yaml, YAML_MAPPING_END_EVENT)) {
        if (yaml->reader->notes->faults > FBY_CONFIG_NOTES_MAX)
            return;
        if (!is_at(yaml, YAML_SCALAR_EVENT)) {
            refuse(yaml, "a key is no text");
            return;
        }
        const fby_setting *setting = known_key(yaml);
        if (!advance(yaml))
            return;
        if (setting != NULL)
            read_value(yaml, setting);
        else
            skip(yaml);
    }
}

/* An empty file is one without settings. */
static void read_document(struct yaml *yaml)
{
    if (!advance(yaml) || is_at(yaml, YAML_STREAM_END_EVENT) || !advance(yaml))
        return;
    if (is_at(yaml, YAML_MAPPING_START_EVENT))
        read_settings(yaml);
    else if (!is_at(yaml, YAML_SCALAR_EVENT) || !is_null(yaml))
        refuse(yaml, "expected settings, such as \"port: 8080\"");
    if (yaml->failed || !advance(yaml) || !is_at(yaml, YAML_DOCUMENT_END_EVENT) || !advance(yaml))
        return;
    if (!is_at(yaml, YAML_STREAM_END_EVENT))
        refuse(yaml, "a second document: one is read");
}

void fby_config_read_yaml(fby_config_reader *reader, const char *bytes, size_t size)
{
    struct yaml yaml = {.reader = reader};

    if (!yaml_parser_initialize(&yaml.parser)) {
        fby_config_fault(reader, (fby_place){0}, NULL, "no memory to read YAML");
        return;
    }
    yaml_parser_set_input_string(&yaml.parser, (const unsigned char *)bytes, size);
    if (advance(&yaml)) /* the stream's start */
        read_document(&yaml);
    yaml_event_delete(&yaml.event);
    yaml_parser_delete(&yaml.parser);
}
