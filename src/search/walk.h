/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files below some roots, with what tells whether each has changed.
 *
 *     fby_walk_run --> walk.files, sorted by path --> fby_walk_drop
 *
 * A root that is a file is always taken. Below a directory, names that begin
 * with a dot are left out, and what .gitignore files say: those met on the way
 * and those above, up to the top of a git work tree. Symbolic links are not
 * followed (a root may be one), so there are no loops; only regular files
 * count. What could have been searched and is not is told to `passed_over`.
 *
 * Paths are absolute, so that they name the same file from each directory; each
 * file also knows how its root was written.
 *
 * Threads: one.
 */
#ifndef FBY_SEARCH_WALK_H
#define FBY_SEARCH_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/status.h"

/* A file whose mark is the same holds the same bytes, unless it was changed within the clock's
 * tick: search/index.h says how that is met. */
typedef struct fby_file_mark {
    uint64_t size, inode;
    int64_t mtime_ns, ctime_ns;
} fby_file_mark;

fby_file_mark fby_file_mark_of(const struct stat *about);
bool fby_file_mark_equal(const fby_file_mark *a, const fby_file_mark *b);

typedef enum fby_passed_over {
    FBY_PASSED_HUGE,
    FBY_PASSED_BINARY,
    FBY_PASSED_UNREADABLE,
    FBY_PASSED_KINDS
} fby_passed_over;

/* `shown` is the path as the user would write it. */
typedef void fby_passed_over_call(void *context, const char *shown, fby_passed_over why);

typedef struct fby_walk_options {
    const char *globs; /* parted by commas, each as a line of .gitignore: "*.md,docs,!old*"; the
                        * last that matches a file says whether it is seen; NULL: all are */
    bool hidden;       /* names that begin with a dot, too */
    bool no_ignore;    /* whatever .gitignore says */
    uint64_t file_bytes_max;
    const char *own; /* the absolute path of an index, which with the files beside it is not met;
                      * NULL or "": none */
    fby_passed_over_call *passed_over; /* NULL: nobody */
    void *context;
} fby_walk_options;

typedef struct fby_walk_file {
    size_t path; /* fby_walk_path() */
    uint32_t path_size;
    uint32_t below; /* bytes of the path up to what lies below its root */
    uint32_t root;
    bool seen; /* by the globs */
    fby_file_mark mark;
} fby_walk_file;

typedef struct fby_walk {
    const char *const *roots; /* as given */
    fby_walk_file *files;
    size_t count, room;
    char *text; /* all paths, each ended by NUL */
    size_t text_size, text_room;
} fby_walk;

/* No root at all is the working directory, shown as nothing. FBY_ENOENT or FBY_EIO for a root that
 * cannot be read; FBY_EINVAL for a glob. `roots` must stay. */
fby_status fby_walk_run(const char *const *roots, size_t count, const fby_walk_options *options,
                        fby_walk *walk);
void fby_walk_drop(fby_walk *walk);

static inline const char *fby_walk_path(const fby_walk *walk, const fby_walk_file *file)
{
    return walk->text + file->path;
}

/* How the user would write the path; cut to `size` - 1 bytes. */
void fby_walk_shown(const fby_walk *walk, const fby_walk_file *file, char *shown, size_t size);

#endif
