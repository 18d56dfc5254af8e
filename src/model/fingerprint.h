/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What names a model: a digest over everything that decides a vector's bits.
 *
 *     settings (a text: architecture, pooling, modules, limit, tokenizer, kernels) --+
 *     image (the packed weights) ----------------------------------------------------+--> 32 digits
 *
 * Prompts are apart: they are part of the text. Digests are XXH3 of 128 bits:
 * against accident, not against an adversary. Any thread.
 */
#ifndef FBY_MODEL_FINGERPRINT_H
#define FBY_MODEL_FINGERPRINT_H

#include <stddef.h>
#include <stdint.h>

#include "model/config.h"

/* Of the image and of the packed file; grows with each change of either, or of what is computed
 * from them. */
#define FBY_PACK_FORMAT 1

typedef struct fby_digest {
    uint64_t low, high;
} fby_digest;

fby_digest fby_digest_of(const void *bytes, size_t size);

/* 32 hexadecimal digits and a NUL. */
#define FBY_HEX_SIZE 33
void fby_digest_hex(fby_digest digest, char hex[static FBY_HEX_SIZE]);

/* The settings as lines of "key value". FBY_EUNSUPPORTED if they do not fit. */
#define FBY_SETTINGS_SIZE 3072
fby_status fby_settings_text(const fby_config *config, const fby_kernels *kernels,
                             const uint64_t tokenizer[static 2],
                             char text[static FBY_SETTINGS_SIZE]);

void fby_fingerprint(const char *settings, fby_digest image, char hex[static FBY_HEX_SIZE]);

#endif
