/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The operating system, as the allocator sees it: address space, pages, futex,
 * membarrier, time. Nothing here allocates; what the background thread calls
 * (marked so) touches neither errno nor any other thread-local variable, since
 * that thread has none of its own.
 */
#ifndef FBY_MEMORY_ALLOCATOR_OS_H
#define FBY_MEMORY_ALLOCATOR_OS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdatomic.h>

enum { FBY_PAGE_SHIFT = 12, FBY_PAGE = 1 << FBY_PAGE_SHIFT };

/* Address space without memory behind it, aligned to 64 KiB; NULL if there is none. */
void *fby_os_reserve(size_t size);
/* Makes a page-aligned part of a reservation readable and writable. */
bool fby_os_commit(void *at, size_t size);
/* Readable only: zero pages that cost no memory. */
bool fby_os_commit_readable(void *at, size_t size);
/* No access at all. */
bool fby_os_guard(void *at, size_t size);
/* Readable, writable, zeroed memory of its own; NULL if there is none. */
void *fby_os_map(size_t size);
/* The same for an array that is little used: pages count as they are touched. */
void *fby_os_map_sparse(size_t size);
void fby_os_unmap(void *at, size_t size);

/* Gives the pages' memory back; they read as zeros after. Background thread too. */
bool fby_os_purge(void *at, size_t size);
/* False while the system refuses: memory is locked, or a filter of system calls is set. */
bool fby_os_purge_works(void);
/* Faults the pages in at once, where the kernel can (5.14). Background thread too. */
void fby_os_populate(void *at, size_t size);
/* Copies memory that may not be there: false if some of it is not. Where the kernel does not let a
 * process read itself this way, the memory has to be there. Background thread too. */
bool fby_os_read(void *to, const void *from, size_t size);
/* Asks for huge pages. */
void fby_os_huge(void *at, size_t size);
/* Prefers memory of `node`. */
void fby_os_bind(void *at, size_t size, uint32_t node);
/* Mappings that a process may have. */
uint32_t fby_os_mappings_max(void);
/* Memory nodes of the machine, at least 1; the node of the calling thread's processor. */
uint32_t fby_os_node_count(void);
uint32_t fby_os_node(void);

/* A new or emptied file at a descriptor that programs seldom use, for writing; a link is not
 * followed. Negative: it cannot be had. None of these is a place where a thread can be cancelled.
 */
int fby_os_file_create(const char *path);
/* Whether all of it was written. */
bool fby_os_file_write(int fd, const void *from, size_t size);
void fby_os_file_close(int fd);
/* Names the file behind a descriptor; false if there is none, or it is no file. */
typedef struct fby_os_file_id {
    uint64_t device, number;
} fby_os_file_id;
bool fby_os_file_identify(int fd, fby_os_file_id *id);

/* Monotonic milliseconds, coarse. Background thread too. */
uint64_t fby_os_now_ms(void);

/* Sleeps while `*word` is `value`, at most `timeout_ms` (UINT32_MAX: without end); wakes `count`.
 * False if the system refuses to wait. Background thread too. */
bool fby_os_wait(_Atomic uint32_t *word, uint32_t value, uint32_t timeout_ms);
void fby_os_wake(_Atomic uint32_t *word, uint32_t count);

/* Whether fby_os_barrier() works here; the first call registers the process, for which the kernel
 * takes some 10 ms where there are several threads. Background thread too. */
bool fby_os_barrier_ready(void);
/* Returns after every running thread of the process has passed a full memory barrier; false if the
 * system refuses, as a filter of system calls may from some moment on: then it is not ready either.
 * Background thread too. */
bool fby_os_barrier(void);

/* Starts `body` on a thread that libc does not know of, all signals blocked, with an empty
 * thread-local block of its own; `*running` is set to 1 here and becomes 0 when the thread has
 * left. At most one such thread lives at a time. */
bool fby_os_start(int (*body)(void *), _Atomic uint32_t *running);

/* Ends the program by SIGABRT past its handlers: for a thread that cannot run the program's code.
 * Background thread too. */
void fby_os_abort(void);

/* Returns when the thread that was started with `running` has left, which it is about to do. */
void fby_os_wait_gone(_Atomic uint32_t *running);

#endif
