/* SPDX-License-Identifier: Apache-2.0 */
#include "model/encoder.h"

#include <errno.h>
#include <sys/mman.h>

#include <jansson.h>

#include "model/reference_bert.h"

static int mmap_calls, mmap_fails;

void *__real_mmap64(void *address, size_t size, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap64(void *address, size_t size, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap64(void *address, size_t size, int prot, int flags, int fd, off_t offset)
{
    if (++mmap_calls == mmap_fails) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    return __real_mmap64(address, size, prot, flags, fd, offset);
}

/* Allocations of our code and of the JSON library, which is linked statically; but for those of its
 * parser, which fby_json_parse() guards. */
static int allocations, allocation_fails;
static bool parsing;

static bool allocation_ends(void)
{
    return !parsing && ++allocations == allocation_fails;
}

json_t *__real_json_loadb(const char *text, size_t size, size_t flags, json_error_t *error);
json_t *__wrap_json_loadb(const char *text, size_t size, size_t flags, json_error_t *error);
json_t *__wrap_json_loadb(const char *text, size_t size, size_t flags, json_error_t *error)
{
    parsing = true;
    json_t *root = __real_json_loadb(text, size, flags, error);
    parsing = false;
    return root;
}

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
    return allocation_ends() ? NULL : __real_malloc(size);
}

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size)
{
    return allocation_ends() ? NULL : __real_calloc(count, size);
}

