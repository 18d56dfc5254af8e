/* SPDX-License-Identifier: Apache-2.0 */
/* The texts of a request: a string, token ids, or a list of either. */
#include <string.h>

#include "serve/api_request.h"

size_t fby_utf8_characters(const char *bytes, size_t size)
{
    size_t count = 0;
    for (size_t i = 0; i < size; i++)
        count += (bytes[i] & 0xC0) != 0x80;
    return count;
}

static bool refuse_type(const fby_api_request *request, const fby_texts_rule *rule)
{
    return fby_refuse(
        request->error, FBY_REFUSED_BAD_FIELD, rule->key, "`%s` must be a string%s", rule->key,
        rule->ids == FBY_IDS_NEVER ? " or a list of strings" : ", a list of strings or token ids");
}

static bool refuse_foreign_ids(const fby_api_request *request, const char *key)
{
    return fby_refuse(
        request->error, FBY_REFUSED_TOKEN_IDS, key,
        "`%s` holds token ids, which belong to the vocabulary of the model that they were made "
        "for and mean other words to this one: send text. LangChain's OpenAIEmbeddings does so "
        "with check_embedding_ctx_length=False. Where the ids are known to be of the served "
        "model's vocabulary, the server takes them with accept_token_ids",
        key);
}

static bool refuse_empty(const fby_api_request *request, const char *key)
{
    return fby_refuse(request->error, FBY_REFUSED_EMPTY, key,
                      request->call->dialect == FBY_DIALECT_TEI
                          ? "Input validation error: `%s` cannot be empty"
                          : "`%s` is empty, or a text in it is",
                      key);
}

static bool read_string(const fby_api_request *request, const json_t *value,
                        const fby_texts_rule *rule, fby_api_text *text)
{
    size_t size = json_string_length(value), most = request->api->limits.max_text_bytes;

    if (size == 0 && !rule->empty_text)
        return refuse_empty(request, rule->key);
    if (size > most)
        return fby_refuse(request->error, FBY_REFUSED_TOO_LONG, rule->key,
                          "`%s` holds a text of %zu bytes; it may have %zu", rule->key, size, most);
    *text = (fby_api_text){.bytes = json_string_value(value), .size = size};
    if (request->call->dialect == FBY_DIALECT_TEI)
        request->call->characters += fby_utf8_characters(text->bytes, size);
    return true;
}

bool fby_api_request_ids(const fby_api_request *request, const json_t *value, const char *key,
                         uint32_t below, fby_api_text *text)
{
    size_t count = json_array_size(value);
    uint32_t *ids = fby_api_request_take(request, count, sizeof *ids);

    if (ids == NULL)
        return false;
    for (size_t i = 0; i < count; i++) {
        const json_t *id = json_array_get(value, i);
        json_int_t number = json_integer_value(id);
        if (!json_is_integer(id))
            return fby_refuse(request->error, FBY_REFUSED_BAD_FIELD, key,
                              "`%s` holds a list that begins with a token id and has something "
                              "else in it",
                              key);
        if (number < 0 || number >= below)
            return fby_refuse(request->error, FBY_REFUSED_BAD_FIELD, key,
                              "`%s` holds the token id %lld, which is not from 0 to %u", key,
                              (long long)number, below - 1);
        ids[i] = (uint32_t)number;
    }
    *text = (fby_api_text){.ids = ids, .id_count = (uint32_t)count};
    return true;
}

bool fby_api_request_decode(const fby_api_request *request, fby_api_text *text, bool skip_special)
{
    const fby_tokenizer *tokenizer = fby_api_request_tokenizer(request);
    size_t size = fby_tokenizer_decode(tokenizer, text->ids, text->id_count, skip_special, NULL, 0);
    char *bytes = fby_api_request_take(request, size, 1);

    if (bytes == NULL)
        return false;
    fby_tokenizer_decode(tokenizer, text->ids, text->id_count, skip_special, bytes, size);
    *text = (fby_api_text){.bytes = bytes, .size = size};
    return true;
}

/* As TEI's tokenize_input(): behind a prompt they are text like any other; alone, the special
 * tokens are those that the ids have. */
static bool ids_to_text(const fby_api_request *request, const fby_texts_rule *rule,
                        fby_api_text *text)
{
    request->call->characters += text->id_count;
    if (!fby_api_request_decode(request, text, rule->prompted))
        return false;
    if (text->size == 0)
        return refuse_empty(request, rule->key);
    text->no_special = !rule->prompted;
    return true;
}

static bool read_list_of_ids(const fby_api_request *request, const json_t *value,
                             const fby_texts_rule *rule, fby_api_text *text)
{
    uint32_t below = UINT32_MAX;
    if (rule->ids == FBY_IDS_NEVER)
        return refuse_type(request, rule);
    if (json_array_size(value) == 0)
        return refuse_empty(request, rule->key);
    if (rule->ids == FBY_IDS_FOREIGN)
        return refuse_foreign_ids(request, rule->key);
    if (rule->ids == FBY_IDS_OWN)
        below = fby_tokenizer_vocabulary(fby_api_request_tokenizer(request));
    if (!fby_api_request_ids(request, value, rule->key, below, text))
        return false;
    return rule->ids == FBY_IDS_OWN || ids_to_text(request, rule, text);
}

bool fby_api_request_text(const fby_api_request *request, const json_t *value,
                          const fby_texts_rule *rule, fby_api_text *text)
{
    if (json_is_string(value))
        return read_string(request, value, rule, text);
    /* A list of anything but numbers is not taken for ids. */
    if (json_is_array(value) &&
        (json_array_size(value) == 0 || json_is_integer(json_array_get(value, 0))))
        return read_list_of_ids(request, value, rule, text);
    return refuse_type(request, rule);
}

bool fby_refuse_text_count(const fby_api_request *request, const fby_texts_rule *rule, size_t count)
{
    if (request->call->dialect == FBY_DIALECT_TEI)
        return fby_refuse(request->error, FBY_REFUSED_TOO_MANY, rule->key,
                          "batch size %zu > maximum allowed batch size %u", count, rule->max_texts);
    return fby_refuse(request->error, FBY_REFUSED_TOO_MANY, rule->key,
                      "`%s` has %zu texts; a request may have %u", rule->key, count,
                      rule->max_texts);
}

bool fby_api_request_texts(const fby_api_request *request, const json_t *value,
                           const fby_texts_rule *rule)
{
    fby_call *call = request->call;
    size_t count = json_is_array(value) ? json_array_size(value) : 1;
    if (value == NULL)
        return fby_refuse(request->error, FBY_REFUSED_BAD_FIELD, rule->key, "`%s` is missing",
                          rule->key);
    call->single = !json_is_array(value) || json_is_integer(json_array_get(value, 0));
    if (call->single)
        count = 1;
    if (count == 0 && !rule->empty_list)
        return refuse_empty(request, rule->key);
    if (count > rule->max_texts)
        return fby_refuse_text_count(request, rule, count);
    fby_api_text *texts = fby_api_request_take(request, count, sizeof *texts);
    if (texts == NULL)
        return false;
    for (size_t i = 0; i < count; i++)
        if (!fby_api_request_text(request, call->single ? value : json_array_get(value, i), rule,
                                  &texts[i]))
            return false;
    call->texts = texts;
    call->count = (uint32_t)count;
    return true;
}
