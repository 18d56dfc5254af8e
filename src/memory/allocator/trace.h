/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The recorder: FBY_MALLOC_TRACE=FILE writes every call of the process to
 * FILE.PID, so that bench/alloc_workload can replay it under any allocator. The
 * file is FBY_TRACE_MAGIC and then records, in the order of the calls. A
 * reallocation is two records, the old address and then the new one. Only the
 * process that began the file writes it, not its forks; a program that it executes
 * begins it anew. A program that closes the file's descriptor ends the record.
 *
 * Threads: any.
 */
#ifndef FBY_MEMORY_ALLOCATOR_TRACE_H
#define FBY_MEMORY_ALLOCATOR_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FBY_TRACE_MAGIC "FBYTRC01"

enum fby_trace_op {
    FBY_TRACE_MALLOC,
    FBY_TRACE_FREE,
    FBY_TRACE_REALLOC_OF, /* of this address ... */
    FBY_TRACE_REALLOC_TO, /* ... to this one */
};

typedef struct fby_trace_record {
    uint64_t address;
    uint32_t size; /* bytes asked for; UINT32_MAX: that or more */
    uint8_t op;
    uint8_t shift; /* log2 of the alignment asked for */
    uint16_t reserved;
} fby_trace_record;
_Static_assert(sizeof(fby_trace_record) == 16, "the file's format");

/* False, and nothing is recorded, if the file cannot be written. */
bool fby_trace_start(const char *path);
void fby_trace_write(enum fby_trace_op op, const void *address, size_t size, size_t align);
void fby_trace_realloc(const void *from, const void *to, size_t size);
/* Writes what is still held back. */
void fby_trace_flush(void);
void fby_trace_after_fork(void);
void fby_trace_lock(void);
void fby_trace_unlock(void);

#endif
