/* SPDX-License-Identifier: Apache-2.0 */
#include "search/walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "search/glob.h"
#include "search/grow.h"
#include "search/ignore.h"

enum { DEPTH_MAX = 200, PATH_BYTES = 32 << 10, SHOWN_BYTES = PATH_BYTES + PATH_MAX };

/* One root's walk: a path that grows and shrinks. */
struct walker {
    fby_walk *walk;
    const fby_walk_options *options;
    fby_ignore *globs;
    bool globs_add; /* one of them is not a "!": what none matches is not seen */
    uint32_t root;
    size_t below; /* bytes of the root's path, slash included */
    size_t size;
    char path[PATH_BYTES];
};

fby_file_mark fby_file_mark_of(const struct stat *about)
{
    return (fby_file_mark){(uint64_t)about->st_size, (uint64_t)about->st_ino,
                           (int64_t)about->st_mtim.tv_sec * 1000000000 + about->st_mtim.tv_nsec,
                           (int64_t)about->st_ctim.tv_sec * 1000000000 + about->st_ctim.tv_nsec};
}

bool fby_file_mark_equal(const fby_file_mark *a, const fby_file_mark *b)
{
    return a->size == b->size && a->inode == b->inode && a->mtime_ns == b->mtime_ns &&
           a->ctime_ns == b->ctime_ns;
}

/* ---- the list ---- */

static fby_status add_file(struct walker *walker, const struct stat *about, bool seen)
{
    fby_walk *walk = walker->walk;

    if (!fby_grow(&walk->files, &walk->room, walk->count + 1, sizeof *walk->files) ||
        !fby_grow(&walk->text, &walk->text_room, walk->text_size + walker->size + 1, 1))
        return fby_error(FBY_ENOMEM, "no memory for the list of files");
    walk->files[walk->count++] = (fby_walk_file){.path = walk->text_size,
                                                 .path_size = (uint32_t)walker->size,
                                                 .below = (uint32_t)walker->below,
                                                 .root = walker->root,
                                                 .seen = seen,
                                                 .mark = fby_file_mark_of(about)};
    memcpy(walk->text + walk->text_size, walker->path, walker->size);
    walk->text_size += walker->size;
    walk->text[walk->text_size++] = '\0';
    return FBY_OK;
}

static void show(const fby_walk *walk, uint32_t root, const char *below, char *shown, size_t size)
{
    const char *typed = walk->roots != NULL ? walk->roots[root] : "";
    size_t typed_size = strlen(typed);
    bool slash = typed_size > 0 && typed[typed_size - 1] != '/' && below[0] != '\0';
    snprintf(shown, size, "%s%s%s", typed, slash ? "/" : "", below);
}

void fby_walk_shown(const fby_walk *walk, const fby_walk_file *file, char *shown, size_t size)
{
    show(walk, file->root, fby_walk_path(walk, file) + file->below, shown, size);
}

static void pass_over(struct walker *walker, fby_passed_over why)
{
    char shown[SHOWN_BYTES];
    if (walker->options->passed_over == NULL)
        return;
    walker->path[walker->size] = '\0';
    show(walker->walk, walker->root,
         walker->size > walker->below ? walker->path + walker->below : "", shown, sizeof shown);
    walker->options->passed_over(walker->options->context, shown, why);
}

/* ---- one entry ---- */

static bool is_seen(const struct walker *walker, bool seen, bool directory)
{
    const char *below = walker->path + walker->below;
    switch (fby_ignore_match(walker->globs, below, walker->size - walker->below, directory)) {
    case FBY_IGNORE_YES:
        return seen;
    case FBY_IGNORE_NO:
        return false;
    case FBY_IGNORE_NONE:
        break;
    }
    return seen && (directory || !walker->globs_add);
}

/* Whether the path is the index, its lock, or what it is made of. */
static bool is_own(const struct walker *walker)
{
    static const char *const endings[] = {"", ".lock", ".new", ".journal"};
    const char *own = walker->options->own;
    size_t size = own != NULL ? strlen(own) : 0;

    if (size == 0 || walker->size < size || memcmp(walker->path, own, size) != 0)
        return false;
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++)
        if (walker->size - size == strlen(endings[i]) &&
            memcmp(walker->path + size, endings[i], walker->size - size) == 0)
            return true;
    return false;
}

static fby_status take_file(struct walker *walker, const struct stat *about, bool seen)
{
    if (is_own(walker))
        return FBY_OK;
    if (about->st_size < 0 || (uint64_t)about->st_size > walker->options->file_bytes_max) {
        if (seen)
            pass_over(walker, FBY_PASSED_HUGE);
        return FBY_OK;
    }
    return add_file(walker, about, seen);
}

