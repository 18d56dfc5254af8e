/* SPDX-License-Identifier: Apache-2.0 */
#include "model/config.h"
#include "model/json.h"
#include "model/temporary.h"

#define MINILM                                                                                     \
    "{\"model_type\": \"bert\", \"vocab_size\": 30522, \"hidden_size\": 384,"                      \
    " \"num_hidden_layers\": 6, \"num_attention_heads\": 12, \"intermediate_size\": 1536,"         \
    " \"max_position_embeddings\": 512, \"type_vocab_size\": 2, \"layer_norm_eps\": 1e-12,"        \
    " \"hidden_act\": \"gelu\", \"position_embedding_type\": \"absolute\"}"

/* `text` with `key` set to `value`, or removed for NULL, as a new object. */
static json_t *changed(const char *text, const char *key, const char *value)
{
    json_t *root, *wrapped;
    char member[512];
    assert_int_equal(fby_json_parse("base.json", text, strlen(text), 0, &root), FBY_OK);
    if (value == NULL) {
        json_object_del(root, key);
        return root;
    }
    snprintf(member, sizeof member, "[%s]", value);
    assert_int_equal(fby_json_parse("value.json", member, strlen(member), 0, &wrapped), FBY_OK);
    assert_int_equal(json_object_set(root, key, json_array_get(wrapped, 0)), 0);
    json_decref(wrapped);
    return root;
}

typedef struct refusal {
    const char *key, *value; /* NULL: removed */
    fby_status status;
    const char *words;
} refusal;

typedef fby_status reader(const char *name, const json_t *root);

static fby_status bert(const char *name, const json_t *root)
{
    fby_bert_config out;
    return fby_config_read_bert(name, root, &out);
}

static fby_status pooling(const char *name, const json_t *root)
{
    fby_pooling_config out;
    return fby_config_read_pooling(name, root, &out);
}

static fby_status dense(const char *name, const json_t *root)
{
    fby_dense_config out;
    return fby_config_read_dense(name, root, &out);
}

static fby_status sentence_bert(const char *name, const json_t *root)
{
    uint32_t out;
    return fby_config_read_sentence_bert(name, root, &out);
}

static fby_status prompts(const char *name, const json_t *root)
{
    fby_prompts out;
    fby_status status = fby_config_read_prompts(name, root, &out);
    if (status == FBY_OK)
        fby_prompts_clear(&out);
    return status;
}

/* Each change of `base` gives its status and its words; without one it is read. */
static void check_refusals(reader *read, const char *base, const refusal *cases, size_t count)
{
    json_t *root = changed(base, "unheard of", "[1]");
    assert_int_equal(read("c.json", root), FBY_OK);
    json_decref(root);
    for (size_t i = 0; i < count; i++) {
        root = changed(base, cases[i].key, cases[i].value);
        fby_status status = read("c.json", root);
        json_decref(root);
        if (status != cases[i].status || strstr(fby_last_error(), cases[i].words) == NULL ||
            strncmp(fby_last_error(), "c.json: ", 8) != 0)
            fail_msg("%s = %s: status %d, \"%s\", expected \"%s\"", cases[i].key, cases[i].value,
                     status, fby_last_error(), cases[i].words);
    }
}
#define CHECK_REFUSALS(read, base, cases)                                                          \
    check_refusals(read, base, cases, sizeof(cases) / sizeof(cases)[0])

static void reads_the_sizes_of_a_bert(void **state)
{
    (void)state;
    fby_bert_config config;
    json_t *root = changed(MINILM, "hidden_act", "\"gelu_new\"");
    assert_int_equal(fby_config_read_bert("c.json", root, &config), FBY_OK);
    json_decref(root);
    assert_int_equal(config.vocabulary, 30522);
    assert_int_equal(config.hidden, 384);
    assert_int_equal(config.layers, 6);
    assert_int_equal(config.heads, 12);
    assert_int_equal(config.intermediate, 1536);
    assert_int_equal(config.positions, 512);
    assert_int_equal(config.token_types, 2);
    assert_true(config.epsilon == 1e-12f);
    assert_int_equal(config.activation, FBY_ACTIVATION_GELU_TANH);
}

