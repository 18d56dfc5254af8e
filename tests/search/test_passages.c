/* SPDX-License-Identifier: Apache-2.0 */
#include "search/passages.h"
#include "test.h"

/* A token is a run of what is not blank. */
static fby_status count_words(void *context, const char *bytes, size_t size, uint32_t *tokens)
{
    uint32_t words = 0;
    bool inside = false;
    (void)context;
    for (size_t i = 0; i < size; i++) {
        bool blank = bytes[i] == ' ' || (bytes[i] >= '\t' && bytes[i] <= '\r');
        words += !blank && !inside;
        inside = !blank;
    }
    *tokens = words;
    return FBY_OK;
}

static fby_passages split_to(const char *text, bool code, uint32_t target, uint32_t max)
{
    fby_passages passages = {0};
    fby_passage_limits limits = {target, max, count_words, NULL};
    assert_int_equal(fby_passages_split(text, strlen(text), code, &limits, &passages), FBY_OK);
    return passages;
}

/* The passages of `text`, a line each: "first-last heading> words", '|' for the end of a line. */
static const char *split(const char *text, bool code, uint32_t target)
{
    static char out[8192];
    fby_passages passages = split_to(text, code, target, 2 * target);
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < passages.count; i++) {
        const fby_passage *p = &passages.list[i];
        used += (size_t)snprintf(out + used, sizeof out - used, "%u-%u %.*s> ", p->first_line,
                                 p->last_line, (int)(p->heading_end - p->heading_begin),
                                 text + p->heading_begin);
        for (size_t at = p->begin; at < p->end; at++)
            out[used++] = text[at] == '\n' ? '|' : text[at];
        out[used++] = '\n';
        out[used] = '\0';
    }
    fby_passages_drop(&passages);
    return out;
}

static void nothing_but_blanks_has_no_passage(void **state)
{
    (void)state;
    assert_string_equal(split("", false, 8), "");
    assert_string_equal(split(" \n\t\r\n \n", false, 8), "");
    assert_string_equal(split("\n\n", true, 8), "");
}

static void small_paragraphs_are_put_together(void **state)
{
    (void)state;
    assert_string_equal(split("one two\n\nthree four\n\nfive six\nseven\n", false, 4),
                        "1-3 > one two||three four\n"
                        "5-6 > five six|seven\n");
}

static void a_heading_begins_a_passage_and_goes_on_with_the_next(void **state)
{
    (void)state;
    assert_string_equal(split("# Top\n\none two three four five\n\nsix seven eight nine ten\n"
                              "\n# Next #\n\neleven\n",
                              false, 7),
                        "1-3 > # Top||one two three four five\n"
                        "5-5 Top> six seven eight nine ten\n"
                        "7-9 > # Next #||eleven\n");
}

static void every_manner_of_heading_is_one(void **state)
{
    (void)state;
    assert_string_equal(split("Title\n=====\n\none\n\nSub\n---\n\ntwo three four five six\n\n"
                              "====\nOver\n====\n\nseven\n\nTilde title\n~~~~~~~~~~~\nx\n",
                              false, 6),
                        "1-4 > Title|=====||one\n"
                        "6-9 > Sub|---||two three four five six\n"
                        "11-15 > ====|Over|====||seven\n"
                        "17-19 > Tilde title|~~~~~~~~~~~|x\n");
    assert_string_equal(
        split("not a heading #\n\n#neither\n\n- item\n\na | b\n--- | ---\n", false, 40),
        "1-8 > not a heading #||#neither||- item||a | b|--- | ---\n");
}

static void a_heading_stays_with_what_follows(void **state)
{
    (void)state;
    assert_string_equal(
        split("# A\n\none two three\n\n## B\n\nfour five six seven eight\n", false, 8),
        "1-3 > # A||one two three\n"
        "5-7 > ## B||four five six seven eight\n");
    assert_string_equal(split("# A\n\n## B\n\none\n", false, 8), "1-5 > # A||## B||one\n");
    assert_string_equal(split("words\n\n# Only\n", false, 8), "1-1 > words\n3-3 > # Only\n");
}