void *__real_realloc(void *memory, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_realloc(void *memory, size_t size)
{
    return allocation_ends() ? NULL : __real_realloc(memory, size);
}

char *__real_strdup(const char *text);
char *__wrap_strdup(const char *text);
char *__wrap_strdup(const char *text)
{
    return allocation_ends() ? NULL : __real_strdup(text);
}

/* ---- a whole directory: two-layer BERT, mean pooling, Dense, Normalize ---- */

enum { DENSE_OUT = 6, HIDDEN = 16 };

static char *dir;
static tiny_model model, dense;

static void write_pooling(const char *mode)
{
    char text[256];
    snprintf(text, sizeof text,
             "{\"word_embedding_dimension\": %d, \"pooling_mode\": \"%s\","
             " \"include_prompt\": true}",
             HIDDEN, mode);
    temporary_text(dir, "1_Pooling/config.json", text);
}

static void write_modules(const char *tail)
{
    char text[1024];
    snprintf(text, sizeof text,
             "[{\"type\": \"sentence_transformers.models.Transformer\", \"path\": \"\"},"
             " {\"type\": \"sentence_transformers.models.Pooling\", \"path\": \"1_Pooling\"}%s]",
             tail);
    temporary_text(dir, "modules.json", text);
}

#define DENSE     ", {\"type\": \"x.Dense\", \"path\": \"2_Dense\"}"
#define NORMALIZE ", {\"type\": \"x.Normalize\", \"path\": \"3_Normalize\"}"

/* The special tokens and words of one letter. */
static void write_vocabulary(uint32_t entries)
{
    char text[1024] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n";
    for (uint32_t i = 5; i < entries; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%c\n", (int)('a' + i - 5));
    temporary_text(dir, "vocab.txt", text);
}

static int make_model(void **state)
{
    (void)state;
    fby_rng rng = {23};
    mmap_fails = 0;
    dir = temporary_dir();
    model = (tiny_model){.vocabulary = 24,
                         .hidden = HIDDEN,
                         .layers = 2,
                         .heads = 2,
                         .intermediate = 40,
                         .positions = 12,
                         .activation = "gelu"};
    tiny_fill(&model, &rng);
    tiny_write(&model, dir);
    dense.count = 0;
    tiny_add_linear(&dense, &rng, "linear", DENSE_OUT, HIDDEN);
    temporary_subdir(dir, "1_Pooling");
    temporary_subdir(dir, "2_Dense");
    temporary_text(dir, "2_Dense/config.json",
                   "{\"in_features\": 16, \"out_features\": 6, \"bias\": true,"
                   " \"activation_function\": \"torch.nn.modules.activation.Tanh\"}");
    tiny_write_tensors(&dense, 0, dense.count, "", "F32", dir, "2_Dense/model.safetensors");
    write_vocabulary(24);
    write_modules(DENSE NORMALIZE);
    write_pooling("mean");
    temporary_text(dir, "sentence_bert_config.json", "{\"max_seq_length\": 10}");
    return 0;
}

static int remove_model(void **state)
{
    (void)state;
    tiny_free(&model);
    tiny_free(&dense);
    temporary_remove(dir);
    free(dir);
    return 0;
}

static fby_encoder *opened(fby_isa isa)
{
    fby_encoder *encoder;
    if (fby_encoder_open(dir, isa, FBY_PRECISION_F32, "", &encoder) != FBY_OK)
        fail_msg("%s", fby_last_error());
    return encoder;
}

static fby_isa best_isa(void)
{
    fby_isa isa;
    assert_int_equal(fby_isa_select(&isa), FBY_OK);
    return isa;
}

static void describes_what_it_opened(void **state)
{
    (void)state;
    fby_encoder_info info;
    fby_encoder *encoder = opened(FBY_ISA_C);
    fby_encoder_get_info(encoder, &info);
    assert_string_equal(info.architecture, "bert");
    assert_string_equal(info.pooling, "mean");
    assert_string_equal(info.packed_path, "");
    assert_int_equal(strlen(info.fingerprint), 32);
    assert_int_equal(info.dim, DENSE_OUT);
    assert_int_equal(info.truncate_dim, 0);
    assert_int_equal(info.layers, 2);
    assert_int_equal(info.heads, 2);
    assert_int_equal(info.hidden, HIDDEN);
    assert_int_equal(info.intermediate, 40);
    assert_int_equal(info.max_tokens, 10);
    assert_true(info.normalizes);
    assert_int_equal(info.flops_per_token, 2 * 2 * (4 * 16 * 16 + 2 * 16 * 40));
    assert_int_equal(info.flops_per_token_pair, 2 * 4 * 16);
    assert_int_equal(fby_tokenizer_vocabulary(fby_encoder_tokenizer(encoder)), 24);

    struct stat weights, more;
    assert_int_equal(stat(temporary_path(dir, "model.safetensors"), &weights), 0);
    assert_int_equal(stat(temporary_path(dir, "2_Dense/model.safetensors"), &more), 0);
    assert_int_equal(info.weight_bytes, weights.st_size + more.st_size);
    fby_encoder_close(encoder);
    fby_encoder_close(NULL);
}

/* Dense over the mean of the reference's rows. */
static void reference_vector(const uint32_t *ids, uint32_t tokens, double *out)
{
    double *x = malloc(tokens * HIDDEN * sizeof *x), mean[HIDDEN] = {0};
    assert_non_null(x);
    reference_bert(&model, ids, tokens, x);
    for (uint32_t i = 0; i < tokens * HIDDEN; i++)
        mean[i % HIDDEN] += x[i] / tokens;
    free(x);
    const float *w = tiny_find(&dense, "linear.weight")->values;
    const float *b = tiny_find(&dense, "linear.bias")->values;
    for (uint32_t i = 0; i < DENSE_OUT; i++) {
        out[i] = (double)b[i];
        for (uint32_t j = 0; j < HIDDEN; j++)
            out[i] += (double)w[i * HIDDEN + j] * mean[j];
        out[i] = tanh(out[i]);
    }
}

static void gives_each_text_its_vector_wherever_that_lies(void **state)
{
    (void)state;
    enum { TEXTS = 4 };
    static const uint32_t starts[TEXTS + 1] = {0, 1, 4, 14, 16};
    uint32_t ids[16];
    fby_rng rng = fby_rng_from_env();
    for (int i = 0; i < 16; i++)
        ids[i] = (uint32_t)fby_rng_below(&rng, 24);
    fby_encoder *encoder = opened(best_isa());
    void *scratch = aligned_alloc(64, fby_encoder_scratch(encoder, 16));
    assert_non_null(scratch);
    float vectors[TEXTS][DENSE_OUT + 1];
    float *rows[TEXTS] = {vectors[2], vectors[0] + 1, vectors[3], vectors[1] + 1};
    assert_int_equal(fby_encoder_run(encoder, ids, starts, TEXTS, scratch, rows, NULL), FBY_OK);
    for (uint32_t i = 0; i < TEXTS; i++) {
        double expected[DENSE_OUT];
        reference_vector(ids + starts[i], starts[i + 1] - starts[i], expected);
        for (int j = 0; j < DENSE_OUT; j++)
            assert_true(fabs((double)rows[i][j] - expected[j]) < 2e-5);

        float alone[DENSE_OUT], *row = alone;
        const uint32_t one[2] = {0, starts[i + 1] - starts[i]};
        assert_int_equal(fby_encoder_run(encoder, ids + starts[i], one, 1, scratch, &row, NULL),
                         FBY_OK);
        assert_memory_equal(alone, rows[i], sizeof alone);
    }
    free(scratch);
    fby_encoder_close(encoder);
}

/* ---- the fingerprint ---- */

static void take_fingerprint(fby_isa isa, char out[static 33])
{
    fby_encoder_info info;
    fby_encoder *encoder = opened(isa);
    fby_encoder_get_info(encoder, &info);
    memcpy(out, info.fingerprint, 33);
    fby_encoder_close(encoder);
}

static void check_fingerprint(const char *before, bool same)
{
    char now[33];
    take_fingerprint(FBY_ISA_C, now);
    assert_int_equal(strcmp(before, now) == 0, same);
}

static void whatever_decides_a_vector_decides_the_fingerprint(void **state)
{
    (void)state;
    char first[33], other[33];
    take_fingerprint(FBY_ISA_C, first);
    if (best_isa() != FBY_ISA_C) {
        take_fingerprint(best_isa(), other);
        assert_string_not_equal(first, other);
    }
    write_pooling("cls");
    check_fingerprint(first, false);
    write_pooling("mean");
    check_fingerprint(first, true);
    write_modules(DENSE);
    check_fingerprint(first, false);
    write_modules(NORMALIZE);
    check_fingerprint(first, false);
    write_modules(NORMALIZE DENSE NORMALIZE);
    check_fingerprint(first, false);
    write_modules(DENSE NORMALIZE);
    temporary_text(dir, "sentence_bert_config.json", "{\"max_seq_length\": 9}");
    check_fingerprint(first, false);
    temporary_text(dir, "sentence_bert_config.json", "{\"max_seq_length\": 10}");
    write_vocabulary(23);
    check_fingerprint(first, false);
    write_vocabulary(24);
    tiny_find(&dense, "linear.bias")->values[0] += 0.5f;
    tiny_write_tensors(&dense, 0, dense.count, "", "F32", dir, "2_Dense/model.safetensors");
    check_fingerprint(first, false);
    tiny_find(&dense, "linear.bias")->values[0] -= 0.5f;
    tiny_write_tensors(&dense, 0, dense.count, "", "F32", dir, "2_Dense/model.safetensors");
    model.activation = "relu";
    tiny_write_config(&model, dir);
    check_fingerprint(first, false);
    model.activation = "gelu";
    tiny_write_config(&model, dir);
    check_fingerprint(first, true);
}

static void what_decides_no_bits_leaves_the_fingerprint(void **state)
{
    (void)state;
    char first[33];
    take_fingerprint(FBY_ISA_C, first);
    temporary_text(dir, "config_sentence_transformers.json",
                   "{\"prompts\": {\"query\": \"query: \"}, \"default_prompt_name\": \"query\"}");
    check_fingerprint(first, true);
    tiny_write_tensors(&model, 0, model.count, "bert.", "BF16", dir, "model.safetensors");
    check_fingerprint(first, true);
}

/* ---- prompts ---- */

static void a_prompt_is_found_by_name(void **state)
{
    (void)state;
    const char *prompt;
    size_t size;
    temporary_text(dir, "config_sentence_transformers.json",
                   "{\"prompts\": {\"query\": \"query: \"}, \"default_prompt_name\": \"query\"}");
    fby_encoder *encoder = opened(FBY_ISA_C);
    assert_int_equal(fby_encoder_prompt(encoder, NULL, &prompt, &size), FBY_OK);
    assert_int_equal(size, 7);
    assert_memory_equal(prompt, "query: ", 7);
    assert_int_equal(fby_encoder_prompt(encoder, "document", &prompt, &size), FBY_OK);
    assert_int_equal(size, 0);
    assert_int_equal(fby_encoder_prompt(encoder, "other", &prompt, &size), FBY_ENOENT);
    assert_non_null(strstr(fby_last_error(), "query, document"));
    fby_encoder_close(encoder);

    temporary_text(dir, "1_Pooling/config.json",
                   "{\"word_embedding_dimension\": 16, \"include_prompt\": false}");
    encoder = opened(FBY_ISA_C);
    assert_int_equal(fby_encoder_prompt(encoder, "query", &prompt, &size), FBY_EUNSUPPORTED);
    assert_non_null(strstr(fby_last_error(), "include_prompt"));
    assert_int_equal(fby_encoder_prompt(encoder, "document", &prompt, &size), FBY_OK);
    fby_encoder_close(encoder);
}

/* ---- directories that do not fit together ---- */

static void check_refused(fby_status status, const char *words)
{
    fby_encoder *encoder = NULL;
    fby_status found = fby_encoder_open(dir, FBY_ISA_C, FBY_PRECISION_F32, "", &encoder);
    if (found != status || strstr(fby_last_error(), words) == NULL)
        fail_msg("status %d, \"%s\", expected \"%s\"", found, fby_last_error(), words);
    assert_null(encoder);
}

static void a_directory_that_does_not_fit_together_is_refused(void **state)
{
    (void)state;
    write_vocabulary(25);
    check_refused(FBY_EFORMAT, "the tokenizer has 25 entries, but vocab_size is 24");
    write_vocabulary(24);
    temporary_text(dir, "sentence_bert_config.json", "{\"max_seq_length\": 1}");
    check_refused(FBY_EFORMAT, "the tokenizer adds 2 tokens, a text may have 1");
    temporary_text(dir, "sentence_bert_config.json", "{\"max_seq_length\": 10}");
    assert_int_equal(unlink(temporary_path(dir, "2_Dense/model.safetensors")), 0);
    check_refused(FBY_ENOENT, "2_Dense: no model.safetensors");
    assert_int_equal(unlink(temporary_path(dir, "vocab.txt")), 0);
    check_refused(FBY_ENOENT, "vocab.txt");
    assert_int_equal(unlink(temporary_path(dir, "config.json")), 0);
    check_refused(FBY_ENOENT, "config.json");
}

static void no_limit_on_a_text_may_be_a_number_beyond_64_bits(void **state)
{
    (void)state;
    fby_encoder_info info;
    temporary_text(dir, "tokenizer_config.json",
                   "{\"model_max_length\": 1000000000000000019884624838656}");
    temporary_text(dir, "sentence_bert_config.json", "{\"max_seq_length\": null}");
    fby_encoder *encoder = opened(FBY_ISA_C);
    fby_encoder_get_info(encoder, &info);
    assert_int_equal(info.max_tokens, 12); /* the positions there are */
    fby_encoder_close(encoder);
}

static void the_transformer_may_have_a_directory_of_its_own(void **state)
{
    (void)state;
    static const char *const files[] = {"config.json", "model.safetensors", "vocab.txt",
                                        "sentence_bert_config.json"};
    char first[33], to[64];
    take_fingerprint(FBY_ISA_C, first);
    temporary_subdir(dir, "0_Transformer");
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        snprintf(to, sizeof to, "0_Transformer/%s", files[i]);
        assert_int_equal(rename(temporary_path(dir, files[i]), temporary_path(dir, to)), 0);
    }
    temporary_text(dir, "modules.json",
                   "[{\"type\": \"x.Transformer\", \"path\": \"0_Transformer\"},"
                   " {\"type\": \"x.Pooling\", \"path\": \"1_Pooling\"}" DENSE NORMALIZE "]");
    check_fingerprint(first, true);
}

static void a_mapping_that_fails_is_an_error_and_leaks_nothing(void **state)
{
    (void)state;
    bool failed = true;
    for (int n = 1; failed; n++) {
        fby_encoder *encoder;
        assert_true(n < 20);
        mmap_calls = 0;
        mmap_fails = n;
        fby_status status = fby_encoder_open(dir, FBY_ISA_C, FBY_PRECISION_F32, "", &encoder);
        failed = mmap_calls >= n;
        assert_int_equal(status, failed ? FBY_ENOMEM : FBY_OK);
        if (status == FBY_OK)
            fby_encoder_close(encoder);
    }
}

static void an_allocation_that_fails_is_an_error_and_leaks_nothing(void **state)
{
    (void)state;
    bool failed = true;
    temporary_text(dir, "config_sentence_transformers.json",
                   "{\"prompts\": {\"query\": \"query: \"}, \"default_prompt_name\": \"query\"}");
    for (int n = 1; failed; n++) {
        fby_encoder *encoder;
        allocations = 0;
        allocation_fails = n;
        fby_status status = fby_encoder_open(dir, FBY_ISA_C, FBY_PRECISION_F32, "", &encoder);
        failed = allocations >= n;
        allocation_fails = 0;
        if (status != (failed ? FBY_ENOMEM : FBY_OK))
            fail_msg("allocation %d: status %d, \"%s\"", n, status, fby_last_error());
        if (status == FBY_OK)
            fby_encoder_close(encoder);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_model, remove_model)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(describes_what_it_opened),
        TEST(gives_each_text_its_vector_wherever_that_lies),
        TEST(whatever_decides_a_vector_decides_the_fingerprint),
        TEST(what_decides_no_bits_leaves_the_fingerprint),
        TEST(a_prompt_is_found_by_name),
        TEST(a_directory_that_does_not_fit_together_is_refused),
        TEST(no_limit_on_a_text_may_be_a_number_beyond_64_bits),
        TEST(the_transformer_may_have_a_directory_of_its_own),
        TEST(a_mapping_that_fails_is_an_error_and_leaks_nothing),
        TEST(an_allocation_that_fails_is_an_error_and_leaks_nothing),
    };
    return cmocka_run_group_tests_name("encoder", tests, NULL, NULL);
}
