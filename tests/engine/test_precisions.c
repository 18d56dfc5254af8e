/* SPDX-License-Identifier: Apache-2.0 */
/* From a directory to vectors at every precision, packing and tokenizer included, with a model
 * small enough for an emulated processor. */
#include "forebay/embed.h"

#include <math.h>

#include "../model/tiny_model.h"

enum { HIDDEN = 64, LETTERS = 19, LETTER_A = 5, TEXTS = 12, POSITIONS = 64 };

static char *dir;
static char words[TEXTS][2 * POSITIONS];
static fby_text texts[TEXTS];

/* Two layers of a BERT whose words are letters, and texts of 0 to 60 of them. */
static int make_model(void **state)
{
    (void)state;
    fby_rng rng = {41};
    char vocabulary[256] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n";
    for (int i = 0; i < LETTERS; i++)
        snprintf(vocabulary + strlen(vocabulary), sizeof vocabulary - strlen(vocabulary), "%c\n",
                 'a' + i);
    tiny_model tiny = {.vocabulary = LETTER_A + LETTERS,
                       .hidden = HIDDEN,
                       .layers = 2,
                       .heads = 2,
                       .intermediate = 200,
                       .positions = POSITIONS,
                       .activation = "gelu"};
    dir = temporary_dir();
    tiny_fill(&tiny, &rng);
    tiny_write(&tiny, dir);
    tiny_free(&tiny);
    temporary_text(dir, "vocab.txt", vocabulary);
    temporary_subdir(dir, "1_Pooling");
    temporary_text(dir, "1_Pooling/config.json",
                   "{\"word_embedding_dimension\": 64, \"pooling_mode\": \"mean\"}");
    temporary_text(dir, "modules.json",
                   "[{\"type\": \"x.Transformer\", \"path\": \"\"},"
                   " {\"type\": \"x.Pooling\", \"path\": \"1_Pooling\"},"
                   " {\"type\": \"x.Normalize\", \"path\": \"2_Normalize\"}]");
    for (uint32_t i = 0; i < TEXTS; i++) {
        uint32_t count = i < 2 ? i : (uint32_t)fby_rng_below(&rng, POSITIONS - 3);
        for (uint32_t j = 0; j < count; j++) {
            words[i][2 * j] = (char)('a' + fby_rng_below(&rng, LETTERS));
            words[i][2 * j + 1] = ' ';
        }
        texts[i] = (fby_text){words[i], 2 * count};
    }
    return 0;
}

static int remove_model(void **state)
{
    (void)state;
    temporary_remove(dir);
    free(dir);
    return 0;
}

/* Together in one batch, then each alone: the same bits. */
static void embed_at(fby_precision precision, float vectors[TEXTS][HIDDEN])
{
    fby_model *model;
    float alone[HIDDEN];
    fby_model_options options = FBY_MODEL_OPTIONS_INIT;
    options.cache_dir = "";
    options.precision = precision;
    if (fby_model_open(dir, &options, &model) != FBY_OK)
        fail_msg("%s", fby_last_error());
    assert_int_equal(fby_embed(model, texts, TEXTS, NULL, vectors[0], NULL), FBY_OK);
    for (int i = 0; i < TEXTS; i++) {
        assert_int_equal(fby_embed(model, &texts[i], 1, NULL, alone, NULL), FBY_OK);
        assert_memory_equal(alone, vectors[i], sizeof alone);
    }
    fby_model_close(model);
}

static double cosine(const float *x, const float *y)
{
    double xy = 0, xx = 0, yy = 0;
    for (int i = 0; i < HIDDEN; i++) {
        xy += (double)x[i] * (double)y[i];
        xx += (double)x[i] * (double)x[i];
        yy += (double)y[i] * (double)y[i];
    }
    return xy / sqrt(xx * yy);
}

/* The model is random: a bound for what is wrong at large, as in tests/model/test_bert.c. */
static void vectors_of_every_precision_are_near(void **state)
{
    (void)state;
    static float wide[TEXTS][HIDDEN], narrow[TEXTS][HIDDEN];
    static const double least[] = {[FBY_PRECISION_BF16] = 0.9995, [FBY_PRECISION_INT8] = 0.995};
    embed_at(FBY_PRECISION_F32, wide);
    for (int p = FBY_PRECISION_BF16; p <= FBY_PRECISION_INT8; p++) {
        embed_at((fby_precision)p, narrow);
        for (int i = 0; i < TEXTS; i++)
            if (!(cosine(wide[i], narrow[i]) > least[p]))
                fail_msg("precision %d, text %d: cosine %g", p, i, cosine(wide[i], narrow[i]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(vectors_of_every_precision_are_near, make_model,
                                        remove_model),
    };
    return cmocka_run_group_tests_name("precisions", tests, NULL, NULL);
}
