/* SPDX-License-Identifier: Apache-2.0 */
/* vocab.txt, a piece a line, and the settings that tokenizer_config.json adds: what stood in a
 * model directory before there was a tokenizer.json. */
#include <string.h>

#include "model/file.h"
#include "model/json.h"
#include "model/tokenizer_internal.h"
#include "model/utf8.h"

enum { CHARS_MAX = 100 }; /* of a word, as transformers' BertTokenizer has it */

static bool is_utf8(const char *text, size_t size)
{
    uint32_t length;
    for (size_t at = 0; at < size; at += length) {
        if (fby_utf8_decode((const unsigned char *)text + at, size - at, &length) < 0)
            return false;
    }
    return true;
}

static fby_status read_lines(const char *name, const char *text, size_t size, fby_tokenizer *t)
{
    const char *end = text + size;
    for (uint32_t line = 0; text < end; line++) {
        const char *next = memchr(text, '\n', (size_t)(end - text));
        size_t length = (size_t)((next != NULL ? next : end) - text);
        if (length > 0 && text[length - 1] == '\r')
            length--;
        if (!is_utf8(text, length))
            return fby_error(FBY_EFORMAT, "%s:%u: not UTF-8", name, line + 1);
        fby_status status = fby_vocabulary_add(&t->vocabulary, line, text, length);
        if (status != FBY_OK)
            return fby_error_prefix(status, "%s:%u", name, line + 1);
        text = next != NULL ? next + 1 : end;
    }
    return FBY_OK;
}

/* A token that the configuration names, as a string or an object with its content; NULL for one
 * that is null. */
static fby_status token_of(const char *name, const json_t *config, const char *key,
                           const char *otherwise, const char **token)
{
    const json_t *value = config != NULL ? json_object_get(config, key) : NULL;
    *token = otherwise;
    if (value == NULL)
        return FBY_OK;
    *token = NULL;
    if (json_is_null(value))
        return FBY_OK;
    *token = json_string_value(json_is_object(value) ? json_object_get(value, "content") : value);
    if (*token == NULL || **token == '\0')
        return fby_error(FBY_EFORMAT, "%s: %s: expected a token", name, key);
    return FBY_OK;
}

/* Adds a special token; the vocabulary has it, unless it is `optional`. */
static fby_status special_add(const char *name, const char *key, const char *token, bool optional,
                              fby_tokenizer *t, uint32_t *id)
{
    char quoted[FBY_QUOTE_SIZE];
    if (token == NULL && optional)
        return FBY_OK;
    if (token == NULL)
        return fby_error(FBY_EUNSUPPORTED, "%s: %s: none is not supported", name, key);
    *id = t->vocabulary.entries;
    if (!fby_vocabulary_find(&t->vocabulary, token, strlen(token), id) && !optional)
        return fby_error(FBY_EFORMAT, "%s: %s: %s is not in the vocabulary", name, key,
                         fby_quote(quoted, token));
    fby_status status = fby_tokenizer_add_token(t, *id, token, strlen(token), false, false, true);
    return status == FBY_OK ? FBY_OK : fby_error_prefix(status, "%s: %s", name, key);
}

/* In transformers' order, on which the ids of tokens that the vocabulary lacks depend. */
static fby_status read_specials(const char *name, const json_t *config, fby_tokenizer *t)
{
    static const struct {
        const char *key, *token;
        bool optional;
    } specials[] = {{"unk_token", "[UNK]", false},
                    {"sep_token", "[SEP]", false},
                    {"pad_token", "[PAD]", true},
                    {"cls_token", "[CLS]", false},
                    {"mask_token", "[MASK]", true}};
    enum { UNK = 0, SEP = 1, CLS = 3, COUNT = 5 };
    uint32_t ids[COUNT];
    for (int i = 0; i < COUNT; i++) {
        const char *token;
        fby_status status = token_of(name, config, specials[i].key, specials[i].token, &token);
        if (status == FBY_OK)
            status = special_add(name, specials[i].key, token, specials[i].optional, t, &ids[i]);
        if (status != FBY_OK)
            return status;
    }
    t->unk_id = ids[UNK];
    t->before[t->before_count++] = ids[CLS];
    t->after[t->after_count++] = ids[SEP];
    return FBY_OK;
}

static fby_status read_normalizer(const char *name, const json_t *config, fby_tokenizer *t)
{
    fby_normalizer *normalizer = &t->normalizer;
    normalizer->clean_text = true;
    fby_status status =
        fby_json_bool(name, config, "tokenize_chinese_chars", true, &normalizer->chinese_chars);
    if (status == FBY_OK)
        status = fby_json_bool(name, config, "do_lower_case", true, &normalizer->lowercase);
    if (status == FBY_OK)
        status = fby_json_bool(name, config, "strip_accents", normalizer->lowercase,
                               &normalizer->strip_accents);
    return status;
}

fby_status fby_tokenizer_read_vocab_txt(const char *name, const char *text, size_t size,
                                        const char *config_name, const json_t *config,
                                        fby_tokenizer *t)
{
    if (config == NULL)
        config_name = name;
    fby_status status = read_lines(name, text, size, t);
    if (status != FBY_OK)
        return status;
    status = fby_vocabulary_index(&t->vocabulary, "##", 2, true);
    if (status == FBY_OK)
        status = read_normalizer(config_name, config, t);
    if (status == FBY_OK)
        status = read_specials(config_name, config, t);
    t->chars_max = CHARS_MAX;
    t->decodes_words = true;
    t->decodes_clean = true;
    return status;
}
