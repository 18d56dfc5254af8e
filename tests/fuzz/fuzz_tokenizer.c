/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text into each of a few tokenizers: the first byte chooses the tokenizer and
 * the options, the second the limit, the third where the text is split; the
 * rest is text. What must hold of any text is checked against a plain encoding
 * of it.
 */
#include <string.h>

#include "fuzz.h"
#include "model/tokenizer.h"

#define NORMALIZER(clean, chinese, strip, lower)                                                   \
    "{\"type\":\"BertNormalizer\",\"clean_text\":" clean ",\"handle_chinese_chars\":" chinese      \
    ",\"strip_accents\":" strip ",\"lowercase\":" lower "}"
#define ADDED(id, content, single, normalized)                                                     \
    "{\"id\":" id ",\"content\":\"" content "\",\"single_word\":" single                           \
    ",\"lstrip\":false,\"rstrip\":false,\"normalized\":" normalized ",\"special\":false}"
#define BASE_ADDED                                                                                 \
    ADDED("0", "[UNK]", "false", "false")                                                          \
    "," ADDED("1", "[CLS]", "false", "false") "," ADDED("2", "[SEP]", "false", "false")
#define TOKENIZER(normalizer, added)                                                               \
    "{\"version\":\"1.0\",\"added_tokens\":[" BASE_ADDED added "],\"normalizer\":" normalizer      \
    ",\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"},"                                          \
    "\"post_processor\":{\"type\":\"BertProcessing\",\"cls\":[\"[CLS]\",1],\"sep\":[\"[SEP]\",2]}" \
    ","                                                                                            \
    "\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"[UNK]\","                                   \
    "\"continuing_subword_prefix\":\"##\",\"max_input_chars_per_word\":12,\"vocab\":{"             \
    "\"[UNK]\":0,\"[CLS]\":1,\"[SEP]\":2,\"a\":3,\"##a\":4,\"b\":5,\"##b\":6,\"ab\":7,\"##ab\":8," \
    "\"abc\":9,\"##bc\":10,\"c\":11,\"##c\":12,\".\":13,\"[\":14,\"]\":15,\"\u4e2d\":16,"          \
    "\"\u0438\":17,\"##\u0438\":18,\"\u1100\":19,\"##\u1161\":20,\"1\":21,\"##1\":22,"             \
    "\"cls\":23,\"sep\":24,\"##\U0001D165\":25,\"##\u302E\":26,\"\u00e9\":27,\"##\u00e9\":28,"     \
    "\"##\u0301\":29,\"abcabcabcabc\":30,\"##abcabcabcabcabcabc\":31}}}"

/* Never in a text that is compared: it makes every character take the long way. */
#define APART "\U0010FFFF\U0010FFFF"
#define SLOW  "," ADDED("32", APART, "false", "true")

static const char *const sources[][2] = {
    /* A tokenizer, and the same with everything on the long way. */
    {TOKENIZER(NORMALIZER("true", "true", "null", "true"), ""),
     TOKENIZER(NORMALIZER("true", "true", "null", "true"), SLOW)},
    {TOKENIZER(NORMALIZER("true", "true", "null", "false"), ""),
     TOKENIZER(NORMALIZER("true", "true", "null", "false"), SLOW)},
    {TOKENIZER(NORMALIZER("false", "false", "false", "true"), ""),
     TOKENIZER(NORMALIZER("false", "false", "false", "true"), SLOW)},
    {TOKENIZER("null", ""), TOKENIZER("null", SLOW)},
    /* Added tokens of every kind. */
    {TOKENIZER(
         NORMALIZER("true", "true", "null", "true"),
         "," ADDED("32", "ab.", "true", "false") "," ADDED("33", "B c", "false", "true") "," ADDED(
             "27", "\u00e9", "true", "true") "," ADDED("34", "ca", "true", "true")),
     NULL},
    {TOKENIZER(NORMALIZER("true", "true", "false", "false"),
               "," ADDED("3", "a", "true", "false") "," ADDED(
                   "32", "bb", "false", "false") "," ADDED("33", "\u00e9\u4e2d", "true", "false")),
     NULL},
};
enum { TOKENIZERS = sizeof sources / sizeof *sources, IDS = 1 << 14 };

