/* SPDX-License-Identifier: Apache-2.0 */
/* Indexes that nobody has asked for long. Any thread; processes: any number. */
#ifndef FBY_SEARCH_TIDY_H
#define FBY_SEARCH_TIDY_H

/*
 * Removes what stands in the directory of the index at `path` under the name of another index of
 * ours (HASH.index, 32 hexadecimal digits, with .journal, .new and .lock behind it), was not used
 * for FBY_UNUSED_DAYS, and is locked by nobody. What cannot be removed stays.
 */
void fby_index_tidy(const char *path);

#endif
