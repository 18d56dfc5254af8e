/* SPDX-License-Identifier: Apache-2.0 */
#include "tokenizer_test.h"

enum { IDS = 4096 };
static fby_tokenizer *tokenizer;

static int open_tokenizer(void **state)
{
    (void)state;
    tokenizer = test_tokenizer();
    return 0;
}

static int close_tokenizer(void **state)
{
    (void)state;
    fby_tokenizer_close(tokenizer);
    return 0;
}

static void expect_ids(const char *text, size_t size, const uint32_t *expected, size_t count)
{
    static const fby_encode_options plain = {.no_special = true};
    uint32_t ids[IDS];
    fby_encoding encoding = test_encode(tokenizer, text, size, &plain, ids, IDS);
    assert_int_equal(encoding.count, count);
    assert_int_equal(encoding.full_count, count);
    assert_false(encoding.truncated);
    assert_memory_equal(ids, expected, count * sizeof *ids);
}

#define EXPECT(text, ...)                                                                          \
    do {                                                                                           \
        const uint32_t expected[] = {__VA_ARGS__};                                                 \
        expect_ids(text, sizeof(text) - 1, expected, sizeof expected / sizeof *expected);          \
    } while (0)

static void words_of_the_vocabulary_are_one_id_whatever_their_case(void **state)
{
    (void)state;
    EXPECT("The quick brown fox", 1996, 4248, 2829, 4419);
    EXPECT("tHe  QUICK\tbrown\nfox ", 1996, 4248, 2829, 4419);
}

static void punctuation_is_a_word_of_its_own(void **state)
{
    (void)state;
    EXPECT("Hello, world!", 7592, 1010, 2088, 999);
    EXPECT("don't", 2123, 1005, 1056);
}

static void other_words_are_cut_into_the_longest_pieces(void **state)
{
    (void)state;
    EXPECT("unaffable embeddings", 14477, 20961, 3468, 7861, 8270, 4667, 2015);
}

static void accents_are_stripped(void **state)
{
    (void)state;
    EXPECT("Café naïve", 7668, 15743);
    EXPECT("Cafe\u0301 nai\u0308ve", 7668, 15743);
    EXPECT("\u0130stanbul", 9960);
}

static void hangul_falls_into_its_letters(void **state)
{
    (void)state;
    EXPECT("한국", 1469, 30006, 30021, 29991, 30014, 30020);
}

static void chinese_characters_are_words_of_their_own(void **state)
{
    (void)state;
    EXPECT("北京 2024", 1781, 1755, 16798, 2549);
}

static void control_characters_and_replacement_characters_vanish(void **state)
{
    (void)state;
    EXPECT("a\0b\uFFFDc", 5925);
}

static void invalid_utf8_vanishes_as_a_replacement_character_and_is_counted(void **state)
{
    (void)state;
    /* Three maximal subparts: a lead cut short, a surrogate's lead, and its other two bytes. */
    static const char text[] = "a\xE2\x82"
                               "b\xED\xA0\x80"
                               "c";
    fby_encode_options options = {.no_special = true};
    uint32_t ids[IDS];
    fby_encoding encoding = test_encode(tokenizer, text, sizeof text - 1, &options, ids, IDS);
    assert_int_equal(encoding.count, 1);
    assert_int_equal(ids[0], 5925);
    assert_int_equal(encoding.replaced, 4);
}

static void what_no_piece_covers_is_unknown(void **state)
{
    (void)state;
    EXPECT("I \u2764 \U0001F980", 1045, TEST_UNK, TEST_UNK);
}

static void special_tokens_in_the_text_are_themselves(void **state)
{
    (void)state;
    EXPECT("[CLS] x [MASK]", TEST_CLS, 1060, 103);
    EXPECT("x[SEP]x", 1060, TEST_SEP, 1060);
    EXPECT("[sep]", 1031, 19802, 1033);
}

static void a_word_of_more_than_100_characters_is_unknown(void **state)
{
    (void)state;
    char text[2 * 101];
    uint32_t expected[50] = {22038};
    for (int i = 1; i < 50; i++)
        expected[i] = 20348;
    memset(text, 'x', sizeof text);
    expect_ids(text, 100, expected, 50);
    expected[0] = TEST_UNK;
    expect_ids(text, 101, expected, 1);
    expect_ids(text, 202, expected, 1);
}

static void the_template_stands_around_a_text(void **state)
{
    (void)state;
    const fby_encode_options options = {0};
    uint32_t ids[IDS];
    assert_int_equal(fby_tokenizer_special_count(tokenizer), 2);
    fby_encoding encoding = test_encode(tokenizer, "fox", 3, &options, ids, IDS);
    assert_int_equal(encoding.count, 3);
    assert_int_equal(ids[0], TEST_CLS);
    assert_int_equal(ids[1], 4419);
    assert_int_equal(ids[2], TEST_SEP);

    encoding = test_encode(tokenizer, NULL, 0, &options, ids, IDS);
    assert_int_equal(encoding.count, 2);
    assert_int_equal(ids[0], TEST_CLS);
    assert_int_equal(ids[1], TEST_SEP);
}

static void a_piece_is_found_by_its_id(void **state)
{
    (void)state;
    size_t size = 0;
    assert_int_equal(fby_tokenizer_vocabulary(tokenizer), 30522);
    assert_memory_equal(fby_tokenizer_piece(tokenizer, 8270, &size), "##bed", 5);
    assert_int_equal(size, 5);
    assert_null(fby_tokenizer_piece(tokenizer, 30522, &size));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_of_the_vocabulary_are_one_id_whatever_their_case),
        cmocka_unit_test(punctuation_is_a_word_of_its_own),
        cmocka_unit_test(other_words_are_cut_into_the_longest_pieces),
        cmocka_unit_test(accents_are_stripped),
        cmocka_unit_test(hangul_falls_into_its_letters),
        cmocka_unit_test(chinese_characters_are_words_of_their_own),
        cmocka_unit_test(control_characters_and_replacement_characters_vanish),
        cmocka_unit_test(invalid_utf8_vanishes_as_a_replacement_character_and_is_counted),
        cmocka_unit_test(what_no_piece_covers_is_unknown),
        cmocka_unit_test(special_tokens_in_the_text_are_themselves),
        cmocka_unit_test(a_word_of_more_than_100_characters_is_unknown),
        cmocka_unit_test(the_template_stands_around_a_text),
        cmocka_unit_test(a_piece_is_found_by_its_id),
    };
    return cmocka_run_group_tests_name("tokenizer", tests, open_tokenizer, close_tokenizer);
}
