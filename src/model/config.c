/* SPDX-License-Identifier: Apache-2.0 */
/* The whole directory: which files are read, and how what they say fits together. */
#include "model/config.h"

#include "base/bits.h"
#include "model/file.h"
#include "model/json.h"

/* A file below the directory, for its reader and its messages. */
typedef struct source {
    char path[FBY_PATH_SIZE];
    json_t *root; /* NULL if the file does not exist */
} source;

static fby_status source_load(const char *dir, const char *module, const char *file, size_t flags,
                              source *from)
{
    char below[FBY_PATH_SIZE];
    from->root = NULL;
    fby_status status = fby_path_join(below, dir, module);
    if (status == FBY_OK)
        status = fby_path_join(from->path, below, file);
    return status == FBY_OK ? fby_json_load(from->path, flags, &from->root) : status;
}

static fby_status source_load_optional(const char *dir, const char *module, const char *file,
                                       size_t flags, source *from)
{
    fby_status status = source_load(dir, module, file, flags, from);
    return status == FBY_ENOENT ? FBY_OK : status;
}

/* ---- the modules ---- */

static fby_status load_modules(const char *dir, bool *found, fby_modules *modules)
{
    source from;
    fby_status status = source_load_optional(dir, "", "modules.json", 0, &from);
    if (status != FBY_OK)
        return status;
    *found = from.root != NULL;
    if (from.root != NULL)
        status = fby_config_read_modules(from.path, from.root, modules);
    else
        *modules =
            (fby_modules){2, {{.kind = FBY_MODULE_TRANSFORMER}, {.kind = FBY_MODULE_POOLING}}};
    json_decref(from.root);
    return status;
}

static fby_status load_bert(const char *dir, fby_config *config)
{
    source from;
    fby_status status = source_load(dir, config->modules.list[0].path, "config.json", 0, &from);
    if (status == FBY_OK)
        status = fby_config_read_bert(from.path, from.root, &config->bert);
    json_decref(from.root);
    return status;
}

static fby_status load_pooling(const char *dir, bool sentence_model, fby_config *config)
{
    source from;
    if (!sentence_model) {
        config->pooling = (fby_pooling_config){FBY_POOLING_MEAN, config->bert.hidden, true};
        return FBY_OK;
    }
    fby_status status = source_load(dir, config->modules.list[1].path, "config.json", 0, &from);
    if (status == FBY_OK)
        status = fby_config_read_pooling(from.path, from.root, &config->pooling);
    if (status == FBY_OK && config->pooling.dim != config->bert.hidden)
        status = fby_error(FBY_EFORMAT, "%s: embedding dimension %u, but hidden_size is %u",
                           from.path, config->pooling.dim, config->bert.hidden);
    json_decref(from.root);
    return status;
}

static fby_status load_dense(const char *dir, fby_module *module, uint32_t *dim)
{
    source from;
    fby_status status = source_load(dir, module->path, "config.json", 0, &from);
    if (status == FBY_OK)
        status = fby_config_read_dense(from.path, from.root, &module->dense);
    if (status == FBY_OK && module->dense.in != *dim)
        status = fby_error(FBY_EFORMAT, "%s: in_features %u, but the module before it gives %u",
                           from.path, module->dense.in, *dim);
    if (status == FBY_OK)
        *dim = module->dense.out;
    json_decref(from.root);
    return status;
}

static fby_status load_normalize(const char *dir, const fby_module *module)
{
    source from;
    fby_status status = source_load_optional(dir, module->path, "config.json", 0, &from);
    /* With an empty path that file is the Transformer's. */
    if (status == FBY_OK && from.root != NULL && module->path[0] != '\0')
        status = fby_config_read_normalize(from.path, from.root);
    json_decref(from.root);
    return status;
}

static fby_status load_rest(const char *dir, fby_config *config)
{
    fby_modules *modules = &config->modules;
    config->dim = config->bert.hidden;
    for (uint32_t i = 2; i < modules->count; i++) {
        fby_module *module = &modules->list[i];
        fby_status status = module->kind == FBY_MODULE_DENSE ? load_dense(dir, module, &config->dim)
                                                             : load_normalize(dir, module);
        if (status != FBY_OK)
            return status;
    }
    /* Twice is as good as once. */
    while (modules->count > 2 && modules->list[modules->count - 1].kind == FBY_MODULE_NORMALIZE) {
        config->normalizes = true;
        modules->count--;
    }
    return FBY_OK;
}

/* ---- the length of a text ---- */

/*
 * sentence_bert_config.json decides; if it does not, the tokenizer's limit does.
 * There is no position beyond max_position_embeddings either way.
 */
static fby_status load_limit(const char *dir, bool sentence_model, fby_config *config)
{
    source from;
    const char *below = config->modules.list[0].path;
    uint32_t limit = 0;
    fby_status status = FBY_OK;
    if (sentence_model) {
        status = source_load_optional(dir, below, "sentence_bert_config.json", 0, &from);
        if (status == FBY_OK && from.root != NULL)
            status = fby_config_read_sentence_bert(from.path, from.root, &limit);
        json_decref(from.root);
    }
    if (status == FBY_OK && limit == 0) {
        status = source_load_optional(dir, below, "tokenizer_config.json", JSON_DECODE_INT_AS_REAL,
                                      &from);
        if (status == FBY_OK && from.root != NULL)
            status = fby_config_read_tokenizer(from.path, from.root, &limit);
        json_decref(from.root);
    }
    if (status == FBY_OK)
        config->max_tokens =
            limit == 0 ? config->bert.positions : fby_min_u32(limit, config->bert.positions);
    return status;
}

static fby_status load_prompts(const char *dir, bool sentence_model, fby_prompts *prompts)
{
    source from;
    if (!sentence_model)
        return fby_prompts_default(prompts);
    fby_status status =
        source_load_optional(dir, "", "config_sentence_transformers.json", 0, &from);
    if (status == FBY_OK)
        status = from.root == NULL ? fby_prompts_default(prompts)
                                   : fby_config_read_prompts(from.path, from.root, prompts);
    json_decref(from.root);
    return status;
}

fby_status fby_config_load(const char *dir, fby_config *out)
{
    bool sentence_model;
    fby_config config = {0};
    fby_status status = load_modules(dir, &sentence_model, &config.modules);
    if (status == FBY_OK)
        status = load_bert(dir, &config);
    if (status == FBY_OK)
        status = load_pooling(dir, sentence_model, &config);
    if (status == FBY_OK)
        status = load_rest(dir, &config);
    if (status == FBY_OK)
        status = load_limit(dir, sentence_model, &config);
    if (status == FBY_OK)
        status = load_prompts(dir, sentence_model, &config.prompts);
    if (status == FBY_OK)
        *out = config;
    return status;
}

void fby_config_clear(fby_config *config)
{
    fby_prompts_clear(&config->prompts);
}
