/* SPDX-License-Identifier: Apache-2.0 */
#include "search/journal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

/* A record: this, the codes, the floats. The file begins with one that holds the key instead. */
struct head {
    uint64_t check; /* XXH3-64 of all that follows it */
    fby_hash hash;
    fby_search_row row;
    char zeros[24];
};
_Static_assert(sizeof(struct head) == 64, "what follows is aligned");

struct start {
    uint64_t check;
    char magic[8];
    fby_index_key key;
};

static const char magic[8] = "FBYJRNL1";

static struct start start_of(const fby_index_key *key)
{
    struct start start = {.key = *key};
    memcpy(start.magic, magic, sizeof magic);
    start.check = XXH3_64bits(start.magic, sizeof start - offsetof(struct start, magic));
    return start;
}

static fby_status append(const fby_journal *journal, const void *bytes, size_t size, off_t at)
{
    while (size > 0) {
        ssize_t wrote = pwrite(journal->fd, bytes, size, at);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return fby_error_errno(FBY_EIO, wrote < 0 ? errno : ENOSPC, "writing %s",
                                   journal->name);
        bytes = (const char *)bytes + wrote;
        size -= (size_t)wrote;
        at += wrote;
    }
    return FBY_OK;
}

static off_t offset_of(const fby_journal *journal, size_t record)
{
    return (off_t)((record + 1) * journal->record_bytes);
}

static uint64_t check_of(const fby_journal *journal, const struct head *head)
{
    return XXH3_64bits(&head->hash, journal->record_bytes - offsetof(struct head, hash));
}

static void unmap(fby_journal *journal)
{
    if (journal->map != NULL)
        munmap((void *)(uintptr_t)journal->map, (size_t)offset_of(journal, journal->mapped));
    journal->map = NULL;
    journal->mapped = 0;
}

fby_status fby_journal_map(fby_journal *journal)
{
    unmap(journal);
    void *map = mmap(NULL, (size_t)offset_of(journal, journal->count), PROT_READ, MAP_SHARED,
                     journal->fd, 0);
    if (map == MAP_FAILED)
        return fby_error_errno(FBY_EIO, errno, "mapping %s", journal->name);
    journal->map = map;
    journal->mapped = journal->count;
    return FBY_OK;
}

static const struct head *head_at(const fby_journal *journal, size_t i)
{
    return (const void *)((const char *)journal->map + offset_of(journal, i));
}

/* Records that are there and whole. */
static fby_status recover(fby_journal *journal, const fby_index_key *key)
{
    struct stat about;
    struct start wanted = start_of(key);

    if (fstat(journal->fd, &about) != 0)
        return fby_error_errno(FBY_EIO, errno, "%s", journal->name);
    size_t whole = (size_t)about.st_size / journal->record_bytes;
    if (!S_ISREG(about.st_mode))
        return fby_error(FBY_EINVAL, "%s is not a file", journal->name);
    if (whole == 0)
        return FBY_OK;
    journal->count = whole - 1;
    fby_status status = fby_journal_map(journal);
    if (status != FBY_OK)
        return status;
    if (memcmp(journal->map, &wanted, sizeof wanted) != 0)
        journal->count = 0;
    for (size_t i = 0; i < journal->count; i++)
        if (head_at(journal, i)->check != check_of(journal, head_at(journal, i)))
            journal->count = i;
    return FBY_OK;
}

static fby_status begin(fby_journal *journal, const fby_index_key *key)
{
    struct start start = start_of(key);
    memset(journal->record, 0, journal->record_bytes);
    memcpy(journal->record, &start, sizeof start);
    fby_status status = append(journal, journal->record, journal->record_bytes, 0);
    if (status == FBY_OK && ftruncate(journal->fd, offset_of(journal, journal->count)) != 0)
        status = fby_error_errno(FBY_EIO, errno, "%s", journal->name);
    return status == FBY_OK ? fby_journal_map(journal) : status;
}

fby_status fby_journal_open(int fd, const char *name, const fby_index_key *key, fby_journal *out)
{
    fby_journal journal = {.fd = fd, .name = name, .dim = key->dim};
    fby_assert(key->dim >= 1 && key->dim <= FBY_DIM_MAX);
    journal.record_bytes = sizeof(struct head) + fby_code_stride(key->dim) +
                           fby_vector_stride(key->dim) * sizeof(float);
    journal.record = aligned_alloc(64, journal.record_bytes);
    if (journal.record == NULL)
        return fby_error(FBY_ENOMEM, "no memory for a journal");
    fby_status status = recover(&journal, key);
    if (status == FBY_OK)
        status = begin(&journal, key);
    if (status != FBY_OK) {
        fby_journal_close(&journal);
        return status;
    }
    *out = journal;
    return FBY_OK;
}

void fby_journal_close(fby_journal *journal)
{
    unmap(journal);
    free(journal->record);
    *journal = (fby_journal){.fd = -1};
}

static void make_record(fby_journal *journal, fby_hash hash, const float *vector)
{
    struct head *head = journal->record;
    int8_t *codes = (int8_t *)(head + 1);
    float *copy = (float *)(void *)(codes + fby_code_stride(journal->dim));

    memset(journal->record, 0, journal->record_bytes);
    memcpy(copy, vector, journal->dim * sizeof *vector);
    fby_search_row_make(copy, journal->dim, codes, &head->row);
    head->hash = hash;
    head->check = check_of(journal, head);
}

fby_status fby_journal_append(fby_journal *journal, const fby_hash *hashes, const float *vectors,
                              size_t count)
{
    fby_status status = FBY_OK;
    size_t before = journal->count;

    for (size_t i = 0; i < count && status == FBY_OK; i++) {
        make_record(journal, hashes[i], vectors + i * journal->dim);
        status = append(journal, journal->record, journal->record_bytes,
                        offset_of(journal, journal->count));
        journal->count += status == FBY_OK;
    }
    if (status != FBY_OK) {
        journal->count = before;
        (void)!ftruncate(journal->fd, offset_of(journal, before)); /* else opening does */
    }
    return status;
}

fby_hash fby_journal_at(const fby_journal *journal, size_t i, fby_stored *stored)
{
    fby_assert(i < journal->mapped);
    const struct head *head = head_at(journal, i);
    const int8_t *codes = (const int8_t *)(head + 1);
    *stored =
        (fby_stored){&head->row, codes, (const void *)(codes + fby_code_stride(journal->dim))};
    return head->hash;
}
