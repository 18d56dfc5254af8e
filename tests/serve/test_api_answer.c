/* SPDX-License-Identifier: Apache-2.0 */
/* Answers of random vectors, read back by a JSON reader: every value is what it was, whatever the
 * dialect, the number types and the dimensions. */
#include <math.h>

#include "serve/served.h"

enum { TEXTS = 7 };

static float random_float(fby_rng *rng)
{
    switch (fby_rng_below(rng, 8)) {
    case 0:
        return 0;
    case 1:
        return fby_rng_bool(rng) ? 1.0f : -1.0f;
    case 2: { /* any number at all */
        uint32_t bits = (uint32_t)fby_rng_next(rng);
        float x;
        memcpy(&x, &bits, sizeof x);
        return isfinite(x) ? x : 0.5f;
    }
    default:
        return fby_rng_float(rng);
    }
}

static unsigned value_of(char c)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = strchr(alphabet, c);
    assert_true(c != '\0' && at != NULL);
    return (unsigned)(at - alphabet);
}

static void check_base64(const char *text, const float *wanted, uint32_t dim)
{
    unsigned char bytes[SERVED_DIM * sizeof(float) + 3];
    size_t size = 0;
    unsigned held = 0, bits = 0;
    for (; *text != '\0' && *text != '='; text++) {
        held = (held << 6 | value_of(*text)) & 0xffff;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            assert_true(size < sizeof bytes);
            bytes[size++] = (unsigned char)(held >> bits);
        }
    }
    assert_int_equal(size, dim * sizeof *wanted);
    assert_memory_equal(bytes, wanted, size);
}

static void check_floats(const json_t *list, const float *wanted, uint32_t dim)
{
    assert_int_equal(json_array_size(list), dim);
    for (uint32_t i = 0; i < dim; i++) {
        assert_true(json_is_number(json_array_get(list, i)));
        float back = (float)json_number_value(json_array_get(list, i));
        assert_true(back == wanted[i]);
    }
}

/* As sentence_transformers.quantize_embeddings packs bits; int8 by the fixed scale. */
static void check_small(const json_t *list, uint32_t type, const float *wanted, uint32_t dim)
{
    bool bits = type == FBY_TYPE_BINARY || type == FBY_TYPE_UBINARY;
    assert_int_equal(json_array_size(list), bits ? (dim + 7) / 8 : dim);
    for (size_t i = 0; i < json_array_size(list); i++) {
        long value = 0;
        if (bits) {
            for (uint32_t bit = 0; bit < 8; bit++)
                value = value * 2 + (8 * i + bit < dim && wanted[8 * i + bit] > 0);
            value -= type == FBY_TYPE_BINARY ? 128 : 0;
        } else {
            double scaled = fmin(fmax((double)(wanted[i] * 127.0f), -127), 127);
            value = lrint(scaled) + (type == FBY_TYPE_UINT8 ? 128 : 0);
        }
        assert_int_equal(json_integer_value(json_array_get(list, i)), value);
    }
}

static void check_value(const json_t *value, uint32_t type, const float *wanted, uint32_t dim)
{
    if (type == FBY_TYPE_FLOAT)
        check_floats(value, wanted, dim);
    else if (type == FBY_TYPE_BASE64)
        check_base64(json_string_value(value), wanted, dim);
    else
        check_small(value, type, wanted, dim);
}

static const char *const words[] = {"float", "base64", "int8", "uint8", "binary", "ubinary"};

static void check_openai(fby_rng *rng, const char *inputs, uint32_t count, const float *vectors)
{
    char body[512];
    uint32_t dim = 1 + (uint32_t)fby_rng_below(rng, SERVED_DIM);
    uint32_t types = 1 + (uint32_t)fby_rng_below(rng, 63);
    bool meta = fby_rng_bool(rng);

    snprintf(body, sizeof body,
             "{\"input\":%s,\"dimensions\":%u,\"return_meta\":%s,"
             "\"embedding_types\":[",
             inputs, dim, meta ? "true" : "false");
    for (int i = 0; i < 6; i++)
        if ((types >> i & 1) != 0)
            strcat(strcat(strcat(body, body[strlen(body) - 1] == '[' ? "\"" : ",\""), words[i]),
                   "\"");
    strcat(body, "]}");
    char *text = answered(take("/v1/embeddings", body), vectors, count);
    json_t *root = json_loads(text, 0, NULL);
    const json_t *data = json_object_get(root, "data");
    assert_int_equal(json_array_size(data), count);
    for (uint32_t i = 0; i < count; i++) {
        const json_t *item = json_array_get(data, i);
        const json_t *embedding = json_object_get(item, "embedding");
        assert_int_equal(json_integer_value(json_object_get(item, "index")), i);
        assert_int_equal(json_object_get(item, "meta") != NULL, meta);
        for (uint32_t bit = 0; bit < 6; bit++)
            if ((types >> bit & 1) != 0)
                check_value(types == 1u << bit ? embedding : json_object_get(embedding, words[bit]),
                            1u << bit, vectors + i * dim, dim);
    }
    json_decref(root);
    free(text);
}

