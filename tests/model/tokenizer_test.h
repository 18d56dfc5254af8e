/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the tokenizer share: the real model's, and texts as bytes. */
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

#endif
