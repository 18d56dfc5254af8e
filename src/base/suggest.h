/* SPDX-License-Identifier: Apache-2.0 */
/* The word that someone probably meant. */
#ifndef FBY_BASE_SUGGEST_H
#define FBY_BASE_SUGGEST_H

#include <stdbool.h>

/* Edits (insert, delete, change, swap two neighbours) that turn `a` into `b`, at most `limit` + 1:
 * optimal string alignment, Boytsov 2011, section 2.1. Words over 31 bytes are `limit` + 1 apart.
 */
unsigned fby_edit_distance(const char *a, const char *b, unsigned limit);

/* Whether `known` is near enough to `typed` to be offered: within a third of its length, or begun
 * by it. */
bool fby_is_near(const char *typed, const char *known);

#endif