static void a_lesser_heading_joins_a_small_beginning(void **state)
{
    (void)state;
    assert_string_equal(
        split("# A\n\none\n\n## B\n\ntwo\n\n## C\n\nthree\n\n# D\n\nfour\n", false, 20),
        "1-11 > # A||one||## B||two||## C||three\n"
        "13-15 > # D||four\n");
}

static void a_long_paragraph_is_parted_between_sentences_evenly(void **state)
{
    (void)state;
    assert_string_equal(
        split("One two three. Four five six. Seven e.g. nine. Ten Dr. Twelve! A b c?\n", false, 6),
        "1-1 > One two three. Four five six.\n"
        "1-1 > Seven e.g. nine. Ten Dr. Twelve!\n"
        "1-1 > A b c?\n");
}

static void a_sentence_without_end_is_parted_between_lines_then_words(void **state)
{
    (void)state;
    assert_string_equal(split("a b c d\ne f g h\n", false, 4), "1-1 > a b c d\n2-2 > e f g h\n");
    assert_string_equal(split("a b c d e f g h i j k l\n", false, 4),
                        "1-1 > a b c d\n1-1 > e f g h\n1-1 > i j k l\n");
}

static void bytes_without_a_blank_are_parted_between_characters(void **state)
{
    (void)state;
    enum { SIZE = 3000 };
    char text[SIZE + 1];
    for (int i = 0; i < SIZE; i += 3)
        memcpy(text + i, "\xe6\xb0\xb4", 3);
    text[SIZE] = '\0';
    fby_passages passages = split_to(text, false, 10, 20);
    assert_true(passages.count > 10);
    for (size_t i = 0; i < passages.count; i++) {
        assert_int_equal(passages.list[i].begin % 3, 0);
        assert_true(passages.list[i].end - passages.list[i].begin <= 20 * 16);
    }
    fby_passages_drop(&passages);
}

static void code_is_parted_where_nothing_is_indented(void **state)
{
    (void)state;
    assert_string_equal(
        split("int a;\n\nint f(void)\n{\n    one;\n\n    two;\n}\n\nint g(void)\n{\n}\n"
              "\nint b;\n",
              true, 8),
        "1-8 > int a;||int f(void)|{|    one;||    two;|}\n"
        "10-12 > int g(void)|{|}\n"
        "14-14 > int b;\n");
    assert_string_equal(split("# a comment\nx = 1\n", true, 8), "1-2 > # a comment|x = 1\n");
}

static void fenced_code_is_one_block_without_headings(void **state)
{
    (void)state;
    assert_string_equal(split("# A\n\none two three four\n\n```sh\n# not a heading\n\nmake\n```\n"
                              "\nfive\n",
                              false, 7),
                        "1-3 > # A||one two three four\n"
                        "5-9 A> ```sh|# not a heading||make|```\n"
                        "11-11 A> five\n");
    assert_string_equal(split("```\nnever closed\n\n# x\n", false, 9),
                        "1-4 > ```|never closed||# x\n");
}

static void carriage_returns_are_blanks(void **state)
{
    (void)state;
    assert_string_equal(split("Title\r\n=====\r\n\r\none\r\n\r\n", false, 8),
                        "1-4 > Title\r|=====\r|\r|one\n");
}

/* Whatever the text: in order, none empty, none too long, and every byte that is not blank in
 * exactly one. */
