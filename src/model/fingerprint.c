/* SPDX-License-Identifier: Apache-2.0 */
#include "model/fingerprint.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "compute/narrow.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

fby_digest fby_digest_of(const void *bytes, size_t size)
{
    XXH128_hash_t hash = XXH3_128bits(bytes, size);
    return (fby_digest){hash.low64, hash.high64};
}

void fby_digest_hex(fby_digest digest, char hex[static FBY_HEX_SIZE])
{
    snprintf(hex, FBY_HEX_SIZE, "%016" PRIx64 "%016" PRIx64, digest.high, digest.low);
}

typedef struct writer {
    char *text;
    size_t used; /* FBY_SETTINGS_SIZE once it did not fit */
} writer;

static void put(writer *to, const char *format, ...) FBY_PRINTF(2, 3);

static void put(writer *to, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int size = vsnprintf(to->text + to->used, FBY_SETTINGS_SIZE - to->used, format, args);
    va_end(args);
    if (size < 0 || (size_t)size >= FBY_SETTINGS_SIZE - to->used)
        to->used = FBY_SETTINGS_SIZE;
    else
        to->used += (size_t)size;
}

static void put_module(writer *to, const fby_module *module)
{
    const fby_dense_config *dense = &module->dense;
    if (module->kind == FBY_MODULE_NORMALIZE)
        put(to, "module normalize\n");
    else if (module->kind == FBY_MODULE_DENSE)
        put(to, "module dense %u %u %s %s\n", dense->in, dense->out, dense->bias ? "bias" : "plain",
            fby_activation_name(dense->activation));
}

fby_status fby_settings_text(const fby_config *config, const fby_kernels *kernels,
                             const uint64_t tokenizer[static 2],
                             char text[static FBY_SETTINGS_SIZE])
{
    const fby_bert_config *bert = &config->bert;
    writer to = {text, 0};
    memset(text, 0, FBY_SETTINGS_SIZE);
    const fby_narrow *narrow = kernels->narrow;
    put(&to, "forebay-pack %d\nprecision %s\nkernels %s %u\n", FBY_PACK_FORMAT,
        narrow != NULL ? narrow->precision : "f32", kernels->name, kernels->version);
    if (narrow != NULL)
        put(&to, "products %s %u\n", narrow->name, narrow->version);
    put(&to, "architecture bert\nvocabulary %u\nhidden %u\nlayers %u\nheads %u\n", bert->vocabulary,
        bert->hidden, bert->layers, bert->heads);
    put(&to, "intermediate %u\nactivation %s\nepsilon %a\n", bert->intermediate,
        fby_activation_name(bert->activation), (double)bert->epsilon);
    put(&to, "max_tokens %u\npooling %s\n", config->max_tokens,
        fby_pooling_name(config->pooling.pooling));
    for (uint32_t i = 0; i < config->modules.count && to.used < FBY_SETTINGS_SIZE; i++)
        put_module(&to, &config->modules.list[i]);
    if (to.used < FBY_SETTINGS_SIZE)
        put(&to, "normalizes %d\ntokenizer %016" PRIx64 "%016" PRIx64 "\n", config->normalizes,
            tokenizer[1], tokenizer[0]);
    if (to.used >= FBY_SETTINGS_SIZE)
        return fby_error(FBY_EUNSUPPORTED, "the model's settings take more than %d bytes",
                         FBY_SETTINGS_SIZE);
    return FBY_OK;
}

void fby_fingerprint(const char *settings, fby_digest image, char hex[static FBY_HEX_SIZE])
{
    char text[FBY_SETTINGS_SIZE + 64], image_hex[FBY_HEX_SIZE];
    fby_digest_hex(image, image_hex);
    int size = snprintf(text, sizeof text, "%simage %s\n", settings, image_hex);
    fby_digest_hex(fby_digest_of(text, (size_t)size), hex);
}
