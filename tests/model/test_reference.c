/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The real model against the vectors that sentence-transformers gave for the
 * same texts (scripts/make_reference_vectors.py), on every instruction set that
 * this machine has. FBY_TEST_MODEL is the model, FBY_TEST_DATA tests/data.
 */
#include "model/encoder.h"

#include <math.h>

#include <jansson.h>

#include "compute/narrow.h"
#include "test.h"

/* What a precision has to reach: the lowest cosine of all texts, and their mean. */
static const struct {
    fby_precision precision;
    double lowest, mean;
} precisions[] = {{FBY_PRECISION_F32, 0.99999, 0.99999},
                  {FBY_PRECISION_BF16, 0.9999, 0.9999},
                  {FBY_PRECISION_INT8, 0.998, 0.9995}};
enum { PRECISIONS = sizeof precisions / sizeof precisions[0] };
static int chosen;

typedef struct reference {
    size_t count, dim;
    json_t **lines; /* {"text": ..., "tokens": ...} */
    float *vectors; /* (count, dim) */
} reference;

static FILE *open_data(const char *name)
{
    char path[4096];
    const char *data = getenv("FBY_TEST_DATA");
    assert_non_null(data);
    snprintf(path, sizeof path, "%s/%s", data, name);
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        fail_msg("%s is missing", path);
    return file;
}

/* A .npy of version 1: magic, version, u16 size of a Python dictionary, numbers. */
static void load_vectors(reference *r)
{
    unsigned char start[10];
    char dictionary[4096];
    FILE *file = open_data("reference_vectors.npy");
    assert_int_equal(fread(start, 1, sizeof start, file), sizeof start);
    assert_memory_equal(start, "\x93NUMPY\x01\x00", 8);
    size_t size = (size_t)start[8] | (size_t)start[9] << 8;
    assert_true(size < sizeof dictionary);
    assert_int_equal(fread(dictionary, 1, size, file), size);
    dictionary[size] = '\0';
    assert_non_null(strstr(dictionary, "'descr': '<f4', 'fortran_order': False"));
    const char *shape = strstr(dictionary, "'shape': (");
    assert_non_null(shape);
    assert_int_equal(sscanf(shape, "'shape': (%zu, %zu)", &r->count, &r->dim), 2);
    r->vectors = malloc(r->count * r->dim * sizeof *r->vectors);
    assert_non_null(r->vectors);
    assert_int_equal(fread(r->vectors, sizeof(float), r->count * r->dim, file), r->count * r->dim);
    fclose(file);
}

static void load_texts(reference *r)
{
    static char line[1 << 20];
    FILE *file = open_data("reference_texts.jsonl");
    r->lines = calloc(r->count, sizeof *r->lines);
    assert_non_null(r->lines);
    for (size_t i = 0; i < r->count; i++) {
        assert_non_null(fgets(line, sizeof line, file));
        r->lines[i] = json_loads(line, JSON_ALLOW_NUL, NULL);
        assert_non_null(r->lines[i]);
    }
    assert_null(fgets(line, sizeof line, file));
    fclose(file);
}

static reference ref;

static int load(void **state)
{
    (void)state;
    load_vectors(&ref);
    load_texts(&ref);
    return 0;
}

static int unload(void **state)
{
    (void)state;
    for (size_t i = 0; i < ref.count; i++)
        json_decref(ref.lines[i]);
    free(ref.lines);
    free(ref.vectors);
    return 0;
}

static double cosine(const float *x, const float *y, size_t dim)
{
    double xy = 0, xx = 0, yy = 0;
    for (size_t i = 0; i < dim; i++) {
        xy += (double)x[i] * (double)y[i];
        xx += (double)x[i] * (double)x[i];
        yy += (double)y[i] * (double)y[i];
    }
    return xy / sqrt(xx * yy);
}

