/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What has been embedded for an index that is not yet written: a file that
 * only grows, so that a process killed at any moment loses no more than the
 * batch it was at.
 *
 *     fby_journal_open --> { fby_journal_append } --> fby_journal_map --> fby_journal_at
 *
 * A record names what was embedded by its hash and carries a check of its own.
 * Opening keeps the records up to the first that is not whole and cuts off the
 * rest. A journal of another key is begun anew.
 *
 * Threads and processes: one at a time, which the lock of search/update.h sees
 * to.
 */
#ifndef FBY_SEARCH_JOURNAL_H
#define FBY_SEARCH_JOURNAL_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "search/index.h"

typedef struct fby_journal {
    int fd; /* the caller's */
    const char *name;
    uint32_t dim;
    size_t record_bytes;
    size_t count;
    const void *map; /* of the records that fby_journal_map() saw */
    size_t mapped;
    void *record; /* the one being made */
} fby_journal;

/* `name` must stay. The records found are mapped. */
fby_status fby_journal_open(int fd, const char *name, const fby_index_key *key,
                            fby_journal *journal);
void fby_journal_close(fby_journal *journal);

/* Appends `count` vectors (count, dim) under their hashes. After a failure the journal is as it
 * was. */
fby_status fby_journal_append(fby_journal *journal, const fby_hash *hashes, const float *vectors,
                              size_t count);

/* Makes all records readable; pointers into an earlier map end. */
fby_status fby_journal_map(fby_journal *journal);

/* Record `i` of those mapped. */
fby_hash fby_journal_at(const fby_journal *journal, size_t i, fby_stored *stored);

#endif
