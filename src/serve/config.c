/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/config.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "serve/config_read.h"

void fby_serve_config_init(fby_serve_config *config)
{
    *config = (fby_serve_config){
        .port = 8080,
        .agents = 1,
        .max_connections = 1024,
        .max_body_bytes = 8 << 20,
        .max_texts = 65536,
        .max_queued_tokens = 4 << 20,
        .long_tokens = 2048,
        .ring_slots = 1024,
        .inline_result_vectors = 2,
        .header_timeout_ms = 10000,
        .body_timeout_ms = 60000,
        .request_timeout_ms = 120000,
        .slow_write_ms = 100,
        .write_timeout_ms = 30000,
        .keepalive_ms = 75000,
        .stall_ms = 2000,
        .grace_ms = 8000,
        .truncate = true,
        .log_level = 1,
    };
}

void fby_serve_config_clear(fby_serve_config *config)
{
    for (int i = 0; i < FBY_SETTING_COUNT; i++) {
        const fby_setting *setting = &fby_settings[i];
        char *text;
        if (setting->kind == FBY_SETTING_TEXT) {
            memcpy(&text, (char *)config + setting->offset, sizeof text);
            free(text);
        } else if (fby_setting_is_list(setting)) {
            fby_config_clear_list(config, setting);
        }
    }
    free(config->source);
    *config = (fby_serve_config){0};
}

/* ---- the environment ---- */

/* Names of text-embeddings-inference that mean nothing here, and why. */
static const struct {
    const char *name, *why;
} tei_ignored[] = {
    {"TOKENIZATION_WORKERS", "the threads that serve tokenize too"},
    {"MAX_CONCURRENT_REQUESTS", "max_queued_tokens bounds what is in flight"},
    {"MAX_BATCH_REQUESTS", "a batch is bounded by its tokens"},
    {"DEFAULT_PROMPT", "the model's own files say its prompts"},
    {"DEFAULT_PROMPT_NAME", "the model's own files say its prompts"},
    {"OTLP_ENDPOINT", "nothing is sent; /metrics is there to be read"},
    {"PROMETHEUS_PORT", "/metrics is on the main port, and on admin_port"},
};

/* Variables of other parts of this program. */
static bool is_elsewhere(const char *name, size_t size)
{
    static const char *const whole[] = {"FBY_ISA", "FBY_CONFIG", "FBY_HEAP_TRACE"};
    static const char *const begins[] = {"FBY_MALLOC", "FBY_TEST", "FBY_BENCH"};

    for (size_t i = 0; i < sizeof whole / sizeof whole[0]; i++)
        if (strlen(whole[i]) == size && memcmp(whole[i], name, size) == 0)
            return true;
    for (size_t i = 0; i < sizeof begins / sizeof begins[0]; i++)
        if (strncmp(name, begins[i], strlen(begins[i])) == 0)
            return true;
    return false;
}

/* A list's items are parted by commas, but for the models: a directory may have one in its name. */
static void set_variable(fby_config_reader *reader, const fby_setting *setting, fby_place place,
                         const char *text)
{
    if (!fby_setting_is_list(setting) || setting->kind == FBY_SETTING_MODELS) {
        fby_config_set(reader, setting, place, text);
        return;
    }
    char *copy = strdup(text), *left = copy;
    if (copy == NULL) {
        fby_config_fault(reader, place, setting, "no memory");
        return;
    }
    for (char *item; (item = strsep(&left, ",")) != NULL;) {
        item += strspn(item, " ");
        if (item[0] != '\0')
            fby_config_set(reader, setting, place, item);
    }
    free(copy);
}

static const char *value_of(const char *const *environment, const char *name)
{
    size_t size = strlen(name);

    for (; *environment != NULL; environment++)
        if (strncmp(*environment, name, size) == 0 && (*environment)[size] == '=')
            return *environment + size + 1;
    return NULL;
}

/* In a container HOSTNAME is the container's name; only an address is something to listen at. */
static bool is_meant(const fby_setting *setting, const char *text)
{
    unsigned char address[sizeof(struct in6_addr)];
    return setting != &fby_settings[FBY_SETTING_HOST] || inet_pton(AF_INET, text, address) == 1 ||
           inet_pton(AF_INET6, text, address) == 1;
}

