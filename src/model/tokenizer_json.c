/* SPDX-License-Identifier: Apache-2.0 */
/* tokenizer.json of a BERT-type model; any other kind is refused by the key that asks for it. */
#include <stdio.h>
#include <string.h>

#include "base/bits.h"
#include "model/file.h"
#include "model/json.h"
#include "model/tokenizer_internal.h"
#include "model/vocab_json.h"

enum { PLACE_SIZE = 256 };

/* A part of the file: what messages call it, and its value. */
typedef struct part {
    char place[FBY_PATH_SIZE + PLACE_SIZE];
    json_t *value;
} part;

static fby_status part_of(const char *name, const char *key, json_t *value, part *out)
{
    snprintf(out->place, sizeof out->place, "%s: %s", name, key);
    out->value = value;
    return fby_json_object(out->place, value);
}

static fby_status string_of(const part *p, const char *key, const char **value)
{
    fby_status status = fby_json_string(p->place, p->value, key, NULL, value);
    if (status == FBY_OK && *value == NULL)
        return fby_error(FBY_EFORMAT, "%s: %s is missing", p->place, key);
    return status;
}

static fby_status bool_of(const part *p, const char *key, bool *value)
{
    if (!json_is_boolean(json_object_get(p->value, key)))
        return fby_error(FBY_EFORMAT, "%s: %s: expected true or false", p->place, key);
    *value = json_is_true(json_object_get(p->value, key));
    return FBY_OK;
}

/* Whether "type" is `expected`; FBY_EUNSUPPORTED if it is another. */
static fby_status type_of(const part *p, const char *expected)
{
    char quoted[FBY_QUOTE_SIZE];
    const char *type;
    fby_status status = string_of(p, "type", &type);
    if (status == FBY_OK && strcmp(type, expected) != 0)
        return fby_error(FBY_EUNSUPPORTED, "%s: type: %s is not supported, only %s", p->place,
                         fby_quote(quoted, type), expected);
    return status;
}

/* From the tree, unless the vocabulary was read already. */
static fby_status read_vocab(const part *model, fby_tokenizer *t)
{
    json_t *vocab = json_object_get(model->value, "vocab");
    char quoted[FBY_QUOTE_SIZE];
    if (t->vocabulary.count > 0)
        return FBY_OK;
    if (!json_is_object(vocab))
        return fby_error(FBY_EFORMAT, "%s: vocab: expected an object", model->place);
    for (void *at = json_object_iter(vocab); at != NULL; at = json_object_iter_next(vocab, at)) {
        const char *piece = json_object_iter_key(at);
        const json_t *value = json_object_iter_value(at);
        json_int_t id = json_integer_value(value);
        fby_status status =
            !json_is_integer(value) || id < 0 || id >= FBY_VOCABULARY_MAX
                ? fby_error(FBY_EFORMAT, "expected an id from 0 to %d", FBY_VOCABULARY_MAX - 1)
                : fby_vocabulary_add(&t->vocabulary, (uint32_t)id, piece, strlen(piece));
        if (status != FBY_OK)
            return fby_error_prefix(status, "%s: vocab: %s", model->place,
                                    fby_quote(quoted, piece));
    }
    return FBY_OK;
}

static fby_status read_model(const char *name, const json_t *root, fby_tokenizer *t)
{
    part model;
    const char *unk, *prefix;
    fby_status status = part_of(name, "model", json_object_get(root, "model"), &model);
    /* Files of 2020 have no type. */
    if (status == FBY_OK && json_object_get(model.value, "type") != NULL)
        status = type_of(&model, "WordPiece");
    if (status == FBY_OK)
        status = string_of(&model, "unk_token", &unk);
    if (status == FBY_OK)
        status = string_of(&model, "continuing_subword_prefix", &prefix);
    if (status == FBY_OK)
        status = fby_json_u32_required(model.place, model.value, "max_input_chars_per_word", 0,
                                       FBY_WORD_CHARS_MAX, &t->chars_max);
    if (status == FBY_OK)
        status = read_vocab(&model, t);
    if (status != FBY_OK)
        return status;

    status = fby_vocabulary_index(&t->vocabulary, prefix, strlen(prefix), false);
    if (status != FBY_OK)
        return fby_error_prefix(status, "%s: vocab", model.place);
    if (!fby_vocabulary_find(&t->vocabulary, unk, strlen(unk), &t->unk_id)) {
        char quoted[FBY_QUOTE_SIZE];
        return fby_error(FBY_EFORMAT, "%s: unk_token: %s is not in the vocabulary", model.place,
                         fby_quote(quoted, unk));
    }
    return FBY_OK;
}

