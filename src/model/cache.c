/* SPDX-License-Identifier: Apache-2.0 */
#include "model/cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/unused.h"
#include "compute/narrow.h"
#include "model/packed_file.h"

/* Coarser than the clock that the system stamps files with. */
#define SETTLED_NS 100000000

/* ---- the directory ---- */

/* $XDG_CACHE_HOME/forebay, or ~/.cache/forebay; XDG ignores a relative path. */
static bool default_path(char path[static FBY_PATH_SIZE])
{
    const char *base = secure_getenv("XDG_CACHE_HOME");
    if (base != NULL && base[0] == '/')
        return fby_path_join(path, base, "forebay") == FBY_OK;
    base = secure_getenv("HOME");
    return base != NULL && base[0] == '/' && fby_path_join(path, base, ".cache/forebay") == FBY_OK;
}

/* Makes every directory of the path that is missing. */
static void make_path(const char *path)
{
    char part[FBY_PATH_SIZE];
    for (const char *slash = path; slash != NULL;) {
        slash = strchr(slash + 1, '/');
        size_t size = slash == NULL ? strlen(path) : (size_t)(slash - path);
        memcpy(part, path, size);
        part[size] = '\0';
        mkdir(part, 0700); /* what went wrong shows when it is opened */
    }
}

/* -1 unless it is a directory that only this user writes. */
static int open_own(const char *path)
{
    struct stat info;
    int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return -1;
    if (fstat(dir, &info) == 0 && info.st_uid == geteuid() && (info.st_mode & 022) == 0)
        return dir;
    close(dir);
    errno = EPERM;
    return -1;
}

void fby_cache_open(const char *cache_dir, fby_cache *cache)
{
    cache->dir = -1;
    if (cache_dir == NULL
            ? !default_path(cache->path)
            : cache_dir[0] == '\0' || fby_path_join(cache->path, cache_dir, "") != FBY_OK)
        return;
    cache->dir = open_own(cache->path);
    if (cache->dir < 0 && errno == ENOENT) {
        make_path(cache->path);
        cache->dir = open_own(cache->path);
    }
}

void fby_cache_close(fby_cache *cache)
{
    if (cache->dir >= 0)
        close(cache->dir);
    cache->dir = -1;
}

/* ---- keys ---- */

/* A digest of digests: order counts. */
static void mix(fby_digest *state, const void *bytes, size_t size)
{
    fby_digest pair[2] = {*state, fby_digest_of(bytes, size)};
    *state = fby_digest_of(pair, sizeof pair);
}

static bool mix_file(fby_digest *state, const char *path, const struct stat *info)
{
    char real[PATH_MAX];
    const uint64_t facts[] = {(uint64_t)info->st_dev,          (uint64_t)info->st_ino,
                              (uint64_t)info->st_size,         (uint64_t)info->st_mtim.tv_sec,
                              (uint64_t)info->st_mtim.tv_nsec, (uint64_t)info->st_ctim.tv_sec,
                              (uint64_t)info->st_ctim.tv_nsec};
    if (realpath(path, real) == NULL)
        return false;
    mix(state, real, strlen(real));
    mix(state, facts, sizeof facts);
    return true;
}

