/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <sys/stat.h>
#include <unistd.h>

#include "serve/settings.h"
#include "test.h"

/* A directory with a model's directory in it; what the tests read and are told. */
static char dir[64], model[96], yaml_path[96], keys_path[96];
static fby_serve_config config;
static fby_config_notes notes;
static fby_config_texts flags[FBY_SETTING_COUNT];

static int make_dir(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/fby-config-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(model, sizeof model, "%s/minilm", dir);
    snprintf(yaml_path, sizeof yaml_path, "%s/forebay.yaml", dir);
    snprintf(keys_path, sizeof keys_path, "%s/keys", dir);
    return mkdir(model, 0700);
}

static int drop_dir(void **state)
{
    (void)state;
    unlink(yaml_path);
    unlink(keys_path);
    rmdir(model);
    return rmdir(dir);
}

static void write_file(const char *path, const char *text, size_t size)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static int clear(void **state)
{
    (void)state;
    fby_serve_config_clear(&config);
    fby_config_notes_clear(&notes);
    memset(flags, 0, sizeof flags);
    return 0;
}

static fby_status load_inputs(const char *yaml, const char *const *environment)
{
    clear(NULL);
    if (yaml != NULL)
        write_file(yaml_path, yaml, strlen(yaml));
    return fby_serve_config_load(&config,
                                 &(fby_config_inputs){
                                     .flags = flags,
                                     .environment = environment,
                                     .file = yaml != NULL ? yaml_path : NULL,
                                     .default_model = model,
                                 },
                                 &notes);
}

static void load(const char *yaml)
{
    if (load_inputs(yaml, NULL) != FBY_OK)
        fail_msg("%s:\n%s", yaml != NULL ? yaml : "no file", notes.text);
}

/* Refused, with each of `parts` in the notes. */
static void refuses(const char *yaml, const char *part)
{
    assert_int_equal(load_inputs(yaml, NULL), FBY_EINVAL);
    assert_true(notes.faults > 0);
    if (strstr(notes.text, part) == NULL)
        fail_msg("\"%s\" is not in:\n%s", part, notes.text);
}

static void notes_have(const char *part)
{
    if (notes.text == NULL || strstr(notes.text, part) == NULL)
        fail_msg("\"%s\" is not in:\n%s", part, notes.text != NULL ? notes.text : "(nothing)");
}

/* ---- values ---- */

static void has_defaults_that_need_no_file(void **state)
{
    (void)state;
    load(NULL);
    assert_string_equal(config.host, "127.0.0.1");
    assert_int_equal(config.port, 8080);
    assert_int_equal(config.model_count, 1);
    assert_string_equal(config.models[0].path, model);
    assert_string_equal(config.models[0].name, "minilm");
    assert_true(config.truncate);
    assert_int_equal(config.key_count, 0);
    assert_int_equal(notes.warnings, 0);
    assert_null(config.uds_path);
}

static void an_empty_file_is_one_without_settings(void **state)
{
    (void)state;
    load("");
    load("# nothing\n");
    load("---\n...\n");
    load("~\n");
    assert_int_equal(config.port, 8080);
}

static void reads_each_kind_of_value(void **state)
{
    (void)state;
    load("port: 81\nmax_body_bytes: 3M\nkeepalive_ms: 90s\nstall_ms: 250\ntruncate: off\n"
         "unknown_model: accept\nwait: spin\nlog_level: error\nuds: /run/forebay.sock\n"
         "cors_origins: [\"https://a.example\", 'http://localhost:3000']\nalias: one\n"
         "log_format: json\nmetrics_compat: tei\ngrace_ms:\n");
    assert_int_equal(config.port, 81);
    assert_int_equal(config.max_body_bytes, 3 << 20);
    assert_int_equal(config.keepalive_ms, 90000);
    assert_int_equal(config.stall_ms, 250);
    assert_false(config.truncate);
    assert_true(config.unknown_model_accept);
    assert_int_equal(config.wait, 1);
    assert_int_equal(config.log_level, 3);
    assert_string_equal(config.uds_path, "/run/forebay.sock");
    assert_int_equal(config.cors_count, 2);
    assert_string_equal(config.cors_origins[1], "http://localhost:3000");
    assert_string_equal(config.models[0].aliases[0], "one");
    assert_int_equal(config.log_format, FBY_LOG_JSON);
    assert_int_equal(config.metrics_compat, FBY_METRICS_TEI);
    assert_int_equal(config.grace_ms, 8000); /* nothing is said */
}