static fby_status read_normalizer(const char *name, const json_t *root, fby_tokenizer *t)
{
    json_t *value = json_object_get(root, "normalizer");
    fby_normalizer *normalizer = &t->normalizer;
    if (value == NULL || json_is_null(value))
        return FBY_OK;
    part p;
    fby_status status = part_of(name, "normalizer", value, &p);
    if (status == FBY_OK)
        status = type_of(&p, "BertNormalizer");
    if (status == FBY_OK)
        status = bool_of(&p, "clean_text", &normalizer->clean_text);
    if (status == FBY_OK)
        status = bool_of(&p, "handle_chinese_chars", &normalizer->chinese_chars);
    if (status == FBY_OK)
        status = bool_of(&p, "lowercase", &normalizer->lowercase);
    if (status == FBY_OK)
        status = fby_json_bool(p.place, p.value, "strip_accents", normalizer->lowercase,
                               &normalizer->strip_accents);
    return status;
}

static fby_status read_pre_tokenizer(const char *name, const json_t *root)
{
    json_t *value = json_object_get(root, "pre_tokenizer");
    if (value == NULL || json_is_null(value))
        return fby_error(FBY_EUNSUPPORTED,
                         "%s: pre_tokenizer: none is not supported, only BertPreTokenizer", name);
    part p;
    fby_status status = part_of(name, "pre_tokenizer", value, &p);
    return status == FBY_OK ? type_of(&p, "BertPreTokenizer") : status;
}

static fby_status special_add(const char *place, fby_tokenizer *t, bool after, json_int_t id)
{
    uint32_t *count = after ? &t->after_count : &t->before_count;
    if (id < 0 || id >= t->vocabulary.count)
        return fby_error(FBY_EFORMAT, "%s: id %lld is not in the vocabulary", place, (long long)id);
    if (*count == FBY_TEMPLATE_MAX)
        return fby_error(FBY_EUNSUPPORTED, "%s: more than %d special tokens", place,
                         FBY_TEMPLATE_MAX);
    (after ? t->after : t->before)[(*count)++] = (uint32_t)id;
    return FBY_OK;
}

/* The ids of a special token of a template, {"id": …, "type_id": 0} in the template itself. */
static fby_status read_special(const part *processor, const json_t *piece, bool after,
                               fby_tokenizer *t)
{
    char quoted[FBY_QUOTE_SIZE];
    const char *name = json_string_value(json_object_get(piece, "id"));
    const json_t *tokens = json_object_get(processor->value, "special_tokens");
    if (name == NULL)
        return fby_error(FBY_EFORMAT, "%s: single: SpecialToken without an id", processor->place);
    const json_t *ids = json_object_get(json_object_get(tokens, name), "ids");
    if (!json_is_array(ids))
        return fby_error(FBY_EFORMAT, "%s: special_tokens: %s has no ids", processor->place,
                         fby_quote(quoted, name));
    for (size_t i = 0; i < json_array_size(ids); i++) {
        const json_t *id = json_array_get(ids, i);
        if (!json_is_integer(id))
            return fby_error(FBY_EFORMAT, "%s: special_tokens: %s: expected integers",
                             processor->place, fby_quote(quoted, name));
        fby_status status = special_add(processor->place, t, after, json_integer_value(id));
        if (status != FBY_OK)
            return status;
    }
    return FBY_OK;
}