static fby_status walk_directory(struct walker *walker, int fd, const fby_ignore *outer, bool seen,
                                 unsigned depth);

/* The path names a directory, without a slash at its end; `seen` says whether globs let it. */
static fby_status enter(struct walker *walker, int parent, const char *name,
                        const fby_ignore *ignore, bool seen, unsigned depth)
{
    int fd = depth < DEPTH_MAX && walker->size + 2 < PATH_BYTES
                 ? openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)
                 : -1;
    if (fd < 0) {
        pass_over(walker, FBY_PASSED_UNREADABLE);
        return FBY_OK;
    }
    walker->path[walker->size++] = '/';
    fby_status status = walk_directory(walker, fd, ignore, seen, depth + 1);
    walker->size--;
    return status;
}

static fby_status take_entry(struct walker *walker, int fd, const struct dirent *entry,
                             const fby_ignore *ignore, bool seen, unsigned depth)
{
    const char *name = entry->d_name;
    size_t size = strlen(name), before = walker->size;
    struct stat about;

    if (name[0] == '.' && (!walker->options->hidden || strcmp(name, ".") == 0 ||
                           strcmp(name, "..") == 0 || strcmp(name, ".git") == 0))
        return FBY_OK;
    if (entry->d_type != DT_UNKNOWN && entry->d_type != DT_DIR && entry->d_type != DT_REG)
        return FBY_OK;
    if (before + size + 2 > PATH_BYTES) {
        pass_over(walker, FBY_PASSED_UNREADABLE);
        return FBY_OK;
    }
    memcpy(walker->path + before, name, size);
    walker->size += size;
    fby_status status = FBY_OK;
    if (fstatat(fd, name, &about, AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno != ENOENT) /* gone since it was listed */
            pass_over(walker, FBY_PASSED_UNREADABLE);
    } else if (S_ISDIR(about.st_mode)) {
        if (fby_ignore_match(ignore, walker->path, walker->size, true) != FBY_IGNORE_YES)
            status = enter(walker, fd, name, ignore, is_seen(walker, seen, true), depth);
    } else if (S_ISREG(about.st_mode)) {
        if (fby_ignore_match(ignore, walker->path, walker->size, false) != FBY_IGNORE_YES)
            status = take_file(walker, &about, is_seen(walker, seen, false));
    }
    walker->size = before;
    return status;
}

/* Takes `fd`. The path ends with a slash. */
static fby_status walk_directory(struct walker *walker, int fd, const fby_ignore *outer, bool seen,
                                 unsigned depth)
{
    const fby_ignore *ignore = outer;
    fby_status status = FBY_OK;

    if (!walker->options->no_ignore)
        status = fby_ignore_read(fd, ".gitignore", walker->size, outer, &ignore);
    DIR *dir = status == FBY_OK ? fdopendir(fd) : NULL;
    if (dir == NULL) {
        close(fd);
        fby_ignore_free(ignore, outer);
        return status != FBY_OK ? status : fby_error_errno(FBY_EIO, errno, "reading a directory");
    }
    while (status == FBY_OK) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (entry == NULL && errno != 0)
            pass_over(walker, FBY_PASSED_UNREADABLE);
        if (entry == NULL)
            break;
        status = take_entry(walker, dirfd(dir), entry, ignore, seen, depth);
    }
    closedir(dir);
    fby_ignore_free(ignore, outer);
    return status;
}

/* ---- roots ---- */

/* Bytes of the path up to the top of the git work tree that it lies in, slash included; 0: none. */
static size_t find_work_tree(const char *path, size_t size)
{
    char git[PATH_MAX + 8];
    for (size_t at = size; at > 0; at--) {
        if (path[at - 1] != '/' || at > PATH_MAX)
            continue;
        memcpy(git, path, at);
        memcpy(git + at, ".git", sizeof ".git");
        if (access(git, F_OK) == 0)
            return at;
    }
    return 0;
}

/* The rules of `name` in the directory that the first `size` bytes of the path lead to. */
static fby_status read_rules(const struct walker *walker, size_t size, const char *name,
                             const fby_ignore **chain)
{
    char dir[PATH_BYTES];
    memcpy(dir, walker->path, size);
    dir[size] = '\0';
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return FBY_OK;
    fby_status status = fby_ignore_read(fd, name, size, *chain, chain);
    close(fd);
    return status;
}

/* Of the directories above the root, which the walk itself will not meet. */
static fby_status read_rules_above(const struct walker *walker, const fby_ignore **chain)
{
    size_t top = find_work_tree(walker->path, walker->size);
    fby_status status = FBY_OK;
    if (top == 0)
        return FBY_OK;
    status = read_rules(walker, top, ".git/info/exclude", chain);
    for (size_t at = top; at < walker->size && status == FBY_OK; at++)
        if (walker->path[at - 1] == '/')
            status = read_rules(walker, at, ".gitignore", chain);
    return status;
}

