/* SPDX-License-Identifier: Apache-2.0 */
/* The first byte chooses a configuration file, the rest is its text: refused, or within what its
 * header promises. */
#include "fuzz.h"

#include <string.h>

#include "base/assert.h"
#include "model/config.h"
#include "model/fingerprint.h"
#include "model/json.h"

static void bert(const json_t *root)
{
    fby_config config = {.max_tokens = 1};
    if (fby_config_read_bert("input", root, &config.bert) != FBY_OK)
        return;
    fby_assert(config.bert.heads >= 1 && config.bert.hidden % config.bert.heads == 0);
    fby_assert(config.bert.epsilon > 0 && config.bert.layers >= 1);
    char settings[FBY_SETTINGS_SIZE];
    const uint64_t tokenizer[2] = {1, 2};
    fby_settings_text(&config, fby_kernels_for(FBY_ISA_C), tokenizer, settings);
}

static void modules(const json_t *root)
{
    fby_modules out;
    if (fby_config_read_modules("input", root, &out) != FBY_OK)
        return;
    fby_assert(out.count >= 2 && out.count <= FBY_MODULES_MAX);
    for (uint32_t i = 0; i < out.count; i++) {
        const char *path = out.list[i].path;
        fby_assert(strlen(path) < FBY_MODULE_PATH_SIZE && path[0] != '/');
        fby_assert(strcmp(path, "..") != 0 && strncmp(path, "../", 3) != 0 &&
                   strstr(path, "/../") == NULL);
    }
}

static void pooling(const json_t *root)
{
    fby_pooling_config out;
    if (fby_config_read_pooling("input", root, &out) == FBY_OK)
        fby_assert(fby_pooling_name(out.pooling) != NULL && out.dim >= 1);
}

static void dense(const json_t *root)
{
    fby_dense_config out;
    if (fby_config_read_dense("input", root, &out) == FBY_OK)
        fby_assert(out.in >= 1 && out.out >= 1);
    fby_config_read_normalize("input", root);
}

static void limits(const json_t *root)
{
    uint32_t limit;
    fby_config_read_sentence_bert("input", root, &limit);
    fby_config_read_tokenizer("input", root, &limit);
}

static void prompts(const json_t *root)
{
    fby_prompts out;
    const char *text;
    if (fby_config_read_prompts("input", root, &out) != FBY_OK)
        return;
    fby_assert(fby_prompts_find(&out, NULL, &text) == FBY_OK);
    fby_assert(fby_prompts_find(&out, "query", &text) == FBY_OK);
    (void)fby_prompts_find(&out, "none", &text);
    fby_prompts_clear(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const readers[])(const json_t *) = {bert,  modules, pooling,
                                                      dense, limits,  prompts};
    json_t *root;
    if (size == 0)
        return 0;
    size_t kind = data[0] % (sizeof readers / sizeof readers[0]);
    size_t flags = data[0] >= 128 ? JSON_DECODE_INT_AS_REAL : 0;
    if (fby_json_parse("input", (const char *)data + 1, size - 1, flags, &root) == FBY_OK) {
        readers[kind](root);
        json_decref(root);
    }
    return 0;
}
