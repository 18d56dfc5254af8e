/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes as a tokenizer.json. What opens must encode within its vocabulary; what
 * the plain reader takes for a vocabulary must be what the JSON library sees.
 */
#include <jansson.h>
#include <string.h>

#include "fuzz.h"
#include "model/tokenizer.h"
#include "model/vocab_json.h"

static void check_tokenizer(const char *json, size_t size)
{
    static const char text[] =
        "Ab c[CLS].\u4e2d \u00e9\u0301 \U0001D165\u302E \xff abcabcabcabcabc";
    static const fby_encode_options options = {0};
    uint32_t ids[256];
    fby_tokenizer *tokenizer;
    fby_encoding encoding;
    uint64_t digest[2];
    if (fby_tokenizer_from_json("fuzz", json, size, &tokenizer) != FBY_OK) {
        FUZZ_CHECK(strncmp(fby_last_error(), "fuzz", 4) == 0);
        return;
    }
    fby_tokenizer_encode(tokenizer, json, size < 64 ? size : 64, text, sizeof text - 1, &options,
                         ids, 256, &encoding);
    for (size_t i = 0; i < encoding.count && i < 256; i++)
        FUZZ_CHECK(ids[i] < fby_tokenizer_vocabulary(tokenizer));
    for (uint32_t id = 0; id < fby_tokenizer_vocabulary(tokenizer) && id < 1000; id++) {
        size_t length;
        const char *piece = fby_tokenizer_piece(tokenizer, id, &length);
        if (piece != NULL && length > 0)
            FUZZ_CHECK(memchr(piece, '\0', length) == NULL);
    }
    fby_tokenizer_digest(tokenizer, digest);
    fby_tokenizer_close(tokenizer);
}

static void check_vocabulary(const char *json, size_t size)
{
    fby_vocab_span span;
    fby_vocabulary vocabulary;
    if (!fby_vocab_json_find(json, size, &span))
        return;
    FUZZ_CHECK(span.begin < span.end && span.end <= size);
    FUZZ_CHECK(json[span.begin] == '{' && json[span.end - 1] == '}');
    fby_vocabulary_init(&vocabulary);
    bool taken = fby_vocab_json_read(json, &span, &vocabulary);
    json_t *root = json_loadb(json, size, 0, NULL);
    json_t *members = json_object_get(json_object_get(root, "model"), "vocab");
    if (taken && root != NULL && json_object_size(members) == vocabulary.entries) {
        const char *key;
        json_t *value;
        json_object_foreach(members, key, value)
        {
            json_int_t id = json_integer_value(value);
            FUZZ_CHECK(json_is_integer(value) && id >= 0 && id < vocabulary.count);
            const fby_piece *piece = &vocabulary.pieces[id];
            FUZZ_CHECK(piece->size == strlen(key));
            FUZZ_CHECK(memcmp(vocabulary.bytes + piece->start, key, piece->size) == 0);
        }
    } else if (taken && root != NULL) {
        FUZZ_CHECK(json_object_size(members) < vocabulary.entries); /* a key twice */
    }
    json_decref(root);
    fby_vocabulary_free(&vocabulary);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_tokenizer((const char *)data, size);
    check_vocabulary((const char *)data, size);
    return 0;
}
