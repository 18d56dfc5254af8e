/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A heap pool's configuration in YAML:
 *
 *     memory_pool:
 *       heap_size_mb: 256          # or auto
 *       num_heaps: 4
 *       warmup_sizes: [32, 128]
 *       compaction: { enabled: true, threshold: 0.5 }
 *
 * One thread.
 */
#ifndef FBY_CLI_POOL_CONFIG_H
#define FBY_CLI_POOL_CONFIG_H

#include "base/status.h"
#include "forebay/heap_pool.h"

enum { FBY_POOL_CONFIG_MAX = 64 << 10 /* bytes of a file */ };

typedef struct fby_pool_config {
    fby_heap_pool_options options; /* its warmup_bytes is set by fby_pool_config_options() */
    bool enabled, statistics;
    uint64_t heap_size_mb; /* 0: auto */
    uint64_t num_heaps;    /* 0: auto */
    uint64_t max_heaps, device, interval_ms;
    uint64_t blocks_max; /* 0: auto */
    uint64_t warmup_mb[FBY_HEAP_WARMUP_MAX];
    uint64_t warmup_bytes[FBY_HEAP_WARMUP_MAX];
    size_t warmup_count;
    int backend, memory, strategy; /* which of the words */
} fby_pool_config;

/* What is where a file says nothing. */
void fby_pool_config_init(fby_pool_config *config);

/* FBY_EINVAL names the first fault: "`name`:3: heap_size_mb: ...". */
fby_status fby_pool_config_read(const char *bytes, size_t size, const char *name,
                                fby_pool_config *config);

/* The options that this says; valid as long as `config` stays. */
const fby_heap_pool_options *fby_pool_config_options(fby_pool_config *config);

#endif