bool fby_cache_key(const fby_checkpoint *const *checkpoints, uint32_t count,
                   const fby_kernels *kernels, char key[static FBY_HEX_SIZE])
{
    char about[128];
    const fby_narrow *narrow = kernels->narrow;
    int size = snprintf(about, sizeof about, "forebay-key %d %s %u", FBY_PACK_FORMAT, kernels->name,
                        kernels->version);
    if (narrow != NULL)
        size += snprintf(about + size, sizeof about - (size_t)size, " %s %s %u", narrow->precision,
                         narrow->name, narrow->version);
    fby_digest state = fby_digest_of(about, (size_t)size);
    for (uint32_t i = 0; i < count; i++) {
        mix(&state, &i, sizeof i);
        for (uint32_t file = 0; file < fby_checkpoint_files(checkpoints[i]); file++)
            if (!mix_file(&state, fby_checkpoint_path(checkpoints[i], file),
                          fby_checkpoint_stat(checkpoints[i], file)))
                return false;
    }
    fby_digest_hex(state, key);
    return true;
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

/*
 * The system stamps files by a clock that ticks every few milliseconds: a file
 * that changed just before it was found could change again without a new stamp.
 */
static bool settled(const char *path, const struct stat *found, const struct timespec *now)
{
    struct stat info;
    int64_t age = (now->tv_sec - found->st_ctim.tv_sec) * INT64_C(1000000000) +
                  (now->tv_nsec - found->st_ctim.tv_nsec);
    return age >= SETTLED_NS && stat(path, &info) == 0 && info.st_dev == found->st_dev &&
           info.st_ino == found->st_ino && info.st_size == found->st_size &&
           same_time(&info.st_mtim, &found->st_mtim) && same_time(&info.st_ctim, &found->st_ctim);
}

bool fby_cache_settled(const fby_checkpoint *const *checkpoints, uint32_t count,
                       const struct timespec *found_at)
{
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t file = 0; file < fby_checkpoint_files(checkpoints[i]); file++)
            if (!settled(fby_checkpoint_path(checkpoints[i], file),
                         fby_checkpoint_stat(checkpoints[i], file), found_at))
                return false;
    return true;
}

/* ---- links ---- */

enum { LINK_NAME_SIZE = FBY_HEX_SIZE + 8 };

bool fby_cache_find(const fby_cache *cache, const char *key, char fingerprint[static FBY_HEX_SIZE])
{
    char name[LINK_NAME_SIZE], target[FBY_PACKED_NAME_SIZE + 1];
    snprintf(name, sizeof name, "%.32s.key", key);
    ssize_t size = readlinkat(cache->dir, name, target, sizeof target - 1);
    if (size < 0)
        return false;
    target[size] = '\0';
    return fby_packed_parse_name(target, fingerprint);
}

void fby_cache_link(const fby_cache *cache, const char *key, const char *fingerprint)
{
    char name[LINK_NAME_SIZE], fresh[LINK_NAME_SIZE], target[FBY_PACKED_NAME_SIZE];
    snprintf(name, sizeof name, "%.32s.key", key);
    snprintf(fresh, sizeof fresh, "%.32s.new", key);
    fby_packed_name(fingerprint, target);
    /* Left behind by a process that was killed here, or another's at this moment: both would make
     * the same link. */
    unlinkat(cache->dir, fresh, 0);
    if (symlinkat(target, cache->dir, fresh) == 0)
        renameat(cache->dir, fresh, cache->dir, name);
}

/* ---- what is old ---- */

static bool has_form(const char *name, const char *suffix)
{
    size_t digits = FBY_HEX_SIZE - 1;
    return strspn(name, "0123456789abcdef") == digits && strcmp(name + digits, suffix) == 0;
}

/* A packed file, or what a killed process left of one: its maker would have written by now. */
static bool is_old_file(int dir, const char *name)
{
    struct stat info;
    return (has_form(name, FBY_PACKED_SUFFIX) || has_form(name, ".tmp")) &&
           fstatat(dir, name, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(info.st_mode) &&
           fby_is_unused(&info);
}

static bool is_astray(int dir, const char *name)
{
    struct stat info;
    return has_form(name, ".key") && fstatat(dir, name, &info, AT_SYMLINK_NOFOLLOW) == 0 &&
           S_ISLNK(info.st_mode) && fstatat(dir, name, &info, 0) != 0 && errno == ENOENT;
}

static void remove_all(const fby_cache *cache, bool (*goes)(int dir, const char *name))
{
    int fd = openat(cache->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL) {
        if (fd >= 0)
            close(fd);
        return;
    }
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;)
        if (goes(cache->dir, entry->d_name))
            (void)unlinkat(cache->dir, entry->d_name, 0);
    closedir(dir);
}

void fby_cache_tidy(const fby_cache *cache)
{
    remove_all(cache, is_old_file);
    remove_all(cache, is_astray);
}
