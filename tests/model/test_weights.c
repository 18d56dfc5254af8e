/* SPDX-License-Identifier: Apache-2.0 */
#include "model/weights.h"

#include "base/pages.h"
#include "model/tiny_model.h"

static char *dir;
static tiny_model model;

static int make_model(void **state)
{
    (void)state;
    fby_rng rng = {7};
    dir = temporary_dir();
    model = (tiny_model){.vocabulary = 20,
                         .hidden = 24,
                         .layers = 2,
                         .heads = 3,
                         .intermediate = 40,
                         .positions = 8,
                         .activation = "gelu"};
    tiny_fill(&model, &rng);
    tiny_write_config(&model, dir);
    return 0;
}

static int remove_model(void **state)
{
    (void)state;
    tiny_free(&model);
    temporary_remove(dir);
    free(dir);
    return 0;
}

/* The image of what the directory holds now, to be freed; or the first error. */
static fby_status image_of_directory(unsigned char **image, size_t *size)
{
    const fby_kernels *kernels = fby_kernels_for(FBY_ISA_C);
    fby_config config;
    fby_checkpoint *checkpoint = NULL;
    assert_int_equal(fby_config_load(dir, &config), FBY_OK);
    fby_status status = fby_checkpoint_find(dir, &checkpoint);
    if (status == FBY_OK)
        status = fby_checkpoint_map(checkpoint);
    fby_sources sources = {.transformer = checkpoint};
    if (status == FBY_OK)
        status = fby_weights_check(&config, &sources);
    if (status == FBY_OK) {
        *size = fby_weights_bytes(&config, kernels);
        *image = aligned_alloc(64, *size);
        assert_non_null(*image);
        memset(*image, 0, *size);
        assert_int_equal(fby_weights_pack(&config, kernels, &sources, *image), FBY_OK);
    }
    fby_checkpoint_close(checkpoint);
    fby_config_clear(&config);
    return status;
}

