/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The packed weights of a model directory, from wherever they are had soonest:
 *
 *     key --> packed file of the cache, mapped                       (every later start)
 *     safetensors --pack--> memory --store--> packed file, mapped    (the first)
 *     safetensors --pack--> memory                                   (without a cache)
 *
 * Opening touches every page of it: what runs on it later faults none, unless
 * the system, short of memory, takes pages back.
 */
#ifndef FBY_MODEL_IMAGE_H
#define FBY_MODEL_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "model/file.h"
#include "model/fingerprint.h"
#include "model/weights.h"

typedef struct fby_image {
    const void *bytes; /* as fby_weights_bind() takes it */
    char fingerprint[FBY_HEX_SIZE];
    char path[FBY_PATH_SIZE]; /* of the packed file; "" if it is in memory */
    uint64_t weight_bytes;    /* of the files that it was made from */

    fby_file file; /* where `bytes` are: this, or */
    void *memory;  /* this */
    size_t memory_bytes;
} fby_image;

/* `sample` may be NULL where the kernels have no narrow ones that want it. `cache_dir` as in
 * fby_model_options. Fails only if the weights do. */
fby_status fby_image_open(const char *dir, const fby_config *config, const fby_kernels *kernels,
                          const fby_sample *sample, const char *settings, const char *cache_dir,
                          fby_image *image);
void fby_image_close(fby_image *image);

#endif