static void reads_models_and_keys_as_texts_or_maps(void **state)
{
    char yaml[1024];
    (void)state;

    snprintf(yaml, sizeof yaml,
             "models:\n  - path: %s\n    name: small\n    aliases: [a, b]\n  - other=%s\n  - %s/\n"
             "api_keys:\n  - 0123456789abcdef\n"
             "  - {key: fedcba9876543210, name: search, requests_per_minute: 60}\n"
             "tokens_per_minute: 1000\n",
             model, model, model);
    load(yaml);
    assert_int_equal(config.model_count, 3);
    assert_string_equal(config.models[0].name, "small");
    assert_int_equal(config.models[0].alias_count, 2);
    assert_string_equal(config.models[0].aliases[1], "b");
    assert_string_equal(config.models[1].name, "other");
    assert_string_equal(config.models[2].name, "minilm");
    assert_int_equal(config.key_count, 2);
    assert_string_equal(config.keys[0].name, "key-1");
    assert_int_equal(config.keys[0].requests_per_minute, 0);
    assert_int_equal(config.keys[0].tokens_per_minute, 1000);
    assert_string_equal(config.keys[1].name, "search");
    assert_int_equal(config.keys[1].requests_per_minute, 60);
}

static void reads_a_file_of_keys(void **state)
{
    static const char keys[] = "# who may\n\n0123456789abcdef\n"
                               "  fedcba9876543210 name=search requests_per_minute=60 "
                               "tokens_per_minute=9\r\n";
    char yaml[256];
    (void)state;

    write_file(keys_path, keys, strlen(keys));
    snprintf(yaml, sizeof yaml, "api_key_file: %s\napi_key: aaaaaaaaaaaaaaaa\n", keys_path);
    load(yaml);
    assert_int_equal(config.key_count, 3);
    assert_string_equal(config.keys[2].secret, "fedcba9876543210");
    assert_string_equal(config.keys[2].name, "search");
    assert_int_equal(config.keys[2].tokens_per_minute, 9);

    write_file(keys_path, "0123456789abcdef nme=x\n", 23);
    refuses(yaml, "keys:1: expected SECRET [name=N]");
    write_file(keys_path, "x\0y\n", 4);
    refuses(yaml, "this is no text");
    unlink(keys_path);
    refuses(yaml, "api_key_file: ");
}

static void finds_a_key_by_its_secret_only(void **state)
{
    (void)state;
    load("api_keys: [0123456789abcdef, fedcba9876543210]\n");
    assert_ptr_equal(fby_serve_config_find_key(&config, "fedcba9876543210", 16), &config.keys[1]);
    assert_null(fby_serve_config_find_key(&config, "fedcba987654321", 15));
    assert_null(fby_serve_config_find_key(&config, "fedcba98765432100", 17));
    assert_null(fby_serve_config_find_key(&config, "", 0));
    /* Longer than the key, and the same bytes again after its end. */
    assert_null(fby_serve_config_find_key(&config, "fedcba9876543210\0fedcba9876543210", 33));
}

/* ---- which source goes first ---- */