static void remove_weights(void)
{
    static const char *const files[] = {"model.safetensors", "model.safetensors.index.json",
                                        "a.safetensors", "b.safetensors", "pytorch_model.bin"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        unlink(temporary_path(dir, files[i]));
}

static void write_whole(void)
{
    remove_weights();
    tiny_write_tensors(&model, 0, model.count, "", "F32", dir, "model.safetensors");
}

/* The index for tensors 0 … `cut` - 1 in a.safetensors and the others in b.safetensors. */
static void write_index(uint32_t cut)
{
    json_t *map = json_object();
    for (uint32_t i = 0; i < model.count; i++)
        json_object_set_new(map, model.tensors[i].name,
                            json_string(i < cut ? "a.safetensors" : "b.safetensors"));
    json_t *index = json_pack("{s:{}, s:o}", "metadata", "weight_map", map);
    char *text = json_dumps(index, 0);
    temporary_text(dir, "model.safetensors.index.json", text);
    free(text);
    json_decref(index);
}

static void check_equal(const unsigned char *expected, size_t expected_size)
{
    unsigned char *image;
    size_t size;
    assert_int_equal(image_of_directory(&image, &size), FBY_OK);
    assert_int_equal(size, expected_size);
    assert_memory_equal(image, expected, size);
    free(image);
}

static void the_same_numbers_give_the_same_image_however_they_are_stored(void **state)
{
    (void)state;
    unsigned char *image;
    size_t size;
    write_whole();
    assert_int_equal(image_of_directory(&image, &size), FBY_OK);

    tiny_write_tensors(&model, 0, model.count, "", "F16", dir, "model.safetensors");
    check_equal(image, size);
    tiny_write_tensors(&model, 0, model.count, "", "BF16", dir, "model.safetensors");
    check_equal(image, size);
    tiny_write_tensors(&model, 0, model.count, "bert.", "F32", dir, "model.safetensors");
    check_equal(image, size);

    remove_weights();
    write_index(9);
    tiny_write_tensors(&model, 0, 9, "", "F16", dir, "a.safetensors");
    tiny_write_tensors(&model, 9, model.count, "", "F32", dir, "b.safetensors");
    check_equal(image, size);
    free(image);
}

static void the_norms_may_have_their_old_names(void **state)
{
    (void)state;
    unsigned char *image;
    size_t size;
    write_whole();
    assert_int_equal(image_of_directory(&image, &size), FBY_OK);
    for (uint32_t i = 0; i < model.count; i++) {
        char *name = model.tensors[i].name, *end = strstr(name, "LayerNorm.");
        if (end != NULL)
            strcpy(end + 10, strcmp(end + 10, "weight") == 0 ? "gamma" : "beta");
    }
    write_whole();
    check_equal(image, size);
    for (uint32_t i = 0; i < model.count; i++) {
        char *name = model.tensors[i].name, *end = strstr(name, "LayerNorm.");
        if (end != NULL)
            strcpy(end + 10, strcmp(end + 10, "gamma") == 0 ? "weight" : "bias");
    }
    free(image);
}

/* Writes the model with tensor `name` renamed or reshaped, and asks for words in the message. */
static void check_refused(const char *name, const char *new_name, uint64_t rows, uint64_t columns,
                          fby_status status, const char *words)
{
    unsigned char *image;
    size_t size;
    tiny_tensor *tensor = tiny_find(&model, name), before = *tensor;
    if (new_name != NULL)
        snprintf(tensor->name, sizeof tensor->name, "%s", new_name);
    if (rows != 0) {
        tensor->rank = columns == 0 ? 1 : 2;
        tensor->shape[0] = rows;
        tensor->shape[1] = columns;
    }
    write_whole();
    *tensor = before;
    fby_status found = image_of_directory(&image, &size);
    if (found != status || strstr(fby_last_error(), words) == NULL)
        fail_msg("%s: status %d, \"%s\", expected \"%s\"", name, found, fby_last_error(), words);
}

static void a_missing_or_misshaped_tensor_is_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *name, *new_name;
        uint64_t rows, columns;
        fby_status status;
        const char *words;
    } cases[] = {
        {"encoder.layer.1.output.dense.weight", "other", 0, 0, FBY_ENOENT,
         "/model.safetensors: tensor 'encoder.layer.1.output.dense.weight' is missing"},
        {"embeddings.word_embeddings.weight", "other", 0, 0, FBY_ENOENT,
         "'embeddings.word_embeddings.weight' is missing"},
        {"embeddings.LayerNorm.bias", "other", 0, 0, FBY_ENOENT,
         "'embeddings.LayerNorm.bias' is missing"},
        {"encoder.layer.0.attention.self.key.bias", "other", 0, 0, FBY_ENOENT,
         "'encoder.layer.0.attention.self.key.bias' is missing"},
        {"embeddings.word_embeddings.weight", NULL, 19, 24, FBY_EFORMAT,
         "'embeddings.word_embeddings.weight' has shape [19, 24], the configuration asks for "
         "[20, 24]"},
        {"embeddings.position_embeddings.weight", NULL, 4, 24, FBY_EFORMAT,
         "has shape [4, 24], the configuration asks for [8, 24]"},
        {"encoder.layer.0.intermediate.dense.weight", NULL, 24, 40, FBY_EFORMAT,
         "has shape [24, 40], the configuration asks for [40, 24]"},
        {"encoder.layer.0.intermediate.dense.weight", NULL, 960, 0, FBY_EFORMAT,
         "has shape [960], the configuration asks for [40, 24]"},
        {"encoder.layer.1.output.LayerNorm.weight", NULL, 1, 24, FBY_EFORMAT,
         "has shape [1, 24], the configuration asks for [24]"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check_refused(cases[i].name, cases[i].new_name, cases[i].rows, cases[i].columns,
                      cases[i].status, cases[i].words);
}

static void numbers_of_another_type_are_refused_by_name(void **state)
{
    (void)state;
    static const char header[] = "{\"embeddings.word_embeddings.weight\": {\"dtype\": \"I32\","
                                 " \"shape\": [20, 24], \"data_offsets\": [0, 1920]}}";
    static unsigned char bytes[8 + sizeof header - 1 + 1920];
    unsigned char *image;
    size_t size;
    bytes[0] = sizeof header - 1;
    memcpy(bytes + 8, header, sizeof header - 1);
    remove_weights();
    temporary_write(dir, "model.safetensors", bytes, sizeof bytes);
    assert_int_equal(image_of_directory(&image, &size), FBY_EUNSUPPORTED);
    assert_non_null(strstr(fby_last_error(), "'embeddings.word_embeddings.weight' is I32"));
}

static void lies_of_an_index_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *index;
        fby_status status;
        const char *words;
    } cases[] = {
        {"[]", FBY_EFORMAT, "index.json: weight_map is missing"},
        {"{\"weight_map\": 1}", FBY_EFORMAT, "index.json: weight_map is missing"},
        {"{\"weight_map\": {\"x\": 1}}", FBY_EFORMAT, "tensor 'x': expected the name"},
        {"{\"weight_map\": {\"x\": \"../a.safetensors\"}}", FBY_EFORMAT, "expected the name"},
        {"{\"weight_map\": {\"x\": \"/a.safetensors\"}}", FBY_EFORMAT, "expected the name"},
        {"{\"weight_map\": {\"x\": \".safetensors\"}}", FBY_EFORMAT, "expected the name"},
        {"{\"weight_map\": {\"x\": \"passwd\"}}", FBY_EFORMAT, "expected the name"},
        {"{\"weight_map\": {\"x\": \"none.safetensors\"}}", FBY_ENOENT,
         "/none.safetensors: No such file"},
        {"{\"weight_map\": {}}", FBY_ENOENT,
         "index.json: tensor 'embeddings.word_embeddings.weight' is missing"},
        {"{\"weight_map\": {\"embeddings.word_embeddings.weight\": \"b.safetensors\"}}", FBY_ENOENT,
         "/b.safetensors: tensor 'embeddings.word_embeddings.weight' is missing"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        unsigned char *image;
        size_t size;
        remove_weights();
        temporary_text(dir, "model.safetensors.index.json", cases[i].index);
        tiny_write_tensors(&model, 0, 3, "", "F32", dir, "a.safetensors");
        tiny_write_tensors(&model, 3, model.count, "", "F32", dir, "b.safetensors");
        fby_status status = image_of_directory(&image, &size);
        if (status != cases[i].status || strstr(fby_last_error(), cases[i].words) == NULL)
            fail_msg("%s: status %d, \"%s\", expected \"%s\"", cases[i].index, status,
                     fby_last_error(), cases[i].words);
    }
}

