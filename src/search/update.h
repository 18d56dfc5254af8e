/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Brings an index up to date with the files of a walk.
 *
 *     walk --+--> nothing changed --------------------------> the index, as it is
 *            |
 *            '--> lock --> read, cut, embed what is new --> write --> rename --> the index
 *                                     |
 *                                     '--> journal, a batch at a time
 *
 * A file is read when its mark has changed, and a passage is embedded when no
 * passage that said the same has been: neither a changed date nor a moved file
 * costs an embedding.
 *
 * Beside the index FILE stand FILE.lock, held by whoever changes it, FILE.new
 * while it is written and FILE.journal while passages are embedded. Whatever
 * moment a process is killed at, FILE is an index as it was or as it is to be,
 * and the journal holds every batch that was embedded. An index that is damaged
 * or of another model is made anew, from those vectors that are whole.
 *
 * Threads: one a call; processes: any number.
 */
#ifndef FBY_SEARCH_UPDATE_H
#define FBY_SEARCH_UPDATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "forebay/embed.h"
#include "search/index.h"
#include "search/passages.h"
#include "search/walk.h"

/* What makes vectors. */
typedef struct fby_embedder {
    void *context;
    const char *fingerprint; /* at most 39 bytes: what differs in it gives other vectors */
    uint32_t dim;
    uint32_t max_tokens; /* of a text, special ones not counted */
    fby_count_tokens *count;
    /* Writes (count, dim) vectors of length 1. */
    fby_status (*embed)(void *context, const fby_text *texts, size_t count, float *vectors);
} fby_embedder;

typedef struct fby_update_stats {
    size_t files_read, files_total;
    uint64_t bytes_read, bytes_to_read; /* of files that changed; known from the beginning */
    size_t embedded, reused;            /* passages of those files */
    size_t kept;                        /* vectors in the journal, this run's and earlier ones */
    uint64_t tokens;
    bool written;
} fby_update_stats;

typedef struct fby_update_options {
    const char *path;       /* of the index; NULL: in memory only */
    bool careful;           /* someone named the path: a file there that does not begin as an index
                             * is FBY_EINVAL, and left as it is */
    uint32_t target_tokens; /* of a passage; 0: 128 */
    bool distrust;          /* take nothing from the index but vectors that are whole */
    void *context;          /* of these calls, each of which may be NULL */
    /* Between two batches, at least: false to stop, FBY_ECANCELED then. */
    bool (*go_on)(void *context, const fby_update_stats *stats);
    void (*note)(void *context, const char *text); /* what the user should know; one line */
    fby_passed_over_call *passed_over;
} fby_update_options;

enum { FBY_TARGET_TOKENS = 128 };

/*
 * `index` is mapped; `*hidden` (NULL if it needs none; free() it) marks the rows of files that the
 * walk did not see. Where no index can be kept at options->path, FBY_EIO.
 */
fby_status fby_index_update(const fby_update_options *options, const fby_embedder *embedder,
                            const fby_walk *walk, fby_index *index, uint64_t **hidden,
                            fby_update_stats *stats);

#endif