static void flags_go_before_variables_and_those_before_the_file(void **state)
{
    static const char *const environment[] = {"FBY_PORT=82", "FBY_MAX_TEXTS=7", "PORT=83", NULL};
    static const char *const port[] = {"85", "84"}, *const texts[] = {"9"};
    (void)state;

    clear(NULL);
    assert_int_equal(load_inputs("port: 81\nmax_texts: 8\nagents: 2\n", environment), FBY_OK);
    assert_int_equal(config.port, 82);
    assert_int_equal(config.max_texts, 7);
    assert_int_equal(config.agents, 2);
    fby_serve_config_clear(&config);
    flags[FBY_SETTING_PORT] = (fby_config_texts){port, 2};
    flags[FBY_SETTING_MAX_TEXTS] = (fby_config_texts){texts, 1};
    assert_int_equal(fby_serve_config_load(&config,
                                           &(fby_config_inputs){.flags = flags,
                                                                .environment = environment,
                                                                .file = yaml_path,
                                                                .default_model = model},
                                           &notes),
                     FBY_OK);
    assert_int_equal(config.port, 84); /* the last of them */
    assert_int_equal(config.max_texts, 9);
    memset(flags, 0, sizeof flags);
}

static void a_later_source_replaces_a_list_and_does_not_add_to_it(void **state)
{
    static const char *const environment[] = {
        "FBY_CORS_ORIGIN=https://b.example, https://c.example", "CORS_ALLOW_ORIGIN=*", NULL};
    (void)state;
    assert_int_equal(load_inputs("cors_origins: [https://a.example]\n", environment), FBY_OK);
    assert_int_equal(config.cors_count, 2);
    assert_string_equal(config.cors_origins[0], "https://b.example");
    assert_string_equal(config.cors_origins[1], "https://c.example");
}

static void reads_the_variables_of_text_embeddings_inference(void **state)
{
    char model_id[128], hostname[] = "HOSTNAME=8f2e11d5c0de";
    const char *const environment[] = {model_id,
                                       "MAX_BATCH_TOKENS=512",
                                       "MAX_CLIENT_BATCH_SIZE=16",
                                       "PORT=3000",
                                       "API_KEY=0123456789abcdef0",
                                       "AUTO_TRUNCATE=false",
                                       "PAYLOAD_LIMIT=2000000",
                                       "TOKENIZATION_WORKERS=4",
                                       hostname,
                                       NULL};
    (void)state;

    snprintf(model_id, sizeof model_id, "MODEL_ID=%s", model);
    assert_int_equal(load_inputs(NULL, environment), FBY_OK);
    assert_int_equal(config.max_batch_tokens, 512);
    assert_int_equal(config.max_client_batch, 16);
    assert_int_equal(config.port, 3000);
    assert_int_equal(config.key_count, 1);
    assert_false(config.truncate);
    assert_int_equal(config.max_body_bytes, 2000000);
    assert_string_equal(config.host, "127.0.0.1"); /* a container's name is no address */
    notes_have("TOKENIZATION_WORKERS is ignored");
    assert_int_equal(notes.warnings, 1);

    snprintf(hostname, sizeof hostname, "HOSTNAME=127.0.0.2");
    assert_int_equal(load_inputs(NULL, environment), FBY_OK);
    assert_string_equal(config.host, "127.0.0.2");

    const char *const wrong[] = {"MODEL_ID=BAAI/bge-small-en-v1.5", NULL};
    assert_int_equal(load_inputs(NULL, wrong), FBY_EINVAL);
    notes_have("MODEL_ID: BAAI/bge-small-en-v1.5 is no directory");
}

static void a_variable_that_is_none_of_ours_is_named(void **state)
{
    static const char *const environment[] = {"FBY_PROT=1", "FBY_ISA=c", "FBY_TEST_X=1", NULL};
    (void)state;
    assert_int_equal(load_inputs(NULL, environment), FBY_OK);
    assert_int_equal(notes.warnings, 1);
    notes_have("FBY_PROT is no variable of ours; did you mean FBY_PORT?");
}

/* ---- faults ---- */

