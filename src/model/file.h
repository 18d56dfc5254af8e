/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of a model directory as bytes: a big one mapped, a small one read.
 *
 * A mapped file must not shrink while it is mapped: the system answers a read
 * beyond its new end with SIGBUS. A model directory is replaced, not edited,
 * while a process runs it.
 *
 * Any thread; nothing is shared.
 */
#ifndef FBY_MODEL_FILE_H
#define FBY_MODEL_FILE_H

#include <stddef.h>

#include "base/status.h"

#define FBY_PATH_SIZE 4096

/* `dir`/`name`, or `dir` for an empty name. FBY_EINVAL if it does not fit. */
fby_status fby_path_join(char path[static FBY_PATH_SIZE], const char *dir, const char *name);

typedef struct fby_file {
    const unsigned char *bytes; /* page-aligned; not NULL */
    size_t size;
} fby_file;

/* Maps `path`, a regular file, read-only. FBY_ENOENT if it does not exist, FBY_EIO otherwise. */
fby_status fby_file_map(const char *path, fby_file *file);
void fby_file_unmap(fby_file *file);

/*
 * Reads a regular file of at most `limit` bytes into memory that free() takes,
 * a NUL behind it. FBY_ENOENT, FBY_EIO, FBY_ENOMEM; FBY_EFORMAT if it is larger.
 */
fby_status fby_file_read(const char *path, size_t limit, char **bytes, size_t *size);

/* Copies `text` for a message: what is not printable ASCII becomes '?', what does not fit "...".
 * Names inside a model file are hostile: a terminal must not obey them. */
#define FBY_QUOTE_SIZE 128
const char *fby_quote(char out[static FBY_QUOTE_SIZE], const char *text);

#endif
