/* SPDX-License-Identifier: Apache-2.0 */
/* An embedder that needs no model: words, hashed to directions, added up. */
#ifndef FBY_TEST_SEARCH_MADE_H
#define FBY_TEST_SEARCH_MADE_H

#include "search/update.h"
#include "test.h"

#include <math.h>
#include <unistd.h>

enum { MADE_DIM = 40 };

typedef struct made_context {
    size_t texts;
    unsigned pause_us; /* a batch */
} made_context;

static inline bool made_blank(char byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

static inline fby_status made_count(void *context, const char *bytes, size_t size, uint32_t *tokens)
{
    (void)context;
    *tokens = 0;
    for (size_t i = 0; i < size; i++)
        *tokens += !made_blank(bytes[i]) && (i == 0 || made_blank(bytes[i - 1]));
    return FBY_OK;
}

static inline void made_vector(const char *bytes, size_t size, float *vector)
{
    double sum = 1e-9;
    memset(vector, 0, MADE_DIM * sizeof *vector);
    for (size_t i = 0, word = 0; i < size; i++) {
        if (made_blank(bytes[i])) {
            word = 0;
            continue;
        }
        if (word == 0)
            word = 1469598103u;
        word = (word ^ (unsigned char)bytes[i]) * 1099511628211u;
        if (i + 1 == size || made_blank(bytes[i + 1])) {
            fby_rng rng = {word};
            for (int j = 0; j < MADE_DIM; j++)
                vector[j] += fby_rng_float(&rng);
        }
    }
    for (int j = 0; j < MADE_DIM; j++)
        sum += (double)vector[j] * (double)vector[j];
    for (int j = 0; j < MADE_DIM; j++)
        vector[j] /= (float)sqrt(sum);
}

static inline fby_status made_embed(void *context, const fby_text *texts, size_t count,
                                    float *vectors)
{
    made_context *made = context;
    if (made->pause_us != 0)
        usleep(made->pause_us);
    for (size_t i = 0; i < count; i++)
        made_vector(texts[i].bytes, texts[i].size, vectors + i * MADE_DIM);
    made->texts += count;
    return FBY_OK;
}

static inline fby_embedder made_embedder(made_context *context)
{
    return (fby_embedder){context, "made-up", MADE_DIM, 100, made_count, made_embed};
}

#endif
