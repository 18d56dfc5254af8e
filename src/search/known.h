/* SPDX-License-Identifier: Apache-2.0 */
/* A table from a passage's hash to where its vector is: open addressing, at most half full. One
 * thread. */
#ifndef FBY_SEARCH_KNOWN_H
#define FBY_SEARCH_KNOWN_H

#include "search/index.h"

#define FBY_NOT_KNOWN UINT64_MAX

typedef struct fby_known {
    struct fby_known_entry {
        fby_hash hash;
        uint64_t place;
    } * entries;
    size_t room, count; /* room: a power of two */
} fby_known;

/* Remembers `place` for `hash`, in the stead of an earlier one. */
fby_status fby_known_add(fby_known *known, fby_hash hash, uint64_t place);

/* FBY_NOT_KNOWN if there is none. */
uint64_t fby_known_find(const fby_known *known, fby_hash hash);

void fby_known_drop(fby_known *known);

#endif
