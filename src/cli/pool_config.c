/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/pool_config.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/digits.h"
#include "base/suggest.h"

/* ---- what may be said ---- */

typedef enum key_kind { BOOL, WORD, NUMBER, NUMBER_OR_AUTO, SHARE, SIZES, MAP } key_kind;

typedef struct pool_key {
    const char *name;
    key_kind kind;
    size_t offset;               /* of fby_pool_config */
    const char *words;           /* WORD: "host|vulkan" */
    uint64_t min, max;           /* NUMBER */
    const struct pool_key *keys; /* MAP; ends with a NULL name */
} pool_key;

#define AT(field) .offset = offsetof(fby_pool_config, field)
enum { HEAP_MB_MAX = 128 << 10, INTERVAL_MS_MAX = 86400000, BLOCKS_MAX = 1 << 24 };

static const pool_key compaction_keys[] = {
    {.name = "enabled", .kind = BOOL, AT(options.compaction)},
    {.name = "threshold", .kind = SHARE, AT(options.compaction_threshold)},
    {.name = "interval_ms", .kind = NUMBER, AT(interval_ms), .min = 1, .max = INTERVAL_MS_MAX},
    {.name = NULL},
};

static const pool_key pool_keys[] = {
    {.name = "enabled", .kind = BOOL, AT(enabled)},
    {.name = "backend", .kind = WORD, AT(backend), .words = "host|vulkan"},
    {.name = "memory", .kind = WORD, AT(memory), .words = "device|host-visible"},
    {.name = "device", .kind = NUMBER, AT(device), .max = 31},
    {.name = "heap_size_mb",
     .kind = NUMBER_OR_AUTO,
     AT(heap_size_mb),
     .min = 1,
     .max = HEAP_MB_MAX},
    {.name = "num_heaps",
     .kind = NUMBER_OR_AUTO,
     AT(num_heaps),
     .min = 1,
     .max = FBY_HEAP_HEAPS_MAX},
    {.name = "warmup_sizes", .kind = SIZES, .min = 1, .max = HEAP_MB_MAX},
    {.name = "track_statistics", .kind = BOOL, AT(statistics)},
    {.name = "log_exhaustion", .kind = BOOL, AT(options.log_exhaustion)},
    {.name = "allocation_strategy",
     .kind = WORD,
     AT(strategy),
     .words = "round-robin|best-fit|least-used"},
    {.name = "dynamic_growth", .kind = BOOL, AT(options.dynamic_growth)},
    {.name = "max_heaps", .kind = NUMBER, AT(max_heaps), .min = 1, .max = FBY_HEAP_HEAPS_MAX},
    {.name = "blocks_max", .kind = NUMBER_OR_AUTO, AT(blocks_max), .min = 16, .max = BLOCKS_MAX},
    {.name = "growth_trigger", .kind = SHARE, AT(options.growth_trigger)},
    {.name = "compaction", .kind = MAP, .keys = compaction_keys},
    {.name = NULL},
};

static const pool_key top_keys[] = {
    {.name = "memory_pool", .kind = MAP, .keys = pool_keys},
    {.name = NULL},
};

enum { KEYS_MAX = 16 /* of a map */ };
_Static_assert(sizeof pool_keys / sizeof pool_keys[0] <= KEYS_MAX, "each has its line");

void fby_pool_config_init(fby_pool_config *config)
{
    *config = (fby_pool_config){
        .options = FBY_HEAP_POOL_OPTIONS_INIT,
        .enabled = true,
        .statistics = true,
    };
}

const fby_heap_pool_options *fby_pool_config_options(fby_pool_config *config)
{
    fby_heap_pool_options *options = &config->options;
    options->disabled = !config->enabled;
    options->backend = (fby_heap_backend)config->backend;
    options->memory = (fby_heap_memory)config->memory;
    options->strategy = (fby_heap_strategy)config->strategy;
    options->device = (uint32_t)config->device;
    options->heap_bytes = config->heap_size_mb << 20;
    options->num_heaps = (uint32_t)config->num_heaps;
    options->max_heaps = (uint32_t)config->max_heaps;
    options->blocks_max = (uint32_t)config->blocks_max;
    options->compaction_interval_ms = (uint32_t)config->interval_ms;
    options->statistics_off = !config->statistics;
    for (size_t i = 0; i < config->warmup_count; i++)
        config->warmup_bytes[i] = config->warmup_mb[i] << 20;
    options->warmup_bytes = config->warmup_bytes;
    options->warmup_count = config->warmup_count;
    return options;
}

/* ---- events ---- */

