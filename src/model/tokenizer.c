/* SPDX-License-Identifier: Apache-2.0 */
#include "model/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/assert.h"
#include "model/file.h"
#include "model/json.h"
#include "model/tokenizer_internal.h"
#include "model/utf8.h"

fby_status fby_tokenizer_new(fby_tokenizer **tokenizer)
{
    fby_tokenizer *t = calloc(1, sizeof *t);
    if (t == NULL)
        return fby_error(FBY_ENOMEM, "no memory for a tokenizer");
    fby_status status = fby_trie_init(&t->added_trie, FBY_ADDED_ROOTS, 0);
    if (status != FBY_OK) {
        free(t);
        return status;
    }
    fby_unicode_init(&t->unicode);
    fby_vocabulary_init(&t->vocabulary);
    t->normalizer.unicode = &t->unicode;
    *tokenizer = t;
    return FBY_OK;
}

void fby_tokenizer_close(fby_tokenizer *t)
{
    if (t == NULL)
        return;
    fby_vocabulary_free(&t->vocabulary);
    fby_trie_free(&t->added_trie);
    free(t->added);
    free(t);
}

typedef struct collected {
    unsigned char bytes[FBY_ADDED_BYTES_MAX + FBY_UTF8_MAX];
    size_t size;
    bool marks, spaces;
    const fby_unicode *unicode;
} collected;

static void collect(void *context, uint32_t c, uint32_t flags)
{
    collected *form = context;
    if (form->size > FBY_ADDED_BYTES_MAX)
        return;
    form->size += fby_utf8_encode(c, form->bytes + form->size);
    form->spaces |= (flags & FBY_UNICODE_SPACE) != 0;
    form->marks |= (fby_unicode_flags(form->unicode, c) & FBY_UNICODE_ORDERED) != 0;
}

/* The form of `content` that is looked for in the normalized text. */
static fby_status normalized_form(const fby_tokenizer *t, const char *content, size_t size,
                                  collected *form)
{
    fby_normalizing normalizing;
    *form = (collected){.unicode = &t->unicode};
    fby_normalizing_init(&normalizing, &t->normalizer, collect, form);
    uint32_t length;
    for (size_t at = 0; at < size; at += length) {
        int32_t c = fby_utf8_decode((const unsigned char *)content + at, size - at, &length);
        fby_normalize(&normalizing, c < 0 ? FBY_UTF8_REPLACEMENT : (uint32_t)c);
    }
    fby_normalize_flush(&normalizing);

    if (form->size == 0)
        return fby_error(FBY_EUNSUPPORTED, "an added token that normalizes to nothing");
    if (form->size > FBY_ADDED_BYTES_MAX)
        return fby_error(FBY_EUNSUPPORTED, "an added token that normalizes to more than %d bytes",
                         FBY_ADDED_BYTES_MAX);
    /* See FBY_NORMALIZER_MARKS_MAX: the order of very many marks is lost. */
    if (form->marks && t->normalizer.strip_accents)
        return fby_error(FBY_EUNSUPPORTED, "an added token with marks that are not stripped");
    return FBY_OK;
}

/* What is looked for in the raw text: `content` itself. */
static fby_status raw_form(const fby_tokenizer *t, const char *content, size_t size,
                           collected *form)
{
    *form = (collected){.unicode = &t->unicode};
    uint32_t length;
    for (size_t at = 0; at < size; at += length) {
        int32_t c = fby_utf8_decode((const unsigned char *)content + at, size - at, &length);
        if (c < 0 || c == FBY_UTF8_REPLACEMENT) /* what stands for invalid bytes of a text */
            return fby_error(FBY_EUNSUPPORTED, "an added token with U+FFFD");
        collect(form, (uint32_t)c, fby_unicode_flags(&t->unicode, (uint32_t)c));
    }
    return FBY_OK;
}

static fby_status added_reserve(fby_tokenizer *t)
{
    if (t->added_count < t->added_capacity)
        return FBY_OK;
    uint32_t capacity = t->added_capacity == 0 ? 8 : t->added_capacity * 2;
    fby_added_token *added = realloc(t->added, capacity * sizeof *added);
    if (added == NULL)
        return fby_error(FBY_ENOMEM, "no memory for %u added tokens", capacity);
    t->added = added;
    t->added_capacity = capacity;
    return FBY_OK;
}

/* `tokenizers` gives an added token the id that the vocabulary has for it, else the next one,
 * whatever the file says: a file that says otherwise is not what it seems. */