static void names_the_file_the_line_and_the_key(void **state)
{
    (void)state;
    refuses("# x\nport: 99999\n",
            "forebay.yaml:2: port: \"99999\": expected a whole number from 0 to 65535\n");
    refuses("prot: 1\n", "forebay.yaml:1: there is no key \"prot\"; did you mean port?\n");
    refuses("port: 1\nport: 2\n", "forebay.yaml:2: port: given before, in line 1\n");
    refuses("model: x\nmodels: [y]\n", "forebay.yaml:2: model: given before, in line 1\n");
    refuses("wait: sleep\n", "wait: \"sleep\": expected one of adaptive|spin\n");
    refuses("truncate: maybe\n", "truncate: \"maybe\": expected yes or no\n");
    refuses("max_body_bytes: 8X\n", "max_body_bytes: \"8X\": expected bytes, such as");
    refuses("grace_ms: -1\n", "grace_ms: \"-1\": expected milliseconds");
    refuses("port: [1]\n", "port: expected one value, not a list");
    refuses("port: {a: 1}\n", "port: expected a value, not a map");
    refuses("models: [{pth: x}]\n", "\"pth\" is none of the keys here: path, name, aliases");
    refuses("models: [{name: x}]\n", "a model wants a path");
    refuses("api_keys: [{key: \"a b\"}]\n", "no spaces");
    refuses("api_keys: [{key: aaaaaaaaaaaaaaaa, requests_per_minute: x}]\n",
            "requests_per_minute: \"x\": expected a whole number");
}

static void a_flag_and_a_variable_are_named_as_they_were_given(void **state)
{
    static const char *const environment[] = {"FBY_PORT=x", "MAX_BATCH_TOKENS=y", NULL};
    static const char *const agents[] = {"0"};
    (void)state;

    clear(NULL);
    fby_status status;
    flags[FBY_SETTING_AGENTS] = (fby_config_texts){agents, 1};
    status = fby_serve_config_load(
        &config,
        &(fby_config_inputs){.flags = flags, .environment = environment, .default_model = model},
        &notes);
    assert_int_equal(status, FBY_EINVAL);
    assert_int_equal(notes.faults, 3);
    notes_have("FBY_PORT: \"x\": expected a whole number from 0 to 65535\n");
    notes_have("MAX_BATCH_TOKENS: \"y\": expected");
    notes_have("--agents: \"0\": expected a whole number from 1 to 64\n");
    assert_string_equal(fby_last_error(),
                        "MAX_BATCH_TOKENS: \"y\": expected a whole number from 0 to 1048576");
}

static void all_faults_are_named_at_once(void **state)
{
    (void)state;
    refuses("port: x\nagents: y\nbogus: [1, {a: [2]}]\nwait: z\n", "port");
    assert_int_equal(notes.faults, 4);
    notes_have("agents");
    notes_have("bogus");
    notes_have("forebay.yaml:4: wait");
}

static void refuses_what_does_not_go_together(void **state)
{
    (void)state;
    refuses("tls_cert: a\n", "tls_key is wanted, too");
    refuses("ring_slots: 1000\n", "expected a power of two");
    refuses("admin_port: 8080\n", "is the main port, too");
    refuses("slow_write_ms: 40s\n", "expected at most write_timeout_ms");
    refuses("cors_origins: [example.org]\n", "expected an origin such as");
    refuses("cors_origins: [\"https://example.org/\"]\n", "expected an origin such as");
    refuses("api_keys: [aaaaaaaaaaaaaaaa, aaaaaaaaaaaaaaaa]\n", "are the same secret");
    refuses("api_keys: [{key: aaaaaaaaaaaaaaaa, name: x}, {key: b, name: x}]\n",
            "two keys have the name");
    refuses("api_keys: [{key: aaaaaaaaaaaaaaaa, name: \"x y\"}]\n", "letters, digits");
    refuses("aliases: [minilm]\n", "\"minilm\" is the name of two");
    refuses("model: /nonexistent/model\n", "/nonexistent/model is no directory");
}

static void warns_of_what_is_dangerous(void **state)
{
    (void)state;
    load("host: 0.0.0.0\n");
    notes_have("warning: ");
    notes_have("no key is asked for");
    load("host: 0.0.0.0\napi_key: short\n");
    notes_have("it can be guessed");
    load("host: 0.0.0.0\napi_key: 0123456789abcdef\n");
    assert_int_equal(notes.warnings, 0);
}

