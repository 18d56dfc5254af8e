/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cgroup.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/first_line.h"

enum { PATH_MOST = 4096 };

/* "QUOTA PERIOD" in microseconds; "max PERIOD" is no limit. */
static uint64_t processors_in(const char *line)
{
    char *end;
    unsigned long long quota = strtoull(line, &end, 10);
    unsigned long long period = strtoull(end, NULL, 10);
    if (quota == 0 || period == 0 || quota / period >= UINT32_MAX)
        return 0;
    return quota / period + (quota % period != 0);
}

/* Bytes, or "max". */
static uint64_t bytes_in(const char *line)
{
    return strtoull(line, NULL, 10);
}

/* The number after `key` in a file whose lines are "key number"; 0: there is none. */
static uint64_t value_of(const char *path, const char *key)
{
    char line[128];
    size_t size = strlen(key);
    uint64_t found = 0;
    FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, key, size) == 0 && line[size] == ' ')
            found = strtoull(line + size, NULL, 10);
    if (file != NULL)
        fclose(file);
    return found;
}

static bool path_of(char path[PATH_MOST], const char *root, const char *group, size_t size,
                    const char *file)
{
    int written = snprintf(path, PATH_MOST, "%s%.*s/%s", root, (int)size, group, file);
    return written > 0 && written < PATH_MOST;
}

/* What `file` says of one group; UINT64_MAX: no limit. */
static uint64_t limit_in(const char *root, const char *group, size_t size, const char *file,
                         uint64_t (*value_in)(const char *line))
{
    char path[PATH_MOST], line[64];
    uint64_t value = 0;
    if (path_of(path, root, group, size, file) && fby_first_line(path, line, sizeof line))
        value = value_in(line);
    return value != 0 ? value : UINT64_MAX;
}

/* What one group may still use; UINT64_MAX: it has no limit, or does not say. */
static uint64_t left_in(const char *root, const char *group, size_t size)
{
    char path[PATH_MOST], line[64];
    uint64_t limit = limit_in(root, group, size, "memory.max", bytes_in), cache = 0;
    if (limit == UINT64_MAX || !path_of(path, root, group, size, "memory.current") ||
        !fby_first_line(path, line, sizeof line))
        return UINT64_MAX;
    uint64_t used = bytes_in(line);
    if (path_of(path, root, group, size, "memory.stat"))
        cache = value_of(path, "inactive_file") + value_of(path, "slab_reclaimable");
    used = cache < used ? used - cache : 0;
    return used < limit ? limit - used : 0;
}

static uint64_t processors_of(const char *root, const char *group, size_t size)
{
    return limit_in(root, group, size, "cpu.max", processors_in);
}

static uint64_t memory_of(const char *root, const char *group, size_t size)
{
    return limit_in(root, group, size, "memory.max", bytes_in);
}

/* The least that `value_of_group` says of `group` and those above; UINT64_MAX: no limit. */
static uint64_t tightest(const char *root, const char *group,
                         uint64_t (*value_of_group)(const char *root, const char *group,
                                                    size_t size))
{
    uint64_t least = UINT64_MAX;
    size_t size = strlen(group);

    for (;;) {
        while (size > 0 && group[size - 1] == '/')
            size--;
        uint64_t value = value_of_group(root, group, size);
        least = value < least ? value : least;
        if (size == 0)
            return least;
        while (size > 0 && group[size - 1] != '/')
            size--;
    }
}

static uint64_t none_is_0(uint64_t limit)
{
    return limit != UINT64_MAX ? limit : 0;
}

/* A line "0::/path" names version 2's. */
static void own_group(char *group, int size)
{
    FILE *file = fopen("/proc/self/cgroup", "re");
    bool found = false;
    while (file != NULL && !found && fgets(group, size, file) != NULL)
        found = strncmp(group, "0::/", 4) == 0;
    if (file != NULL)
        fclose(file);
    if (!found) {
        group[0] = '\0';
        return;
    }
    memmove(group, group + 3, strlen(group + 3) + 1);
    group[strcspn(group, "\n")] = '\0';
}

uint64_t fby_cgroup_memory_left_of(const char *root, const char *group)
{
    return tightest(root, group, left_in);
}

uint32_t fby_cgroup_processors_of(const char *root, const char *group)
{
    return (uint32_t)none_is_0(tightest(root, group, processors_of));
}

uint64_t fby_cgroup_memory_of(const char *root, const char *group)
{
    return none_is_0(tightest(root, group, memory_of));
}

uint32_t fby_cgroup_processors(void)
{
    char group[PATH_MOST];
    own_group(group, sizeof group);
    return fby_cgroup_processors_of("/sys/fs/cgroup", group);
}

uint64_t fby_cgroup_memory(void)
{
    char group[PATH_MOST];
    own_group(group, sizeof group);
    return fby_cgroup_memory_of("/sys/fs/cgroup", group);
}

uint64_t fby_cgroup_memory_left(void)
{
    char group[PATH_MOST];
    own_group(group, sizeof group);
    return fby_cgroup_memory_left_of("/sys/fs/cgroup", group);
}

uint64_t fby_memory_bytes(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    uint64_t bytes = pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : UINT64_MAX;
    uint64_t limit = fby_cgroup_memory();
    return limit != 0 && limit < bytes ? limit : bytes;
}
