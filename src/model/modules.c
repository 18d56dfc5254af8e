/* SPDX-License-Identifier: Apache-2.0 */
/* modules.json and the configurations of Pooling, Dense and Normalize. */
#include "model/config.h"

#include <string.h>

#include "model/file.h"
#include "model/json.h"

enum { DIM_MAX = 1 << 16 };

static const struct {
    const char *name; /* what info says */
    const char *mode; /* "pooling_mode" since sentence-transformers 5 */
    const char *flag; /* before it */
} poolings[] = {
    [FBY_POOLING_MEAN] = {"mean", "mean", "pooling_mode_mean_tokens"},
    [FBY_POOLING_CLS] = {"cls", "cls", "pooling_mode_cls_token"},
    [FBY_POOLING_MAX] = {"max", "max", "pooling_mode_max_tokens"},
    [FBY_POOLING_LAST_TOKEN] = {"last-token", "lasttoken", "pooling_mode_lasttoken"},
    [FBY_POOLING_MEAN_SQRT_LEN] = {"mean-sqrt-len", "mean_sqrt_len_tokens",
                                   "pooling_mode_mean_sqrt_len_tokens"},
};
enum { POOLING_COUNT = sizeof poolings / sizeof poolings[0] };

const char *fby_pooling_name(fby_pooling pooling)
{
    return poolings[pooling].name;
}

/* What follows the last dot: classes moved between packages, their names did not. */
static const char *class_name(const char *type)
{
    const char *dot = strrchr(type, '.');
    return dot == NULL ? type : dot + 1;
}

/* ---- modules.json ---- */

/* Relative, and no component "..": what it names lies in the directory. */
static bool stays_inside(const char *path)
{
    if (path[0] == '/' || strchr(path, '\\') != NULL || strchr(path, ':') != NULL)
        return false;
    for (const char *part = path; part != NULL; part = strchr(part, '/')) {
        part += *part == '/';
        if (strncmp(part, "..", 2) == 0 && (part[2] == '/' || part[2] == '\0'))
            return false;
    }
    return true;
}

static fby_status read_module(const char *name, size_t index, const json_t *entry,
                              fby_module *module)
{
    static const char *const kinds[] = {[FBY_MODULE_TRANSFORMER] = "Transformer",
                                        [FBY_MODULE_POOLING] = "Pooling",
                                        [FBY_MODULE_DENSE] = "Dense",
                                        [FBY_MODULE_NORMALIZE] = "Normalize"};
    char quoted[FBY_QUOTE_SIZE];
    const char *type = json_string_value(json_object_get(entry, "type"));
    const char *path = json_string_value(json_object_get(entry, "path"));
    if (type == NULL || path == NULL)
        return fby_error(FBY_EFORMAT, "%s: module %zu: type or path is missing or not a string",
                         name, index);
    if (!stays_inside(path))
        return fby_error(FBY_EFORMAT, "%s: module %zu: path '%s' leads out of the directory", name,
                         index, fby_quote(quoted, path));
    if (strlen(path) >= FBY_MODULE_PATH_SIZE)
        return fby_error(FBY_EFORMAT, "%s: module %zu: path is longer than %d bytes", name, index,
                         FBY_MODULE_PATH_SIZE - 1);
    for (size_t kind = 0; kind < sizeof kinds / sizeof kinds[0]; kind++)
        if (strcmp(class_name(type), kinds[kind]) == 0) {
            *module = (fby_module){.kind = (fby_module_kind)kind};
            memcpy(module->path, path, strlen(path) + 1);
            return FBY_OK;
        }
    return fby_error(FBY_EUNSUPPORTED, "%s: module type '%s' is not supported", name,
                     fby_quote(quoted, type));
}

