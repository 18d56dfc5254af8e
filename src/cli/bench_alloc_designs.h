/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One simple allocator, locked in three ways: the experiment that Forebay's
 * allocator comes from. Free lists of powers of two from 16 to 4,096 bytes, no
 * memory given back.
 *
 *     global    one lock around everything
 *     sharded   a lock a size class
 *     thread    no lock: each thread has lists of its own
 */
#ifndef FBY_CLI_BENCH_ALLOC_DESIGNS_H
#define FBY_CLI_BENCH_ALLOC_DESIGNS_H

#include <stddef.h>

#define FBY_DESIGN_FUNCTIONS(design)                                                               \
    void *fby_design_##design##_malloc(size_t size);                                               \
    void *fby_design_##design##_aligned(size_t alignment, size_t size);                            \
    void *fby_design_##design##_realloc(void *block, size_t size);                                 \
    void fby_design_##design##_free(void *block)

FBY_DESIGN_FUNCTIONS(global);
FBY_DESIGN_FUNCTIONS(sharded);
FBY_DESIGN_FUNCTIONS(thread);
size_t fby_design_usable(void *block);

/* An alloc_table of a design. */
#define FBY_DESIGN_TABLE(design)                                                                   \
    {                                                                                              \
        fby_design_##design##_malloc, fby_design_##design##_aligned,                               \
            fby_design_##design##_realloc, fby_design_##design##_free, fby_design_usable           \
    }

#endif
