/* SPDX-License-Identifier: Apache-2.0 */
#include "temporary.h"
#include "tokenizer_test.h"

static const char lines[] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n##b\r\n\u4e2d\n";
static char *dir;

static int make_dir(void **state)
{
    (void)state;
    dir = temporary_dir();
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    temporary_remove(dir);
    free(dir);
    return 0;
}

static fby_tokenizer *opened(void)
{
    fby_tokenizer *tokenizer;
    if (fby_tokenizer_open(dir, &tokenizer) != FBY_OK)
        fail_msg("%s", fby_last_error());
    return tokenizer;
}

static void expect_ids(const char *text, const uint32_t *expected, size_t count)
{
    static const fby_encode_options options = {0};
    uint32_t ids[64];
    fby_tokenizer *tokenizer = opened();
    fby_encoding encoding = test_encode(tokenizer, text, strlen(text), &options, ids, 64);
    assert_int_equal(encoding.count, count);
    assert_memory_equal(ids, expected, count * sizeof *ids);
    fby_tokenizer_close(tokenizer);
}

#define EXPECT(text, ...)                                                                          \
    expect_ids(text, (const uint32_t[]){__VA_ARGS__},                                              \
               sizeof((uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

static void a_line_is_an_id_and_the_settings_are_those_of_bert(void **state)
{
    (void)state;
    temporary_text(dir, "vocab.txt", lines);
    EXPECT("AB \u00e1\u4e2dc [MASK]", 2, 5, 6, 5, 7, 1, 4, 3);
}

static void tokenizer_config_changes_the_settings(void **state)
{
    (void)state;
    temporary_text(dir, "vocab.txt", lines);
    temporary_text(
        dir, "tokenizer_config.json",
        "{\"do_lower_case\": false, \"tokenize_chinese_chars\": false,"
        " \"cls_token\": {\"content\": \"[PAD]\", \"lstrip\": false}, \"pad_token\": null}");
    EXPECT("ab AB a\u4e2d \u00e1 [PAD] [CLS]", 0, 5, 6, 1, 1, 1, 0, 1, 1, 1, 3);
}

static void a_special_token_that_is_not_there_gets_the_next_id(void **state)
{
    (void)state;
    temporary_text(dir, "vocab.txt", "[UNK]\n[CLS]\n[SEP]\na\n");
    EXPECT("a[PAD]a[MASK]", 1, 3, 4, 3, 5, 2);
}

static void the_last_of_equal_lines_gives_the_id(void **state)
{
    (void)state;
    temporary_text(dir, "vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\na\n\n");
    EXPECT("a", 2, 6, 3);
}

static void what_is_wrong_is_named_by_file_and_line_or_key(void **state)
{
    (void)state;
    fby_tokenizer *untouched = NULL;
    assert_int_equal(fby_tokenizer_open(dir, &untouched), FBY_ENOENT);
    assert_non_null(strstr(fby_last_error(), "neither tokenizer.json nor vocab.txt"));

    temporary_text(dir, "vocab.txt", "[PAD]\n\xff\n");
    assert_int_equal(fby_tokenizer_open(dir, &untouched), FBY_EFORMAT);
    assert_non_null(strstr(fby_last_error(), "vocab.txt:2: not UTF-8"));

    temporary_text(dir, "vocab.txt", "[PAD]\n[UNK]\n[CLS]\n");
    assert_int_equal(fby_tokenizer_open(dir, &untouched), FBY_EFORMAT);
    assert_non_null(strstr(fby_last_error(), "sep_token: [SEP] is not in the vocabulary"));

    temporary_text(dir, "vocab.txt", lines);
    temporary_text(dir, "tokenizer_config.json", "{\"do_lower_case\": 1}");
    assert_int_equal(fby_tokenizer_open(dir, &untouched), FBY_EFORMAT);
    assert_non_null(strstr(fby_last_error(), "tokenizer_config.json: do_lower_case"));

    temporary_text(dir, "tokenizer_config.json", "{\"cls_token\": 1}");
    assert_int_equal(fby_tokenizer_open(dir, &untouched), FBY_EFORMAT);
    assert_non_null(strstr(fby_last_error(), "tokenizer_config.json: cls_token"));

    temporary_text(dir, "tokenizer_config.json", "[]");
    assert_int_equal(fby_tokenizer_open(dir, &untouched), FBY_EFORMAT);
    assert_null(untouched);
}

static void tokenizer_json_comes_before_vocab_txt(void **state)
{
    (void)state;
    fby_tokenizer *untouched = NULL;
    temporary_text(dir, "vocab.txt", lines);
    temporary_text(dir, "tokenizer.json", "{}");
    assert_int_equal(fby_tokenizer_open(dir, &untouched), FBY_EUNSUPPORTED);
    assert_non_null(strstr(fby_last_error(), "tokenizer.json: pre_tokenizer"));
}

/* The real model has both: they say the same. */
static void the_real_models_vocab_txt_gives_the_digest_of_its_tokenizer_json(void **state)
{
    (void)state;
    static const char *const files[] = {"vocab.txt", "tokenizer_config.json"};
    uint64_t digests[2][2];
    for (int i = 0; i < 2; i++) {
        size_t size;
        char *bytes = test_read(test_model(), files[i], &size);
        temporary_write(dir, files[i], bytes, size);
        free(bytes);
    }
    fby_tokenizer *text = opened(), *json = test_tokenizer();
    fby_tokenizer_digest(text, digests[0]);
    fby_tokenizer_digest(json, digests[1]);
    fby_tokenizer_close(text);
    fby_tokenizer_close(json);
    assert_memory_equal(digests[0], digests[1], sizeof digests[0]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_dir, remove_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_line_is_an_id_and_the_settings_are_those_of_bert),
        TEST(tokenizer_config_changes_the_settings),
        TEST(a_special_token_that_is_not_there_gets_the_next_id),
        TEST(the_last_of_equal_lines_gives_the_id),
        TEST(what_is_wrong_is_named_by_file_and_line_or_key),
        TEST(tokenizer_json_comes_before_vocab_txt),
        TEST(the_real_models_vocab_txt_gives_the_digest_of_its_tokenizer_json),
    };
    return cmocka_run_group_tests_name("vocab_txt", tests, NULL, NULL);
}
