/* SPDX-License-Identifier: Apache-2.0 */
/* Where a text may be parted, from the gentlest cut to the last resort. Any thread. */
#ifndef FBY_SEARCH_SENTENCES_H
#define FBY_SEARCH_SENTENCES_H

#include <stddef.h>

typedef enum fby_cut {
    FBY_CUT_SENTENCE, /* behind . ! ? and their like, or before an item of a list */
    FBY_CUT_LINE,
    FBY_CUT_WORD,
    FBY_CUT_BYTES /* every 64 bytes or so, never inside a character */
} fby_cut;

/* The end, in (at, end], of the piece that begins at `at` < `end`; blanks behind a piece belong to
 * it. */
size_t fby_next_cut(const char *text, size_t at, size_t end, fby_cut cut);

#endif