fby_status fby_config_read_modules(const char *name, const json_t *root, fby_modules *modules)
{
    size_t count = json_array_size(root), dropouts = 0;
    if (!json_is_array(root))
        return fby_error(FBY_EFORMAT, "%s: expected an array", name);
    if (count > FBY_MODULES_MAX)
        return fby_error(FBY_EUNSUPPORTED, "%s: %zu modules, at most %d are supported", name, count,
                         FBY_MODULES_MAX);
    for (size_t i = 0; i < count; i++) {
        const json_t *entry = json_array_get(root, i);
        const char *type = json_string_value(json_object_get(entry, "type"));
        if (type != NULL && strcmp(class_name(type), "Dropout") == 0) {
            dropouts++; /* it does nothing outside training */
            continue;
        }
        fby_status status = read_module(name, i, entry, &modules->list[i - dropouts]);
        if (status != FBY_OK)
            return status;
    }
    modules->count = (uint32_t)(count - dropouts);

    bool ordered = modules->count >= 2 && modules->list[0].kind == FBY_MODULE_TRANSFORMER &&
                   modules->list[1].kind == FBY_MODULE_POOLING;
    for (uint32_t i = 2; i < modules->count; i++)
        ordered = ordered && modules->list[i].kind != FBY_MODULE_TRANSFORMER &&
                  modules->list[i].kind != FBY_MODULE_POOLING;
    if (!ordered)
        return fby_error(FBY_EUNSUPPORTED,
                         "%s: expected Transformer, Pooling, then Dense and Normalize", name);
    return FBY_OK;
}

/* ---- Pooling ---- */

static fby_status pooling_by_mode(const char *name, const json_t *value, fby_pooling *pooling)
{
    char quoted[FBY_QUOTE_SIZE];
    if (json_is_array(value)) {
        if (json_array_size(value) == 0)
            return fby_error(FBY_EUNSUPPORTED, "%s: pooling_mode: no mode", name);
        if (json_array_size(value) != 1)
            return fby_error(FBY_EUNSUPPORTED, "%s: pooling_mode: several modes at once", name);
        value = json_array_get(value, 0);
    }
    const char *mode = json_string_value(value);
    if (mode == NULL)
        return fby_error(FBY_EFORMAT, "%s: pooling_mode: expected a string", name);
    for (int i = 0; i < POOLING_COUNT; i++)
        if (strcmp(mode, poolings[i].mode) == 0) {
            *pooling = (fby_pooling)i;
            return FBY_OK;
        }
    return fby_error(FBY_EUNSUPPORTED, "%s: pooling_mode '%s' is not supported", name,
                     fby_quote(quoted, mode));
}

/*
 * A file that says nothing of the mean means it; one that says no to it and to every other mode
 * leaves nothing to pool by. sentence-transformers 2 fails over it when it embeds, 6 takes
 * the mean: which was meant is not known.
 */
static fby_status no_flag(const char *name, const json_t *root, fby_pooling *pooling)
{
    if (json_is_false(json_object_get(root, poolings[FBY_POOLING_MEAN].flag)))
        return fby_error(FBY_EUNSUPPORTED,
                         "%s: no pooling mode: %s is false and no other pooling_mode_… is true",
                         name, poolings[FBY_POOLING_MEAN].flag);
    *pooling = FBY_POOLING_MEAN;
    return FBY_OK;
}

static fby_status pooling_by_flags(const char *name, const json_t *root, fby_pooling *pooling)
{
    int set = 0;
    bool flag;
    fby_status status = fby_json_bool(name, root, "pooling_mode_weightedmean_tokens", false, &flag);
    if (status == FBY_OK && flag)
        status = fby_error(FBY_EUNSUPPORTED,
                           "%s: pooling_mode_weightedmean_tokens is not supported", name);
    for (int i = 0; i < POOLING_COUNT && status == FBY_OK; i++) {
        status = fby_json_bool(name, root, poolings[i].flag, false, &flag);
        if (status == FBY_OK && flag) {
            *pooling = (fby_pooling)i;
            set++;
        }
    }
    if (status == FBY_OK && set > 1)
        return fby_error(FBY_EUNSUPPORTED, "%s: several pooling modes at once", name);
    return status == FBY_OK && set == 0 ? no_flag(name, root, pooling) : status;
}

