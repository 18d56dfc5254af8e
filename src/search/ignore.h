/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a tree asks to have passed over: its .gitignore files, read as
 * gitignore(5) says.
 *
 *     fby_ignore_file (a directory's) --> { _file (a directory inside) --> ... } --> free
 *
 * Rules of inner directories count before those of outer ones, later lines
 * before earlier ones. A rule that no one can read (too long, "[" without "]")
 * is left out.
 *
 * Any thread; a chain is constant once read.
 */
#ifndef FBY_SEARCH_IGNORE_H
#define FBY_SEARCH_IGNORE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

enum { FBY_IGNORE_BYTES = 1 << 20 }; /* of a file; what is beyond is not read */

typedef struct fby_ignore fby_ignore;

/*
 * Parses `text`. `base` is how many bytes of a path, as given to fby_ignore_match(), lead to the
 * directory that the rules belong to, slash included. `outer` (NULL: none) must outlive it.
 */
fby_status fby_ignore_parse(const char *text, size_t size, size_t base, const fby_ignore *outer,
                            fby_ignore **ignore);

/* Reads `name` in the directory `dir_fd`; where it cannot be read, `*ignore` is `outer`. */
fby_status fby_ignore_read(int dir_fd, const char *name, size_t base, const fby_ignore *outer,
                           const fby_ignore **ignore);

/* Frees `ignore` up to but without `outer`. */
void fby_ignore_free(const fby_ignore *ignore, const fby_ignore *outer);

typedef enum fby_ignore_word { FBY_IGNORE_NONE, FBY_IGNORE_YES, FBY_IGNORE_NO } fby_ignore_word;

/* What the first rule that matches `path` says: to pass over, or ("!") not to. `path` lies below
 * every base of the chain. NULL says nothing. */
fby_ignore_word fby_ignore_match(const fby_ignore *ignore, const char *path, size_t size,
                                 bool directory);

#endif