static void refuses_another_architecture_by_name(void **state)
{
    (void)state;
    static const refusal cases[] = {
        {"model_type", NULL, FBY_EUNSUPPORTED, "model_type is missing"},
        {"model_type", "\"modernbert\"", FBY_EUNSUPPORTED, "model_type 'modernbert'"},
        {"model_type", "7", FBY_EFORMAT, "model_type: expected a string"},
        {"hidden_act", "\"silu\"", FBY_EUNSUPPORTED, "hidden_act 'silu'"},
        {"position_embedding_type", "\"relative_key\"", FBY_EUNSUPPORTED, "'relative_key'"},
        {"is_decoder", "true", FBY_EUNSUPPORTED, "is_decoder"},
        {"hidden_size", NULL, FBY_EFORMAT, "hidden_size is missing"},
        {"hidden_size", "0", FBY_EFORMAT, "hidden_size: expected an integer from 1 to 16384"},
        {"hidden_size", "16385", FBY_EFORMAT, "hidden_size: expected"},
        {"hidden_size", "-384", FBY_EFORMAT, "hidden_size: expected"},
        {"hidden_size", "385", FBY_EFORMAT, "385 is not a multiple of num_attention_heads 12"},
        {"num_hidden_layers", "513", FBY_EFORMAT, "num_hidden_layers: expected"},
        {"num_hidden_layers", "6.0", FBY_EFORMAT, "num_hidden_layers: expected"},
        {"num_attention_heads", "0", FBY_EFORMAT, "num_attention_heads: expected"},
        {"intermediate_size", "131073", FBY_EFORMAT, "intermediate_size: expected"},
        {"vocab_size", "4194305", FBY_EFORMAT, "vocab_size: expected"},
        {"vocab_size", "\"many\"", FBY_EFORMAT, "vocab_size: expected"},
        {"max_position_embeddings", "131073", FBY_EFORMAT, "max_position_embeddings: expected"},
        {"type_vocab_size", "0", FBY_EFORMAT, "type_vocab_size: expected"},
        {"layer_norm_eps", "0", FBY_EFORMAT, "layer_norm_eps: expected"},
        {"layer_norm_eps", "-1e-5", FBY_EFORMAT, "layer_norm_eps: expected"},
        {"layer_norm_eps", "1e-60", FBY_EFORMAT, "layer_norm_eps: expected"},
        {"layer_norm_eps", "1.5", FBY_EFORMAT, "layer_norm_eps: expected"},
        {"layer_norm_eps", "\"1e-12\"", FBY_EFORMAT, "layer_norm_eps: expected"},
    };
    CHECK_REFUSALS(bert, MINILM, cases);
}

static void reads_both_forms_of_a_pooling_mode(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        fby_pooling pooling;
    } cases[] = {
        {"{\"word_embedding_dimension\": 8}", FBY_POOLING_MEAN},
        {"{\"word_embedding_dimension\": 8, \"pooling_mode_cls_token\": true}", FBY_POOLING_CLS},
        {"{\"word_embedding_dimension\": 8, \"pooling_mode_mean_tokens\": true,"
         " \"pooling_mode_max_tokens\": false}",
         FBY_POOLING_MEAN},
        {"{\"word_embedding_dimension\": 8, \"pooling_mode_max_tokens\": true}", FBY_POOLING_MAX},
        {"{\"word_embedding_dimension\": 8, \"pooling_mode_lasttoken\": true}",
         FBY_POOLING_LAST_TOKEN},
        {"{\"word_embedding_dimension\": 8, \"pooling_mode_mean_sqrt_len_tokens\": true}",
         FBY_POOLING_MEAN_SQRT_LEN},
        {"{\"embedding_dimension\": 8, \"pooling_mode\": \"lasttoken\"}", FBY_POOLING_LAST_TOKEN},
        {"{\"embedding_dimension\": 8, \"pooling_mode\": [\"cls\"]}", FBY_POOLING_CLS},
        {"{\"embedding_dimension\": 8, \"pooling_mode\": \"mean_sqrt_len_tokens\","
         " \"pooling_mode_cls_token\": true}",
         FBY_POOLING_MEAN_SQRT_LEN},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fby_pooling_config config;
        json_t *root = changed(cases[i].text, "include_prompt", i % 2 ? "false" : NULL);
        assert_int_equal(fby_config_read_pooling("c.json", root, &config), FBY_OK);
        json_decref(root);
        assert_int_equal(config.pooling, cases[i].pooling);
        assert_int_equal(config.dim, 8);
        assert_int_equal(config.include_prompt, i % 2 == 0);
    }
    static const refusal refusals[] = {
        {"word_embedding_dimension", NULL, FBY_EFORMAT, "word_embedding_dimension is missing"},
        {"word_embedding_dimension", "0", FBY_EFORMAT, "word_embedding_dimension: expected"},
        {"pooling_mode", "\"splade\"", FBY_EUNSUPPORTED, "pooling_mode 'splade'"},
        {"pooling_mode", "1", FBY_EFORMAT, "pooling_mode: expected a string"},
        {"pooling_mode", "[\"cls\", \"mean\"]", FBY_EUNSUPPORTED, "several modes at once"},
        {"pooling_mode", "[]", FBY_EUNSUPPORTED, "no mode"},
        {"pooling_mode_mean_tokens", "false", FBY_EUNSUPPORTED,
         "c.json: no pooling mode: pooling_mode_mean_tokens is false"},
        {"pooling_mode_weightedmean_tokens", "true", FBY_EUNSUPPORTED, "weightedmean"},
        {"pooling_mode_cls_token", "true", FBY_EUNSUPPORTED, "several pooling modes"},
        {"pooling_mode_cls_token", "1", FBY_EFORMAT, "pooling_mode_cls_token: expected true"},
        {"include_prompt", "\"no\"", FBY_EFORMAT, "include_prompt: expected true or false"},
    };
    CHECK_REFUSALS(pooling, "{\"word_embedding_dimension\": 8, \"pooling_mode_mean_tokens\": true}",
                   refusals);
}