fby_status fby_config_read_pooling(const char *name, const json_t *root,
                                   fby_pooling_config *pooling)
{
    fby_status status = fby_json_object(name, root);
    if (status != FBY_OK)
        return status;
    const char *dim = json_object_get(root, "embedding_dimension") != NULL
                          ? "embedding_dimension"
                          : "word_embedding_dimension";
    const json_t *mode = json_object_get(root, "pooling_mode");
    status = fby_json_u32_required(name, root, dim, 1, DIM_MAX, &pooling->dim);
    if (status == FBY_OK)
        status = fby_json_bool(name, root, "include_prompt", true, &pooling->include_prompt);
    if (status == FBY_OK)
        status = mode != NULL ? pooling_by_mode(name, mode, &pooling->pooling)
                              : pooling_by_flags(name, root, &pooling->pooling);
    return status;
}

/* ---- Dense and Normalize ---- */

/* Both may work on other features than the pooled vector; not here. */
static fby_status check_feature(const char *name, const json_t *root, const char *key)
{
    const char *feature;
    char quoted[FBY_QUOTE_SIZE];
    fby_status status = fby_json_string(name, root, key, "sentence_embedding", &feature);
    if (status == FBY_OK && strcmp(feature, "sentence_embedding") != 0)
        status = fby_error(FBY_EUNSUPPORTED, "%s: %s '%s' is not supported", name, key,
                           fby_quote(quoted, feature));
    return status;
}

static fby_status check_features(const char *name, const json_t *root)
{
    fby_status status = check_feature(name, root, "module_input_name");
    if (status == FBY_OK)
        status = check_feature(name, root, "module_output_name");
    return status;
}

fby_status fby_config_read_normalize(const char *name, const json_t *root)
{
    fby_status status = fby_json_object(name, root);
    return status == FBY_OK ? check_features(name, root) : status;
}

static fby_status read_dense_activation(const char *name, const json_t *root,
                                        fby_activation *activation)
{
    static const struct {
        const char *name;
        fby_activation activation;
    } known[] = {{"Identity", FBY_ACTIVATION_NONE},
                 {"Tanh", FBY_ACTIVATION_TANH},
                 {"ReLU", FBY_ACTIVATION_RELU},
                 {"GELU", FBY_ACTIVATION_GELU_ERF}};
    char quoted[FBY_QUOTE_SIZE];
    const char *text;
    fby_status status = fby_json_string(name, root, "activation_function",
                                        "torch.nn.modules.activation.Tanh", &text);
    if (status != FBY_OK)
        return status;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strncmp(text, "torch.nn.", 9) == 0 && strcmp(class_name(text), known[i].name) == 0) {
            *activation = known[i].activation;
            return FBY_OK;
        }
    return fby_error(FBY_EUNSUPPORTED, "%s: activation_function '%s' is not supported", name,
                     fby_quote(quoted, text));
}

fby_status fby_config_read_dense(const char *name, const json_t *root, fby_dense_config *dense)
{
    bool residual;
    fby_status status = fby_json_object(name, root);
    if (status == FBY_OK)
        status = check_features(name, root);
    if (status == FBY_OK)
        status = fby_json_bool(name, root, "use_residual", false, &residual);
    if (status == FBY_OK && residual)
        status = fby_error(FBY_EUNSUPPORTED, "%s: use_residual is not supported", name);
    if (status == FBY_OK)
        status = fby_json_u32_required(name, root, "in_features", 1, DIM_MAX, &dense->in);
    if (status == FBY_OK)
        status = fby_json_u32_required(name, root, "out_features", 1, DIM_MAX, &dense->out);
    if (status == FBY_OK)
        status = fby_json_bool(name, root, "bias", true, &dense->bias);
    if (status == FBY_OK)
        status = read_dense_activation(name, root, &dense->activation);
    return status;
}