static fby_status walk_root_directory(struct walker *walker, const char *typed)
{
    int fd = open(typed, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return fby_error_errno(FBY_EIO, errno, "%s", typed);
    if (walker->path[walker->size - 1] != '/')
        walker->path[walker->size++] = '/';
    walker->below = walker->size;

    const fby_ignore *above = NULL;
    fby_status status = FBY_OK;
    if (!walker->options->no_ignore)
        status = read_rules_above(walker, &above);
    if (status == FBY_OK)
        status = walk_directory(walker, fd, above, true, 0);
    else
        close(fd);
    fby_ignore_free(above, NULL);
    return status;
}

static fby_status walk_root(struct walker *walker, const char *typed)
{
    char *real = realpath(typed, NULL);
    struct stat about;
    if (real == NULL || stat(real, &about) != 0) {
        int why = errno;
        free(real);
        return fby_error_errno(why == ENOENT || why == ENOTDIR ? FBY_ENOENT : FBY_EIO, why, "%s",
                               typed);
    }
    walker->size = strlen(real);
    bool fits = walker->size + 2 < PATH_BYTES;
    if (fits)
        memcpy(walker->path, real, walker->size);
    free(real);
    if (!fits)
        return fby_error(FBY_EINVAL, "%s: the path is too long", typed);
    walker->below = walker->size;
    if (S_ISDIR(about.st_mode))
        return walk_root_directory(walker, typed);
    if (!S_ISREG(about.st_mode))
        return fby_error(FBY_EINVAL, "%s: neither a file nor a directory", typed);
    return take_file(walker, &about, true);
}

static int by_path(const void *a, const void *b, void *context)
{
    const fby_walk *walk = context;
    const fby_walk_file *x = a, *y = b;
    int order = strcmp(fby_walk_path(walk, x), fby_walk_path(walk, y));
    if (order != 0)
        return order;
    return x->seen != y->seen ? y->seen - x->seen : (x->root > y->root) - (x->root < y->root);
}

/* By path; of a file that two roots reach, the one that is seen, then the first root's. */
static void sort_files(fby_walk *walk)
{
    size_t kept = 0;
    if (walk->count == 0)
        return;
    qsort_r(walk->files, walk->count, sizeof *walk->files, by_path, walk);
    for (size_t i = 0; i < walk->count; i++)
        if (kept == 0 || strcmp(fby_walk_path(walk, &walk->files[kept - 1]),
                                fby_walk_path(walk, &walk->files[i])) != 0)
            walk->files[kept++] = walk->files[i];
    walk->count = kept;
}

static fby_status read_globs(struct walker *walker, const char *globs)
{
    char *lines = strdup(globs);
    if (lines == NULL)
        return fby_error(FBY_ENOMEM, "no memory for globs");
    for (char *at = lines; *at != '\0'; at++)
        if (*at == ',')
            *at = '\n';
    fby_status status = FBY_OK;
    for (const char *line = lines; *line != '\0' && status == FBY_OK;) {
        size_t size = strcspn(line, "\n");
        fby_glob *glob = NULL;
        status = fby_glob_compile(line, size, &glob);
        fby_glob_free(glob);
        walker->globs_add = walker->globs_add || (*line != '!' && size > 0);
        line += size + (line[size] != '\0');
    }
    if (status == FBY_OK)
        status = fby_ignore_parse(lines, strlen(lines), 0, NULL, &walker->globs);
    free(lines);
    return status;
}

fby_status fby_walk_run(const char *const *roots, size_t count, const fby_walk_options *options,
                        fby_walk *out)
{
    struct walker *walker = malloc(sizeof *walker);
    if (walker == NULL)
        return fby_error(FBY_ENOMEM, "no memory for a walk");
    fby_walk walk = {.roots = count > 0 ? roots : NULL};
    *walker = (struct walker){.walk = &walk, .options = options};

    fby_status status = FBY_OK;
    if (options->globs != NULL)
        status = read_globs(walker, options->globs);
    for (size_t i = 0; i < (count > 0 ? count : 1) && status == FBY_OK; i++) {
        walker->root = (uint32_t)i;
        status = walk_root(walker, count > 0 ? roots[i] : ".");
    }
    fby_ignore_free(walker->globs, NULL);
    free(walker);
    if (status != FBY_OK) {
        fby_walk_drop(&walk);
        return status;
    }
    sort_files(&walk);
    *out = walk;
    return FBY_OK;
}

void fby_walk_drop(fby_walk *walk)
{
    free(walk->files);
    free(walk->text);
    *walk = (fby_walk){0};
}