static void reads_a_dense_module(void **state)
{
    (void)state;
    const char *text = "{\"in_features\": 384, \"out_features\": 128, \"bias\": false,"
                       " \"activation_function\": \"torch.nn.modules.linear.Identity\"}";
    fby_dense_config config;
    json_t *root = changed(text, "unheard of", "1");
    assert_int_equal(fby_config_read_dense("c.json", root, &config), FBY_OK);
    json_decref(root);
    assert_int_equal(config.in, 384);
    assert_int_equal(config.out, 128);
    assert_false(config.bias);
    assert_int_equal(config.activation, FBY_ACTIVATION_NONE);

    root = changed(text, "activation_function", NULL);
    assert_int_equal(fby_config_read_dense("c.json", root, &config), FBY_OK);
    json_decref(root);
    assert_int_equal(config.activation, FBY_ACTIVATION_TANH);

    static const refusal refusals[] = {
        {"activation_function", "\"torch.nn.modules.activation.SiLU\"", FBY_EUNSUPPORTED, "SiLU"},
        {"activation_function", "\"os.system.Tanh\"", FBY_EUNSUPPORTED, "'os.system.Tanh'"},
        {"in_features", NULL, FBY_EFORMAT, "in_features is missing"},
        {"out_features", "65537", FBY_EFORMAT, "out_features: expected"},
        {"use_residual", "true", FBY_EUNSUPPORTED, "use_residual"},
        {"module_input_name", "\"token_embeddings\"", FBY_EUNSUPPORTED, "'token_embeddings'"},
    };
    CHECK_REFUSALS(dense, text, refusals);
}

#define MODULE(type, path)                                                                         \
    "{\"idx\": 0, \"name\": \"0\", \"type\": \"" type "\", \"path\": \"" path "\"}"
#define ST "sentence_transformers.models."

