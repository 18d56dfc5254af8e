/* SPDX-License-Identifier: Apache-2.0 */
/* Statistics printed at exit, for the shim. */
#ifndef FBY_MEMORY_ALLOCATOR_STATS_H
#define FBY_MEMORY_ALLOCATOR_STATS_H

/* A table on stderr; allocates nothing. */
void fby_stats_print(void);

#endif
