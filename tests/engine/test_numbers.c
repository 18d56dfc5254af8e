/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of a vector behind the last layer: numbers that are none, truncate_dim. */
#include "forebay/embed.h"

#include <math.h>

#include "../model/tiny_model.h"

enum { HIDDEN = 16, WORDS = 24, LETTER_A = 5, TEXTS = 40 };

static char *dir;
static tiny_model tiny;
static fby_model *model;

/* A BERT of one layer whose words are the letters, its vectors of length 1. */
static int make_model(void **state)
{
    (void)state;
    fby_rng rng = {23};
    char words[256] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n";
    for (int i = LETTER_A; i < WORDS; i++)
        snprintf(words + strlen(words), sizeof words - strlen(words), "%c\n", 'a' + i - LETTER_A);
    dir = temporary_dir();
    tiny = (tiny_model){.vocabulary = WORDS,
                        .hidden = HIDDEN,
                        .layers = 1,
                        .heads = 2,
                        .intermediate = 40,
                        .positions = 12,
                        .activation = "gelu"};
    tiny_fill(&tiny, &rng);
    temporary_text(dir, "vocab.txt", words);
    temporary_subdir(dir, "1_Pooling");
    temporary_text(dir, "1_Pooling/config.json",
                   "{\"word_embedding_dimension\": 16, \"pooling_mode\": \"mean\"}");
    temporary_text(dir, "modules.json",
                   "[{\"type\": \"x.Transformer\", \"path\": \"\"},"
                   " {\"type\": \"x.Pooling\", \"path\": \"1_Pooling\"},"
                   " {\"type\": \"x.Normalize\", \"path\": \"2_Normalize\"}]");
    return 0;
}

static int remove_model(void **state)
{
    (void)state;
    fby_model_close(model);
    model = NULL;
    tiny_free(&tiny);
    temporary_remove(dir);
    free(dir);
    return 0;
}

static void open_model_at(fby_precision precision)
{
    fby_model_options options = FBY_MODEL_OPTIONS_INIT;
    options.cache_dir = "";
    options.precision = precision;
    tiny_write(&tiny, dir);
    if (fby_model_open(dir, &options, &model) != FBY_OK)
        fail_msg("%s", fby_last_error());
}

static void open_model(void)
{
    open_model_at(FBY_PRECISION_F32);
}

/* A row of the words' table; 'c' is in no text but those that are to fail. */
static float *embedding_of(char letter)
{
    return tiny_find(&tiny, "embeddings.word_embeddings.weight")->values +
           (size_t)(LETTER_A + letter - 'a') * HIDDEN;
}

static double length_of(const float *x, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    return sqrt(sum);
}

static void a_vector_that_is_not_finite_is_refused_by_its_text(void **state)
{
    (void)state;
    const float bad[] = {NAN, INFINITY, -INFINITY};
    float vectors[TEXTS * HIDDEN];
    fby_text texts[TEXTS];

    for (size_t k = 0; k < 6; k++) {
        embedding_of('c')[k % 3] = bad[k % 3];
        open_model_at(k < 3 ? FBY_PRECISION_F32 : FBY_PRECISION_BF16);
        for (size_t i = 0; i < TEXTS; i++)
            texts[i] = (fby_text){i == 33 ? "b c" : "a b", 3};
        for (int normalize = FBY_NORMALIZE_MODEL; normalize <= FBY_NORMALIZE_NO; normalize++)
            for (uint32_t dimensions = 0; dimensions <= HIDDEN; dimensions += HIDDEN / 2) {
                fby_embed_options options = FBY_EMBED_OPTIONS_INIT;
                options.normalize = (fby_normalize)normalize;
                options.dimensions = dimensions;
                assert_int_equal(fby_embed(model, texts, TEXTS, &options, vectors, NULL),
                                 FBY_ENOTFINITE);
                assert_memory_equal(fby_last_error(), "text 33: ", 9);
                assert_int_equal(fby_embed(model, texts, 33, &options, vectors, NULL), FBY_OK);
            }
        fby_job *job;
        assert_int_equal(
            fby_embed_submit(model, texts, TEXTS, NULL, vectors, NULL, NULL, NULL, &job), FBY_OK);
        assert_int_equal(fby_job_wait(job, UINT32_MAX), FBY_ENOTFINITE);
        assert_int_equal(fby_job_failed_text(job), 33);
        fby_job_free(job);
        assert_int_equal(fby_embed_submit(model, texts, 2, NULL, vectors, NULL, NULL, NULL, &job),
                         FBY_OK);
        assert_int_equal(fby_job_wait(job, UINT32_MAX), FBY_OK);
        assert_true(fby_job_failed_text(job) == SIZE_MAX);
        fby_job_free(job);
        fby_model_close(model);
        model = NULL;
    }
}