static void modules_come_in_an_order_that_can_be_run(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        fby_status status;
        const char *words;
    } cases[] = {
        {"{}", FBY_EFORMAT, "expected an array"},
        {"[]", FBY_EUNSUPPORTED, "expected Transformer, Pooling"},
        {"[" MODULE(ST "Transformer", "") "]", FBY_EUNSUPPORTED, "expected Transformer, Pooling"},
        {"[" MODULE(ST "Pooling", "a") ", " MODULE(ST "Transformer", "") "]", FBY_EUNSUPPORTED,
         "expected Transformer, Pooling"},
        {"[" MODULE(ST "Transformer", "") ", " MODULE(ST "Pooling", "1") ", " MODULE(ST "Pooling",
                                                                                     "2") "]",
         FBY_EUNSUPPORTED, "expected Transformer, Pooling"},
        {"[" MODULE(ST "CNN", "") "]", FBY_EUNSUPPORTED, "'sentence_transformers.models.CNN'"},
        {"[1]", FBY_EFORMAT, "module 0: type or path is missing"},
        {"[{\"type\": \"Transformer\"}]", FBY_EFORMAT, "module 0: type or path is missing"},
        {"[" MODULE(ST "Transformer", "/etc") "]", FBY_EFORMAT, "'/etc' leads out"},
        {"[" MODULE(ST "Transformer", "..") "]", FBY_EFORMAT, "'..' leads out"},
        {"[" MODULE(ST "Transformer", "a/../../b") "]", FBY_EFORMAT, "leads out"},
        {"[" MODULE(ST "Transformer", "a/..") "]", FBY_EFORMAT, "leads out"},
        {"[" MODULE(ST "Transformer", "a\\\\..\\\\b") "]", FBY_EFORMAT, "leads out"},
        {"[" MODULE(ST "Transformer", "C:a") "]", FBY_EFORMAT, "leads out"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fby_modules modules;
        json_t *root;
        assert_int_equal(fby_json_parse("m.json", cases[i].text, strlen(cases[i].text), 0, &root),
                         FBY_OK);
        fby_status status = fby_config_read_modules("m.json", root, &modules);
        json_decref(root);
        if (status != cases[i].status || strstr(fby_last_error(), cases[i].words) == NULL)
            fail_msg("%s: status %d, \"%s\", expected \"%s\"", cases[i].text, status,
                     fby_last_error(), cases[i].words);
    }

    const char *newer =
        "[" MODULE("sentence_transformers.base.modules.transformer.Transformer", "..0") ", " MODULE(
            "sentence_transformers.sentence_transformer.modules.pooling.Pooling",
            "1_Pooling") ", " MODULE(ST "Dropout", "2") ", " MODULE(ST "Normalize", "3") "]";
    fby_modules modules;
    json_t *root;
    assert_int_equal(fby_json_parse("m.json", newer, strlen(newer), 0, &root), FBY_OK);
    assert_int_equal(fby_config_read_modules("m.json", root, &modules), FBY_OK);
    json_decref(root);
    assert_int_equal(modules.count, 3);
    assert_string_equal(modules.list[0].path, "..0");
    assert_string_equal(modules.list[1].path, "1_Pooling");
    assert_int_equal(modules.list[2].kind, FBY_MODULE_NORMALIZE);
}

static void more_modules_or_longer_paths_than_fit_are_refused(void **state)
{
    (void)state;
    char path[FBY_MODULE_PATH_SIZE + 1];
    fby_modules modules;
    json_t *root = json_array();
    memset(path, 'p', FBY_MODULE_PATH_SIZE);
    path[FBY_MODULE_PATH_SIZE] = '\0';
    json_t *module = json_pack("{s:s, s:s}", "type", ST "Dense", "path", path);
    for (int i = 0; i <= FBY_MODULES_MAX; i++)
        json_array_append(root, module);
    json_decref(module);
    assert_int_equal(fby_config_read_modules("m.json", root, &modules), FBY_EUNSUPPORTED);
    assert_non_null(strstr(fby_last_error(), "17 modules, at most 16"));
    json_array_remove(root, 0);
    assert_int_equal(fby_config_read_modules("m.json", root, &modules), FBY_EFORMAT);
    assert_non_null(strstr(fby_last_error(), "path is longer than 127 bytes"));
    json_decref(root);
}

static void prompts_are_found_by_name(void **state)
{
    (void)state;
    const char *text = "{\"prompts\": {\"search\": \"search: \", \"document\": \"passage: \","
                       " \"none\": null}, \"default_prompt_name\": \"search\"}";
    fby_prompts found;
    const char *prompt;
    json_t *root = changed(text, "truncate_dim", "64");
    assert_int_equal(fby_config_read_prompts("c.json", root, &found), FBY_OK);
    json_decref(root);
    assert_int_equal(found.truncate_dim, 64);
    assert_int_equal(fby_prompts_find(&found, NULL, &prompt), FBY_OK);
    assert_string_equal(prompt, "search: ");
    assert_int_equal(fby_prompts_find(&found, "document", &prompt), FBY_OK);
    assert_string_equal(prompt, "passage: ");
    assert_int_equal(fby_prompts_find(&found, "none", &prompt), FBY_OK);
    assert_string_equal(prompt, "");
    assert_int_equal(fby_prompts_find(&found, "query", &prompt), FBY_OK);
    assert_string_equal(prompt, "");
    assert_int_equal(fby_prompts_find(&found, "qwery", &prompt), FBY_ENOENT);
    assert_string_equal(fby_last_error(),
                        "prompt 'qwery' is unknown; the model has query, document, search, none");
    fby_prompts_clear(&found);

    static const refusal refusals[] = {
        {"model_type", "\"CrossEncoder\"", FBY_EUNSUPPORTED, "'CrossEncoder'"},
        {"prompts", "[]", FBY_EFORMAT, "prompts: expected an object"},
        {"prompts", "{\"a\": 1}", FBY_EFORMAT, "prompts: 'a': expected a string"},
        {"default_prompt_name", "\"other\"", FBY_EFORMAT, "'other' is not among the prompts"},
        {"default_prompt_name", "1", FBY_EFORMAT, "default_prompt_name: expected a string"},
        {"truncate_dim", "0", FBY_EFORMAT, "truncate_dim: expected"},
    };
    CHECK_REFUSALS(prompts, text, refusals);
}

