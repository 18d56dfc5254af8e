/* SPDX-License-Identifier: Apache-2.0 */
#include "search/known.h"

#include <stdlib.h>

static struct fby_known_entry *slot(const fby_known *known, fby_hash hash)
{
    size_t at = (size_t)hash.low & (known->room - 1);
    while (known->entries[at].place != FBY_NOT_KNOWN &&
           (known->entries[at].hash.low != hash.low || known->entries[at].hash.high != hash.high))
        at = (at + 1) & (known->room - 1);
    return &known->entries[at];
}

static fby_status grow(fby_known *known)
{
    fby_known bigger = {.room = known->room != 0 ? known->room * 2 : 1024, .count = known->count};
    bigger.entries = malloc(bigger.room * sizeof *bigger.entries);
    if (bigger.entries == NULL)
        return fby_error(FBY_ENOMEM, "no memory for a table of passages");
    for (size_t i = 0; i < bigger.room; i++)
        bigger.entries[i].place = FBY_NOT_KNOWN;
    for (size_t i = 0; i < known->room; i++)
        if (known->entries[i].place != FBY_NOT_KNOWN)
            *slot(&bigger, known->entries[i].hash) = known->entries[i];
    free(known->entries);
    *known = bigger;
    return FBY_OK;
}

fby_status fby_known_add(fby_known *known, fby_hash hash, uint64_t place)
{
    if (known->count * 2 >= known->room) {
        fby_status status = grow(known);
        if (status != FBY_OK)
            return status;
    }
    struct fby_known_entry *entry = slot(known, hash);
    known->count += entry->place == FBY_NOT_KNOWN;
    *entry = (struct fby_known_entry){hash, place};
    return FBY_OK;
}

uint64_t fby_known_find(const fby_known *known, fby_hash hash)
{
    return known->room != 0 ? slot(known, hash)->place : FBY_NOT_KNOWN;
}

void fby_known_drop(fby_known *known)
{
    free(known->entries);
    *known = (fby_known){0};
}
