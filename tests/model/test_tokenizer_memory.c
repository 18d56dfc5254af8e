/* SPDX-License-Identifier: Apache-2.0 */
/* A tokenizer.json under every limit of memory: the right tokenizer, or FBY_ENOMEM. */
#include "memory_limit.h"
#include "model/tokenizer.h"

enum { STEP = 173, PADDING = 600 };

static const char pattern[] =
    "{\"version\": \"1.0\", \"unknown to us\": \"%s\","
    " \"added_tokens\": [{\"id\": 1, \"content\": \"[CLS]\", \"single_word\": false,"
    " \"lstrip\": false, \"rstrip\": false, \"normalized\": false, \"special\": true}],"
    " \"normalizer\": {\"type\": \"BertNormalizer\", \"clean_text\": true,"
    " \"handle_chinese_chars\": true, \"strip_accents\": null, \"lowercase\": true},"
    " \"pre_tokenizer\": {\"type\": \"BertPreTokenizer\"},"
    " \"post_processor\": {\"type\": \"TemplateProcessing\","
    " \"single\": [{\"SpecialToken\": {\"id\": \"[CLS]\", \"type_id\": 0}},"
    " {\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}],"
    " \"special_tokens\": {\"[CLS]\": {\"id\": \"[CLS]\", \"ids\": [1], \"tokens\": [\"[CLS]\"]}}},"
    " \"model\": {\"type\": \"WordPiece\", \"unk_token\": \"[UNK]\","
    " \"continuing_subword_prefix\": \"##\", \"max_input_chars_per_word\": 10,"
    " \"vocab\": {\"[UNK]\": 0, \"[CLS]\": 1, %s\"a\": 3, \"##b\": 4, \"new\": 5}}}";

/* Whether it was opened. */
static bool open_under_limit(const char *json, size_t size, ptrdiff_t limit)
{
    static const uint32_t expected[] = {1, 3, 4, 5, 0};
    fby_tokenizer *tokenizer = NULL;

    memory_limit_end = memory_live + limit;
    fby_status status = fby_tokenizer_from_json("t.json", json, size, &tokenizer);
    memory_limit_end = PTRDIFF_MAX;
    if (status == FBY_ENOMEM)
        return false;
    if (status != FBY_OK)
        fail_msg("under %td bytes: %s: %s", limit, fby_status_name(status), fby_last_error());

    const fby_encode_options options = {.limit = 16};
    uint32_t ids[16];
    fby_encoding encoding;
    fby_tokenizer_encode(tokenizer, NULL, 0, "AB new x", 8, &options, ids, 16, &encoding);
    fby_tokenizer_close(tokenizer);
    assert_int_equal(encoding.count, 5);
    assert_memory_equal(ids, expected, sizeof expected);
    return true;
}

/* With an entry that the vocabulary's own reader passes on, too, so that the whole goes through the
 * JSON library. */
static void a_tokenizer_is_opened_right_or_there_was_no_memory(void **state)
{
    (void)state;
    for (int whole = 0; whole < 2; whole++) {
        char padding[PADDING + 1] = "", json[4096];
        memset(padding, 'x', PADDING);
        int size = snprintf(json, sizeof json, pattern, padding,
                            whole ? "\"\\ud83d\\ude00\": 2, " : "\"z\": 2, ");
        bool opened = false;
        memory_refused = 0;
        for (ptrdiff_t limit = 0; !opened; limit += STEP)
            opened = open_under_limit(json, (size_t)size, limit);
        assert_true(memory_refused > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tokenizer_is_opened_right_or_there_was_no_memory),
    };
    return cmocka_run_group_tests_name("tokenizer memory", tests, NULL, NULL);
}
