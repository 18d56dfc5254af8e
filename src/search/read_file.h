/* SPDX-License-Identifier: Apache-2.0 */
/* A whole file in memory, with the mark it had before its first byte was read. One thread. */
#ifndef FBY_SEARCH_READ_FILE_H
#define FBY_SEARCH_READ_FILE_H

#include "search/walk.h"

typedef struct fby_file_text {
    char *bytes;
    size_t size, room;
    fby_file_mark mark;
    int64_t read_ns; /* the wall clock before it was opened */
} fby_file_text;

/* Replaces what `text` held. FBY_ENOENT when there is no such file any more, FBY_EIO when it cannot
 * be read, is no regular file or is over FBY_TEXT_MAX. */
fby_status fby_file_text_read(fby_file_text *text, const char *path);

void fby_file_text_drop(fby_file_text *text);

#endif