static void more_shards_than_are_supported_are_refused(void **state)
{
    (void)state;
    unsigned char *image;
    size_t size;
    json_t *map = json_object();
    char name[64];
    remove_weights();
    for (int i = 0; i < 257; i++) {
        snprintf(name, sizeof name, "model-%d.safetensors", i);
        json_object_set_new(map, name, json_string(name));
        temporary_text(dir, name, "");
    }
    json_t *index = json_pack("{s:o}", "weight_map", map);
    char *text = json_dumps(index, 0);
    temporary_text(dir, "model.safetensors.index.json", text);
    free(text);
    assert_int_equal(image_of_directory(&image, &size), FBY_EUNSUPPORTED);
    assert_non_null(strstr(fby_last_error(), "more than 256 files"));
    const char *key;
    json_t *value;
    json_object_foreach(map, key, value)
    {
        assert_int_equal(unlink(temporary_path(dir, key)), 0);
    }
    json_decref(index);
}

static void a_directory_without_weights_says_what_it_lacks(void **state)
{
    (void)state;
    fby_checkpoint *checkpoint;
    remove_weights();
    assert_int_equal(fby_checkpoint_find(dir, &checkpoint), FBY_ENOENT);
    assert_non_null(strstr(fby_last_error(), "no model.safetensors and no"));
    temporary_text(dir, "pytorch_model.bin", "");
    assert_int_equal(fby_checkpoint_find(dir, &checkpoint), FBY_EUNSUPPORTED);
    assert_non_null(strstr(fby_last_error(), "/pytorch_model.bin: pickled weights"));
}

static void a_file_cut_anywhere_is_refused(void **state)
{
    (void)state;
    write_whole();
    struct stat info;
    unsigned char *image;
    size_t size;
    const char *path = temporary_path(dir, "model.safetensors");
    assert_int_equal(stat(path, &info), 0);
    const off_t cuts[] = {info.st_size - 1, info.st_size / 2, 4096, 9, 8, 7, 1, 0};
    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
        assert_int_equal(truncate(path, cuts[i]), 0);
        assert_int_equal(image_of_directory(&image, &size), FBY_EFORMAT);
        assert_non_null(strstr(fby_last_error(), "model.safetensors"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_numbers_give_the_same_image_however_they_are_stored),
        cmocka_unit_test(the_norms_may_have_their_old_names),
        cmocka_unit_test(a_missing_or_misshaped_tensor_is_refused_by_name),
        cmocka_unit_test(numbers_of_another_type_are_refused_by_name),
        cmocka_unit_test(lies_of_an_index_are_refused),
        cmocka_unit_test(more_shards_than_are_supported_are_refused),
        cmocka_unit_test(a_directory_without_weights_says_what_it_lacks),
        cmocka_unit_test(a_file_cut_anywhere_is_refused),
    };
    return cmocka_run_group_tests_name("weights", tests, make_model, remove_model);
}
