/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The allocator workloads, over whatever allocator the table names: the same
 * code measures a preloaded malloc (bench/alloc_workload.c) and fby_malloc in
 * one process (`forebay bench alloc`).
 *
 *     baseline RSS -> warm-up -> throughput -> latencies -> all freed -> 2 s -> RSS
 *
 * Each thread owns a vector of live blocks. An operation, one malloc or one
 * free, allocates with probability p while the vector is not full (always when
 * it is empty), else frees a block chosen uniformly. The first word of each
 * block is written. The vectors are mapped and touched before the baseline.
 */
#ifndef FBY_BENCH_ALLOC_CORE_H
#define FBY_BENCH_ALLOC_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct alloc_table {
    void *(*malloc)(size_t size);
    void *(*aligned_alloc)(size_t alignment, size_t size);
    void *(*realloc)(void *block, size_t size);
    void (*free)(void *block);
    size_t (*usable_size)(void *block);
} alloc_table;

enum { ALLOC_SIZES_MAX = 16, ALLOC_THREADS_MAX = 64 };

typedef enum alloc_kind {
    ALLOC_MIX,    /* the vector of live blocks */
    ALLOC_CROSS,  /* pairs: one allocates, the other frees, 32 at a time through a ring */
    ALLOC_BATCH,  /* a step of some hundred blocks, then all freed in the order of allocation */
    ALLOC_PAIR,   /* malloc and free of one size, one after the other */
    ALLOC_RECORD, /* a trace that the shim wrote */
} alloc_kind;

typedef struct alloc_workload {
    const char *name;
    alloc_kind kind;
    uint32_t sizes[ALLOC_SIZES_MAX]; /* bytes, ascending; 0 ends them */
    uint8_t percent[ALLOC_SIZES_MAX];
    uint32_t allocate_percent; /* p */
    uint32_t live_max;         /* blocks of a thread; of a step for ALLOC_BATCH */
    uint32_t alignment;        /* bytes; 0: malloc */
    bool log_uniform;          /* sizes between first and last, uniform in the exponent */
    uint64_t ops;              /* of a thread, unless the run says otherwise */
} alloc_workload;

/* NULL if there is none of this name; "NAME_uniform" is NAME with sizes drawn uniformly between its
 * smallest and largest. `storage` receives the description. */
const alloc_workload *alloc_workload_find(const char *name, alloc_workload *storage);
/* The names, NULL after the last. */
const char *const *alloc_workload_names(void);

typedef struct alloc_run {
    const alloc_workload *workload;
    const alloc_table *table;
    const char *trace; /* path, for ALLOC_RECORD */
    uint64_t ops;      /* of a thread; 0: the workload's */
    uint64_t seed;
    uint32_t threads;
    bool latency;       /* take latencies too */
    uint32_t settle_ms; /* wait after all is freed, before the last RSS */
} alloc_run;

typedef struct alloc_percentiles {
    double p50_ns, p99_ns, p999_ns;
} alloc_percentiles;

typedef struct alloc_result {
    uint32_t threads; /* that really ran */
    uint64_t ops;     /* of all threads, in the throughput phase */
    double mops_per_s;
    double mops_per_cpu_s; /* as if each thread had a processor to itself */
    double ns_per_op;      /* of one thread */
    double usable_per_requested;
    uint64_t peak_live_bytes; /* requested, summed over threads */
    uint64_t rss_before_bytes, rss_peak_bytes, rss_after_bytes;
    double timer_step_ns;
    alloc_percentiles alloc_batch, free_batch; /* mean of 64 calls, ns a call */
    alloc_percentiles alloc_single, free_single;
    uint32_t size_count;
    uint32_t size_bytes[ALLOC_SIZES_MAX];
    alloc_percentiles alloc_size[ALLOC_SIZES_MAX], free_size[ALLOC_SIZES_MAX]; /* single calls */
} alloc_result;

/* False with a message on stderr when a thread, a trace or memory is missing. */
bool alloc_run_workload(const alloc_run *run, alloc_result *result);

#endif
