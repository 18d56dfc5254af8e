/* SPDX-License-Identifier: Apache-2.0 */
#include "model/bert.h"

#include "model/packed_model.h"
#include "model/reference_bert.h"

static void pack(packed *p, const tiny_model *model, fby_isa isa, uint32_t tokens)
{
    pack_at(p, model, isa, FBY_PRECISION_F32, tokens);
}

/* Every instruction set of this machine whose kernels are its own. */
static bool next_isa(fby_isa *isa)
{
    for (int i = (int)*isa + 1; i < FBY_ISA_COUNT; i++)
        if (fby_isa_available((fby_isa)i) &&
            strcmp(fby_kernels_for((fby_isa)i)->name, fby_isa_name((fby_isa)i)) == 0) {
            *isa = (fby_isa)i;
            return true;
        }
    return false;
}
#define FOR_EACH_ISA(isa) for (fby_isa isa = (fby_isa)-1; next_isa(&isa);)

/* The largest difference from the reference over a batch. */
static double worst_difference(packed *p, tiny_model *model, const uint32_t *ids,
                               const uint32_t *starts, uint32_t texts)
{
    const float *hidden;
    double worst = 0;
    double *expected = malloc((size_t)p->tokens * model->hidden * sizeof *expected);
    assert_non_null(expected);
    memset(p->scratch, 0xff, p->scratch_size); /* NaN: nothing is read before it is written */
    assert_int_equal(fby_bert_run(&p->bert, ids, starts, texts, p->scratch, NULL, &hidden), FBY_OK);
    for (uint32_t text = 0; text < texts; text++) {
        uint32_t tokens = starts[text + 1] - starts[text];
        reference_bert(model, ids + starts[text], tokens, expected);
        for (uint32_t i = 0; i < tokens; i++)
            for (uint32_t j = 0; j < model->hidden; j++) {
                float found = hidden[(starts[text] + i) * p->weights.ld_hidden + j];
                double difference = fabs((double)found - expected[i * model->hidden + j]);
                worst = difference <= worst ? worst : difference;
            }
    }
    free(expected);
    return worst;
}

static void gives_what_a_plain_forward_pass_gives(void **state)
{
    (void)state;
    static const struct {
        uint32_t hidden, heads, layers, intermediate;
        const char *activation;
    } shapes[] = {
        {64, 4, 2, 256, "gelu"},  {32, 4, 3, 64, "gelu_new"}, {48, 1, 2, 96, "relu"},
        {30, 5, 2, 37, "gelu"},   {26, 2, 2, 51, "gelu_new"}, {7, 7, 1, 1, "relu"},
        {1, 1, 1, 3, "gelu"},     {384, 12, 1, 1536, "gelu"}, {80, 2, 2, 100, "tanh"},
        {136, 17, 1, 33, "gelu"},
    };
    enum { POSITIONS = 40 };
    static const uint32_t starts[] = {0, 1, 3, 20, 20 + POSITIONS, 21 + POSITIONS};
    fby_rng rng = fby_rng_from_env();
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        uint32_t ids[21 + POSITIONS];
        tiny_model model = {.vocabulary = 50,
                            .hidden = shapes[i].hidden,
                            .layers = shapes[i].layers,
                            .heads = shapes[i].heads,
                            .intermediate = shapes[i].intermediate,
                            .positions = POSITIONS,
                            .activation = shapes[i].activation};
        tiny_fill(&model, &rng);
        fill_ids(&rng, &model, ids, 21 + POSITIONS);
        FOR_EACH_ISA(isa)
        {
            packed p;
            pack(&p, &model, isa, 21 + POSITIONS);
            double worst = worst_difference(&p, &model, ids, starts, 5);
            /* The rounding errors of a sum grow with the root of its length. */
            double bound = 3e-6 * sqrt(model.hidden + model.intermediate);
            if (!(worst < bound))
                fail_msg("%s, hidden %u, %s: off by %g", fby_isa_name(isa), model.hidden,
                         model.activation, worst);
            unpack(&p);
        }
        tiny_free(&model);
    }
}

