/* SPDX-License-Identifier: Apache-2.0 */
/* config.json, and the two files that limit a text's length. */
#include "model/config.h"

#include <math.h>
#include <string.h>

#include "model/file.h"
#include "model/json.h"

/* Bounds on what a model may ask for; with them no size in bytes overflows 64 bits. */
enum {
    HIDDEN_MAX = 1 << 14,
    LAYERS_MAX = 512,
    HEADS_MAX = 1024,
    INTERMEDIATE_MAX = 1 << 17,
    VOCABULARY_MAX = 1 << 22,
    POSITIONS_MAX = 1 << 17,
    TOKEN_TYPES_MAX = 1024
};

static const struct {
    const char *name;
    fby_activation activation;
} hidden_acts[] = {
    {"gelu", FBY_ACTIVATION_GELU_ERF},       {"gelu_python", FBY_ACTIVATION_GELU_ERF},
    {"gelu_new", FBY_ACTIVATION_GELU_TANH},  {"gelu_pytorch_tanh", FBY_ACTIVATION_GELU_TANH},
    {"gelu_fast", FBY_ACTIVATION_GELU_TANH}, {"relu", FBY_ACTIVATION_RELU},
    {"tanh", FBY_ACTIVATION_TANH},
};

const char *fby_activation_name(fby_activation activation)
{
    switch (activation) {
    case FBY_ACTIVATION_NONE:
        return "none";
    case FBY_ACTIVATION_GELU_ERF:
        return "gelu-erf";
    case FBY_ACTIVATION_GELU_TANH:
        return "gelu-tanh";
    case FBY_ACTIVATION_RELU:
        return "relu";
    case FBY_ACTIVATION_TANH:
        return "tanh";
    }
    return "unknown";
}

static fby_status unsupported(const char *name, const char *key, const char *value)
{
    char quoted[FBY_QUOTE_SIZE];
    return fby_error(FBY_EUNSUPPORTED, "%s: %s '%s' is not supported", name, key,
                     fby_quote(quoted, value));
}

static fby_status read_activation(const char *name, const json_t *root, fby_activation *activation)
{
    const char *text;
    fby_status status = fby_json_string(name, root, "hidden_act", "gelu", &text);
    if (status != FBY_OK)
        return status;
    for (size_t i = 0; i < sizeof hidden_acts / sizeof hidden_acts[0]; i++)
        if (strcmp(text, hidden_acts[i].name) == 0) {
            *activation = hidden_acts[i].activation;
            return FBY_OK;
        }
    return unsupported(name, "hidden_act", text);
}

static fby_status read_epsilon(const char *name, const json_t *root, float *epsilon)
{
    const json_t *value = json_object_get(root, "layer_norm_eps");
    double number = value == NULL ? 1e-12 : json_number_value(value);
    if ((value != NULL && !json_is_number(value)) || !((float)number > 0 && number <= 1))
        return fby_error(FBY_EFORMAT, "%s: layer_norm_eps: expected a number above 0, at most 1",
                         name);
    *epsilon = (float)number;
    return FBY_OK;
}

/* What would make it another architecture than the one that is run here. */
static fby_status check_architecture(const char *name, const json_t *root)
{
    const char *type, *positions;
    bool decoder;
    fby_status status = fby_json_string(name, root, "model_type", NULL, &type);
    if (status != FBY_OK)
        return status;
    if (type == NULL)
        return fby_error(FBY_EUNSUPPORTED, "%s: model_type is missing; 'bert' is supported", name);
    if (strcmp(type, "bert") != 0)
        return unsupported(name, "model_type", type);
    status = fby_json_string(name, root, "position_embedding_type", "absolute", &positions);
    if (status != FBY_OK)
        return status;
    if (strcmp(positions, "absolute") != 0)
        return unsupported(name, "position_embedding_type", positions);
    status = fby_json_bool(name, root, "is_decoder", false, &decoder);
    if (status == FBY_OK && decoder)
        status = unsupported(name, "is_decoder", "true");
    return status;
}

