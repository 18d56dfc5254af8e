/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the tokenizer share: the real model's, other settings of it, and the files of
 * tests/data/tokenizer. */
#ifndef FBY_TOKENIZER_TEST_H
#define FBY_TOKENIZER_TEST_H

#include "model/tokenizer.h"
#include "test.h"

#define TEST_CLS 101u
#define TEST_SEP 102u
#define TEST_UNK 100u

/* Fails, does not skip, where the model is missing. */
static inline const char *test_model(void)
{
    const char *dir = getenv("FBY_TEST_MODEL");
    if (dir == NULL)
        fail_msg("FBY_TEST_MODEL names no model directory: `make model` fetches it");
    return dir;
}

static inline fby_tokenizer *test_tokenizer(void)
{
    fby_tokenizer *tokenizer;
    if (fby_tokenizer_open(test_model(), &tokenizer) != FBY_OK)
        fail_msg("%s", fby_last_error());
    return tokenizer;
}

static inline fby_encoding test_encode(const fby_tokenizer *tokenizer, const void *text,
                                       size_t size, const fby_encode_options *options,
                                       uint32_t *ids, size_t capacity)
{
    fby_encoding encoding;
    fby_tokenizer_encode(tokenizer, NULL, 0, text, size, options, ids, capacity, &encoding);
    return encoding;
}

/* The bytes of a file, a NUL behind them; free() them. */
static inline char *test_read(const char *dir, const char *name, size_t *size)
{
    char path[4096];
    if (dir == NULL)
        fail_msg("no directory for %s", name);
    snprintf(path, sizeof path, "%s/%s", dir != NULL ? dir : "", name);
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        fail_msg("%s cannot be read", path);
    fseek(file, 0, SEEK_END);
    *size = (size_t)ftell(file);
    rewind(file);
    char *bytes = malloc(*size + 1);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, *size, file), *size);
    bytes[*size] = '\0';
    fclose(file);
    return bytes;
}

/* A copy of `text` with the first `old` replaced; free() it. */
static inline char *test_replace(const char *text, const char *old, const char *new)
{
    const char *at = strstr(text, old);
    if (at == NULL)
        fail_msg("a string to replace is not there");
    size_t size = strlen(text) - strlen(old) + strlen(new) + 1;
    char *out = malloc(size);
    assert_non_null(out);
    snprintf(out, size, "%.*s%s%s", (int)(at - text), text, new, at + strlen(old));
    return out;
}

/* The real model's tokenizer.json with the normalizer of `settings`, four digits 0 or 1:
 * clean_text, handle_chinese_chars, strip_accents, lowercase. */
static inline fby_tokenizer *test_tokenizer_with(const char *settings)
{
    char normalizer[256];
    const char *words[] = {"false", "true"};
    snprintf(normalizer, sizeof normalizer,
             "\"clean_text\":%s,\"handle_chinese_chars\":%s,\"strip_accents\":%s,\"lowercase\":%s",
             words[settings[0] - '0'], words[settings[1] - '0'], words[settings[2] - '0'],
             words[settings[3] - '0']);
    size_t size;
    char *json = test_read(test_model(), "tokenizer.json", &size);
    char *other = test_replace(json,
                               "\"clean_text\":true,\"handle_chinese_chars\":true,"
                               "\"strip_accents\":null,\"lowercase\":true",
                               normalizer);
    fby_tokenizer *tokenizer;
    if (fby_tokenizer_from_json("tokenizer.json", other, strlen(other), &tokenizer) != FBY_OK)
        fail_msg("%s", fby_last_error());
    free(json);
    free(other);
    return tokenizer;
}

/* A line of code_points.txt. */
typedef struct test_blocks {
    char settings[5], what[8];
    unsigned size, first, last; /* code points in a block, block numbers */
    unsigned long long digest;  /* of each */
} test_blocks;

/* Calls `check` for every line about `what`. */
static inline void test_each_blocks(const char *what, void (*check)(const test_blocks *))
{
    size_t size, seen = 0;
    char *text = test_read(getenv("FBY_TEST_DATA"), "tokenizer/code_points.txt", &size);
    for (char *line = text, *next; *line != '\0'; line = next) {
        test_blocks blocks;
        next = line + strcspn(line, "\n");
        next += *next == '\n';
        if (*line == '#')
            continue;
        assert_int_equal(sscanf(line, "%4s %7s %u %x %x %llx", blocks.settings, blocks.what,
                                &blocks.size, &blocks.first, &blocks.last, &blocks.digest),
                         6);
        if (strcmp(blocks.what, what) != 0)
            continue;
        check(&blocks);
        seen += (size_t)(blocks.last - blocks.first + 1) * blocks.size;
    }
    free(text);
    /* All of Unicode, once for each of seven settings. */
    assert_int_equal(seen, 7 * 0x110000);
}

/* FNV-1a over 32-bit numbers instead of bytes. */
#define TEST_DIGEST 0xCBF29CE484222325u
static inline uint64_t test_digest(uint64_t digest, uint32_t number)
{
    return (digest ^ number) * 0x100000001B3u;
}

static inline bool test_is_surrogate(uint32_t c)
{
    return c >= 0xD800 && c <= 0xDFFF;
}

#endif
