/* SPDX-License-Identifier: Apache-2.0 */
#include "tokenizer_test.h"

#define FLAGS(normalized)                                                                          \
    "\"single_word\": false, \"lstrip\": false, \"rstrip\": false, \"normalized\": " normalized    \
    ", \"special\": true"

static const char whole[] =
    "{\"version\": \"1.0\",\n"
    " \"truncation\": {\"max_length\": 2}, \"padding\": {\"strategy\": {\"Fixed\": 128}},\n"
    " \"added_tokens\": [\n"
    "  {\"id\": 1, \"content\": \"[CLS]\", " FLAGS(
        "false") "},\n"
                 "  {\"id\": 7, \"content\": \"new york\", " FLAGS(
                     "true") "}],\n"
                             " \"normalizer\": {\"type\": \"BertNormalizer\", \"clean_text\": "
                             "true,\n"
                             "  \"handle_chinese_chars\": true, \"strip_accents\": null, "
                             "\"lowercase\": true},\n"
                             " \"pre_tokenizer\": {\"type\": \"BertPreTokenizer\"},\n"
                             " \"post_processor\": {\"type\": \"TemplateProcessing\",\n"
                             "  \"single\": [{\"SpecialToken\": {\"id\": \"[CLS]\", \"type_id\": "
                             "0}},\n"
                             "   {\"Sequence\": {\"id\": \"A\", \"type_id\": 0}},\n"
                             "   {\"SpecialToken\": {\"id\": \"[SEP]\", \"type_id\": 0}}],\n"
                             "  \"special_tokens\": {\"[CLS]\": {\"id\": \"[CLS]\", \"ids\": [1], "
                             "\"tokens\": [\"[CLS]\"]},\n"
                             "   \"[SEP]\": {\"id\": \"[SEP]\", \"ids\": [2], \"tokens\": "
                             "[\"[SEP]\"]}}},\n"
                             " \"decoder\": null,\n"
                             " \"model\": {\"type\": \"WordPiece\", \"unk_token\": \"[UNK]\",\n"
                             "  \"continuing_subword_prefix\": \"##\", "
                             "\"max_input_chars_per_word\": 10,\n"
                             "  \"vocab\": {\"[UNK]\": 0, \"[CLS]\": 1, \"[SEP]\": 2, \"a\": 3, "
                             "\"##b\": 4, \"new\": 5,\n"
                             "   \"\\u00e9\\ud83d\\ude00\": 6}}}\n";

static fby_status open_text(const char *json, fby_tokenizer **tokenizer)
{
    /* A copy of just that size, so that a sanitizer sees a byte read too far. */
    size_t size = strlen(json);
    char *copy = malloc(size + 1);
    assert_non_null(copy);
    memcpy(copy, json, size);
    fby_status status = fby_tokenizer_from_json("t.json", copy, size, tokenizer);
    free(copy);
    return status;
}

static fby_tokenizer *opened(const char *json)
{
    fby_tokenizer *tokenizer;
    if (open_text(json, &tokenizer) != FBY_OK)
        fail_msg("%s", fby_last_error());
    return tokenizer;
}

static void expect_ids(const fby_tokenizer *tokenizer, const char *text, const uint32_t *expected,
                       size_t count)
{
    static const fby_encode_options options = {0};
    uint32_t ids[64];
    fby_encoding encoding = test_encode(tokenizer, text, strlen(text), &options, ids, 64);
    assert_int_equal(encoding.count, count);
    assert_memory_equal(ids, expected, count * sizeof *ids);
}