static fby_status read_sizes(const char *name, const json_t *root, fby_bert_config *bert)
{
    const struct {
        const char *key;
        uint32_t max;
        uint32_t *value;
    } sizes[] = {
        {"vocab_size", VOCABULARY_MAX, &bert->vocabulary},
        {"hidden_size", HIDDEN_MAX, &bert->hidden},
        {"num_hidden_layers", LAYERS_MAX, &bert->layers},
        {"num_attention_heads", HEADS_MAX, &bert->heads},
        {"intermediate_size", INTERMEDIATE_MAX, &bert->intermediate},
        {"max_position_embeddings", POSITIONS_MAX, &bert->positions},
        {"type_vocab_size", TOKEN_TYPES_MAX, &bert->token_types},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        fby_status status =
            fby_json_u32_required(name, root, sizes[i].key, 1, sizes[i].max, sizes[i].value);
        if (status != FBY_OK)
            return status;
    }
    if (bert->hidden % bert->heads != 0)
        return fby_error(FBY_EFORMAT,
                         "%s: hidden_size %u is not a multiple of num_attention_heads %u", name,
                         bert->hidden, bert->heads);
    return FBY_OK;
}

fby_status fby_config_read_bert(const char *name, const json_t *root, fby_bert_config *bert)
{
    fby_status status = fby_json_object(name, root);
    if (status == FBY_OK)
        status = check_architecture(name, root);
    if (status == FBY_OK)
        status = read_sizes(name, root, bert);
    if (status == FBY_OK)
        status = read_epsilon(name, root, &bert->epsilon);
    if (status == FBY_OK)
        status = read_activation(name, root, &bert->activation);
    return status;
}

/* A key whose only supported value is `expected`. */
static fby_status check_is(const char *name, const json_t *root, const char *key,
                           const char *expected)
{
    const char *value;
    fby_status status = fby_json_string(name, root, key, expected, &value);
    if (status == FBY_OK && strcmp(value, expected) != 0)
        status = unsupported(name, key, value);
    return status;
}

/* Of what a model may take and give, text and the last layer's rows. */
static fby_status check_modality(const char *name, const json_t *modalities)
{
    const json_t *text = json_object_get(modalities, "text");
    if (modalities == NULL || json_is_null(modalities))
        return FBY_OK;
    if (!json_is_object(text))
        return fby_error(FBY_EUNSUPPORTED, "%s: modality_config without text", name);
    fby_status status = check_is(name, text, "method", "forward");
    return status == FBY_OK ? check_is(name, text, "method_output_name", "last_hidden_state")
                            : status;
}

fby_status fby_config_read_sentence_bert(const char *name, const json_t *root, uint32_t *max_tokens)
{
    bool lower;
    fby_status status = fby_json_object(name, root);
    if (status == FBY_OK)
        status = fby_json_bool(name, root, "do_lower_case", false, &lower);
    if (status == FBY_OK && lower)
        status = unsupported(name, "do_lower_case", "true");
    if (status == FBY_OK)
        status = check_is(name, root, "transformer_task", "feature-extraction");
    if (status == FBY_OK)
        status = check_is(name, root, "module_output_name", "token_embeddings");
    if (status == FBY_OK)
        status = check_modality(name, json_object_get(root, "modality_config"));
    if (status == FBY_OK && json_object_size(json_object_get(root, "processing_kwargs")) > 0)
        status = fby_error(FBY_EUNSUPPORTED, "%s: processing_kwargs are not supported", name);
    if (status == FBY_OK)
        status = fby_json_u32(name, root, "max_seq_length", 1, UINT32_MAX, 0, max_tokens);
    return status;
}

fby_status fby_config_read_tokenizer(const char *name, const json_t *root, uint32_t *max_tokens)
{
    const json_t *value = json_object_get(root, "model_max_length");
    fby_status status = fby_json_object(name, root);
    if (status != FBY_OK)
        return status;
    if (value == NULL || json_is_null(value)) {
        *max_tokens = 0;
        return FBY_OK;
    }
    double number = json_number_value(value);
    if (!json_is_number(value) || !(number >= 1))
        return fby_error(FBY_EFORMAT, "%s: model_max_length: expected a number of 1 or more", name);
    /* "No limit" is a number of 31 digits. */
    *max_tokens = number > UINT32_MAX ? 0 : (uint32_t)number;
    return FBY_OK;
}
