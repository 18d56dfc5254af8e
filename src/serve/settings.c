/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/settings.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/digits.h"
#include "base/suggest.h"

const fby_setting fby_settings[FBY_SETTING_COUNT] = {
#define SETTING(id, letter, flag, kind_, argument_, field, least, most, words, variable, changes,  \
                words_of_help)                                                                     \
    [FBY_SETTING_##id] = {                                                                         \
        .name = flag,                                                                              \
        .argument = argument_,                                                                     \
        .help = words_of_help,                                                                     \
        .choices = words,                                                                          \
        .tei = variable,                                                                           \
        .offset = offsetof(fby_serve_config, field),                                               \
        .min = least,                                                                              \
        .max = most,                                                                               \
        .kind = FBY_SETTING_##kind_,                                                               \
        .live = changes,                                                                           \
    },
#include "serve/settings.def"
#undef SETTING
};

bool fby_setting_is_list(const fby_setting *setting)
{
    return setting->kind == FBY_SETTING_LIST || setting->kind == FBY_SETTING_MODELS ||
           setting->kind == FBY_SETTING_KEYS;
}

const char *fby_setting_key(const fby_setting *setting, char out[FBY_SETTING_NAME])
{
    size_t i = 0;
    for (; setting->name[i] != '\0' && i < FBY_SETTING_NAME - 1; i++)
        out[i] = setting->name[i] == '-' ? '_' : setting->name[i];
    out[i] = '\0';
    return out;
}

const char *fby_setting_variable(const fby_setting *setting, char out[FBY_SETTING_NAME])
{
    char key[FBY_SETTING_NAME];
    snprintf(out, FBY_SETTING_NAME, "FBY_%.*s", FBY_SETTING_NAME - 5,
             fby_setting_key(setting, key));
    for (char *at = out; *at != '\0'; at++)
        *at = (char)toupper((unsigned char)*at);
    return out;
}

/* The plural of a list: models, aliases, api_keys, cors_origins. */
static bool is_plural(const char *key, size_t key_size, const char *word, size_t size)
{
    if (size < key_size + 1 || memcmp(key, word, key_size) != 0)
        return false;
    const char *rest = word + key_size;
    size_t rest_size = size - key_size;
    return key[key_size - 1] == 's' ? rest_size == 2 && memcmp(rest, "es", 2) == 0
                                    : rest_size == 1 && rest[0] == 's';
}

const fby_setting *fby_setting_find_key(const char *key, size_t size)
{
    for (int i = 0; i < FBY_SETTING_COUNT; i++) {
        const fby_setting *setting = &fby_settings[i];
        char name[FBY_SETTING_NAME];
        size_t name_size = strlen(fby_setting_key(setting, name));
        if ((name_size == size && memcmp(name, key, size) == 0) ||
            (fby_setting_is_list(setting) && is_plural(name, name_size, key, size)))
            return setting;
    }
    return NULL;
}

const fby_setting *fby_setting_near(const char *key)
{
    const fby_setting *nearest = NULL;
    unsigned least = UINT32_MAX;

    for (int i = 0; i < FBY_SETTING_COUNT; i++) {
        char name[FBY_SETTING_NAME];
        fby_setting_key(&fby_settings[i], name);
        unsigned distance = fby_edit_distance(key, name, 31);
        if (fby_is_near(key, name) && distance < least) {
            nearest = &fby_settings[i];
            least = distance;
        }
    }
    return nearest;
}

/* ---- reading a value ---- */

struct unit {
    const char *word;
    uint64_t factor;
};
static const struct unit bytes_units[] = {
    {"", 1}, {"K", 1 << 10}, {"M", 1 << 20}, {"G", 1 << 30}, {NULL, 0}};
static const struct unit time_units[] = {{"", 1},      {"ms", 1},      {"s", 1000},
                                         {"m", 60000}, {"h", 3600000}, {NULL, 0}};
static const struct unit no_units[] = {{"", 1}, {NULL, 0}};

static const struct unit *units_of(fby_setting_kind kind)
{
    return kind == FBY_SETTING_SIZE ? bytes_units : kind == FBY_SETTING_MS ? time_units : no_units;
}

static bool read_number(const fby_setting *setting, const char *text, uint64_t *x)
{
    const char *rest;
    uint64_t number;

    if (!fby_read_digits(text, &number, &rest))
        return false;
    for (const struct unit *unit = units_of(setting->kind); unit->word != NULL; unit++)
        if (strcmp(unit->word, rest) == 0)
            return !__builtin_mul_overflow(number, unit->factor, x) && *x >= setting->min &&
                   (setting->max == 0 || *x <= setting->max);
    return false;
}