/* The lowest and the mean cosine over each `step`th text, one text at a time. */
static void compare(const fby_encoder *encoder, size_t step, double *lowest, double *mean)
{
    fby_encoder_info info;
    fby_encoder_get_info(encoder, &info);
    assert_int_equal(info.dim, ref.dim);
    assert_true(info.normalizes);
    void *scratch = aligned_alloc(64, fby_encoder_scratch(encoder, info.max_tokens));
    uint32_t *ids = malloc(info.max_tokens * sizeof *ids);
    float *vector = malloc(info.dim * sizeof *vector);
    assert_true(scratch != NULL && ids != NULL && vector != NULL);

    double worst = 1, sum = 0;
    const fby_encode_options options = {.limit = info.max_tokens};
    for (size_t i = 0; i < ref.count; i += step) {
        const json_t *text = json_object_get(ref.lines[i], "text");
        fby_encoding encoding;
        fby_tokenizer_encode(fby_encoder_tokenizer(encoder), "", 0, json_string_value(text),
                             json_string_length(text), &options, ids, info.max_tokens, &encoding);
        assert_int_equal(encoding.count,
                         json_integer_value(json_object_get(ref.lines[i], "tokens")));
        const uint32_t starts[2] = {0, (uint32_t)encoding.count};
        assert_int_equal(fby_encoder_run(encoder, ids, starts, 1, scratch, &vector, NULL), FBY_OK);
        double similarity = cosine(vector, ref.vectors + i * ref.dim, ref.dim);
        assert_true(similarity <= 1.001); /* not for NaN */
        sum += similarity;
        worst = similarity < worst ? similarity : worst;
    }
    free(scratch);
    free(ids);
    free(vector);
    *lowest = worst;
    *mean = sum / (double)((ref.count + step - 1) / step);
}

static const char *products_of(fby_precision precision, fby_isa isa)
{
    const fby_narrow *narrow = fby_narrow_for(precision, isa);
    return narrow != NULL ? narrow->name : fby_kernels_for(isa)->name;
}

static void check(const char *dir, int p, fby_isa isa)
{
    fby_encoder *encoder;
    double lowest, mean;
    if (fby_encoder_open(dir, isa, precisions[p].precision, "", &encoder) != FBY_OK)
        fail_msg("%s", fby_last_error());
    /* Plain C on narrow numbers takes its time. */
    compare(encoder, p != 0 && isa == FBY_ISA_C ? 5 : 1, &lowest, &mean);
    const char *name = fby_precision_name(precisions[p].precision);
    printf("%s, %s: cosines: lowest %.7f, mean %.7f\n", fby_isa_name(isa), name, lowest, mean);
    if (!(lowest >= precisions[p].lowest && mean >= precisions[p].mean))
        fail_msg("%s, %s: at least %.5f and %.5f are asked for", fby_isa_name(isa), name,
                 precisions[p].lowest, precisions[p].mean);
    fby_encoder_close(encoder);
}

/* On each instruction set that has products of its own, once. */
static void every_text_has_the_vector_that_sentence_transformers_gives(void **state)
{
    (void)state;
    const char *dir = getenv("FBY_TEST_MODEL");
    assert_non_null(dir);
    assert_true(ref.count >= 300);
    for (int isa = 0; isa < FBY_ISA_COUNT; isa++)
        if (fby_isa_available((fby_isa)isa) &&
            strcmp(products_of(precisions[chosen].precision, (fby_isa)isa),
                   fby_isa_name((fby_isa)isa)) == 0)
            check(dir, chosen, (fby_isa)isa);
}

/* The precision is an argument: each is a test of its own, so that they run side by side. */
int main(int count, char **words)
{
    for (; chosen < PRECISIONS; chosen++)
        if (count == 2 && strcmp(words[1], fby_precision_name(precisions[chosen].precision)) == 0)
            break;
    if (chosen == PRECISIONS) {
        fprintf(stderr, "usage: test_model_reference f32|bf16|int8\n");
        return 2;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_text_has_the_vector_that_sentence_transformers_gives),
    };
    return cmocka_run_group_tests_name("reference", tests, load, unload);
}
