/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the control group (version 2) that this process runs in lets it use: the
 * tightest limit of the group and of those above it, as far as they can be seen.
 * Read at each call, from /proc/self/cgroup and /sys/fs/cgroup. Any thread.
 */
#ifndef FBY_BASE_CGROUP_H
#define FBY_BASE_CGROUP_H

#include <stdint.h>

/* Processors, rounded up; 0: no limit. */
uint32_t fby_cgroup_processors(void);

/* Bytes; 0: no limit. */
uint64_t fby_cgroup_memory(void);

/* Bytes that may still be used: the limit less what is used, of which the cache that the system
 * gives back when asked (inactive files, reclaimable slabs) does not count. UINT64_MAX: no limit.
 */
uint64_t fby_cgroup_memory_left(void);

/* Bytes of memory this process may hope for: the machine's, or the group's where that is less. */
uint64_t fby_memory_bytes(void);

/* The same of `group` ("/a/b") below the directory `root`: for tests. */
uint32_t fby_cgroup_processors_of(const char *root, const char *group);
uint64_t fby_cgroup_memory_of(const char *root, const char *group);
uint64_t fby_cgroup_memory_left_of(const char *root, const char *group);

#endif
