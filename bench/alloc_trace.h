/* SPDX-License-Identifier: Apache-2.0 */
/* A trace of allocations that the shim recorded (FBY_MALLOC_TRACE), made ready for replay: small
 * numbers, used again once free, instead of addresses. */
#ifndef FBY_BENCH_ALLOC_TRACE_H
#define FBY_BENCH_ALLOC_TRACE_H

#include <stdbool.h>
#include <stdint.h>

typedef enum alloc_event_op {
    ALLOC_EVENT_MALLOC,
    ALLOC_EVENT_FREE,
    ALLOC_EVENT_REALLOC, /* of the block of the same id */
} alloc_event_op;

typedef struct alloc_event {
    uint32_t size; /* bytes */
    uint32_t id : 24;
    uint32_t op : 2;
    uint32_t shift : 6; /* log2 of the alignment; 0: none asked for */
} alloc_event;

typedef struct alloc_trace {
    alloc_event *events;
    uint64_t count;
    uint32_t ids; /* one more than the highest */
    uint64_t peak_bytes;
} alloc_trace;

/* At most the first `most` events. False with a message on stderr. What it maps stays mapped until
 * the process ends; nothing is allocated. */
bool alloc_trace_load(const char *path, uint64_t most, alloc_trace *trace);

#endif