#define EXPECT(tokenizer, text, ...)                                                               \
    expect_ids(tokenizer, text, (const uint32_t[]){__VA_ARGS__},                                   \
               sizeof((uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

static void the_parts_of_the_file_all_count(void **state)
{
    (void)state;
    fby_tokenizer *t = opened(whole);
    assert_int_equal(fby_tokenizer_vocabulary(t), 8);
    assert_int_equal(fby_tokenizer_special_count(t), 2);
    EXPECT(t, "a AB New YORK new york\tx", 1, 3, 3, 4, 7, 7, 0, 2);
    EXPECT(t, "[CLS]abbbbbbbbb abbbbbbbbbb", 1, 1, 3, 4, 4, 4, 4, 4, 4, 4, 4, 4, 0, 2);
    size_t size;
    assert_memory_equal(fby_tokenizer_piece(t, 6, &size), "\u00e9\U0001f600", 6);
    assert_int_equal(size, 6);
    fby_tokenizer_close(t);
}

/* Opens `whole` with `old` replaced by `new`. */
static fby_status with(const char *old, const char *new, fby_tokenizer **tokenizer)
{
    char *json = test_replace(whole, old, new);
    fby_status status = open_text(json, tokenizer);
    free(json);
    return status;
}

static fby_tokenizer *changed(const char *old, const char *new)
{
    fby_tokenizer *tokenizer;
    if (with(old, new, &tokenizer) != FBY_OK)
        fail_msg("%s", fby_last_error());
    return tokenizer;
}

static void other_post_processors_of_bert_are_taken_too(void **state)
{
    (void)state;
    const char *begin = strstr(whole, "{\"type\": \"TemplateProcessing\"");
    const char *end = strstr(whole, ",\n \"decoder\"");
    char template[1024];
    snprintf(template, sizeof template, "%.*s", (int)(end - begin), begin);

    fby_tokenizer *t = changed(template, "null");
    EXPECT(t, "a", 3);
    assert_int_equal(fby_tokenizer_special_count(t), 0);
    fby_tokenizer_close(t);

    t = changed(template,
                "{\"type\": \"BertProcessing\", \"sep\": [\"[SEP]\", 2], \"cls\": [\"[CLS]\", 1]}");
    EXPECT(t, "a", 1, 3, 2);
    fby_tokenizer_close(t);

    t = changed("\"ids\": [1]", "\"ids\": [1, 5]");
    EXPECT(t, "a", 1, 5, 3, 2);
    fby_tokenizer_close(t);
}

static void without_a_normalizer_the_text_stays_as_it_is(void **state)
{
    (void)state;
    const char *begin = strstr(whole, "{\"type\": \"BertNormalizer\"");
    const char *end = strstr(whole, ",\n \"pre_tokenizer\"");
    char normalizer[1024];
    snprintf(normalizer, sizeof normalizer, "%.*s", (int)(end - begin), begin);
    fby_tokenizer *t = changed(normalizer, "null");
    EXPECT(t, "a A new york New york", 1, 3, 0, 7, 0, 0, 2);
    fby_tokenizer_close(t);
}

static void each_setting_changes_the_digest(void **state)
{
    (void)state;
    static const char *const changes[][2] = {
        {"\"clean_text\": true", "\"clean_text\": false"},
        {"\"handle_chinese_chars\": true", "\"handle_chinese_chars\": false"},
        {"\"strip_accents\": null", "\"strip_accents\": false"},
        {"\"lowercase\": true", "\"lowercase\": false"},
        {"\"max_input_chars_per_word\": 10", "\"max_input_chars_per_word\": 11"},
        {"\"unk_token\": \"[UNK]\"", "\"unk_token\": \"new\""},
        {"\"continuing_subword_prefix\": \"##\"", "\"continuing_subword_prefix\": \"#\""},
        {"\"##b\": 4", "\"##c\": 4"},
        {"\"##b\": 4", "\"##bc\": 4"},
        {"\"a\": 3, \"##b\": 4", "\"a\": 4, \"##b\": 3"},
        {"\"ids\": [1]", "\"ids\": [2]"},
        {"\"ids\": [2]", "\"ids\": [2, 2]"},
        {"\"content\": \"new york\", \"single_word\": false",
         "\"content\": \"new york\", \"single_word\": true"},
        {"\"normalized\": true", "\"normalized\": false"},
    };
    uint64_t base[2], other[2];
    fby_tokenizer *t = opened(whole);
    fby_tokenizer_digest(t, base);
    fby_tokenizer_close(t);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        t = changed(changes[i][0], changes[i][1]);
        fby_tokenizer_digest(t, other);
        fby_tokenizer_close(t);
        assert_memory_not_equal(base, other, sizeof base);
    }
    /* Truncation and padding do not count. */
    t = changed("\"max_length\": 2", "\"max_length\": 3");
    fby_tokenizer_digest(t, other);
    fby_tokenizer_close(t);
    assert_memory_equal(base, other, sizeof base);
}

/* A key written with escapes is left to the JSON library. */
static void both_ways_of_reading_the_vocabulary_give_the_same(void **state)
{
    (void)state;
    uint64_t digests[2][2];
    fby_tokenizer *plain = opened(whole);
    fby_tokenizer *tree = changed("\"model\": {", "\"m\\u006fdel\": {");
    fby_tokenizer_digest(plain, digests[0]);
    fby_tokenizer_digest(tree, digests[1]);
    assert_memory_equal(digests[0], digests[1], sizeof digests[0]);
    fby_tokenizer_close(plain);
    fby_tokenizer_close(tree);
}

static void what_it_cannot_do_is_refused_by_its_key(void **state)
{
    (void)state;
    static const struct {
        const char *old, *new;
        fby_status status;
        const char *message;
    } cases[] = {
        {"\"1.0\"", "\"2.0\"", FBY_EUNSUPPORTED, "version: 2.0 is not supported"},
        {"\"BertNormalizer\"", "\"NFC\"", FBY_EUNSUPPORTED, "normalizer: type: NFC"},
        {"{\"type\": \"BertPreTokenizer\"}", "null", FBY_EUNSUPPORTED, "pre_tokenizer"},
        {"\"BertPreTokenizer\"", "\"Whitespace\"", FBY_EUNSUPPORTED,
         "pre_tokenizer: type: Whitespace"},
        {"\"WordPiece\"", "\"BPE\"", FBY_EUNSUPPORTED, "model: type: BPE"},
        {"\"TemplateProcessing\"", "\"ByteLevel\"", FBY_EUNSUPPORTED,
         "post_processor: type: ByteLevel"},
        {"\"id\": \"A\"", "\"id\": \"B\"", FBY_EUNSUPPORTED, "not one Sequence A"},
        {"{\"id\": \"A\", \"type_id\": 0}", "{\"id\": \"A\", \"type_id\": 1}", FBY_EUNSUPPORTED,
         "type_id"},
        {"{\"id\": \"A\", \"type_id\": 0}", "{\"id\": \"A\"}", FBY_EFORMAT, "type_id"},
        {"{\"Sequence\": {\"id\": \"A\", \"type_id\": 0}},", "", FBY_EUNSUPPORTED,
         "not one Sequence A"},
        {"\"max_input_chars_per_word\": 10", "\"max_input_chars_per_word\": 100000", FBY_EFORMAT,
         "model: max_input_chars_per_word"},
        {"\"max_input_chars_per_word\": 10,", "", FBY_EFORMAT,
         "model: max_input_chars_per_word is missing"},
        {"\"unk_token\": \"[UNK]\"", "\"unk_token\": \"[X]\"", FBY_EFORMAT,
         "unk_token: [X] is not in the vocabulary"},
        {"\"unk_token\": \"[UNK]\"", "\"unk_token\": 0", FBY_EFORMAT, "unk_token"},
        {"\"##b\": 4", "\"##b\": -4", FBY_EFORMAT, "vocab: ##b: expected an id"},
        {"\"##b\": 4", "\"##b\": 4294967300", FBY_EFORMAT, "vocab: ##b: expected an id"},
        {"\"##b\": 4", "\"##b\": 4.0", FBY_EFORMAT, "vocab: ##b: expected an id"},
        {"\"##b\": 4", "\"##b\": \"4\"", FBY_EFORMAT, "vocab: ##b: expected an id"},
        {"\"##b\": 4", "\"##b\": 3", FBY_EFORMAT, "vocab: ##b: id 3 is given twice"},
        {"\"##b\": 4", "\"a\": 4", FBY_EFORMAT, "t.json:"},
        {"\"##b\": 4", "\"##b\": 4 4", FBY_EFORMAT, "t.json:"},
        {"\"##b\": 4", "\"##\xff\": 4", FBY_EFORMAT, "t.json:"},
        {"\"vocab\": {", "\"vocab\": [], \"other\": {", FBY_EFORMAT, "vocab"},
        {"\"lowercase\": true", "\"lowercase\": 1", FBY_EFORMAT, "normalizer: lowercase"},
        {"\"lowercase\": true", "\"uppercase\": true", FBY_EFORMAT, "normalizer: lowercase"},
        {"\"ids\": [1]", "\"ids\": [8]", FBY_EFORMAT, "id 8 is not in the vocabulary"},
        {"\"ids\": [1]", "\"ids\": [-1]", FBY_EFORMAT, "id -1 is not in the vocabulary"},
        {"\"ids\": [1]", "\"ids\": [\"1\"]", FBY_EFORMAT, "special_tokens: [CLS]"},
        {"\"[SEP]\": {\"id\"", "\"[X]\": {\"id\"", FBY_EFORMAT, "special_tokens: [SEP] has no ids"},
        {"{\"id\": 7, \"content\"", "{\"id\": 9, \"content\"", FBY_EFORMAT,
         "added_tokens[1]: id 9 where 7 is expected"},
        {"{\"id\": 1, \"content\"", "{\"id\": 2, \"content\"", FBY_EFORMAT,
         "added_tokens[0]: id 2 where 1 is expected"},
        {"\"content\": \"new york\",", "", FBY_EFORMAT, "added_tokens[1]: content is missing"},
        {"\"content\": \"new york\"", "\"content\": \"\\u0301\"", FBY_EUNSUPPORTED,
         "normalizes to nothing"},
        {"\"content\": \"new york\"", "\"content\": \"\"", FBY_EUNSUPPORTED, "added_tokens[1]"},
        {"\"lstrip\": false", "\"lstrip\": true", FBY_EUNSUPPORTED, "lstrip"},
        {"\"content\": \"new york\", \"single_word\": false, \"lstrip\": false",
         "\"content\": \"new york\", \"single_word\": false, \"lstrip\": true", FBY_EUNSUPPORTED,
         "lstrip"},
        {"\"content\": \"[CLS]\"", "\"content\": \"\ufffd\"", FBY_EFORMAT, "added_tokens[0]"},
        {"\"added_tokens\": [", "\"added_tokens\": [7,", FBY_EFORMAT, "added_tokens[0]"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fby_tokenizer *untouched = NULL;
        fby_status status = with(cases[i].old, cases[i].new, &untouched);
        if (status != cases[i].status || strstr(fby_last_error(), cases[i].message) == NULL)
            fail_msg("%s: %s, not %s", cases[i].new, fby_last_error(), cases[i].message);
        assert_ptr_equal(strstr(fby_last_error(), "t.json"), fby_last_error());
        assert_null(untouched);
    }
}

static void a_file_cut_short_anywhere_is_refused(void **state)
{
    (void)state;
    char cut[sizeof whole];
    for (size_t size = 0; size < sizeof whole - 2; size++) {
        fby_tokenizer *untouched = NULL;
        memcpy(cut, whole, size);
        cut[size] = '\0';
        assert_int_equal(open_text(cut, &untouched), FBY_EFORMAT);
        assert_null(untouched);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_parts_of_the_file_all_count),
        cmocka_unit_test(other_post_processors_of_bert_are_taken_too),
        cmocka_unit_test(without_a_normalizer_the_text_stays_as_it_is),
        cmocka_unit_test(each_setting_changes_the_digest),
        cmocka_unit_test(both_ways_of_reading_the_vocabulary_give_the_same),
        cmocka_unit_test(what_it_cannot_do_is_refused_by_its_key),
        cmocka_unit_test(a_file_cut_short_anywhere_is_refused),
    };
    return cmocka_run_group_tests_name("tokenizer_json", tests, NULL, NULL);
}
