/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Embedding, one text a request on one thread, with the memory of each request taken
 * anew from somewhere. One measurement at a time.
 */
#ifndef FBY_CLI_HEAP_EMBED_H
#define FBY_CLI_HEAP_EMBED_H

#include <stdint.h>

#include "cli/bench_texts.h"
#include "forebay/heap_pool.h"
#include "model/encoder.h"

typedef struct fby_heap_embed {
    const fby_encoder *encoder;
    const fby_bench_texts *texts;
    uint64_t bytes; /* of a request's memory: ids, activations, the vector */
} fby_heap_embed;

/* What a request needs. */
uint64_t fby_heap_embed_bytes(const fby_encoder *encoder);

typedef struct fby_heap_embed_times {
    double texts_per_s, alloc_us; /* acquire and release, a request */
} fby_heap_embed_times;

/* Texts `first` … `first + count - 1`, over again from the first. */
fby_status fby_heap_embed_run(const fby_heap_embed *self, fby_heap_pool *pool, size_t first,
                              size_t count, fby_heap_embed_times *times);

#endif
