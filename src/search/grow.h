/* SPDX-License-Identifier: Apache-2.0 */
/* Room in an array that is filled from its beginning. */
#ifndef FBY_SEARCH_GROW_H
#define FBY_SEARCH_GROW_H

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"

/* `array` points to a pointer to items of `item` bytes, of which `*room` fit. False, and everything
 * as before, if `wanted` cannot be had. */
static inline bool fby_grow(void *array, size_t *room, size_t wanted, size_t item)
{
    void *old;
    size_t more = fby_max_size(*room + *room / 2 + 64, wanted), bytes;

    if (wanted <= *room)
        return true;
    memcpy(&old, array, sizeof old);
    void *bigger = fby_mul_size(more, item, &bytes) ? realloc(old, bytes) : NULL;
    if (bigger == NULL)
        return false;
    memcpy(array, &bigger, sizeof bigger);
    *room = more;
    return true;
}

#endif