typedef struct reader {
    yaml_parser_t parser;
    yaml_event_t event; /* the one being looked at */
    const char *name;   /* of the file */
    fby_pool_config *config;
    fby_status status;
} reader;

static size_t line_of(const reader *self)
{
    return self->event.start_mark.line + 1;
}

/* False, always. `key` may be NULL. */
static bool fault(reader *self, size_t line, const char *key_name, const char *fmt, ...)
    FBY_PRINTF(4, 5);

static bool fault(reader *self, size_t line, const char *key_name, const char *fmt, ...)
{
    char what[256];
    va_list args;
    if (self->status != FBY_OK)
        return false;
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    for (char *at = what; *at != '\0'; at++) /* a file's bytes drive no terminal */
        *at = (unsigned char)*at < ' ' || *at == 0x7f ? '?' : *at;
    self->status = fby_error(FBY_EINVAL, "%.120s:%zu: %s%s%s", self->name, line,
                             key_name != NULL ? key_name : "", key_name != NULL ? ": " : "", what);
    return false;
}

static bool is_plain(reader *self)
{
    const yaml_event_t *event = &self->event;
    bool anchored = event->type == YAML_ALIAS_EVENT, tagged = false;

    if (event->type == YAML_SCALAR_EVENT) {
        anchored = event->data.scalar.anchor != NULL;
        tagged = event->data.scalar.tag != NULL;
    } else if (event->type == YAML_SEQUENCE_START_EVENT) {
        anchored = event->data.sequence_start.anchor != NULL;
        tagged = event->data.sequence_start.tag != NULL;
    } else if (event->type == YAML_MAPPING_START_EVENT) {
        anchored = event->data.mapping_start.anchor != NULL;
        tagged = event->data.mapping_start.tag != NULL;
    }
    return (!anchored && !tagged) ||
           fault(self, line_of(self), NULL, "anchors, aliases and tags (& * !) are not read");
}

static bool advance(reader *self)
{
    if (self->status != FBY_OK)
        return false;
    yaml_event_delete(&self->event);
    if (!yaml_parser_parse(&self->parser, &self->event)) {
        self->event = (yaml_event_t){0};
        return fault(self, self->parser.problem_mark.line + 1, NULL, "this is no YAML: %s",
                     self->parser.problem != NULL ? self->parser.problem : "no memory");
    }
    return is_plain(self);
}

static bool is_at(const reader *self, yaml_event_type_t type)
{
    return self->event.type == type;
}

static const char *text_of(const reader *self)
{
    return (const char *)self->event.data.scalar.value;
}

/* ---- values ---- */

static bool read_bool(reader *self, const pool_key *key, void *field)
{
    const char *text = text_of(self);
    bool yes = strcmp(text, "true") == 0 || strcmp(text, "yes") == 0;
    if (!yes && strcmp(text, "false") != 0 && strcmp(text, "no") != 0)
        return fault(self, line_of(self), key->name, "\"%.40s\": expected true or false", text);
    memcpy(field, &yes, sizeof yes);
    return true;
}

static bool read_word(reader *self, const pool_key *key, void *field)
{
    const char *text = text_of(self), *word = key->words;
    for (int i = 0; *word != '\0'; i++) {
        size_t size = strcspn(word, "|");
        if (strlen(text) == size && memcmp(text, word, size) == 0) {
            memcpy(field, &i, sizeof i);
            return true;
        }
        word += size + (word[size] == '|');
    }
    return fault(self, line_of(self), key->name, "\"%.40s\": expected one of %s", text, key->words);
}

static bool read_number(reader *self, const pool_key *key, void *field)
{
    const char *text = text_of(self), *end;
    uint64_t x = 0;
    bool is_auto = key->kind == NUMBER_OR_AUTO && strcmp(text, "auto") == 0;
    if (!is_auto &&
        (!fby_read_digits(text, &x, &end) || *end != '\0' || x < key->min || x > key->max))
        return fault(self, line_of(self), key->name,
                     "\"%.40s\": expected a whole number from %llu to %llu%s", text,
                     (unsigned long long)key->min, (unsigned long long)key->max,
                     key->kind == NUMBER_OR_AUTO ? ", or auto" : "");
    memcpy(field, &x, sizeof x);
    return true;
}

static bool read_share(reader *self, const pool_key *key, void *field)
{
    const char *text = text_of(self);
    char *end;
    double x = strtod(text, &end);
    if (end == text || *end != '\0' || !(x > 0.0 && x <= 1.0))
        return fault(self, line_of(self), key->name,
                     "\"%.40s\": expected a number above 0 and at most 1", text);
    memcpy(field, &x, sizeof x);
    return true;
}

