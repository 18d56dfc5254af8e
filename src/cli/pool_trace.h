/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a heap pool's recorder wrote (memory/heap_pool/recorder.h), read back: blocks,
 * and the order in which they were acquired and released. One thread.
 */
#ifndef FBY_CLI_POOL_TRACE_H
#define FBY_CLI_POOL_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum { FBY_POOL_LABEL_SIZE = 64, FBY_POOL_LABELS_MAX = 1024 };

typedef struct fby_pool_trace_block {
    uint64_t bytes;
    uint32_t align;
    uint32_t label; /* index */
} fby_pool_trace_block;

typedef struct fby_pool_trace {
    fby_pool_trace_block *blocks; /* (block_count), as acquired */
    size_t block_count;
    uint32_t *calls; /* (call_count): a block's index doubled, plus 1 for its release */
    size_t call_count;
    char (*labels)[FBY_POOL_LABEL_SIZE]; /* (label_count) */
    size_t label_count;
    uint64_t peak_bytes; /* of the blocks that lived at once */
    size_t peak_call;    /* the call after which they did */
} fby_pool_trace;

/* FBY_EFORMAT names the line. `*trace` is to be cleared whatever happens. */
fby_status fby_pool_trace_read(const char *bytes, size_t size, fby_pool_trace *trace);
void fby_pool_trace_clear(fby_pool_trace *trace);

#endif