static bool expect_number(const fby_setting *setting, char expected[FBY_EXPECTED_SIZE])
{
    const char *what = setting->kind == FBY_SETTING_SIZE ? "bytes, such as 65536 or 8M,"
                       : setting->kind == FBY_SETTING_MS ? "milliseconds, such as 500 or 30s,"
                                                         : "a whole number";
    if (setting->max != 0)
        snprintf(expected, FBY_EXPECTED_SIZE, "%s from %" PRIu64 " to %" PRIu64, what, setting->min,
                 setting->max);
    else
        snprintf(expected, FBY_EXPECTED_SIZE, "%s of at least %" PRIu64, what, setting->min);
    return false;
}

/* YAML 1.1's words, and 0 and 1. */
static bool read_bool(const char *text, bool *x)
{
    static const char *const words[2][5] = {{"no", "false", "off", "0", "n"},
                                            {"yes", "true", "on", "1", "y"}};
    for (int value = 0; value < 2; value++)
        for (int i = 0; i < 5; i++)
            if (strcasecmp(text, words[value][i]) == 0) {
                *x = value == 1;
                return true;
            }
    return false;
}

int fby_choice_of(const char *choices, const char *word)
{
    size_t size = strlen(word);

    for (int i = 0;; i++) {
        size_t choice_size = strcspn(choices, "|");
        if (choice_size == size && memcmp(choices, word, size) == 0)
            return i;
        if (choices[choice_size] == '\0')
            return -1;
        choices += choice_size + 1;
    }
}

static bool store_choice(const fby_setting *setting, const char *text, void *field,
                         char expected[FBY_EXPECTED_SIZE])
{
    int choice = fby_choice_of(setting->choices, text);
    if (choice < 0) {
        snprintf(expected, FBY_EXPECTED_SIZE, "one of %s", setting->choices);
        return false;
    }
    const bool second = choice == 1;
    if (setting->kind == FBY_SETTING_EITHER)
        memcpy(field, &second, sizeof second);
    else
        memcpy(field, &choice, sizeof choice);
    return true;
}

static bool store_bool(const char *text, void *field, char expected[FBY_EXPECTED_SIZE])
{
    bool x;
    if (!read_bool(text, &x)) {
        snprintf(expected, FBY_EXPECTED_SIZE, "yes or no");
        return false;
    }
    memcpy(field, &x, sizeof x);
    return true;
}

static bool store_text(const char *text, void *field, char expected[FBY_EXPECTED_SIZE])
{
    char *old, *copy = text[0] != '\0' ? strdup(text) : NULL;
    if (copy == NULL) {
        snprintf(expected, FBY_EXPECTED_SIZE, text[0] != '\0' ? "more memory" : "some text");
        return false;
    }
    memcpy(&old, field, sizeof old);
    memcpy(field, &copy, sizeof copy);
    free(old);
    return true;
}

bool fby_setting_store(const fby_setting *setting, const char *text, fby_serve_config *config,
                       char expected[FBY_EXPECTED_SIZE])
{
    void *field = (char *)config + setting->offset;
    uint64_t x;

    if (setting->choices != NULL)
        return store_choice(setting, text, field, expected);
    if (setting->kind == FBY_SETTING_BOOL)
        return store_bool(text, field, expected);
    if (setting->kind == FBY_SETTING_TEXT)
        return store_text(text, field, expected);
    if (!read_number(setting, text, &x))
        return expect_number(setting, expected);
    memcpy(field, &x, sizeof x);
    return true;
}

/* ---- writing a value ---- */

void fby_setting_quote(const char *text, FILE *out)
{
    fputc('"', out);
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            fprintf(out, "\\%c", c);
        else if (c < ' ' || c == 0x7f)
            fprintf(out, "\\x%02x", c);
        else
            fputc(c, out);
    }
    fputc('"', out);
}

static void print_choice(const char *choices, int choice, FILE *out)
{
    for (; choice > 0 && strchr(choices, '|') != NULL; choice--)
        choices = strchr(choices, '|') + 1;
    fprintf(out, "%.*s", (int)strcspn(choices, "|"), choices);
}

void fby_setting_print(const fby_setting *setting, const fby_serve_config *config, FILE *out)
{
    const char *field = (const char *)config + setting->offset;
    bool truth;
    int choice;
    uint64_t x;
    const char *text;

    switch (setting->kind) {
    case FBY_SETTING_BOOL:
        memcpy(&truth, field, sizeof truth);
        fputs(truth ? "yes" : "no", out);
        return;
    case FBY_SETTING_EITHER:
        memcpy(&truth, field, sizeof truth);
        print_choice(setting->choices, truth, out);
        return;
    case FBY_SETTING_CHOICE:
        memcpy(&choice, field, sizeof choice);
        print_choice(setting->choices, choice, out);
        return;
    case FBY_SETTING_TEXT:
        memcpy(&text, field, sizeof text);
        if (text != NULL)
            fby_setting_quote(text, out);
        else
            fputs("null", out);
        return;
    default:
        memcpy(&x, field, sizeof x);
        fprintf(out, "%" PRIu64, x);
    }
}
