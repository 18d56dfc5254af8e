/* SPDX-License-Identifier: Apache-2.0 */
/* Where `forebay search` keeps its index, where nobody says. Any thread. */
#ifndef FBY_CLI_SEARCH_PLACE_H
#define FBY_CLI_SEARCH_PLACE_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* What makes two searches share an index, apart from the roots' real paths. */
typedef struct fby_search_place {
    const char *fingerprint;
    const char *const *roots; /* none: the working directory */
    size_t root_count;
    uint64_t settings; /* a hash of whatever else decides which passages there are */
} fby_search_place;

/*
 * Writes $XDG_CACHE_HOME/forebay/search/HASH.index, or the same in ~/.cache, to `path` and makes
 * its directories, for the user alone. FBY_ENOENT without a home, FBY_EIO where they cannot be
 * made, FBY_EINVAL where it does not fit.
 */
fby_status fby_search_place_find(const fby_search_place *place, char *path, size_t size);

#endif