static void read_tei(fby_config_reader *reader, const char *const *environment)
{
    const fby_place place = {.from = FBY_FROM_TEI_VARIABLE};

    for (int i = 0; i < FBY_SETTING_COUNT; i++) {
        const fby_setting *setting = &fby_settings[i];
        const char *text = setting->tei != NULL ? value_of(environment, setting->tei) : NULL;
        if (text != NULL && text[0] != '\0' && is_meant(setting, text))
            set_variable(reader, setting, place, text);
    }
    for (size_t i = 0; i < sizeof tei_ignored / sizeof tei_ignored[0]; i++)
        if (value_of(environment, tei_ignored[i].name) != NULL)
            fby_config_warn(reader, (fby_place){0}, NULL, "%s is ignored: %s", tei_ignored[i].name,
                            tei_ignored[i].why);
}

static void read_variables(fby_config_reader *reader, const char *const *environment)
{
    const fby_place place = {.from = FBY_FROM_VARIABLE};

    for (int i = 0; i < FBY_SETTING_COUNT; i++) {
        char name[FBY_SETTING_NAME];
        const char *text = value_of(environment, fby_setting_variable(&fby_settings[i], name));
        if (text != NULL && text[0] != '\0')
            set_variable(reader, &fby_settings[i], place, text);
    }
}

/* "FBY_PROT" as the key that it would be: "prot". */
static void key_of_variable(const char *variable, size_t size, char key[FBY_SETTING_NAME])
{
    size_t i = 0;
    for (; 4 + i < size && i < FBY_SETTING_NAME - 1; i++)
        key[i] = (char)tolower((unsigned char)variable[4 + i]);
    key[i] = '\0';
}

/* A variable that begins as ours do and is none. */
static void warn_of_unknown(fby_config_reader *reader, const char *const *environment)
{
    for (; *environment != NULL; environment++) {
        const char *variable = *environment;
        size_t size = strcspn(variable, "=");
        char key[FBY_SETTING_NAME], name[FBY_SETTING_NAME];
        if (strncmp(variable, "FBY_", 4) != 0 || is_elsewhere(variable, size))
            continue;
        key_of_variable(variable, size, key);
        const fby_setting *near = fby_setting_near(key);
        if (near != NULL && strcmp(key, fby_setting_key(near, name)) == 0)
            continue;
        fby_config_warn(reader, (fby_place){0}, NULL, "%.*s is no variable of ours%s%s%s",
                        (int)fby_min_size(size, FBY_SETTING_NAME), variable,
                        near != NULL ? "; did you mean " : "",
                        near != NULL ? fby_setting_variable(near, name) : "",
                        near != NULL ? "?" : "");
    }
}

/* ---- the sources, one after another ---- */

static void read_settings_file(fby_config_reader *reader, const char *path)
{
    char *bytes;
    size_t size;

    if (path == NULL)
        return;
    if (fby_config_read_file(path, &bytes, &size) != FBY_OK) {
        fby_config_fault(reader, (fby_place){0}, NULL, "%s", fby_last_error());
        return;
    }
    fby_config_read_yaml(reader, bytes, size);
    free(bytes);
}

static void read_key_file(fby_config_reader *reader)
{
    const char *path = reader->config->api_key_file;
    char *bytes;
    size_t size;

    if (path == NULL)
        return;
    if (fby_config_read_file(path, &bytes, &size) != FBY_OK) {
        fby_config_fault(reader, (fby_place){0}, NULL, "api_key_file: %s", fby_last_error());
        return;
    }
    fby_config_read_keys(reader, bytes, size);
    explicit_bzero(bytes, size);
    free(bytes);
}

static void read_flags(fby_config_reader *reader, const fby_config_texts *flags)
{
    const fby_place place = {.from = FBY_FROM_FLAG};

    for (int i = 0; i < FBY_SETTING_COUNT; i++)
        for (uint32_t j = 0; j < flags[i].count; j++)
            fby_config_set(reader, &fby_settings[i], place, flags[i].items[j]);
}

fby_status fby_serve_config_load(fby_serve_config *config, const fby_config_inputs *inputs,
                                 fby_config_notes *notes)
{
    fby_config_reader reader = {.config = config, .notes = notes};

    *notes = (fby_config_notes){0};
    fby_serve_config_init(config);
    config->source = calloc(1, sizeof *config->source);
    config->host = strdup("127.0.0.1");
    config->admin_host = strdup("127.0.0.1");
    if (config->source == NULL || config->host == NULL || config->admin_host == NULL) {
        notes->faults++;
        return fby_error(FBY_ENOMEM, "no memory for the configuration");
    }
    config->source->inputs = *inputs;
    read_settings_file(&reader, inputs->file);
    if (inputs->environment != NULL) {
        read_tei(&reader, inputs->environment);
        read_variables(&reader, inputs->environment);
        warn_of_unknown(&reader, inputs->environment);
    }
    if (inputs->flags != NULL)
        read_flags(&reader, inputs->flags);
    read_key_file(&reader);
    return fby_config_finish(&reader);
}
