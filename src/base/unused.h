/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When a file of a cache was last used: its modification time, which using it
 * moves on once a day. (Access times are not kept on every system.)
 *
 * Any thread.
 */
#ifndef FBY_BASE_UNUSED_H
#define FBY_BASE_UNUSED_H

#include <stdbool.h>

#include <sys/stat.h>

enum { FBY_UNUSED_DAYS = 30 };

/* Marks the file behind `fd` as used. What fails costs nothing but its age. */
void fby_used_now(int fd);

/* Whether nobody has used it for FBY_UNUSED_DAYS. A time in the future is no age. */
bool fby_is_unused(const struct stat *about);

#endif
