/* SPDX-License-Identifier: Apache-2.0 */
/* What the environment asks of the allocator; read once, before the first block. */
#ifndef FBY_MEMORY_ALLOCATOR_SETTINGS_H
#define FBY_MEMORY_ALLOCATOR_SETTINGS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct fby_settings {
    bool stats;        /* FBY_MALLOC_STATS: count each call, print at exit */
    bool secure;       /* FBY_MALLOC_SECURE: check and fill each block, guard pages */
    bool huge;         /* FBY_MALLOC_HUGE: ask for huge pages */
    bool numa;         /* FBY_MALLOC_NUMA: bind to the thread's node; on where there are several */
    bool background;   /* FBY_MALLOC_BACKGROUND: purge from a thread of its own; on */
    size_t region_mib; /* FBY_MALLOC_REGION_MIB: address space at most; 0: 1 TiB */
    const char *trace; /* FBY_MALLOC_TRACE: file that receives a record of all calls */
    _Atomic uint32_t decay_ms;  /* FBY_MALLOC_DECAY_MS: free memory is kept so long; 500 */
    _Atomic uint32_t dirty_mib; /* FBY_MALLOC_DIRTY_MIB: and at most so much of it; 64 */
} fby_settings;

extern fby_settings fby_the_settings;
void fby_settings_read(void);

#endif
