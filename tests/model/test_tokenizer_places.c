/* SPDX-License-Identifier: Apache-2.0 */
/* Where tokens stand and what ids decode to, against the PyPI package `tokenizers`
 * (tests/data/tokenizer/make.py) and against fby_tokenizer_encode(). */
#include "model/utf8.h"
#include "tokenizer_test.h"

enum { IDS = 8192 };

static fby_tokenizer *tokenizer;

static int setup(void **state)
{
    (void)state;
    tokenizer = test_tokenizer();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fby_tokenizer_close(tokenizer);
    return 0;
}

typedef struct places {
    fby_token_place tokens[IDS];
    uint32_t ids[IDS];
    size_t count;
} places;

static void keep(void *context, const fby_token_place *token)
{
    places *out = context;
    assert_true(out->count < IDS);
    out->ids[out->count] = token->id;
    out->tokens[out->count++] = *token;
}

static void locate(const fby_tokenizer *t, const char *text, size_t size, bool no_special,
                   places *out)
{
    /* On the heap and not a byte more, so that too much written is seen. */
    void *scratch = malloc(fby_tokenizer_places_scratch(t, text, size) + 1);
    out->count = 0;
    fby_tokenizer_places(t, text, size, no_special, scratch, keep, out);
    free(scratch);
}

static uint64_t digest_decoded(const places *at, bool skip)
{
    uint64_t digest = TEST_DIGEST;
    size_t size = fby_tokenizer_decode(tokenizer, at->ids, at->count, skip, NULL, 0);
    char *text = malloc(size + 1);
    assert_int_equal(fby_tokenizer_decode(tokenizer, at->ids, at->count, skip, text, size), size);
    for (size_t i = 0; i < size; i++)
        digest = test_digest(digest, (unsigned char)text[i]);
    free(text);
    return digest;
}

static void texts_of_every_script_have_their_places_and_decode(void **state)
{
    (void)state;
    static places found;
    size_t size, wanted_size, at = 0, number = 0;
    char *texts = test_read(getenv("FBY_TEST_DATA"), "tokenizer/texts.bin", &size);
    char *wanted = test_read(getenv("FBY_TEST_DATA"), "tokenizer/places.bin", &wanted_size);

    for (; at < size; number++) {
        uint32_t head[2];
        uint64_t digests[3];
        memcpy(head, texts + at, sizeof head);
        assert_true((number + 1) * sizeof digests <= wanted_size);
        memcpy(digests, wanted + number * sizeof digests, sizeof digests);
        locate(tokenizer, texts + at + sizeof head, head[0], false, &found);
        assert_int_equal(found.count, head[1]);
        uint64_t digest = TEST_DIGEST;
        for (size_t i = 0; i < found.count; i++) {
            digest = test_digest(digest, found.tokens[i].id);
            digest = test_digest(digest, found.tokens[i].start);
            digest = test_digest(digest, found.tokens[i].stop);
        }
        /* 0: see reorders() there. */
        if (digests[0] != 0 && digest != digests[0])
            fail_msg("text %zu, %.*s: other places", number, (int)head[0],
                     texts + at + sizeof head);
        if (digest_decoded(&found, true) != digests[1] ||
            digest_decoded(&found, false) != digests[2])
            fail_msg("text %zu, %.*s: decoded otherwise", number, (int)head[0],
                     texts + at + sizeof head);
        at += sizeof head + head[0] + 2 * head[1];
    }
    assert_int_equal(number * 3 * sizeof(uint64_t), wanted_size);
    free(texts);
    free(wanted);
}

/* Under settings that keep marks, and with added tokens that are found in the normalized text. */
static void ids_are_those_of_encode(void **state)
{
    (void)state;
    static const char *const parts[] = {"hello",
                                        " ",
                                        "WORLD",
                                        "\xc3\xa9",
                                        "e\xcc\x81",
                                        "[MASK]",
                                        "[SEP]",
                                        ".",
                                        "\xe4\xb8\xad",
                                        "x",
                                        "\xcd\xa0\xcc\x81",
                                        "_",
                                        "new york",
                                        "New",
                                        " York",
                                        "\xf0\x9f\xa6\x80",
                                        "\t",
                                        "'s"};
    static places found;
    static uint32_t ids[IDS];
    fby_rng rng = fby_rng_from_env();
    fby_tokenizer *kept = test_tokenizer_with("1101");
    size_t json_size;
    char *json = test_read(test_model(), "tokenizer.json", &json_size);
    char *added = test_replace(json, "\"normalized\":false}],",
                               "\"normalized\":false},{\"id\":30522,\"special\":false,\"content\":"
                               "\"New York\",\"single_word\":true,\"lstrip\":false,\"rstrip\":"
                               "false,\"normalized\":true}],");
    fby_tokenizer *normalized;
    if (fby_tokenizer_from_json("added", added, strlen(added), &normalized) != FBY_OK)
        fail_msg("%s", fby_last_error());

    for (int round = 0; round < 3000; round++) {
        const fby_tokenizer *t = round % 3 == 0 ? tokenizer : round % 3 == 1 ? kept : normalized;
        char text[256] = "";
        bool no_special = fby_rng_bool(&rng);
        for (uint64_t i = fby_rng_below(&rng, 12); i > 0; i--)
            strcat(text, parts[fby_rng_below(&rng, sizeof parts / sizeof parts[0])]);
        fby_encode_options options = {.no_special = no_special};
        fby_encoding encoding = test_encode(t, text, strlen(text), &options, ids, IDS);
        locate(t, text, strlen(text), no_special, &found);
        assert_int_equal(found.count, encoding.count);
        assert_memory_equal(found.ids, ids, encoding.count * sizeof *ids);
        for (size_t i = 0; i < found.count; i++) {
            const fby_token_place *token = &found.tokens[i];
            assert_true(token->start <= token->stop && token->stop <= strlen(text));
            assert_true(token->special || token->start < token->stop);
            assert_true(token->special || i == 0 || token->start >= found.tokens[i - 1].start);
        }
    }
    fby_tokenizer_close(kept);
    fby_tokenizer_close(normalized);
    free(json);
    free(added);
}

static void decode_leaves_out_what_the_vocabulary_lacks(void **state)
{
    (void)state;
    /* [CLS] hello , 5000000 (none) world ##s ! [SEP] */
    const uint32_t ids[] = {101, 7592, 1010, 5000000, 2088, 2015, 999, 102};
    char text[64];
    size_t size = fby_tokenizer_decode(tokenizer, ids, 8, true, text, sizeof text);
    assert_int_equal(size, strlen("hello, worlds!"));
    assert_memory_equal(text, "hello, worlds!", size);
    size = fby_tokenizer_decode(tokenizer, ids, 8, false, text, sizeof text);
    assert_int_equal(size, strlen("[CLS] hello, worlds! [SEP]"));
    assert_memory_equal(text, "[CLS] hello, worlds! [SEP]", size);
    memset(text, 'x', sizeof text);
    assert_int_equal(fby_tokenizer_decode(tokenizer, ids, 8, true, text, 6), size - 12);
    assert_memory_equal(text, "hello,x", 7);
    assert_int_equal(fby_tokenizer_decode(tokenizer, ids, 0, true, text, sizeof text), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_of_every_script_have_their_places_and_decode),
        cmocka_unit_test(ids_are_those_of_encode),
        cmocka_unit_test(decode_leaves_out_what_the_vocabulary_lacks),
    };
    return cmocka_run_group_tests_name("tokenizer_places", tests, setup, teardown);
}