/* The least cosine of a text's rows, all together, with the reference. */
static double least_cosine(packed *p, tiny_model *model, const uint32_t *ids,
                           const uint32_t *starts, uint32_t texts)
{
    const float *hidden;
    double least = 1;
    double *expected = malloc((size_t)p->tokens * model->hidden * sizeof *expected);
    assert_non_null(expected);
    memset(p->scratch, 0xff, p->scratch_size);
    assert_int_equal(fby_bert_run(&p->bert, ids, starts, texts, p->scratch, NULL, &hidden), FBY_OK);
    for (uint32_t text = 0; text < texts; text++) {
        double xy = 0, xx = 0, yy = 0;
        uint32_t tokens = starts[text + 1] - starts[text];
        reference_bert(model, ids + starts[text], tokens, expected);
        for (uint32_t i = 0; i < tokens; i++)
            for (uint32_t j = 0; j < model->hidden; j++) {
                double x = (double)hidden[(starts[text] + i) * p->weights.ld_hidden + j];
                double y = expected[i * model->hidden + j];
                xy += x * y;
                xx += x * x;
                yy += y * y;
            }
        least = fmin(least, xy / sqrt(xx * yy));
    }
    free(expected);
    return least;
}

/* On a random model, whose activations are not those of a trained one, only that nothing is wrong
 * at large: tests/model/test_reference.c has what a real model loses. */
static void narrow_products_give_nearly_the_same(void **state)
{
    (void)state;
    enum { POSITIONS = 40 };
    static const uint32_t shapes[][4] = {{64, 4, 2, 256}, {48, 1, 2, 96},     {30, 5, 2, 37},
                                         {26, 2, 2, 51},  {384, 12, 1, 1536}, {7, 7, 1, 1}};
    static const uint32_t starts[] = {0, 1, 3, 20, 20 + POSITIONS, 21 + POSITIONS};
    fby_rng rng = fby_rng_from_env();
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        uint32_t ids[21 + POSITIONS];
        tiny_model model = {.vocabulary = 50,
                            .hidden = shapes[i][0],
                            .heads = shapes[i][1],
                            .layers = shapes[i][2],
                            .intermediate = shapes[i][3],
                            .positions = POSITIONS,
                            .activation = "gelu"};
        tiny_fill(&model, &rng);
        fill_ids(&rng, &model, ids, 21 + POSITIONS);
        for (int p = FBY_PRECISION_BF16; p <= FBY_PRECISION_INT8; p++)
            for (int isa = 0; isa < FBY_ISA_COUNT; isa++) {
                packed m;
                if (!is_own((fby_precision)p, (fby_isa)isa))
                    continue;
                pack_at(&m, &model, (fby_isa)isa, (fby_precision)p, 21 + POSITIONS);
                double least = least_cosine(&m, &model, ids, starts, 5);
                if (!(least > (p == FBY_PRECISION_INT8 ? 0.995 : 0.9995)))
                    fail_msg("%s, %s, hidden %u: cosine %g", fby_isa_name((fby_isa)isa),
                             fby_precision_name((fby_precision)p), model.hidden, least);
                unpack(&m);
            }
        tiny_free(&model);
    }
}

