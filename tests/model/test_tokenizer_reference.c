/* SPDX-License-Identifier: Apache-2.0 */
/* Ids against those of the PyPI package `tokenizers`, which tests/data/tokenizer/make.py kept. */
#include "model/utf8.h"
#include "tokenizer_test.h"

enum { IDS = 4096, SPECIAL = 2 };

/* ---- every code point ---- */

static fby_tokenizer *current;
static char current_settings[5];

static uint64_t digest_text(uint64_t digest, const unsigned char *text, size_t size)
{
    static const fby_encode_options plain = {.no_special = true};
    uint32_t ids[16];
    fby_encoding encoding = test_encode(current, text, size, &plain, ids, 16);
    assert_true(encoding.count <= 16);
    digest = test_digest(digest, (uint32_t)encoding.count);
    for (size_t i = 0; i < encoding.count; i++)
        digest = test_digest(digest, ids[i]);
    return digest;
}

static void check_blocks(const test_blocks *blocks)
{
    if (strcmp(current_settings, blocks->settings) != 0) {
        fby_tokenizer_close(current);
        current = test_tokenizer_with(blocks->settings);
        memcpy(current_settings, blocks->settings, sizeof current_settings);
    }
    for (uint32_t block = blocks->first; block <= blocks->last; block++) {
        uint64_t digest = TEST_DIGEST;
        for (uint32_t c = block * blocks->size; c < (block + 1) * blocks->size; c++) {
            if (test_is_surrogate(c))
                continue;
            unsigned char text[2 + FBY_UTF8_MAX] = "a";
            uint32_t length = fby_utf8_encode(c, text + 1);
            text[1 + length] = 'b';
            digest = digest_text(digest, text + 1, length);
            digest = digest_text(digest, text, length + 2);
        }
        if (digest != blocks->digest)
            fail_msg("settings %s: the block from U+%04X on differs", blocks->settings,
                     block * blocks->size);
    }
}

static void every_code_point_alone_and_inside_a_word_has_its_ids(void **state)
{
    (void)state;
    test_each_blocks("ids", check_blocks);
    fby_tokenizer_close(current);
    current = NULL;
}

/* ---- texts ---- */

typedef struct reference {
    const char *text;
    size_t size;
    uint32_t ids[IDS]; /* special ones included */
    size_t count;
} reference;

static fby_tokenizer *tokenizer;
static char *file;
static size_t file_size;

/* Reads the record at `*at` of texts.bin. */
static void reference_read(size_t *at, reference *out)
{
    uint32_t head[2];
    assert_true(file_size - *at >= sizeof head);
    memcpy(head, file + *at, sizeof head);
    *at += sizeof head;
    assert_true(head[1] <= IDS && file_size - *at >= head[0] + 2 * head[1]);
    out->text = file + *at;
    out->size = head[0];
    *at += head[0];
    out->count = head[1];
    for (size_t i = 0; i < out->count; i++, *at += 2)
        out->ids[i] = (unsigned char)file[*at] | (uint32_t)(unsigned char)file[*at + 1] << 8;
}

static void each_text(void (*check)(const reference *, fby_rng *))
{
    fby_rng rng = fby_rng_from_env();
    reference text;
    size_t count = 0;
    for (size_t at = 0; at < file_size; count++) {
        reference_read(&at, &text);
        check(&text, &rng);
    }
    assert_true(count >= 2000);
}

static void expect(const reference *text, const fby_encode_options *options, const uint32_t *ids,
                   size_t count)
{
    uint32_t got[IDS];
    fby_encoding encoding = test_encode(tokenizer, text->text, text->size, options, got, IDS);
    if (encoding.count != count || memcmp(got, ids, count * sizeof *ids) != 0)
        fail_msg("limit %u, %s: other ids for \"%.*s\"", options->limit,
                 options->left ? "left" : "right", (int)text->size, text->text);
    assert_int_equal(encoding.truncated, text->count > count);
    assert_int_equal(encoding.replaced, 0);
    if (!encoding.truncated || options->full_count || options->left)
        assert_int_equal(encoding.full_count, text->count);
    else
        assert_in_range(encoding.full_count, count + 1, text->count);
}

static void check_whole(const reference *text, fby_rng *rng)
{
    (void)rng;
    expect(text, &(fby_encode_options){0}, text->ids, text->count);
}

static void texts_of_every_script_and_kind_have_their_ids(void **state)
{
    (void)state;
    each_text(check_whole);
}

/* make.py saw that the package cuts so: specials stay, the first or last of the text between. */
static void check_truncated(const reference *text, fby_rng *rng)
{
    static const uint32_t limits[] = {256, 8, 3};
    for (int i = 0; i < 6; i++) {
        fby_encode_options options = {.limit = limits[i / 2], .left = i % 2 == 1};
        options.full_count = fby_rng_bool(rng);
        uint32_t ids[IDS];
        size_t inner = text->count - SPECIAL, room = options.limit - SPECIAL;
        size_t kept = inner < room ? inner : room;
        ids[0] = text->ids[0];
        memcpy(ids + 1, text->ids + 1 + (options.left ? inner - kept : 0), kept * sizeof *ids);
        ids[kept + 1] = text->ids[text->count - 1];
        expect(text, &options, ids, kept + SPECIAL);
    }
}

static void truncated_texts_keep_the_ids_of_their_side(void **state)
{
    (void)state;
    each_text(check_truncated);
}

static void check_split(const reference *text, fby_rng *rng)
{
    static const fby_encode_options plain = {0};
    uint32_t ids[IDS];
    fby_encoding encoding;
    size_t at = fby_rng_below(rng, text->size + 1);
    fby_tokenizer_encode(tokenizer, text->text, at, text->text + at, text->size - at, &plain, ids,
                         IDS, &encoding);
    if (encoding.count != text->count || memcmp(ids, text->ids, text->count * sizeof *ids) != 0)
        fail_msg("split at %zu: other ids for \"%.*s\"", at, (int)text->size, text->text);
}

static void a_prefix_and_a_text_are_one_text_wherever_it_is_split(void **state)
{
    (void)state;
    for (int i = 0; i < 8; i++)
        each_text(check_split);
}

static int open_all(void **state)
{
    (void)state;
    tokenizer = test_tokenizer();
    file = test_read(getenv("FBY_TEST_DATA"), "tokenizer/texts.bin", &file_size);
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    fby_tokenizer_close(tokenizer);
    free(file);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_point_alone_and_inside_a_word_has_its_ids),
        cmocka_unit_test(texts_of_every_script_and_kind_have_their_ids),
        cmocka_unit_test(truncated_texts_keep_the_ids_of_their_side),
        cmocka_unit_test(a_prefix_and_a_text_are_one_text_wherever_it_is_split),
    };
    return cmocka_run_group_tests_name("tokenizer_reference", tests, open_all, close_all);
}
