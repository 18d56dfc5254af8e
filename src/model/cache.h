/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The user's cache of packed models, and how a process finds the right file
 * there without reading the weights that it was made from.
 *
 *     KEY.key ---symbolic link---> FINGERPRINT.pack
 *
 * A key is a digest of what the system says about the weight files: where they
 * are, device, inode, size, and the times of their last change, in nanoseconds.
 * Everything else that a fingerprint covers is read at each start anyway, and the
 * packed file is checked against it; so a wrong link costs time and nothing else,
 * unless somebody changes weights without changing their ctime.
 *
 * Nothing here fails a start: a directory that is not there, cannot be made or
 * belongs to somebody else is no cache.
 */
#ifndef FBY_MODEL_CACHE_H
#define FBY_MODEL_CACHE_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "model/checkpoint.h"
#include "model/file.h"
#include "model/fingerprint.h"

typedef struct fby_cache {
    int dir; /* -1: no cache */
    char path[FBY_PATH_SIZE];
} fby_cache;

/* `cache_dir` as in fby_model_options: NULL is the user's, "" is none. Made if need be, for this
 * user alone. */
void fby_cache_open(const char *cache_dir, fby_cache *cache);
void fby_cache_close(fby_cache *cache);

/* The key of weight files as they were found, of one or more checkpoints. */
bool fby_cache_key(const fby_checkpoint *const *checkpoints, uint32_t count,
                   const fby_kernels *kernels, char key[static FBY_HEX_SIZE]);

/* Whether the files are still as they were found, and had been so for long enough by then,
 * `found_at` by CLOCK_REALTIME, that a later change shows in their times. */
bool fby_cache_settled(const fby_checkpoint *const *checkpoints, uint32_t count,
                       const struct timespec *found_at);

/* The fingerprint that a key leads to; false if there is none. */
bool fby_cache_find(const fby_cache *cache, const char *key, char fingerprint[static FBY_HEX_SIZE]);

/* Makes the key lead there, if it can. */
void fby_cache_link(const fby_cache *cache, const char *key, const char *fingerprint);

/* Removes packed files that nobody has opened for FBY_UNUSED_DAYS, keys that lead to none, and what
 * was left of files being made. Who has one mapped keeps it. */
void fby_cache_tidy(const fby_cache *cache);

#endif
