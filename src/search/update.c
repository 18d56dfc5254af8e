/* SPDX-License-Identifier: Apache-2.0 */
#include "search/update.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/unused.h"
#include "search/build.h"

enum { WAIT_NS = 20000000 };

/* A file beside the index. */
static fby_status open_beside(const char *path, const char *suffix, int flags, int *fd)
{
    char *name;
    if (asprintf(&name, "%s%s", path, suffix) < 0)
        return fby_error(FBY_ENOMEM, "no memory for a path");
    *fd = open(name, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
    fby_status status = *fd >= 0 ? FBY_OK : fby_error_errno(FBY_EIO, errno, "%s", name);
    free(name);
    return status;
}

static void remove_beside(const char *path, const char *suffix)
{
    char *name;
    if (asprintf(&name, "%s%s", path, suffix) < 0)
        return;
    (void)unlink(name);
    free(name);
}

static fby_status open_memory(const char *name, int *fd)
{
    *fd = memfd_create(name, MFD_CLOEXEC);
    return *fd >= 0 ? FBY_OK : fby_error_errno(FBY_EIO, errno, "memory for an index");
}

static void note(const fby_update_options *options, const char *text)
{
    if (options->note != NULL)
        options->note(options->context, text);
}

/* Waits for the lock of the file behind `fd`; says so first. */
static fby_status wait_for_lock(const fby_update_options *options, int fd)
{
    fby_status status = FBY_OK;
    for (bool said = false; flock(fd, LOCK_EX | LOCK_NB) != 0; said = true) {
        fby_update_stats none = {0};
        if (errno != EWOULDBLOCK && errno != EINTR)
            status = fby_error_errno(FBY_EIO, errno, "locking %s.lock", options->path);
        else if (options->go_on != NULL && !options->go_on(options->context, &none))
            status = fby_error(FBY_ECANCELED, "stopped while waiting");
        if (status != FBY_OK)
            return status;
        if (!said)
            note(options, "another process is indexing these files; waiting for it");
        nanosleep(&(struct timespec){.tv_nsec = WAIT_NS}, NULL);
    }
    return FBY_OK;
}

/* Whether FILE.lock still is the file behind `fd`: search/tidy.h removes old ones. */
static bool still_named(const fby_update_options *options, int fd)
{
    int now;
    struct stat by_name, by_fd;
    if (open_beside(options->path, ".lock", O_RDWR, &now) != FBY_OK)
        return false;
    bool same = fstat(now, &by_name) == 0 && fstat(fd, &by_fd) == 0 &&
                by_name.st_dev == by_fd.st_dev && by_name.st_ino == by_fd.st_ino;
    close(now);
    return same;
}

static fby_status take_lock(const fby_update_options *options, int *lock)
{
    for (;;) {
        int fd;
        fby_status status = open_beside(options->path, ".lock", O_RDWR | O_CREAT, &fd);
        if (status != FBY_OK)
            return status;
        status = wait_for_lock(options, fd);
        if (status == FBY_OK && still_named(options, fd)) {
            *lock = fd;
            return FBY_OK;
        }
        close(fd);
        if (status != FBY_OK)
            return status;
    }
}

/* The index that is there, if it can be used; what is wrong with it is said. No index is one of no
 * files. */
static void open_index(const fby_update_options *options, const fby_index_key *key, bool say,
                       fby_index *index)
{
    char text[FBY_ERROR_SIZE + 64];
    fby_status status = FBY_OK;

    *index = (fby_index){0};
    int fd = options->path != NULL ? open(options->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
    if (fd < 0)
        return;
    status = fby_index_map(fd, options->path, index);
    if (status == FBY_OK && !options->careful)
        fby_used_now(fd);
    close(fd);
    if (status == FBY_OK &&
        (index->key.dim != key->dim ||
         memcmp(index->key.fingerprint, key->fingerprint, sizeof key->fingerprint) != 0)) {
        status = fby_error(FBY_EFORMAT, "%s was made with another model", options->path);
        fby_index_drop(index);
    }
    if (status != FBY_OK && say) {
        snprintf(text, sizeof text, "%s; it is made anew", fby_last_error());
        note(options, text);
    }
}

/* Whether something else stands at the path. */
static fby_status check_path(const fby_update_options *options)
{
    char begin[sizeof FBY_INDEX_MAGIC - 1];
    int fd = options->careful && options->path != NULL
                 ? open(options->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
                 : -1;
    if (fd < 0)
        return FBY_OK;
    struct stat info;
    bool regular = fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
    ssize_t size = regular ? read(fd, begin, sizeof begin) : -1;
    close(fd);
    if (size != (ssize_t)sizeof begin || memcmp(begin, FBY_INDEX_MAGIC, sizeof begin) != 0)
        return fby_error(FBY_EINVAL, "%s is no index, and is left as it is", options->path);
    return FBY_OK;
}

static void make_key(const fby_update_options *options, const fby_embedder *embedder,
                     fby_index_key *key)
{
    uint32_t target = options->target_tokens != 0 ? options->target_tokens : FBY_TARGET_TOKENS;
    uint32_t parts[] = {FBY_RECIPE_VERSION, target, embedder->max_tokens};

    *key = (fby_index_key){.dim = embedder->dim};
    snprintf(key->fingerprint, sizeof key->fingerprint, "%s", embedder->fingerprint);
    key->recipe = fby_hash_of(parts, sizeof parts).low;
}

/* The new index under its name, or in memory. */
static fby_status publish(const fby_update_options *options, fby_build *build, fby_index *index)
{
    int fd;
    const char *name = options->path != NULL ? options->path : "the index";
    fby_status status = options->path != NULL
                            ? open_beside(options->path, ".new", O_RDWR | O_CREAT | O_TRUNC, &fd)
                            : open_memory("forebay-index", &fd);
    if (status != FBY_OK)
        return status;
    status = fby_build_write(build, fd, name);
    if (status == FBY_OK)
        status = fby_index_map(fd, name, index);
    close(fd);
    if (options->path != NULL && status != FBY_OK)
        remove_beside(options->path, ".new");
    if (options->path == NULL || status != FBY_OK)
        return status;

    char *made;
    if (asprintf(&made, "%s.new", options->path) < 0) {
        status = fby_error(FBY_ENOMEM, "no memory for a path");
    } else {
        if (rename(made, options->path) != 0)
            status = fby_error_errno(FBY_EIO, errno, "%s", options->path);
        free(made);
    }
    remove_beside(options->path, status == FBY_OK ? ".journal" : ".new");
    if (status != FBY_OK)
        fby_index_drop(index);
    return status;
}

/* With the lock: from the old index to the new. */
static fby_status rebuild(const fby_update_options *options, const fby_embedder *embedder,
                          const fby_walk *walk, const fby_index_key *key, const fby_index *old,
                          fby_index *index, fby_update_stats *stats)
{
    int journal_fd;
    fby_status status = options->path != NULL
                            ? open_beside(options->path, ".journal", O_RDWR | O_CREAT, &journal_fd)
                            : open_memory("forebay-journal", &journal_fd);
    if (status != FBY_OK)
        return status;
    fby_build *build = NULL;
    status = fby_build_begin(options, embedder, key, old, journal_fd, &build);
    if (status == FBY_OK)
        status = fby_build_files(build, walk, stats);
    if (status == FBY_OK)
        status = publish(options, build, index);
    fby_build_end(build);
    close(journal_fd);
    /* The user's disk is full, most likely of this; in a cache that is no help to anybody. */
    if (status == FBY_EIO && options->path != NULL && !options->careful)
        remove_beside(options->path, ".journal");
    stats->written = status == FBY_OK;
    return status;
}

/* Rows of files that the walk did not see, as bits; NULL when there are none. */
static fby_status hide(const fby_index *index, const fby_walk *walk, uint64_t **hidden)
{
    uint64_t *bits = NULL;
    size_t at = 0;

    for (size_t i = 0; i < index->file_count; i++) {
        const fby_index_file *file = &index->files[i];
        const char *path = index->paths + file->path;
        while (at < walk->count && strcmp(fby_walk_path(walk, &walk->files[at]), path) < 0)
            at++;
        if (at < walk->count && walk->files[at].seen &&
            strcmp(fby_walk_path(walk, &walk->files[at]), path) == 0)
            continue;
        if (bits == NULL)
            bits = calloc(index->rows.count / 64 + 1, sizeof *bits);
        if (bits == NULL)
            return fby_error(FBY_ENOMEM, "no memory for a list of rows");
        for (uint64_t row = file->first; row < file->first + file->passages; row++)
            bits[row / 64] |= (uint64_t)1 << (row % 64);
    }
    *hidden = bits;
    return FBY_OK;
}

/* Says of what the walk saw what holds no text. */
static void tell_passed_over(const fby_update_options *options, const fby_index *index,
                             const fby_walk *walk)
{
    size_t at = 0;
    for (size_t i = 0; i < walk->count && options->passed_over != NULL; i++) {
        const fby_walk_file *file = &walk->files[i];
        while (at < index->file_count &&
               strcmp(index->paths + index->files[at].path, fby_walk_path(walk, file)) < 0)
            at++;
        if (at == index->file_count)
            break;
        uint32_t kind = index->files[at].kind;
        if (!file->seen || kind == FBY_FILE_TEXT ||
            strcmp(index->paths + index->files[at].path, fby_walk_path(walk, file)) != 0)
            continue;
        char shown[4096];
        fby_walk_shown(walk, file, shown, sizeof shown);
        options->passed_over(options->context, shown,
                             kind == FBY_FILE_BINARY ? FBY_PASSED_BINARY : FBY_PASSED_UNREADABLE);
    }
}

static fby_status update(const fby_update_options *options, const fby_embedder *embedder,
                         const fby_walk *walk, const fby_index_key *key, fby_index *index,
                         fby_update_stats *stats)
{
    int lock = -1;
    fby_index old;
    bool recipe = true;

    open_index(options, key, false, &old);
    if (!options->distrust && old.map != NULL && old.key.recipe == key->recipe &&
        fby_index_is_current(&old, walk)) {
        *index = old;
        return FBY_OK;
    }
    if (options->path != NULL) {
        fby_index_drop(&old);
        fby_status status = take_lock(options, &lock);
        if (status != FBY_OK)
            return status;
        open_index(options, key, true, &old); /* someone may have been faster */
        recipe = old.map != NULL && old.key.recipe == key->recipe;
        if (!options->distrust && recipe && fby_index_is_current(&old, walk)) {
            close(lock);
            *index = old;
            return FBY_OK;
        }
    }
    fby_status status = rebuild(options, embedder, walk, key, &old, index, stats);
    fby_index_drop(&old);
    if (lock >= 0)
        close(lock);
    return status;
}

fby_status fby_index_update(const fby_update_options *options, const fby_embedder *embedder,
                            const fby_walk *walk, fby_index *out, uint64_t **hidden,
                            fby_update_stats *stats)
{
    fby_index_key key;
    fby_index index;

    *stats = (fby_update_stats){.files_total = walk->count};
    if (embedder->dim == 0 || embedder->dim > FBY_DIM_MAX)
        return fby_error(FBY_EUNSUPPORTED, "vectors of %u dimensions cannot be searched",
                         embedder->dim);
    make_key(options, embedder, &key);
    fby_status status = check_path(options);
    if (status != FBY_OK)
        return status;
    status = update(options, embedder, walk, &key, &index, stats);
    if (status == FBY_EFORMAT && !options->distrust) {
        /* A vector that was to be taken over is damaged. */
        char text[FBY_ERROR_SIZE + 64];
        snprintf(text, sizeof text, "%s; it is made anew", fby_last_error());
        note(options, text);
        fby_update_options again = *options;
        again.distrust = true;
        *stats = (fby_update_stats){.files_total = walk->count, .embedded = stats->embedded};
        status = update(&again, embedder, walk, &key, &index, stats);
    }
    if (status != FBY_OK)
        return status;
    status = hide(&index, walk, hidden);
    if (status != FBY_OK) {
        fby_index_drop(&index);
        return status;
    }
    tell_passed_over(options, &index, walk);
    *out = index;
    return FBY_OK;
}
