/* SPDX-License-Identifier: Apache-2.0 */
#include "search/tidy.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/unused.h"

enum { DIGITS = 32, NAME_SIZE = DIGITS + 24 };

static const char *const parts[] = {".index", ".index.journal", ".index.new", ".index.lock"};
enum { LOCK_PART = 3, PARTS = 4 };

static bool is_ours(const char *name)
{
    if (strspn(name, "0123456789abcdef") != DIGITS)
        return false;
    for (int i = 0; i < PARTS; i++)
        if (strcmp(name + DIGITS, parts[i]) == 0)
            return true;
    return false;
}

static void name_part(const char *digits, int part, char name[NAME_SIZE])
{
    snprintf(name, NAME_SIZE, "%.*s%s", DIGITS, digits, parts[part]);
}

/* The lock says nothing of use, unless there is nothing else. */
static bool all_unused(int dir, const char *digits)
{
    char name[NAME_SIZE];
    struct stat about;
    bool any = false;
    for (int i = 0; i < PARTS; i++) {
        name_part(digits, i, name);
        if ((i == LOCK_PART && any) || fstatat(dir, name, &about, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        any = true;
        if (!S_ISREG(about.st_mode) || !fby_is_unused(&about))
            return false;
    }
    return any;
}

/* Whoever waits for the lock that goes finds that it no longer has the name, and takes another. */
static void remove_unused(int dir, const char *digits)
{
    char name[NAME_SIZE];
    name_part(digits, LOCK_PART, name);
    int lock = openat(dir, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (lock < 0)
        return;
    if (flock(lock, LOCK_EX | LOCK_NB) == 0 && all_unused(dir, digits)) /* still */
        for (int i = 0; i < PARTS; i++) {
            name_part(digits, i, name);
            (void)unlinkat(dir, name, 0);
        }
    close(lock);
}

void fby_index_tidy(const char *path)
{
    const char *slash = strrchr(path, '/');
    char dir_path[PATH_MAX];
    if (slash == NULL || (size_t)(slash - path) >= sizeof dir_path)
        return;
    snprintf(dir_path, sizeof dir_path, "%.*s", (int)(slash - path + 1), path);
    DIR *dir = opendir(dir_path);
    if (dir == NULL)
        return;
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;)
        if (is_ours(entry->d_name) && strncmp(entry->d_name, slash + 1, DIGITS) != 0 &&
            all_unused(dirfd(dir), entry->d_name))
            remove_unused(dirfd(dir), entry->d_name);
    closedir(dir);
}