static fby_status added_piece(fby_tokenizer *t, uint32_t id, const char *content, size_t size)
{
    uint32_t expected = t->vocabulary.entries;
    bool known = fby_vocabulary_find(&t->vocabulary, content, size, &expected);
    if (id != expected)
        return fby_error(FBY_EFORMAT, "id %u where %u is expected", id, expected);
    return known ? FBY_OK : fby_vocabulary_add(&t->vocabulary, id, content, size);
}

fby_status fby_tokenizer_add_token(fby_tokenizer *t, uint32_t id, const char *content, size_t size,
                                   bool single_word, bool normalized, bool special)
{
    if (size == 0 || size > FBY_ADDED_BYTES_MAX)
        return fby_error(FBY_EUNSUPPORTED, "an added token of %zu bytes, not 1 to %d", size,
                         FBY_ADDED_BYTES_MAX);
    fby_status status = added_piece(t, id, content, size);
    if (status == FBY_OK)
        status = added_reserve(t);
    if (status != FBY_OK)
        return status;

    collected form;
    status =
        normalized ? normalized_form(t, content, size, &form) : raw_form(t, content, size, &form);
    if (status != FBY_OK)
        return status;
    uint32_t index = t->added_count, existing;
    status = fby_trie_add(&t->added_trie, normalized ? FBY_ADDED_NORMALIZED : FBY_ADDED_RAW,
                          form.bytes, form.size, index, &existing);
    if (status != FBY_OK)
        return status;
    if (existing != index)
        return fby_error(FBY_EUNSUPPORTED, "the same text as the added token of id %u",
                         t->added[existing].id);
    t->added[t->added_count++] = (fby_added_token){id, single_word, normalized, special};
    t->added_spaces |= form.spaces;
    t->added_normalized |= normalized;
    t->added_single_word |= normalized && single_word;
    if (!normalized)
        t->added_first[(unsigned char)content[0]] = true;
    return FBY_OK;
}

static uint8_t byte_action(const fby_tokenizer *t, unsigned char byte)
{
    if (byte >= 0x80 || t->added_first[byte])
        return FBY_BYTE_LOOK;
    uint32_t flags = t->unicode.flags[byte];
    if (t->normalizer.clean_text && flags & FBY_UNICODE_DROP)
        return FBY_BYTE_DROP;
    if (flags & FBY_UNICODE_SPACE)
        return FBY_BYTE_SPACE;
    if (flags & FBY_UNICODE_PUNCT)
        return FBY_BYTE_PUNCT;
    return FBY_BYTE_WORD;
}

void fby_tokenizer_finish(fby_tokenizer *t)
{
    t->plain = !t->added_normalized;
    t->lower_bit = t->normalizer.lowercase ? 0x20 : 0;
    for (uint32_t byte = 0; byte < 256; byte++)
        t->bytes[byte] = byte_action(t, (unsigned char)byte);
    for (unsigned char byte = 0; byte < 128; byte++) {
        bool alphanumeric = fby_unicode_is_word(byte) && byte != '_';
        if (alphanumeric && t->bytes[byte] != FBY_BYTE_WORD)
            t->plain = false;
        uint32_t id;
        bool known =
            t->chars_max > 0 && fby_vocabulary_find(&t->vocabulary, (const char *)&byte, 1, &id);
        t->ascii_ids[byte] = known ? id : t->unk_id;
    }
}

/* Hands out a tokenizer that was filled with success, closes another. */
static fby_status finished(fby_tokenizer *t, fby_status status, fby_tokenizer **tokenizer)
{
    if (status != FBY_OK) {
        fby_tokenizer_close(t);
        return status;
    }
    fby_tokenizer_finish(t);
    *tokenizer = t;
    return FBY_OK;
}

fby_status fby_tokenizer_from_json(const char *name, const char *json, size_t size,
                                   fby_tokenizer **tokenizer)
{
    fby_tokenizer *t;
    fby_status status = fby_tokenizer_new(&t);
    if (status != FBY_OK)
        return status;
    status = fby_tokenizer_read_json(name, json, size, t);
    return finished(t, status, tokenizer);
}

