/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/bits.h"
#include "model/utf8.h"
#include "serve/config_read.h"

/* A fault of the config as a whole, named where its setting was given. */
#define FAULT(reader, id, ...)                                                                     \
    fby_config_fault((reader), (reader)->config->source->origins[FBY_SETTING_##id],                \
                     &fby_settings[FBY_SETTING_##id], __VA_ARGS__)
#define WARN(reader, id, ...)                                                                      \
    fby_config_warn((reader), (reader)->config->source->origins[FBY_SETTING_##id],                 \
                    &fby_settings[FBY_SETTING_##id], __VA_ARGS__)

/* ---- models ---- */

/* The last part of a path, as a name; NULL for none, or no memory. */
static char *name_of(const char *path)
{
    size_t end = strlen(path);
    while (end > 0 && path[end - 1] == '/')
        end--;
    size_t begin = end;
    while (begin > 0 && path[begin - 1] != '/')
        begin--;
    bool dots = end - begin <= 2 && strspn(path + begin, ".") >= end - begin;
    return dots ? NULL : strndup(path + begin, end - begin);
}

static bool adopt_aliases(fby_serve_config *config)
{
    fby_config_model *first = &config->models[0];
    size_t count = (size_t)first->alias_count + config->alias_count;

    if (config->alias_count == 0)
        return true;
    char **aliases = realloc(first->aliases, count * sizeof *aliases);
    if (aliases == NULL)
        return false;
    first->aliases = aliases;
    for (uint32_t i = 0; i < config->alias_count; i++) {
        char *copy = strdup(config->aliases[i]);
        if (copy == NULL)
            return false;
        aliases[first->alias_count++] = copy;
    }
    return true;
}

/* The i-th of a model's names; NULL: there are no more. */
static const char *name_at(const fby_config_model *model, uint32_t i)
{
    return i == 0 ? model->name : i - 1 < model->alias_count ? model->aliases[i - 1] : NULL;
}

/* How often a name is used; names are few. */
static uint32_t uses_of(const fby_serve_config *config, const char *name)
{
    uint32_t uses = 0;
    for (uint32_t i = 0; i < config->model_count; i++)
        for (uint32_t j = 0; name_at(&config->models[i], j) != NULL; j++)
            uses += strcmp(name_at(&config->models[i], j), name) == 0;
    return uses;
}

/* Answers, metrics and logs repeat it. */
static bool is_plain(const char *name)
{
    size_t size = strlen(name);
    uint32_t length;
    for (const unsigned char *at = (const unsigned char *)name; size > 0;
         at += length, size -= length) {
        int32_t c = fby_utf8_decode(at, size, &length);
        if (c == FBY_UTF8_INVALID || c < ' ' || c == 0x7f)
            return false;
    }
    return true;
}

static void check_names(fby_config_reader *reader, const fby_config_model *model)
{
    for (uint32_t j = 0; name_at(model, j) != NULL; j++) {
        const char *name = name_at(model, j);
        if (uses_of(reader->config, name) > 1)
            FAULT(reader, MODEL, "\"%.60s\" is the name of two: give one of them another", name);
        if (!is_plain(name))
            FAULT(reader, MODEL, "a name is no UTF-8, or has a control character");
        if (strlen(name) > 255)
            FAULT(reader, MODEL, "\"%.20s...\" has more than 255 bytes", name);
    }
}

static void check_model(fby_config_reader *reader, fby_config_model *model)
{
    struct stat status;

    if (model->name == NULL)
        model->name = name_of(model->path);
    if (model->name == NULL)
        FAULT(reader, MODEL, "%s: a name is wanted, as in NAME=%s", model->path, model->path);
    else if (model->name[0] == '\0')
        FAULT(reader, MODEL, "%s: the name is empty", model->path);
    if (stat(model->path, &status) != 0 || !S_ISDIR(status.st_mode))
        FAULT(reader, MODEL, "%s is no directory (models are not fetched by name)", model->path);
}

static void finish_models(fby_config_reader *reader)
{
    fby_serve_config *config = reader->config;
    const char *usual = config->source->inputs.default_model;

    if (config->model_count == 0 && usual != NULL)
        fby_config_add_model(reader, (fby_place){0},
                             &(fby_config_model){.path = (char *)(uintptr_t)usual});
    if (config->model_count == 0) {
        if (reader->notes->faults == 0)
            FAULT(reader, MODEL, "no model is named, and there is none in the usual places");
        return;
    }
    if (config->served_model_name != NULL) {
        free(config->models[0].name);
        config->models[0].name = strdup(config->served_model_name);
        if (config->models[0].name == NULL)
            FAULT(reader, SERVED_MODEL_NAME, "no memory");
    }
    if (!adopt_aliases(config))
        FAULT(reader, ALIAS, "no memory");
    for (uint32_t i = 0; i < config->model_count; i++)
        check_model(reader, &config->models[i]);
    for (uint32_t i = 0; i < config->model_count && config->model_count <= 64; i++)
        check_names(reader, &config->models[i]);
    if (config->model_count > 64)
        FAULT(reader, MODEL, "at most 64");
}

/* ---- keys ---- */

static int by_secret(const void *a, const void *b)
{
    const fby_config_key *const *x = a, *const *y = b;
    return strcmp((*x)->secret, (*y)->secret);
}

static int by_name(const void *a, const void *b)
{
    const fby_config_key *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

/* Two keys of one secret, or of one name, sorted beside each other. */
static void check_doubles(fby_config_reader *reader)
{
    const fby_serve_config *config = reader->config;
    const fby_config_key **sorted = malloc((config->key_count + 1) * sizeof *sorted);
    if (sorted == NULL) {
        FAULT(reader, API_KEY, "no memory");
        return;
    }
    for (uint32_t i = 0; i < config->key_count; i++)
        sorted[i] = &config->keys[i];
    qsort(sorted, config->key_count, sizeof *sorted, by_name);
    for (uint32_t i = 1; i < config->key_count; i++)
        if (by_name(&sorted[i - 1], &sorted[i]) == 0)
            FAULT(reader, API_KEY, "two keys have the name \"%.60s\"", sorted[i]->name);
    qsort(sorted, config->key_count, sizeof *sorted, by_secret);
    for (uint32_t i = 1; i < config->key_count; i++)
        if (by_secret(&sorted[i - 1], &sorted[i]) == 0)
            FAULT(reader, API_KEY, "the keys \"%.60s\" and \"%.60s\" are the same secret",
                  sorted[i - 1]->name, sorted[i]->name);
    free(sorted);
}

static bool is_name(const char *name)
{
    size_t size = strlen(name);
    for (size_t i = 0; i < size; i++)
        if (!isalnum((unsigned char)name[i]) && strchr("._-", name[i]) == NULL)
            return false;
    return size > 0 && size <= 64;
}

static void finish_keys(fby_config_reader *reader)
{
    fby_serve_config *config = reader->config;
    char made[32];

    for (uint32_t i = 0; i < config->key_count; i++) {
        fby_config_key *key = &config->keys[i];
        if (key->name == NULL) {
            snprintf(made, sizeof made, "key-%u", i + 1);
            key->name = strdup(made);
        }
        if (key->name == NULL) {
            FAULT(reader, API_KEY, "no memory");
            return;
        }
        if (!is_name(key->name))
            FAULT(reader, API_KEY,
                  "the name \"%.70s\": expected at most 64 letters, digits, '.', '_' and '-'",
                  key->name);
        if (strlen(key->secret) < 16)
            WARN(reader, API_KEY, "%s has fewer than 16 characters: it can be guessed", key->name);
        if (key->requests_per_minute == 0)
            key->requests_per_minute = config->requests_per_minute;
        if (key->tokens_per_minute == 0)
            key->tokens_per_minute = config->tokens_per_minute;
    }
    check_doubles(reader);
}

/* ---- the rest ---- */

/* scheme://host[:port], as a browser's Origin header says it. */
static bool is_origin(const char *text)
{
    if (strcmp(text, "*") == 0 || strcmp(text, "null") == 0)
        return true;
    const char *host = strstr(text, "://");
    if (host == NULL || host == text || strlen(text) > 255)
        return false;
    for (const char *at = text; *at != '\0'; at++)
        if (*at <= ' ' || *at > '~')
            return false;
    return host[3] != '\0' && strpbrk(host + 3, "/?#,*") == NULL;
}

static bool is_loopback(const char *host)
{
    return strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0 ||
           strcmp(host, "localhost") == 0;
}

static void check_place(fby_config_reader *reader)
{
    const fby_serve_config *config = reader->config;

    if ((config->tls_cert == NULL) != (config->tls_key == NULL)) {
        if (config->tls_cert != NULL)
            FAULT(reader, TLS_CERT, "tls_key is wanted, too");
        else
            FAULT(reader, TLS_KEY, "tls_cert is wanted, too");
    }
    /* sockaddr_un has 108 bytes, the last of them 0. */
    if (config->uds_path != NULL && strlen(config->uds_path) > 107)
        FAULT(reader, UDS, "a socket's path has at most 107 bytes");
    if (config->admin_port != 0 && config->admin_port == config->port && config->uds_path == NULL)
        FAULT(reader, ADMIN_PORT, "%llu is the main port, too",
              (unsigned long long)config->admin_port);
    if (config->uds_path == NULL && config->key_count == 0 && !is_loopback(config->host))
        WARN(reader, HOST, "%s can be reached from elsewhere, and no key is asked for",
             config->host);
    for (uint32_t i = 0; i < config->cors_count; i++)
        if (!is_origin(config->cors_origins[i]))
            FAULT(reader, CORS_ORIGIN,
                  "\"%.60s\": expected an origin such as https://example.org, "
                  "or *",
                  config->cors_origins[i]);
}

static void check_sizes(fby_config_reader *reader)
{
    const fby_serve_config *config = reader->config;

    if (!fby_is_pow2(config->ring_slots))
        FAULT(reader, RING_SLOTS, "%llu: expected a power of two",
              (unsigned long long)config->ring_slots);
    else if (config->ring_slots < 4 * config->agents)
        FAULT(reader, RING_SLOTS, "%llu: expected at least 4 for each of the %llu agents",
              (unsigned long long)config->ring_slots, (unsigned long long)config->agents);
    if (config->slow_write_ms > config->write_timeout_ms)
        FAULT(reader, SLOW_WRITE_MS, "expected at most write_timeout_ms, which is %llu",
              (unsigned long long)config->write_timeout_ms);
    if (config->max_tokens > config->max_queued_tokens)
        FAULT(reader, MAX_QUEUED_TOKENS, "expected at least max_tokens, which is %llu",
              (unsigned long long)config->max_tokens);
}

fby_status fby_config_finish(fby_config_reader *reader)
{
    finish_models(reader);
    finish_keys(reader);
    check_place(reader);
    check_sizes(reader);
    if (reader->notes->faults == 0)
        return FBY_OK;
    const char *text = reader->notes->text != NULL ? reader->notes->text : "no memory";
    while (strncmp(text, "warning: ", 9) == 0 && strchr(text, '\n') != NULL)
        text = strchr(text, '\n') + 1;
    return fby_error(FBY_EINVAL, "%.*s", (int)strcspn(text, "\n"), text);
}