/* Products of few bits would hide them: the model is refused when it is packed. */
static void weights_that_are_not_finite_are_refused_in_few_bits(void **state)
{
    (void)state;
    static const char *const names[] = {
        "encoder.layer.0.attention.self.key.weight", "encoder.layer.0.attention.self.value.bias",
        "encoder.layer.0.intermediate.dense.weight", "encoder.layer.0.output.dense.bias"};
    const fby_precision precisions[] = {FBY_PRECISION_BF16, FBY_PRECISION_INT8};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        for (size_t j = 0; j < 2; j++) {
            fby_model_options options = FBY_MODEL_OPTIONS_INIT;
            float *value = tiny_find(&tiny, names[i])->values + 3, before = *value;
            options.cache_dir = "";
            options.precision = precisions[j];
            *value = j == 0 ? NAN : INFINITY;
            tiny_write(&tiny, dir);
            *value = before;
            assert_int_equal(fby_model_open(dir, &options, &model), FBY_ENOTFINITE);
            assert_non_null(strstr(fby_last_error(), names[i]));
            assert_null(model);
        }
    fby_model_options options = FBY_MODEL_OPTIONS_INIT;
    options.cache_dir = "";
    options.precision = FBY_PRECISION_INT8;
    tiny_write(&tiny, dir);
    assert_int_equal(fby_model_open(dir, &options, &model), FBY_OK);
}

static void a_vector_whose_squares_overflow_still_has_a_length(void **state)
{
    (void)state;
    const fby_text text = {"a b", 3};
    float vector[HIDDEN];
    fby_embed_options options = FBY_EMBED_OPTIONS_INIT;

    float *gamma = tiny_find(&tiny, "encoder.layer.0.output.LayerNorm.weight")->values;
    for (int i = 0; i < HIDDEN; i++)
        gamma[i] *= 1e25F;
    open_model();
    assert_int_equal(fby_embed(model, &text, 1, NULL, vector, NULL), FBY_OK);
    assert_true(fabs(length_of(vector, HIDDEN) - 1) < 1e-5);
    options.normalize = FBY_NORMALIZE_NO;
    assert_int_equal(fby_embed(model, &text, 1, &options, vector, NULL), FBY_OK);
    assert_true(length_of(vector, HIDDEN) > 1e24);
}

/* The default is cut as sentence-transformers 6 cuts it (SentenceTransformer.encode: the modules,
 * then [..., :truncate_dim], and normalised only where the caller asks): the first numbers of the
 * model's own vector, bit by bit. */
static void truncate_dim_cuts_behind_the_models_modules(void **state)
{
    (void)state;
    enum { KEPT = 5 };
    const fby_text text = {"a b d", 5};
    float whole[HIDDEN], vector[HIDDEN] = {0};
    fby_model_info info = {.struct_size = sizeof info};
    fby_embed_options options = FBY_EMBED_OPTIONS_INIT;

    temporary_text(dir, "config_sentence_transformers.json", "{\"truncate_dim\": 5}");
    open_model();
    assert_int_equal(fby_model_dim(model), KEPT);
    assert_int_equal(fby_model_get_info(model, &info), FBY_OK);
    assert_int_equal(info.dim, KEPT);
    assert_int_equal(info.full_dim, HIDDEN);

    options.dimensions = HIDDEN;
    assert_int_equal(fby_embed(model, &text, 1, &options, whole, NULL), FBY_OK);
    assert_true(fabs(length_of(whole, HIDDEN) - 1) < 1e-5);
    assert_int_equal(fby_embed(model, &text, 1, NULL, vector, NULL), FBY_OK);
    assert_memory_equal(vector, whole, KEPT * sizeof(float));
    assert_true(vector[KEPT] == 0);

    options.dimensions = KEPT;
    assert_int_equal(fby_embed(model, &text, 1, &options, vector, NULL), FBY_OK);
    assert_true(fabs(length_of(vector, KEPT) - 1) < 1e-5);
    options.dimensions = 0;
    options.normalize = FBY_NORMALIZE_YES;
    assert_int_equal(fby_embed(model, &text, 1, &options, vector, NULL), FBY_OK);
    assert_true(fabs(length_of(vector, KEPT) - 1) < 1e-5);
    options.dimensions = HIDDEN + 1;
    assert_int_equal(fby_embed(model, &text, 1, &options, vector, NULL), FBY_EINVAL);
}

static void a_truncate_dim_beyond_the_vector_keeps_all(void **state)
{
    (void)state;
    temporary_text(dir, "config_sentence_transformers.json", "{\"truncate_dim\": 1000}");
    open_model();
    assert_int_equal(fby_model_dim(model), HIDDEN);
    fby_model_close(model);
    model = NULL;
    temporary_text(dir, "config_sentence_transformers.json", "{\"truncate_dim\": null}");
    open_model();
    assert_int_equal(fby_model_dim(model), HIDDEN);
}

#define WITH_MODEL(test) cmocka_unit_test_setup_teardown(test, make_model, remove_model)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_MODEL(a_vector_that_is_not_finite_is_refused_by_its_text),
        WITH_MODEL(weights_that_are_not_finite_are_refused_in_few_bits),
        WITH_MODEL(a_vector_whose_squares_overflow_still_has_a_length),
        WITH_MODEL(truncate_dim_cuts_behind_the_models_modules),
        WITH_MODEL(a_truncate_dim_beyond_the_vector_keeps_all),
    };
    return cmocka_run_group_tests_name("numbers", tests, NULL, NULL);
}
