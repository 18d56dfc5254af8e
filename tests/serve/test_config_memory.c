/* SPDX-License-Identifier: Apache-2.0 */
/* Linked so that the Nth request for memory fails, whichever that is. */
#include <sys/stat.h>
#include <unistd.h>

#include "serve/settings.h"
#include "test.h"

static long left = -1; /* requests that succeed yet; below 0: all */
static bool refused;

static bool refuse(void)
{
    bool now = left == 0;
    if (left > 0)
        left--;
    else if (now)
        left = -1; /* one only: what comes after it goes on */
    refused |= now;
    return now;
}

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
    return refuse() ? NULL : __real_malloc(size);
}

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size)
{
    return refuse() ? NULL : __real_calloc(count, size);
}

void *__real_realloc(void *memory, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_realloc(void *memory, size_t size)
{
    return refuse() ? NULL : __real_realloc(memory, size);
}

char *__real_strdup(const char *text);
char *__wrap_strdup(const char *text);
char *__wrap_strdup(const char *text)
{
    return refuse() ? NULL : __real_strdup(text);
}

char *__real_strndup(const char *text, size_t size);
char *__wrap_strndup(const char *text, size_t size);
char *__wrap_strndup(const char *text, size_t size)
{
    return refuse() ? NULL : __real_strndup(text, size);
}

static char dir[64], yaml_path[96], keys_path[96];

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static int make_files(void **state)
{
    char yaml[1024];
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/fby-memory-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(yaml_path, sizeof yaml_path, "%s/yaml", dir);
    snprintf(keys_path, sizeof keys_path, "%s/keys", dir);
    snprintf(yaml, sizeof yaml,
             "models: [{path: %s, name: a, aliases: [b, c]}, d=%s, %s]\nserved_model_name: first\n"
             "aliases: [e, f]\napi_keys: [0123456789abcdef, {key: fedcba9876543210, name: g}]\n"
             "api_key_file: %s\ncors_origins: [https://a.example]\nuds: /x\nport: 81\n",
             dir, dir, dir, keys_path);
    write_file(yaml_path, yaml);
    write_file(keys_path, "aaaaaaaaaaaaaaaa name=h\nbbbbbbbbbbbbbbbb\n");
    return 0;
}

static int drop_files(void **state)
{
    (void)state;
    unlink(yaml_path);
    unlink(keys_path);
    return rmdir(dir);
}

static const char *const environment[] = {"FBY_CORS_ORIGIN=https://b.example", "FBY_HOST=127.0.0.2",
                                          NULL};

static fby_status load(fby_serve_config *config, fby_config_notes *notes)
{
    return fby_serve_config_load(
        config, &(fby_config_inputs){.environment = environment, .file = yaml_path}, notes);
}

static void check_whole(const fby_serve_config *config)
{
    assert_int_equal(config->model_count, 3);
    assert_string_equal(config->models[0].name, "first");
    assert_int_equal(config->models[0].alias_count, 4);
    assert_string_equal(config->models[1].name, "d");
    assert_int_equal(config->key_count, 4);
    assert_string_equal(config->keys[1].name, "g");
    assert_string_equal(config->keys[2].name, "h");
    assert_int_equal(config->cors_count, 1);
    assert_string_equal(config->cors_origins[0], "https://b.example");
    assert_string_equal(config->host, "127.0.0.2");
}

static void what_lacks_memory_is_refused_and_never_half_taken(void **state)
{
    (void)state;
    for (long n = 0;; n++) {
        fby_serve_config config;
        fby_config_notes notes;
        refused = false;
        left = n;
        fby_status status = load(&config, &notes);
        left = -1;
        assert_int_equal(status != FBY_OK, refused);
        if (status == FBY_OK)
            check_whole(&config);
        else
            assert_true(notes.faults > 0);
        fby_serve_config_clear(&config);
        fby_config_notes_clear(&notes);
        if (!refused) {
            assert_true(n > 40);
            return;
        }
    }
}

static void reading_again_without_memory_leaves_what_runs(void **state)
{
    fby_serve_config config;
    fby_config_notes notes;
    (void)state;
    assert_int_equal(load(&config, &notes), FBY_OK);
    free(config.uds_path);
    config.uds_path = strdup("/other"); /* so that something is kept */
    for (bool more = true; more;) {
        static long n;
        fby_serve_config *next = NULL;
        fby_config_notes said;
        refused = false;
        left = n++;
        fby_status status = fby_serve_config_reread(&config, &next, &said);
        left = -1;
        more = refused;
        check_whole(&config);
        fby_config_notes_clear(&said);
        if (status != FBY_OK) {
            assert_true(refused);
            continue;
        }
        check_whole(next);
        assert_string_equal(next->uds_path, "/other");
        fby_serve_config_clear(next);
        free(next);
    }
    fby_serve_config_clear(&config);
    fby_config_notes_clear(&notes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_lacks_memory_is_refused_and_never_half_taken),
        cmocka_unit_test(reading_again_without_memory_leaves_what_runs),
    };
    return cmocka_run_group_tests_name("config memory", tests, make_files, drop_files);
}