/* "single": special tokens around one Sequence A, all of type 0. */
static fby_status read_template(const part *processor, fby_tokenizer *t)
{
    const json_t *single = json_object_get(processor->value, "single");
    bool seen = false;
    if (!json_is_array(single))
        return fby_error(FBY_EFORMAT, "%s: single: expected an array", processor->place);
    for (size_t i = 0; i < json_array_size(single); i++) {
        const json_t *entry = json_array_get(single, i);
        const json_t *special = json_object_get(entry, "SpecialToken");
        const json_t *sequence = json_object_get(entry, "Sequence");
        const json_t *piece = special != NULL ? special : sequence;
        const json_t *type = json_object_get(piece, "type_id");
        fby_status status = FBY_OK;
        if (!json_is_object(piece) || !json_is_integer(type))
            return fby_error(FBY_EFORMAT,
                             "%s: single: expected SpecialToken or Sequence with a type_id",
                             processor->place);
        if (json_integer_value(type) != 0)
            return fby_error(FBY_EUNSUPPORTED, "%s: single: type_id other than 0",
                             processor->place);
        if (special != NULL) {
            status = read_special(processor, special, seen, t);
        } else {
            const char *id = json_string_value(json_object_get(sequence, "id"));
            if (seen || id == NULL || strcmp(id, "A") != 0)
                status =
                    fby_error(FBY_EUNSUPPORTED, "%s: single: not one Sequence A", processor->place);
            seen = true;
        }
        if (status != FBY_OK)
            return status;
    }
    if (!seen)
        return fby_error(FBY_EUNSUPPORTED, "%s: single: not one Sequence A", processor->place);
    return FBY_OK;
}

/* "cls" or "sep" of BertProcessing: ["[CLS]", 101]. */
static fby_status read_bert_special(const part *processor, const char *key, bool after,
                                    fby_tokenizer *t)
{
    const json_t *pair = json_object_get(processor->value, key);
    const json_t *id = json_array_get(pair, 1);
    if (json_array_size(pair) != 2 || !json_is_integer(id))
        return fby_error(FBY_EFORMAT, "%s: %s: expected a token and its id", processor->place, key);
    return special_add(processor->place, t, after, json_integer_value(id));
}

static fby_status read_post_processor(const char *name, const json_t *root, fby_tokenizer *t)
{
    json_t *value = json_object_get(root, "post_processor");
    if (value == NULL || json_is_null(value))
        return FBY_OK;
    part p;
    const char *type;
    fby_status status = part_of(name, "post_processor", value, &p);
    if (status == FBY_OK)
        status = string_of(&p, "type", &type);
    if (status != FBY_OK)
        return status;
    if (strcmp(type, "BertProcessing") != 0) {
        status = type_of(&p, "TemplateProcessing");
        return status == FBY_OK ? read_template(&p, t) : status;
    }
    status = read_bert_special(&p, "cls", false, t);
    return status == FBY_OK ? read_bert_special(&p, "sep", true, t) : status;
}

typedef struct added {
    uint32_t id;
    const char *content;
    bool single_word, lstrip, rstrip, normalized, special;
} added;

static fby_status read_added(const part *p, added *out)
{
    fby_status status =
        fby_json_u32_required(p->place, p->value, "id", 0, FBY_VOCABULARY_MAX - 1, &out->id);
    if (status == FBY_OK)
        status = string_of(p, "content", &out->content);
    if (status == FBY_OK)
        status = bool_of(p, "single_word", &out->single_word);
    if (status == FBY_OK)
        status = bool_of(p, "lstrip", &out->lstrip);
    if (status == FBY_OK)
        status = bool_of(p, "rstrip", &out->rstrip);
    if (status == FBY_OK)
        status = bool_of(p, "normalized", &out->normalized);
    if (status == FBY_OK)
        status = bool_of(p, "special", &out->special);
    return status;
}

