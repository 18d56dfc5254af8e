/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The content of a new index, out of an old one, a journal and the files.
 *
 *     fby_build_begin --> fby_build_files --> fby_build_write --> fby_build_end
 *
 * Files are gone through in the order of their paths. A passage's vector comes
 * from the old index, from the journal, or from a batch that is embedded and
 * appended to the journal; where it is to be found is known as soon as the
 * passage is met. Threads: one.
 */
#ifndef FBY_SEARCH_BUILD_H
#define FBY_SEARCH_BUILD_H

#include "search/update.h"

/* Grows when passages are cut, or what is embedded of them is put together, in another way. */
enum { FBY_RECIPE_VERSION = 1 };

typedef struct fby_build fby_build;

/* What is given must stay until fby_build_end(). `old` may be an index of nothing. */
fby_status fby_build_begin(const fby_update_options *options, const fby_embedder *embedder,
                           const fby_index_key *key, const fby_index *old, int journal_fd,
                           fby_build **build);
fby_status fby_build_files(fby_build *build, const fby_walk *walk, fby_update_stats *stats);

/* FBY_EFORMAT when a vector of the old index is damaged. */
fby_status fby_build_write(fby_build *build, int fd, const char *name);

/* NULL is fine. */
void fby_build_end(fby_build *build);

/* Whether each file that the walk saw is in the index, unchanged, and each file of the index still
 * met by the walk. Reads only files whose mark says too little. */
bool fby_index_is_current(const fby_index *index, const fby_walk *walk);

#endif