static fby_tokenizer *tokenizers[TOKENIZERS][2];
static uint32_t whole[IDS], other[IDS];
static int encoding_now;

/* The sanitizer's, called for every allocation. */
void __sanitizer_malloc_hook(const volatile void *memory, size_t size);
void __sanitizer_malloc_hook(const volatile void *memory, size_t size)
{
    (void)memory;
    (void)size;
    FUZZ_CHECK(!encoding_now);
}

static void open_all(void)
{
    for (int i = 0; i < TOKENIZERS; i++) {
        for (int j = 0; j < 2 && sources[i][j] != NULL; j++) {
            if (fby_tokenizer_from_json("fuzz", sources[i][j], strlen(sources[i][j]),
                                        &tokenizers[i][j]) != FBY_OK) {
                fprintf(stderr, "%d: %s\n", i, fby_last_error());
                abort();
            }
        }
    }
}

static fby_encoding encode(const fby_tokenizer *tokenizer, const uint8_t *text, size_t at,
                           size_t size, const fby_encode_options *options, uint32_t *ids)
{
    fby_encoding encoding;
    encoding_now = 1;
    fby_tokenizer_encode(tokenizer, (const char *)text, at, (const char *)text + at, size - at,
                         options, ids, IDS, &encoding);
    encoding_now = 0;
    for (size_t i = 0; i < encoding.count; i++)
        FUZZ_CHECK(ids[i] < fby_tokenizer_vocabulary(tokenizer));
    return encoding;
}

static void check_same(const fby_tokenizer *tokenizer, const uint8_t *text, size_t at, size_t size,
                       const fby_encode_options *options, const fby_encoding *expected)
{
    fby_encoding got = encode(tokenizer, text, at, size, options, other);
    FUZZ_CHECK(got.count == expected->count);
    FUZZ_CHECK(got.full_count == expected->full_count);
    FUZZ_CHECK(got.replaced == expected->replaced);
    FUZZ_CHECK(memcmp(other, whole, got.count * sizeof *other) == 0);
}

/* A limited encoding is the special tokens and one side of the whole's others. */
static void check_limited(const fby_tokenizer *tokenizer, const uint8_t *text, size_t at,
                          size_t size, fby_encode_options options, const fby_encoding *expected)
{
    size_t before = options.no_special ? 0 : 1, special = 2 * before;
    fby_encoding got = encode(tokenizer, text, at, size, &options, other);
    FUZZ_CHECK(got.count <= options.limit);
    FUZZ_CHECK(got.truncated == (got.count < expected->count));
    FUZZ_CHECK(got.full_count <= expected->count);
    FUZZ_CHECK(got.full_count > got.count || !got.truncated);
    if (options.full_count || !got.truncated)
        FUZZ_CHECK(got.full_count == expected->count && got.replaced == expected->replaced);
    if (got.count < special)
        return;
    size_t kept = got.count - special, from = options.left ? expected->count - got.count : 0;
    FUZZ_CHECK(memcmp(other + before, whole + before + from, kept * sizeof *other) == 0);
    FUZZ_CHECK(special == 0 || (other[0] == whole[0] && other[got.count - 1] == 2));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (tokenizers[0][0] == NULL)
        open_all();
    uint8_t choice = fuzz_byte(&data, &size), limit = fuzz_byte(&data, &size);
    uint8_t split = fuzz_byte(&data, &size);
    if (size > IDS - 2)
        return 0;
    int index = choice % TOKENIZERS;
    const fby_tokenizer *tokenizer = tokenizers[index][0];
    fby_encode_options options = {.no_special = choice >> 7 & 1};
    fby_encoding expected = encode(tokenizer, data, 0, size, &options, whole);
    FUZZ_CHECK(!expected.truncated && expected.count <= size + 2);

    size_t at = size * split / 255;
    check_same(tokenizer, data, at, size, &options, &expected);
    if (tokenizers[index][1] != NULL && memmem(data, size, "\xF4\x8F\xBF\xBF", 4) == NULL)
        check_same(tokenizers[index][1], data, at, size, &options, &expected);

    options.left = choice >> 6 & 1;
    options.full_count = choice >> 5 & 1;
    options.limit = limit;
    if (limit > 0)
        check_limited(tokenizer, data, at, size, options, &expected);
    return 0;
}