static fby_status read_added_tokens(const char *name, const json_t *root, fby_tokenizer *t)
{
    const json_t *list = json_object_get(root, "added_tokens");
    bool strips = false;
    if (list == NULL)
        return FBY_OK;
    if (!json_is_array(list))
        return fby_error(FBY_EFORMAT, "%s: added_tokens: expected an array", name);
    for (size_t i = 0; i < json_array_size(list); i++) {
        char key[64];
        part p;
        added token;
        snprintf(key, sizeof key, "added_tokens[%zu]", i);
        fby_status status = part_of(name, key, json_array_get(list, i), &p);
        if (status == FBY_OK)
            status = read_added(&p, &token);
        if (status != FBY_OK)
            return status;
        strips |= token.lstrip || token.rstrip;
        status = fby_tokenizer_add_token(t, token.id, token.content, strlen(token.content),
                                         token.single_word, token.normalized, token.special);
        if (status != FBY_OK)
            return fby_error_prefix(status, "%s", p.place);
    }
    /* The white space that one takes could be a part of another. */
    if (strips && t->added_spaces)
        return fby_error(FBY_EUNSUPPORTED,
                         "%s: added_tokens: lstrip or rstrip, and one with white space", name);
    return FBY_OK;
}

/* Decides what fby_tokenizer_decode() writes and nothing else: a decoder that is not known is no
 * reason to refuse a model, whose pieces are WordPiece's whatever it says. */
static void read_decoder(const json_t *root, fby_tokenizer *t)
{
    const json_t *decoder = json_object_get(root, "decoder");
    const json_t *cleanup = json_object_get(decoder, "cleanup");
    t->decodes_words = json_is_object(decoder);
    t->decodes_clean = t->decodes_words && !json_is_false(cleanup);
}

static fby_status read_version(const char *name, const json_t *root)
{
    char quoted[FBY_QUOTE_SIZE];
    const char *version;
    fby_status status = fby_json_string(name, root, "version", "1.0", &version);
    if (status == FBY_OK && strcmp(version, "1.0") != 0)
        return fby_error(FBY_EUNSUPPORTED, "%s: version: %s is not supported, only 1.0", name,
                         fby_quote(quoted, version));
    return status;
}

/* The text with its vocabulary emptied, in two parts. */
typedef struct remainder {
    const char *at[2], *end[2];
} remainder;

/* json_load_callback's. */
static size_t remainder_read(void *buffer, size_t size, void *context)
{
    remainder *rest = context;
    int now = rest->at[0] == rest->end[0];
    size_t count = fby_min_size(size, (size_t)(rest->end[now] - rest->at[now]));
    memcpy(buffer, rest->at[now], count);
    rest->at[now] += count;
    return count;
}

/* Reads the vocabulary by itself and the rest as a tree; false if that will not do. */
static bool parse_apart(const char *json, size_t size, fby_vocabulary *vocabulary, json_t **root)
{
    fby_vocab_span span;
    if (!fby_vocab_json_find(json, size, &span) || !fby_vocab_json_read(json, &span, vocabulary))
        return false;
    remainder rest = {{json, json + span.end - 1}, {json + span.begin + 1, json + size}};
    if (!fby_json_memory_suffices((size_t)(rest.end[0] - rest.at[0]) +
                                  (size_t)(rest.end[1] - rest.at[1])))
        return false;
    *root = json_load_callback(remainder_read, &rest, JSON_REJECT_DUPLICATES, NULL);
    return *root != NULL;
}

static fby_status parse(const char *name, const char *json, size_t size, fby_vocabulary *vocabulary,
                        json_t **root)
{
    if (parse_apart(json, size, vocabulary, root))
        return FBY_OK;
    fby_vocabulary_free(vocabulary);
    fby_vocabulary_init(vocabulary);
    return fby_json_parse(name, json, size, 0, root);
}

fby_status fby_tokenizer_read_json(const char *name, const char *json, size_t size,
                                   fby_tokenizer *t)
{
    json_t *root;
    fby_status status = parse(name, json, size, &t->vocabulary, &root);
    if (status != FBY_OK)
        return status;
    status = fby_json_object(name, root);
    if (status == FBY_OK)
        status = read_version(name, root);
    if (status == FBY_OK)
        status = read_pre_tokenizer(name, root);
    if (status == FBY_OK)
        status = read_normalizer(name, root, t);
    if (status == FBY_OK)
        status = read_model(name, root, t);
    if (status == FBY_OK)
        status = read_added_tokens(name, root, t);
    if (status == FBY_OK)
        status = read_post_processor(name, root, t);
    if (status == FBY_OK)
        read_decoder(root, t);
    json_decref(root);
    return status;
}