static void a_texts_bits_do_not_depend_on_its_batch(void **state)
{
    (void)state;
    enum { TEXTS = 24, POSITIONS = 70, ROUNDS = 20 };
    fby_rng rng = fby_rng_from_env();
    static uint32_t ids[TEXTS * POSITIONS], batch[TEXTS * POSITIONS];
    uint32_t lengths[TEXTS], from[TEXTS], starts[TEXTS + 1], order[TEXTS], total = 0;
    static float alone[TEXTS * POSITIONS * 48];
    tiny_model model = {.vocabulary = 300,
                        .hidden = 48,
                        .layers = 3,
                        .heads = 4,
                        .intermediate = 200,
                        .positions = POSITIONS,
                        .activation = "gelu"};
    tiny_fill(&model, &rng);
    for (uint32_t i = 0; i < TEXTS; i++) {
        lengths[i] = i == 0 ? 1 : i == 1 ? POSITIONS : 1 + (uint32_t)fby_rng_below(&rng, POSITIONS);
        from[i] = total;
        total += lengths[i];
    }
    fill_ids(&rng, &model, ids, total);
    for (int each = 0; each < (FBY_PRECISION_INT8 + 1) * FBY_ISA_COUNT; each++) {
        fby_precision precision = (fby_precision)(each / FBY_ISA_COUNT);
        fby_isa isa = (fby_isa)(each % FBY_ISA_COUNT);
        if (!is_own(precision, isa))
            continue;
        packed p;
        const float *hidden;
        pack_at(&p, &model, isa, precision, total);
        for (uint32_t i = 0; i < TEXTS; i++) {
            uint32_t one[2] = {0, lengths[i]};
            assert_int_equal(fby_bert_run(&p.bert, ids + from[i], one, 1, p.scratch, NULL, &hidden),
                             FBY_OK);
            for (uint32_t row = 0; row < lengths[i]; row++)
                memcpy(alone + (from[i] + row) * 48, hidden + row * p.weights.ld_hidden,
                       48 * sizeof(float));
        }
        for (int round = 0; round < ROUNDS; round++) {
            uint32_t count = 1 + (uint32_t)fby_rng_below(&rng, TEXTS);
            for (uint32_t i = 0; i < TEXTS; i++)
                order[i] = i;
            starts[0] = 0;
            for (uint32_t i = 0; i < count; i++) {
                uint32_t other = i + (uint32_t)fby_rng_below(&rng, TEXTS - i), text = order[other];
                order[other] = order[i];
                order[i] = text;
                memcpy(batch + starts[i], ids + from[text], lengths[text] * sizeof *ids);
                starts[i + 1] = starts[i] + lengths[text];
            }
            assert_int_equal(fby_bert_run(&p.bert, batch, starts, count, p.scratch, NULL, &hidden),
                             FBY_OK);
            for (uint32_t i = 0; i < count; i++)
                for (uint32_t row = 0; row < lengths[order[i]]; row++)
                    assert_memory_equal(hidden + (starts[i] + row) * p.weights.ld_hidden,
                                        alone + (from[order[i]] + row) * 48, 48 * sizeof(float));
        }
        unpack(&p);
    }
    tiny_free(&model);
}

static tiny_model small(fby_rng *rng)
{
    tiny_model model = {.vocabulary = 20,
                        .hidden = 16,
                        .layers = 2,
                        .heads = 2,
                        .intermediate = 32,
                        .positions = 8,
                        .activation = "gelu"};
    tiny_fill(&model, rng);
    return model;
}

static void an_id_outside_the_vocabulary_is_refused(void **state)
{
    (void)state;
    fby_rng rng = {1};
    tiny_model model = small(&rng);
    packed p;
    const float *hidden = NULL;
    const uint32_t ids[] = {1, 2, 20}, starts[] = {0, 1, 3};
    pack(&p, &model, FBY_ISA_C, 8);
    assert_int_equal(fby_bert_run(&p.bert, ids, starts, 2, p.scratch, NULL, &hidden), FBY_EINVAL);
    assert_string_equal(fby_last_error(), "text 1: token id 20, the vocabulary has 20");
    assert_null(hidden);
    unpack(&p);
    tiny_free(&model);
}

static void stops_when_it_is_asked_to(void **state)
{
    (void)state;
    fby_rng rng = {1};
    tiny_model model = small(&rng);
    packed p;
    const float *hidden = NULL;
    const uint32_t ids[] = {1, 2, 3}, starts[] = {0, 3};
    atomic_bool cancel;
    atomic_init(&cancel, true);
    pack(&p, &model, FBY_ISA_C, 8);
    assert_int_equal(fby_bert_run(&p.bert, ids, starts, 1, p.scratch, &cancel, &hidden),
                     FBY_ECANCELED);
    atomic_store(&cancel, false);
    assert_int_equal(fby_bert_run(&p.bert, ids, starts, 1, p.scratch, &cancel, &hidden), FBY_OK);
    unpack(&p);
    tiny_free(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_what_a_plain_forward_pass_gives),
        cmocka_unit_test(narrow_products_give_nearly_the_same),
        cmocka_unit_test(a_texts_bits_do_not_depend_on_its_batch),
        cmocka_unit_test(an_id_outside_the_vocabulary_is_refused),
        cmocka_unit_test(stops_when_it_is_asked_to),
    };
    return cmocka_run_group_tests_name("bert", tests, NULL, NULL);
}
