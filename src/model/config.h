/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the JSON files of a model directory say, as sentence-transformers reads
 * them:
 *
 *     modules.json ---> Transformer  config.json, sentence_bert_config.json,
 *                  |                 tokenizer_config.json (its length limit)
 *                  +--> Pooling      1_Pooling/config.json
 *                  +--> Dense, Normalize, ... in the order given
 *     config_sentence_transformers.json: prompts
 *
 * Without modules.json it is a plain BERT: mean pooling and nothing after it.
 *
 * The fby_config_read_*() functions take one parsed file each, so that tests
 * and fuzzing need no directory; `name` is what messages call it. They fail
 * with FBY_EFORMAT where a value is missing, of another type or out of range,
 * with FBY_EUNSUPPORTED where it asks for what this build does not do, and name
 * the key either way.
 */
#ifndef FBY_MODEL_CONFIG_H
#define FBY_MODEL_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/status.h"
#include "compute/kernels.h"

#define FBY_MODULES_MAX      16
#define FBY_MODULE_PATH_SIZE 128

typedef enum fby_pooling {
    FBY_POOLING_MEAN,
    FBY_POOLING_CLS,
    FBY_POOLING_MAX,
    FBY_POOLING_LAST_TOKEN,
    FBY_POOLING_MEAN_SQRT_LEN
} fby_pooling;

/* "mean", "cls", "max", "last-token", "mean-sqrt-len". */
const char *fby_pooling_name(fby_pooling pooling);
const char *fby_activation_name(fby_activation activation);

/* config.json of a BERT. */
typedef struct fby_bert_config {
    uint32_t vocabulary, hidden, layers, heads, intermediate;
    uint32_t positions, token_types;
    float epsilon; /* of every LayerNorm */
    fby_activation activation;
} fby_bert_config;

typedef struct fby_pooling_config {
    fby_pooling pooling;
    uint32_t dim;        /* of a token's vector */
    bool include_prompt; /* whether a prompt's tokens count */
} fby_pooling_config;

typedef struct fby_dense_config {
    uint32_t in, out;
    bool bias;
    fby_activation activation;
} fby_dense_config;

typedef enum fby_module_kind {
    FBY_MODULE_TRANSFORMER,
    FBY_MODULE_POOLING,
    FBY_MODULE_DENSE,
    FBY_MODULE_NORMALIZE
} fby_module_kind;

typedef struct fby_module {
    fby_module_kind kind;
    char path[FBY_MODULE_PATH_SIZE]; /* below the directory, "" for itself */
    fby_dense_config dense;
} fby_module;

/* Transformer, Pooling, then any of the others. */
typedef struct fby_modules {
    uint32_t count;
    fby_module list[FBY_MODULES_MAX];
} fby_modules;

typedef struct fby_prompts {
    json_t *by_name;            /* name to text */
    const char *default_prompt; /* its text, in by_name; NULL if there is none */
    uint32_t truncate_dim;      /* floats that sentence-transformers keeps of a vector; 0: all */
} fby_prompts;

fby_status fby_config_read_bert(const char *name, const json_t *root, fby_bert_config *bert);
fby_status fby_config_read_modules(const char *name, const json_t *root, fby_modules *modules);
fby_status fby_config_read_pooling(const char *name, const json_t *root,
                                   fby_pooling_config *pooling);
fby_status fby_config_read_dense(const char *name, const json_t *root, fby_dense_config *dense);
fby_status fby_config_read_normalize(const char *name, const json_t *root);

/* The length limit of sentence_bert_config.json; 0 if it sets none. */
fby_status fby_config_read_sentence_bert(const char *name, const json_t *root,
                                         uint32_t *max_tokens);

/* model_max_length of tokenizer_config.json, parsed with JSON_DECODE_INT_AS_REAL; 0 if it sets
 * none that fits. */
fby_status fby_config_read_tokenizer(const char *name, const json_t *root, uint32_t *max_tokens);

/* config_sentence_transformers.json; fby_prompts_clear() ends the result. */
fby_status fby_config_read_prompts(const char *name, const json_t *root, fby_prompts *prompts);
/* What a directory without that file has. */
fby_status fby_prompts_default(fby_prompts *prompts);
void fby_prompts_clear(fby_prompts *prompts);

/* The text of a prompt; for NULL the default one, or "". FBY_ENOENT lists the names there are. */
fby_status fby_prompts_find(const fby_prompts *prompts, const char *name, const char **text);

/* A model directory's settings in whole. */
typedef struct fby_config {
    fby_bert_config bert;
    fby_pooling_config pooling;
    fby_modules modules;
    fby_prompts prompts;
    uint32_t max_tokens; /* of a text, special ones included */
    uint32_t dim;        /* of a vector */
    bool normalizes;     /* the last module is Normalize; it is not in `modules` then */
} fby_config;

fby_status fby_config_load(const char *dir, fby_config *config);
void fby_config_clear(fby_config *config);

#endif