static void random_text_is_covered_once(void **state)
{
    (void)state;
    fby_rng rng = fby_rng_from_env();
    static const char *const pieces[] = {"word ",   "\n",           "\n\n",  "# ",    "## Head\n",
                                         "===\n",   "---\n",        ". ",    "```\n", "    ",
                                         "- item ", "\xe6\xb0\xb4", "\xff",  "long",  "}\n",
                                         "? A",     "\r\n",         "~~~~\n"};
    for (int round = 0; round < 3000; round++) {
        static char text[1 << 16];
        size_t size = 0;
        for (uint64_t i = fby_rng_below(&rng, 400); i > 0; i--) {
            const char *piece = pieces[fby_rng_below(&rng, sizeof pieces / sizeof pieces[0])];
            memcpy(text + size, piece, strlen(piece));
            size += strlen(piece);
        }
        text[size] = '\0';
        uint32_t target = 1 + (uint32_t)fby_rng_below(&rng, 30);
        uint32_t max = target + (uint32_t)fby_rng_below(&rng, 30);
        fby_passages passages = split_to(text, fby_rng_bool(&rng), target, max);
        size_t at = 0;
        uint32_t line = 1;
        for (size_t i = 0; i <= passages.count; i++) {
            const fby_passage end = {.begin = size, .end = size};
            const fby_passage *p = i < passages.count ? &passages.list[i] : &end;
            assert_true(p->begin >= at);
            for (; at < p->begin; at++) {
                assert_true(text[at] == ' ' || (text[at] >= '\t' && text[at] <= '\r'));
                line += text[at] == '\n';
            }
            if (i == passages.count)
                break;
            assert_true(p->begin < p->end && p->end <= size);
            assert_int_equal(p->first_line, line);
            for (; at < p->end; at++)
                line += text[at] == '\n';
            assert_int_equal(p->last_line, line);
            assert_true(p->heading_end <= p->begin || p->heading_begin == p->heading_end);
            uint32_t words;
            count_words(NULL, text + p->begin, p->end - p->begin, &words);
            assert_true(words <= max + 1); /* bytes cut a word in two */
        }
        fby_passages_drop(&passages);
    }
}

static fby_status count_fails(void *context, const char *bytes, size_t size, uint32_t *tokens)
{
    (void)bytes;
    (void)size;
    int *left = context;
    *tokens = 3;
    return (*left)-- > 0 ? FBY_OK : fby_error(FBY_ENOMEM, "no more counting");
}

static void a_count_that_fails_leaves_the_passages_as_they_were(void **state)
{
    (void)state;
    static const char text[] = "# a\n\nb c d\n\ne f g. H i j. K l.\n\nm\n";
    for (int works = 0; works < 6; works++) {
        int left = works;
        fby_passages passages = {0};
        fby_passage_limits limits = {2, 2, count_fails, &left};
        assert_int_equal(fby_passages_split(text, sizeof text - 1, false, &limits, &passages),
                         FBY_ENOMEM);
        assert_int_equal(passages.count, 0);
        fby_passages_drop(&passages);
    }
}

static void code_and_binary_files_are_told_apart(void **state)
{
    (void)state;
    assert_true(fby_is_code("src/a.c"));
    assert_true(fby_is_code("Makefile"));
    assert_true(fby_is_code("x/y.PY"));
    assert_false(fby_is_code("README.md"));
    assert_false(fby_is_code("c"));
    assert_true(fby_is_binary("\x7f"
                              "ELF\0\0",
                              6));
    assert_false(fby_is_binary("", 0));
    assert_false(fby_is_binary("caf\xe9, and more words to it", 26));
    assert_true(fby_is_binary("\xe9\xe8\xff abc", 7));
    assert_false(fby_is_binary("\xe6\xb0\xb4", 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_but_blanks_has_no_passage),
        cmocka_unit_test(small_paragraphs_are_put_together),
        cmocka_unit_test(a_heading_begins_a_passage_and_goes_on_with_the_next),
        cmocka_unit_test(every_manner_of_heading_is_one),
        cmocka_unit_test(a_heading_stays_with_what_follows),
        cmocka_unit_test(a_lesser_heading_joins_a_small_beginning),
        cmocka_unit_test(a_long_paragraph_is_parted_between_sentences_evenly),
        cmocka_unit_test(a_sentence_without_end_is_parted_between_lines_then_words),
        cmocka_unit_test(bytes_without_a_blank_are_parted_between_characters),
        cmocka_unit_test(code_is_parted_where_nothing_is_indented),
        cmocka_unit_test(fenced_code_is_one_block_without_headings),
        cmocka_unit_test(carriage_returns_are_blanks),
        cmocka_unit_test(random_text_is_covered_once),
        cmocka_unit_test(a_count_that_fails_leaves_the_passages_as_they_were),
        cmocka_unit_test(code_and_binary_files_are_told_apart),
    };
    return cmocka_run_group_tests_name("passages", tests, NULL, NULL);
}
