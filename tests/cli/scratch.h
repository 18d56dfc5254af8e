/* SPDX-License-Identifier: Apache-2.0 */
/* Files of a test, in a directory of its own that goes when the test ends. */
#ifndef FBY_TEST_CLI_SCRATCH_H
#define FBY_TEST_CLI_SCRATCH_H

#include <dirent.h>
#include <unistd.h>

#include "test.h"

static char scratch_dir[] = "/tmp/fby-cli-XXXXXX";

/* The path of `name` in the directory; the last four stay valid. */
static inline char *scratch(const char *name)
{
    static char paths[4][512];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", scratch_dir, name);
    return path;
}

static inline void scratch_write(const char *path, const void *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

/* At most `capacity` bytes. */
static inline size_t scratch_read(const char *path, void *bytes, size_t capacity)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t size = fread(bytes, 1, capacity, file);
    fclose(file);
    return size;
}

/* Files in the directory. */
static inline size_t scratch_count(void)
{
    size_t count = 0;
    DIR *dir = opendir(scratch_dir);
    assert_non_null(dir);
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(dir);
    return count;
}

static inline int scratch_begin(void **state)
{
    (void)state;
    memcpy(scratch_dir + strlen(scratch_dir) - 6, "XXXXXX", 6);
    return mkdtemp(scratch_dir) == NULL;
}

static inline int scratch_end(void **state)
{
    (void)state;
    DIR *dir = opendir(scratch_dir);
    if (dir == NULL)
        return 1;
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;)
        if (entry->d_name[0] != '.')
            unlink(scratch(entry->d_name));
    closedir(dir);
    return rmdir(scratch_dir);
}

#endif