static void the_length_limit_is_read_from_either_file(void **state)
{
    (void)state;
    uint32_t limit;
    json_t *root = changed("{\"do_lower_case\": false}", "max_seq_length", "256");
    assert_int_equal(fby_config_read_sentence_bert("c.json", root, &limit), FBY_OK);
    assert_int_equal(limit, 256);
    json_decref(root);
    root = changed("{}", "max_seq_length", "null");
    assert_int_equal(fby_config_read_sentence_bert("c.json", root, &limit), FBY_OK);
    assert_int_equal(limit, 0);
    json_decref(root);
    root = changed("{}", "model_max_length", "512");
    assert_int_equal(fby_config_read_tokenizer("c.json", root, &limit), FBY_OK);
    assert_int_equal(limit, 512);
    json_decref(root);
    root = changed("{}", "model_max_length", "1e30");
    assert_int_equal(fby_config_read_tokenizer("c.json", root, &limit), FBY_OK);
    assert_int_equal(limit, 0);
    json_decref(root);
    root = changed("{}", "model_max_length", "-1");
    assert_int_equal(fby_config_read_tokenizer("c.json", root, &limit), FBY_EFORMAT);
    json_decref(root);

    static const refusal refusals[] = {
        {"do_lower_case", "true", FBY_EUNSUPPORTED, "do_lower_case"},
        {"max_seq_length", "0", FBY_EFORMAT, "max_seq_length: expected"},
        {"transformer_task", "\"fill-mask\"", FBY_EUNSUPPORTED, "transformer_task 'fill-mask'"},
        {"module_output_name", "\"scores\"", FBY_EUNSUPPORTED, "module_output_name 'scores'"},
        {"processing_kwargs", "{\"text\": {}}", FBY_EUNSUPPORTED, "processing_kwargs"},
        {"modality_config", "{\"image\": {}}", FBY_EUNSUPPORTED, "modality_config without text"},
        {"modality_config", "{\"text\": {\"method_output_name\": \"pooler_output\"}}",
         FBY_EUNSUPPORTED, "method_output_name 'pooler_output'"},
        {"modality_config", "{\"text\": {\"method\": \"get_text_features\"}}", FBY_EUNSUPPORTED,
         "method 'get_text_features'"},
    };
    CHECK_REFUSALS(
        sentence_bert,
        "{\"max_seq_length\": 256, \"modality_config\": {\"text\": {\"method\": \"forward\","
        " \"method_output_name\": \"last_hidden_state\"}}}",
        refusals);
}

/* ---- whole directories ---- */

static char *minilm_like(void)
{
    char *dir = temporary_dir();
    temporary_text(dir, "config.json", MINILM);
    temporary_text(
        dir, "modules.json",
        "[" MODULE(ST "Transformer", "") ", " MODULE(ST "Pooling", "1_Pooling") ", " MODULE(
            ST "Dense", "2_Dense") ", " MODULE(ST "Normalize", "3_Normalize") "]");
    temporary_text(dir, "sentence_bert_config.json", "{\"max_seq_length\": 256}");
    temporary_subdir(dir, "1_Pooling");
    temporary_text(dir, "1_Pooling/config.json",
                   "{\"word_embedding_dimension\": 384, \"pooling_mode_cls_token\": true}");
    temporary_subdir(dir, "2_Dense");
    temporary_text(dir, "2_Dense/config.json", "{\"in_features\": 384, \"out_features\": 128}");
    return dir;
}

static void a_sentence_model_is_what_its_files_say(void **state)
{
    (void)state;
    fby_config config;
    char *dir = minilm_like();
    assert_int_equal(fby_config_load(dir, &config), FBY_OK);
    assert_int_equal(config.max_tokens, 256);
    assert_int_equal(config.pooling.pooling, FBY_POOLING_CLS);
    assert_int_equal(config.modules.count, 3);
    assert_int_equal(config.dim, 128);
    assert_true(config.normalizes);
    fby_config_clear(&config);

    temporary_text(dir, "sentence_bert_config.json", "{\"max_seq_length\": 1000}");
    assert_int_equal(fby_config_load(dir, &config), FBY_OK);
    assert_int_equal(config.max_tokens, 512); /* positions end there */
    fby_config_clear(&config);
    temporary_remove(dir);
    free(dir);
}

