/* SPDX-License-Identifier: Apache-2.0 */
/* A directory of its own for a test. */
#ifndef FBY_TEST_SEARCH_TREE_H
#define FBY_TEST_SEARCH_TREE_H

#include "test.h"

#include <ftw.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

static char tree[PATH_MAX];

/* Makes it, and goes there. */
static inline int tree_begin(void **state)
{
    (void)state;
    const char *tmp = getenv("TMPDIR");
    snprintf(tree, sizeof tree, "%s/forebay-test-XXXXXX", tmp != NULL ? tmp : "/tmp");
    return mkdtemp(tree) != NULL && chdir(tree) == 0 ? 0 : -1;
}

static inline int tree_remove(const char *path, const struct stat *about, int kind,
                              struct FTW *where)
{
    (void)about;
    (void)kind;
    (void)where;
    return remove(path);
}

static inline int tree_end(void **state)
{
    (void)state;
    return chdir("/") == 0 ? nftw(tree, tree_remove, 16, FTW_DEPTH | FTW_PHYS) : -1;
}

/* Writes a file, its directories first. */
static inline void tree_write(const char *path, const void *bytes, size_t size)
{
    char dir[PATH_MAX];
    snprintf(dir, sizeof dir, "%s", path);
    for (char *slash = dir; (slash = strchr(slash + 1, '/')) != NULL; *slash = '/') {
        *slash = '\0';
        mkdir(dir, 0777);
    }
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static inline void tree_text(const char *path, const char *text)
{
    tree_write(path, text, strlen(text));
}

#endif
