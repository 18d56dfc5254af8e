/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a command's bytes go: a file, which appears under its name only when
 * it is whole, or standard output.
 *
 *     fby_output_open --> fby_output_room, _write, _patch --+--> fby_output_commit
 *                                                           +--> fby_output_abandon
 *
 * A regular file is written as FILE.part.PID beside FILE, which is what a link
 * leads to, there or not; commit has it on the disk, then renames it, abandon
 * removes it, so that an earlier FILE stays until there is a new one. A
 * device or a FIFO is written as it is. Standard output that is a regular file
 * is cut back to where it began when abandoned; what went into a pipe is gone.
 *
 * Threads: one.
 */
#ifndef FBY_CLI_OUTPUT_H
#define FBY_CLI_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/status.h"

typedef struct fby_output {
    int fd;
    char *name;   /* for messages */
    char *file;   /* what commit renames to; NULL: written as it is */
    char *part;   /* the file being written, where `file` is not NULL */
    bool regular; /* can be patched and cut */
    bool terminal;
    off_t start;      /* of a regular one: where our first byte is */
    uint64_t written; /* bytes, those in the buffer included */
    bool broken;      /* a write failed: nothing more goes out */
    char *buffer;
    size_t used;
} fby_output;

enum { FBY_OUTPUT_BUFFER = 256 << 10 };

/* The file that `path` leads to through links, the last of which may lead to none, for free(); NULL
 * and errno where there is no telling. */
char *fby_output_target(const char *path);

/* NULL or "-" is standard output. */
fby_status fby_output_open(fby_output *output, const char *path);

/* Room for `size` ≤ FBY_OUTPUT_BUFFER bytes, which the caller writes and then counts with
 * fby_output_took(), at most as many. NULL: the output failed, see fby_last_error(). */
char *fby_output_room(fby_output *output, size_t size);
void fby_output_took(fby_output *output, size_t size);

/* FBY_EIO names the output and the reason; a pipe that nobody reads is one. */
fby_status fby_output_write(fby_output *output, const void *bytes, size_t size);
fby_status fby_output_flush(fby_output *output);

/* Overwrites bytes that were written; the output is regular. */
fby_status fby_output_patch(fby_output *output, uint64_t offset, const void *bytes, size_t size);

/* Both end the use of `output`. When a commit fails, the output has been abandoned. */
fby_status fby_output_commit(fby_output *output);
void fby_output_abandon(fby_output *output);

#endif
