/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Patterns over paths, as gitignore(5) describes them:
 *
 *     ?  [a-z]  [!a-z]  [[:alpha:]]   one byte, never '/'
 *     *                               any bytes but '/'
 *     ** and a slash                  no directory or several
 *     a slash and ** at the end       everything inside
 *     \x                              x itself
 *
 * A pattern is compiled to at most FBY_GLOB_STEPS steps and matched by keeping
 * the set of steps reached (Thompson 1968), so the time is bounded by steps ×
 * bytes whatever the pattern; plain names and *.suffix are compared directly.
 *
 * Any thread; a compiled pattern is constant.
 */
#ifndef FBY_SEARCH_GLOB_H
#define FBY_SEARCH_GLOB_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

enum { FBY_GLOB_STEPS = 512 };

typedef struct fby_glob fby_glob;

/* FBY_EINVAL for a pattern that cannot match (a '[' without its end, a lone '\') or is too long;
 * FBY_ENOMEM. */
fby_status fby_glob_compile(const char *pattern, size_t size, fby_glob **glob);
void fby_glob_free(fby_glob *glob);

/* Whether the whole of `path` matches. */
bool fby_glob_matches(const fby_glob *glob, const char *path, size_t size);

#endif