static void refuses_yaml_that_could_grow_or_surprise(void **state)
{
    (void)state;
    refuses("a: &x [1]\nb: *x\n", "anchors and aliases");
    refuses("alias: *x\n", "anchors and aliases");
    refuses("port: !!int 1\n", "tags (!) are not read");
    refuses("port: 1\n---\nport: 2\n", "a second document");
    refuses("- port\n", "expected settings");
    refuses("port\n", "expected settings");
    refuses("x: [[[[[[[[[[[[1]]]]]]]]]]]]\n", "nested too deep");
    refuses("port: 1\n  agents: 2\n", "this is no YAML");
    refuses("? [a]\n: 1\n", "a key is no text");
    refuses("host: \"a\\0b\"\n", "the character 0");
    refuses("port: [1\n", "this is no YAML");
}

static void refuses_a_file_that_is_too_long(void **state)
{
    enum { SIZE = 600 << 10 };
    char *text = malloc(SIZE + 1);
    (void)state;

    memset(text, '#', SIZE);
    text[SIZE] = '\0';
    refuses(text, "has more than 512 KiB");
    free(text);
}

static void a_fault_cannot_drive_a_terminal(void **state)
{
    (void)state;
    refuses("\"\\e[2J\\n\": 1\n", "there is no key \"?[2J?\"");
    for (const char *at = notes.text; *at != '\0'; at++)
        assert_true(*at == '\n' || isprint((unsigned char)*at));
}

/* ---- writing, and reading again ---- */

static char *printed(const fby_serve_config *what)
{
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    fby_serve_config_print(what, out);
    assert_int_equal(fclose(out), 0);
    return text;
}

static void prints_what_can_be_read_again(void **state)
{
    char yaml[512];
    (void)state;

    snprintf(yaml, sizeof yaml,
             "models: [{path: %s, name: \"a \\\"b\\\"\", aliases: [c]}]\nport: 81\nwait: spin\n"
             "max_body_bytes: 3M\ncors_origins: [\"*\"]\nunknown_model: accept\n",
             model);
    load(yaml);
    char *first = printed(&config);
    assert_non_null(strstr(first, "port: 81  # "));
    load(first);
    char *second = printed(&config);
    for (char *at = first; *at != '\0'; at++) /* where it came from differs */
        if (strncmp(at, "  # ", 4) == 0)
            memmove(at, at + strcspn(at, "\n"), strlen(at + strcspn(at, "\n")) + 1);
    for (char *at = second; *at != '\0'; at++)
        if (strncmp(at, "  # ", 4) == 0)
            memmove(at, at + strcspn(at, "\n"), strlen(at + strcspn(at, "\n")) + 1);
    assert_string_equal(first, second);
    free(first);
    free(second);
}

static void never_prints_a_secret(void **state)
{
    (void)state;
    load("api_keys: [{key: topsecret0123456, name: search}]\n");
    char *text = printed(&config);
    assert_null(strstr(text, "topsecret"));
    assert_non_null(strstr(text, "name: \"search\""));
    free(text);
}

static void reading_again_changes_what_may_change(void **state)
{
    static const char changed[] = "port: 99\nagents: 2\nlog_level: debug\nmax_body_bytes: 5M\n"
                                  "api_keys: [{key: 0123456789abcdef, name: new}]\n"
                                  "cors_origins: [https://new.example]\nuds: /x\n";
    fby_serve_config *next = NULL;
    fby_config_notes said;
    (void)state;

    load("port: 81\nlog_level: info\n");
    write_file(yaml_path, changed, strlen(changed));
    assert_int_equal(fby_serve_config_reread(&config, &next, &said), FBY_OK);
    assert_int_equal(next->port, 81);
    assert_int_equal(next->agents, 1);
    assert_null(next->uds_path);
    assert_int_equal(next->log_level, 0);
    assert_int_equal(next->max_body_bytes, 5 << 20);
    assert_string_equal(next->keys[0].name, "new");
    assert_string_equal(next->cors_origins[0], "https://new.example");
    assert_int_equal(said.warnings, 3);
    assert_non_null(strstr(said.text, "port: was changed: that takes a restart"));
    assert_int_equal(config.key_count, 0); /* what runs is as it was */
    fby_config_notes_clear(&said);
    fby_serve_config_clear(next);
    free(next);
}