static bool read_scalar(reader *self, const pool_key *key, void *field)
{
    if (!is_at(self, YAML_SCALAR_EVENT) ||
        memchr(text_of(self), '\0', self->event.data.scalar.length) != NULL)
        return fault(self, line_of(self), key->name, "expected one value");
    switch (key->kind) {
    case BOOL:
        return read_bool(self, key, field);
    case WORD:
        return read_word(self, key, field);
    case SHARE:
        return read_share(self, key, field);
    default:
        return read_number(self, key, field);
    }
}

static bool read_sizes(reader *self, const pool_key *key)
{
    fby_pool_config *config = self->config;
    if (!is_at(self, YAML_SEQUENCE_START_EVENT))
        return fault(self, line_of(self), key->name, "expected a list, such as [32, 128]");
    while (advance(self) && !is_at(self, YAML_SEQUENCE_END_EVENT)) {
        if (config->warmup_count == FBY_HEAP_WARMUP_MAX)
            return fault(self, line_of(self), key->name, "at most %d sizes", FBY_HEAP_WARMUP_MAX);
        if (!read_scalar(self, key, &config->warmup_mb[config->warmup_count]))
            return false;
        config->warmup_count++;
    }
    return self->status == FBY_OK;
}

/* ---- maps ---- */

static const pool_key *find_key(reader *self, const pool_key *keys)
{
    const char *text = text_of(self), *near = NULL;
    for (const pool_key *at = keys; at->name != NULL; at++) {
        if (strcmp(text, at->name) == 0)
            return at;
        if (fby_is_near(text, at->name))
            near = at->name;
    }
    fault(self, line_of(self), NULL, "there is no key \"%.40s\" here%s%s%s", text,
          near != NULL ? "; did you mean " : "", near != NULL ? near : "", near != NULL ? "?" : "");
    return NULL;
}

static bool read_map(reader *self, const char *name, const pool_key *keys);

static bool read_value(reader *self, const pool_key *key)
{
    if (key->kind == MAP)
        return read_map(self, key->name, key->keys);
    if (key->kind == SIZES)
        return read_sizes(self, key);
    return read_scalar(self, key, (char *)self->config + key->offset);
}

static bool read_map(reader *self, const char *name, const pool_key *keys)
{
    size_t lines[KEYS_MAX] = {0}; /* where a key was given; 0: not yet */

    if (!is_at(self, YAML_MAPPING_START_EVENT))
        return fault(self, line_of(self), name, "expected keys and values");
    while (advance(self) && !is_at(self, YAML_MAPPING_END_EVENT)) {
        if (!is_at(self, YAML_SCALAR_EVENT))
            return fault(self, line_of(self), name, "a key is no text");
        const pool_key *found = find_key(self, keys);
        if (found == NULL)
            return false;
        size_t *line = &lines[found - keys];
        if (*line != 0)
            return fault(self, line_of(self), found->name, "given before, in line %zu", *line);
        *line = line_of(self);
        if (!advance(self) || !read_value(self, found))
            return false;
    }
    return self->status == FBY_OK;
}

/* `count` events on. */
static bool advance_by(reader *self, int count)
{
    while (count > 0 && advance(self))
        count--;
    return count == 0;
}

static void read_document(reader *self)
{
    if (!advance_by(self, 2)) /* the stream's start, the document's */
        return;
    if (is_at(self, YAML_STREAM_END_EVENT)) {
        fault(self, line_of(self), NULL, "expected \"memory_pool:\"");
        return;
    }
    if (advance(self) && read_map(self, NULL, top_keys) && advance_by(self, 2) &&
        !is_at(self, YAML_STREAM_END_EVENT))
        fault(self, line_of(self), NULL, "a second document: one is read");
}

fby_status fby_pool_config_read(const char *bytes, size_t size, const char *name,
                                fby_pool_config *config)
{
    reader self = {.name = name, .config = config};
    if (size > FBY_POOL_CONFIG_MAX)
        return fby_error(FBY_EINVAL, "%.120s: %zu bytes, at most %d", name, size,
                         FBY_POOL_CONFIG_MAX);
    if (!yaml_parser_initialize(&self.parser))
        return fby_error(FBY_ENOMEM, "no memory to read YAML");
    yaml_parser_set_input_string(&self.parser, (const unsigned char *)bytes, size);
    read_document(&self);
    yaml_event_delete(&self.event);
    yaml_parser_delete(&self.parser);
    return self.status;
}
