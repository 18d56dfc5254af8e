/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <string.h>

#include "serve/config_read.h"

/* " # forebay.yaml:3", which is a comment to YAML. */
static void print_origin(const fby_serve_config *config, const fby_setting *setting, FILE *out)
{
    char name[FBY_SETTING_NAME];
    if (config->source == NULL) {
        fputc('\n', out);
        return;
    }
    const fby_place *origin = &config->source->origins[setting - fby_settings];

    switch (origin->from) {
    case FBY_FROM_DEFAULT:
        fputc('\n', out);
        return;
    case FBY_FROM_FILE:
        fprintf(out, "  # %s:%zu\n",
                config->source->inputs.file != NULL ? config->source->inputs.file : "-",
                origin->line);
        return;
    case FBY_FROM_TEI_VARIABLE:
        fprintf(out, "  # %s\n", setting->tei);
        return;
    case FBY_FROM_VARIABLE:
        fprintf(out, "  # %s\n", fby_setting_variable(setting, name));
        return;
    case FBY_FROM_FLAG:
        fprintf(out, "  # --%s\n", setting->name);
    }
}

static void print_texts(char *const *items, uint32_t count, FILE *out)
{
    fputc('[', out);
    for (uint32_t i = 0; i < count; i++) {
        if (i > 0)
            fputs(", ", out);
        fby_setting_quote(items[i], out);
    }
    fputc(']', out);
}

static void print_models(const fby_serve_config *config, FILE *out)
{
    fputs("models:", out);
    print_origin(config, &fby_settings[FBY_SETTING_MODEL], out);
    for (uint32_t i = 0; i < config->model_count; i++) {
        const fby_config_model *model = &config->models[i];
        fputs("  - path: ", out);
        fby_setting_quote(model->path, out);
        if (model->name != NULL) {
            fputs("\n    name: ", out);
            fby_setting_quote(model->name, out);
        }
        if (model->alias_count > 0) {
            fputs("\n    aliases: ", out);
            print_texts(model->aliases, model->alias_count, out);
        }
        fputc('\n', out);
    }
}

/* A file of keys is read again by whoever reads this; those of it are here all the same. */
static void print_keys(const fby_serve_config *config, FILE *out)
{
    if (config->key_count == 0) {
        fputs("api_keys: []\n", out);
        return;
    }
    fputs("api_keys:", out);
    print_origin(config, &fby_settings[FBY_SETTING_API_KEY], out);
    for (uint32_t i = 0; i < config->key_count; i++) {
        const fby_config_key *key = &config->keys[i];
        fputs("  - key: \"(hidden)\"\n", out);
        if (key->name != NULL) {
            fputs("    name: ", out);
            fby_setting_quote(key->name, out);
            fputc('\n', out);
        }
        fprintf(out, "    requests_per_minute: %" PRIu64 "\n    tokens_per_minute: %" PRIu64 "\n",
                key->requests_per_minute, key->tokens_per_minute);
    }
}

static bool is_given_elsewhere(const fby_setting *setting)
{
    /* Part of the first model by now. */
    return setting == &fby_settings[FBY_SETTING_ALIAS] ||
           setting == &fby_settings[FBY_SETTING_SERVED_MODEL_NAME];
}

void fby_serve_config_print(const fby_serve_config *config, FILE *out)
{
    char key[FBY_SETTING_NAME];

    for (int i = 0; i < FBY_SETTING_COUNT; i++) {
        const fby_setting *setting = &fby_settings[i];
        if (setting->kind == FBY_SETTING_MODELS)
            print_models(config, out);
        else if (setting->kind == FBY_SETTING_KEYS)
            print_keys(config, out);
        else if (!is_given_elsewhere(setting)) {
            fprintf(out, "%s%s: ", fby_setting_key(setting, key),
                    setting->kind == FBY_SETTING_LIST ? "s" : "");
            if (setting->kind == FBY_SETTING_LIST)
                print_texts(config->cors_origins, config->cors_count, out);
            else
                fby_setting_print(setting, config, out);
            print_origin(config, setting, out);
        }
    }
}