static void reading_again_keeps_everything_when_there_is_a_fault(void **state)
{
    fby_serve_config *next = NULL;
    fby_config_notes said;
    (void)state;

    load("port: 81\n");
    write_file(yaml_path, "log_level: loud\n", 16);
    assert_int_equal(fby_serve_config_reread(&config, &next, &said), FBY_EINVAL);
    assert_null(next);
    assert_int_equal(said.faults, 1);
    fby_config_notes_clear(&said);
}

/* ---- the table ---- */

static void every_setting_has_a_key_a_variable_and_help(void **state)
{
    (void)state;
    for (int i = 0; i < FBY_SETTING_COUNT; i++) {
        const fby_setting *setting = &fby_settings[i];
        char key[FBY_SETTING_NAME], variable[FBY_SETTING_NAME];
        fby_setting_key(setting, key);
        fby_setting_variable(setting, variable);
        assert_int_equal(strlen(variable), strlen(key) + 4);
        assert_ptr_equal(fby_setting_find_key(key, strlen(key)), setting);
        assert_non_null(setting->help);
        assert_non_null(setting->argument);
        assert_null(strchr(key, '-'));
        bool worded = setting->kind == FBY_SETTING_CHOICE || setting->kind == FBY_SETTING_EITHER;
        assert_int_equal(setting->choices != NULL, worded);
    }
}

static void every_default_is_a_value_that_could_be_given(void **state)
{
    (void)state;
    load(NULL);
    for (int i = 0; i < FBY_SETTING_COUNT; i++) {
        const fby_setting *setting = &fby_settings[i];
        char text[128] = "", expected[FBY_EXPECTED_SIZE];
        if (fby_setting_is_list(setting) || setting->kind == FBY_SETTING_TEXT)
            continue;
        FILE *out = fmemopen(text, sizeof text, "w");
        fby_setting_print(setting, &config, out);
        fclose(out);
        if (!fby_setting_store(setting, text, &config, expected))
            fail_msg("%s: %s: expected %s", setting->name, text, expected);
    }
}

#define TEST(name) cmocka_unit_test_teardown(name, clear)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(has_defaults_that_need_no_file),
        TEST(an_empty_file_is_one_without_settings),
        TEST(reads_each_kind_of_value),
        TEST(reads_models_and_keys_as_texts_or_maps),
        TEST(reads_a_file_of_keys),
        TEST(finds_a_key_by_its_secret_only),
        TEST(flags_go_before_variables_and_those_before_the_file),
        TEST(a_later_source_replaces_a_list_and_does_not_add_to_it),
        TEST(reads_the_variables_of_text_embeddings_inference),
        TEST(a_variable_that_is_none_of_ours_is_named),
        TEST(names_the_file_the_line_and_the_key),
        TEST(a_flag_and_a_variable_are_named_as_they_were_given),
        TEST(all_faults_are_named_at_once),
        TEST(refuses_what_does_not_go_together),
        TEST(warns_of_what_is_dangerous),
        TEST(refuses_yaml_that_could_grow_or_surprise),
        TEST(refuses_a_file_that_is_too_long),
        TEST(a_fault_cannot_drive_a_terminal),
        TEST(prints_what_can_be_read_again),
        TEST(never_prints_a_secret),
        TEST(reading_again_changes_what_may_change),
        TEST(reading_again_keeps_everything_when_there_is_a_fault),
        TEST(every_setting_has_a_key_a_variable_and_help),
        TEST(every_default_is_a_value_that_could_be_given),
    };
    return cmocka_run_group_tests_name("config", tests, make_dir, drop_dir);
}