/* tokenizer_config.json's object; NULL if there is no such file. */
static fby_status config_load(const char *dir, char path[static FBY_PATH_SIZE], json_t **config)
{
    *config = NULL;
    fby_status status = fby_path_join(path, dir, "tokenizer_config.json");
    if (status == FBY_OK)
        status = fby_json_load(path, JSON_DECODE_INT_AS_REAL, config);
    if (status == FBY_ENOENT)
        return FBY_OK;
    if (status == FBY_OK && (status = fby_json_object(path, *config)) != FBY_OK)
        json_decref(*config);
    return status;
}

static fby_status open_vocab_txt(const char *dir, const char *path, const char *text, size_t size,
                                 fby_tokenizer **tokenizer)
{
    char config_path[FBY_PATH_SIZE];
    json_t *config;
    fby_tokenizer *t;
    fby_status status = config_load(dir, config_path, &config);
    if (status != FBY_OK)
        return status;
    status = fby_tokenizer_new(&t);
    if (status == FBY_OK) {
        status = fby_tokenizer_read_vocab_txt(path, text, size, config_path, config, t);
        status = finished(t, status, tokenizer);
    }
    json_decref(config);
    return status;
}

fby_status fby_tokenizer_open(const char *dir, fby_tokenizer **tokenizer)
{
    char path[FBY_PATH_SIZE];
    char *text;
    size_t size;
    fby_status status = fby_path_join(path, dir, "tokenizer.json");
    if (status == FBY_OK)
        status = fby_file_read(path, FBY_TOKENIZER_SIZE_MAX, &text, &size);
    if (status == FBY_OK) {
        status = fby_tokenizer_from_json(path, text, size, tokenizer);
        free(text);
        return status;
    }
    if (status != FBY_ENOENT)
        return status;

    status = fby_path_join(path, dir, "vocab.txt");
    if (status == FBY_OK)
        status = fby_file_read(path, FBY_TOKENIZER_SIZE_MAX, &text, &size);
    if (status == FBY_ENOENT)
        return fby_error(status, "%s: neither tokenizer.json nor vocab.txt", dir);
    if (status != FBY_OK)
        return status;
    status = open_vocab_txt(dir, path, text, size, tokenizer);
    free(text);
    return status;
}

uint32_t fby_tokenizer_vocabulary(const fby_tokenizer *t)
{
    return t->vocabulary.count;
}

const char *fby_tokenizer_piece(const fby_tokenizer *t, uint32_t id, size_t *size)
{
    if (id >= t->vocabulary.count || t->vocabulary.pieces[id].size == UINT32_MAX)
        return NULL;
    *size = t->vocabulary.pieces[id].size;
    return t->vocabulary.bytes + t->vocabulary.pieces[id].start;
}

uint32_t fby_tokenizer_special_count(const fby_tokenizer *t)
{
    return t->before_count + t->after_count;
}

static void digest_bytes(XXH3_state_t *state, const void *bytes, size_t size)
{
    uint64_t length = size;
    XXH3_128bits_update(state, &length, sizeof length);
    if (size > 0)
        XXH3_128bits_update(state, bytes, size);
}

void fby_tokenizer_digest(const fby_tokenizer *t, uint64_t digest[2])
{
    const uint32_t settings[] = {
        t->normalizer.clean_text,
        t->normalizer.chinese_chars,
        t->normalizer.strip_accents,
        t->normalizer.lowercase,
        t->unk_id,
        t->chars_max,
    };
    XXH3_state_t state;
    XXH3_128bits_reset(&state);
    digest_bytes(&state, settings, sizeof settings);
    digest_bytes(&state, t->before, t->before_count * sizeof *t->before);
    digest_bytes(&state, t->after, t->after_count * sizeof *t->after);
    digest_bytes(&state, t->vocabulary.prefix, t->vocabulary.prefix_size);
    uint64_t added = 0; /* a sum: their order in the file says nothing */
    for (uint32_t i = 0; i < t->added_count; i++) {
        const uint32_t fields[] = {t->added[i].id, t->added[i].single_word, t->added[i].normalized};
        added += XXH3_64bits(fields, sizeof fields);
    }
    digest_bytes(&state, &added, sizeof added);
    for (uint32_t id = 0; id < t->vocabulary.count; id++) {
        const fby_piece *piece = &t->vocabulary.pieces[id];
        if (piece->size == UINT32_MAX)
            XXH3_128bits_update(&state, &piece->size, sizeof piece->size);
        else
            digest_bytes(&state, t->vocabulary.bytes + piece->start, piece->size);
    }
    XXH128_hash_t hash = XXH3_128bits_digest(&state);
    digest[0] = hash.low64;
    digest[1] = hash.high64;
}
