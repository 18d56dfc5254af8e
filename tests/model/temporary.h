/* SPDX-License-Identifier: Apache-2.0 */
/* A directory of a test's own, removed with what it holds, and files in it. */
#ifndef FBY_TEST_TEMPORARY_H
#define FBY_TEST_TEMPORARY_H

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test.h"

/* Static memory for 8 paths at a time. */
static inline const char *temporary_path(const char *dir, const char *name)
{
    static char paths[8][4096];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", dir, name);
    return path;
}

/* To be freed. */
static inline char *temporary_dir(void)
{
    const char *base = getenv("TMPDIR");
    char *dir = malloc(4096);
    assert_non_null(dir);
    snprintf(dir, 4096, "%s/forebay-test-XXXXXX", base != NULL ? base : "/tmp");
    assert_non_null(mkdtemp(dir));
    return dir;
}

static inline void temporary_write(const char *dir, const char *name, const void *bytes,
                                   size_t size)
{
    int fd = open(temporary_path(dir, name), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, size), size);
    assert_int_equal(close(fd), 0);
}

static inline void temporary_text(const char *dir, const char *name, const char *text)
{
    temporary_write(dir, name, text, strlen(text));
}

static inline void temporary_subdir(const char *dir, const char *name)
{
    assert_int_equal(mkdir(temporary_path(dir, name), 0700), 0);
}

/* Removes what is in `dir`, to any depth, and itself. */
static inline void temporary_remove(const char *dir)
{
    DIR *listing = opendir(dir);
    assert_non_null(listing);
    for (struct dirent *entry; (entry = readdir(listing)) != NULL;) {
        char *path;
        struct stat info;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        assert_true(asprintf(&path, "%s/%s", dir, entry->d_name) > 0);
        assert_int_equal(lstat(path, &info), 0);
        if (S_ISDIR(info.st_mode))
            temporary_remove(path);
        else
            assert_int_equal(unlink(path), 0);
        free(path);
    }
    closedir(listing);
    assert_int_equal(rmdir(dir), 0);
}

#endif