static void check_rows(const char *path, const char *key, const char *inputs, uint32_t count,
                       const float *vectors)
{
    char body[256];
    snprintf(body, sizeof body, "{\"%s\":%s}", key, inputs);
    char *text = answered(take(path, body), vectors, count);
    json_t *root = json_loads(text, 0, NULL);
    const json_t *rows = json_is_object(root) ? json_object_get(root, "embeddings") : root;
    assert_int_equal(json_array_size(rows), count);
    for (uint32_t i = 0; i < count; i++) {
        const json_t *row = json_array_get(rows, i);
        if (json_is_object(row))
            row = json_array_get(json_object_get(row, "embedding"), 0);
        check_floats(row, vectors + i * SERVED_DIM, SERVED_DIM);
    }
    json_decref(root);
    free(text);
}

static void random_vectors_read_back_in_every_dialect(void **state)
{
    (void)state;
    fby_rng rng = fby_rng_from_env();
    for (int round = 0; round < 3000; round++) {
        uint32_t count = 1 + (uint32_t)fby_rng_below(&rng, TEXTS);
        float vectors[TEXTS * SERVED_DIM];
        char inputs[128] = "[";
        for (uint32_t i = 0; i < TEXTS * SERVED_DIM; i++)
            vectors[i] = random_float(&rng);
        for (uint32_t i = 0; i < count; i++)
            strcat(inputs, i == 0 ? "\"hello\"" : ",\"a\"");
        strcat(inputs, "]");
        check_openai(&rng, inputs, count, vectors);
        check_rows("/embed", "inputs", inputs, count, vectors);
        check_rows("/api/embed", "input", inputs, count, vectors);
        check_rows("/embedding", "content", inputs, count, vectors);
    }
}

/* Texts of any number of rows, none included. */
static void rows_of_tokens_read_back(void **state)
{
    (void)state;
    fby_rng rng = fby_rng_from_env();
    const fby_call *call = take("/embed_all", "{\"inputs\":[\"a\",\"b\",\"c\",\"d\"]}");
    for (int round = 0; round < 2000; round++) {
        float vectors[4 * 5 * SERVED_DIM];
        fby_text_info infos[4];
        uint64_t rows = 0;
        for (int i = 0; i < 4; i++) {
            infos[i] = (fby_text_info){.tokens = (uint32_t)fby_rng_below(&rng, 5)};
            rows += infos[i].tokens;
        }
        for (uint64_t i = 0; i < rows * SERVED_DIM; i++)
            vectors[i] = random_float(&rng);
        fby_answer answer = {.call = call, .vectors = vectors, .infos = infos};
        char *text = malloc(fby_answer_max(call, rows) + 1);
        size_t used = 0;
        for (size_t size; (size = fby_answer_next(&answer, text + used)) != 0; used += size)
            assert_true(size <= fby_answer_piece_max(call));
        assert_true(used <= fby_answer_max(call, rows));
        json_t *root = json_loadb(text, used, 0, NULL);
        assert_int_equal(json_array_size(root), 4);
        const float *wanted = vectors;
        for (size_t i = 0; i < 4; i++) {
            const json_t *list = json_array_get(root, i);
            assert_int_equal(json_array_size(list), infos[i].tokens);
            for (size_t j = 0; j < infos[i].tokens; j++, wanted += SERVED_DIM)
                check_floats(json_array_get(list, j), wanted, SERVED_DIM);
        }
        json_decref(root);
        free(text);
    }
}

static void the_bound_overflows_to_all_there_is(void **state)
{
    (void)state;
    const fby_call *call = take("/embed", "{\"inputs\":\"a\"}");
    assert_true(fby_answer_max(call, UINT64_MAX) == SIZE_MAX);
    assert_true(fby_answer_max(call, UINT64_MAX / 2) == SIZE_MAX);
    assert_true(fby_answer_max(call, 1000) >= 1000 * 17 * SERVED_DIM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_vectors_read_back_in_every_dialect),
        cmocka_unit_test(rows_of_tokens_read_back),
        cmocka_unit_test(the_bound_overflows_to_all_there_is),
    };
    return cmocka_run_group_tests_name("api_answer", tests, served_setup, served_teardown);
}