static void a_plain_bert_has_mean_pooling_and_its_tokenizers_limit(void **state)
{
    (void)state;
    fby_config config;
    char *dir = temporary_dir();
    temporary_text(dir, "config.json", MINILM);
    temporary_text(dir, "sentence_bert_config.json", "{\"max_seq_length\": 7}");
    assert_int_equal(fby_config_load(dir, &config), FBY_OK);
    assert_int_equal(config.max_tokens, 512);
    assert_int_equal(config.pooling.pooling, FBY_POOLING_MEAN);
    assert_int_equal(config.dim, 384);
    assert_false(config.normalizes);
    fby_config_clear(&config);

    temporary_text(dir, "tokenizer_config.json",
                   "{\"model_max_length\": 1000000000000000019884624838656}");
    assert_int_equal(fby_config_load(dir, &config), FBY_OK);
    assert_int_equal(config.max_tokens, 512);
    fby_config_clear(&config);
    temporary_text(dir, "tokenizer_config.json", "{\"model_max_length\": 128}");
    assert_int_equal(fby_config_load(dir, &config), FBY_OK);
    assert_int_equal(config.max_tokens, 128);
    fby_config_clear(&config);
    temporary_remove(dir);
    free(dir);
}

static void what_does_not_fit_together_is_refused_by_file(void **state)
{
    (void)state;
    static const struct {
        const char *file, *text;
        fby_status status;
        const char *words;
    } cases[] = {
        {"config.json", NULL, FBY_ENOENT, "/config.json: No such file"},
        {"config.json", "{\n\"model_type\"\n}", FBY_EFORMAT, "/config.json:3: "},
        {"config.json", "[]", FBY_EFORMAT, "/config.json: expected an object"},
        {"modules.json", "{", FBY_EFORMAT, "/modules.json:1: "},
        {"1_Pooling/config.json", NULL, FBY_ENOENT, "/1_Pooling/config.json: No such file"},
        {"1_Pooling/config.json", "{\"word_embedding_dimension\": 768}", FBY_EFORMAT,
         "/1_Pooling/config.json: embedding dimension 768, but hidden_size is 384"},
        {"2_Dense/config.json", NULL, FBY_ENOENT, "/2_Dense/config.json: No such file"},
        {"2_Dense/config.json", "{\"in_features\": 383, \"out_features\": 128}", FBY_EFORMAT,
         "/2_Dense/config.json: in_features 383, but the module before it gives 384"},
        {"sentence_bert_config.json", "{\"max_seq_length\": \"long\"}", FBY_EFORMAT,
         "/sentence_bert_config.json: max_seq_length: expected"},
        {"config_sentence_transformers.json", "{\"prompts\": 1}", FBY_EFORMAT,
         "/config_sentence_transformers.json: prompts: expected an object"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fby_config config;
        char *dir = minilm_like();
        if (cases[i].text != NULL)
            temporary_text(dir, cases[i].file, cases[i].text);
        else
            assert_int_equal(unlink(temporary_path(dir, cases[i].file)), 0);
        fby_status status = fby_config_load(dir, &config);
        if (status != cases[i].status || strstr(fby_last_error(), cases[i].words) == NULL)
            fail_msg("%s: status %d, \"%s\", expected \"%s\"", cases[i].file, status,
                     fby_last_error(), cases[i].words);
        temporary_remove(dir);
        free(dir);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_the_sizes_of_a_bert),
        cmocka_unit_test(refuses_another_architecture_by_name),
        cmocka_unit_test(reads_both_forms_of_a_pooling_mode),
        cmocka_unit_test(reads_a_dense_module),
        cmocka_unit_test(modules_come_in_an_order_that_can_be_run),
        cmocka_unit_test(more_modules_or_longer_paths_than_fit_are_refused),
        cmocka_unit_test(prompts_are_found_by_name),
        cmocka_unit_test(the_length_limit_is_read_from_either_file),
        cmocka_unit_test(a_sentence_model_is_what_its_files_say),
        cmocka_unit_test(a_plain_bert_has_mean_pooling_and_its_tokenizers_limit),
        cmocka_unit_test(what_does_not_fit_together_is_refused_by_file),
    };
    return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
