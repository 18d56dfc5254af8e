/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A trace of what is acquired and released, for `forebay pool run`: text, a line a call.
 *
 *     forebay-heap-trace 1
 *     + 4294967296 1200 5000 64 context      block, ns since the start, bytes, alignment, label
 *     - 4294967296 9000                      block, ns
 *
 * Threads: any; calls are written one after the other, in the order of the file.
 */
#ifndef FBY_MEMORY_HEAP_POOL_RECORDER_H
#define FBY_MEMORY_HEAP_POOL_RECORDER_H

#include "memory/heap_pool/heap.h"

#define FBY_HEAP_TRACE_HEAD "forebay-heap-trace 1"
enum { FBY_HEAP_TRACE_LABEL = 63 /* bytes; of longer ones the beginning is kept */ };

typedef struct fby_heap_recorder fby_heap_recorder;

/* Writes to `path`, or to `path`.2, .3 … while another pool writes there: two engines that are told
 * one path have two traces. FBY_EIO, with the file's name. */
fby_status fby_heap_recorder_open(const char *path, fby_heap_recorder **recorder);
/* FBY_EIO when not everything could be written. NULL is fine. */
fby_status fby_heap_recorder_close(fby_heap_recorder *recorder);

void fby_heap_record_acquired(fby_heap_recorder *recorder, fby_heap_block block,
                              const fby_heap_request *request);
/* Before it is released: its handle may come again at once. */
void fby_heap_record_released(fby_heap_recorder *recorder, fby_heap_block block);

#endif
