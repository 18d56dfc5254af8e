/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "search/index.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { BUFFER = 1 << 20 };

/* Bytes in the order of the file, hashed on the way up to the codes. */
struct sink {
    int fd;
    const char *name;
    size_t at; /* offset of the next byte */
    size_t used;
    bool hashed;
    XXH3_state_t *hash;
    char *buffer;
};

static fby_status write_at(int fd, const char *name, const void *bytes, size_t size, size_t at)
{
    while (size > 0) {
        ssize_t wrote = pwrite(fd, bytes, size, (off_t)at);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return fby_error_errno(FBY_EIO, wrote < 0 ? errno : ENOSPC, "writing %s", name);
        bytes = (const char *)bytes + wrote;
        size -= (size_t)wrote;
        at += (size_t)wrote;
    }
    return FBY_OK;
}

static fby_status flush(struct sink *sink)
{
    fby_status status =
        write_at(sink->fd, sink->name, sink->buffer, sink->used, sink->at - sink->used);
    sink->used = 0;
    return status;
}

static fby_status put(struct sink *sink, const void *bytes, size_t size)
{
    if (sink->hashed)
        XXH3_128bits_update(sink->hash, bytes, size);
    for (size_t done = 0; done < size;) {
        size_t part = size - done < BUFFER - sink->used ? size - done : BUFFER - sink->used;
        memcpy(sink->buffer + sink->used, (const char *)bytes + done, part);
        sink->used += part;
        sink->at += part;
        done += part;
        if (sink->used == BUFFER) {
            fby_status status = flush(sink);
            if (status != FBY_OK)
                return status;
        }
    }
    return FBY_OK;
}

/* Zeros up to where a part begins. */
static fby_status pad(struct sink *sink, size_t to)
{
    static const char zeros[64];
    fby_assert(to >= sink->at && to - sink->at < sizeof zeros);
    return put(sink, zeros, to - sink->at);
}

enum part { ROWS, CODES, VECTORS };

static fby_status put_stored(struct sink *sink, const fby_index_content *content, uint32_t dim,
                             enum part part)
{
    fby_status status = FBY_OK;
    for (size_t i = 0; i < content->passage_count && status == FBY_OK; i++) {
        fby_stored stored;
        status = content->stored_at(content->context, i, &stored);
        if (status != FBY_OK)
            break;
        if (part == ROWS)
            status = put(sink, stored.row, sizeof *stored.row);
        else if (part == CODES)
            status = put(sink, stored.codes, fby_code_stride(dim));
        else
            status = put(sink, stored.vector, fby_vector_stride(dim) * sizeof(float));
    }
    return status;
}

static fby_status put_all(struct sink *sink, const fby_index_header *header,
                          const fby_index_layout *layout, const fby_index_content *content)
{
    uint32_t dim = header->key.dim;
    fby_status status = put(sink, content->files, content->file_count * sizeof *content->files);
    if (status == FBY_OK)
        status = put(sink, content->paths, content->path_bytes);
    if (status == FBY_OK)
        status = pad(sink, layout->passages);
    if (status == FBY_OK)
        status = put(sink, content->passages, content->passage_count * sizeof *content->passages);
    if (status == FBY_OK)
        status = pad(sink, layout->rows);
    if (status == FBY_OK)
        status = put_stored(sink, content, dim, ROWS);
    if (status == FBY_OK)
        status = pad(sink, layout->codes);
    sink->hashed = false;
    if (status == FBY_OK)
        status = put_stored(sink, content, dim, CODES);
    if (status == FBY_OK)
        status = pad(sink, layout->vectors);
    if (status == FBY_OK)
        status = put_stored(sink, content, dim, VECTORS);
    return status == FBY_OK ? flush(sink) : status;
}

static fby_status write_whole(struct sink *sink, fby_index_header *header,
                              const fby_index_layout *layout, const fby_index_content *content)
{
    XXH3_128bits_reset(sink->hash);
    sink->at = sizeof *header;
    sink->hashed = true;
    fby_status status = put_all(sink, header, layout, content);
    if (status != FBY_OK)
        return status;
    fby_assert(sink->at == layout->end);

    XXH128_hash_t hash = XXH3_128bits_digest(sink->hash);
    header->content = (fby_hash){hash.low64, hash.high64};
    header->check = XXH3_64bits(header, offsetof(fby_index_header, check));
    status = write_at(sink->fd, sink->name, header, sizeof *header, 0);
    if (status == FBY_OK && fdatasync(sink->fd) != 0 && errno != EINVAL && errno != EROFS)
        status = fby_error_errno(FBY_EIO, errno, "writing %s", sink->name);
    return status;
}

fby_status fby_index_write(int fd, const char *name, const fby_index_key *key,
                           const fby_index_content *content)
{
    fby_index_header header = {.magic = FBY_INDEX_MAGIC,
                               .version = FBY_INDEX_VERSION,
                               .byte_order = FBY_INDEX_BYTE_ORDER,
                               .key = *key,
                               .files = content->file_count,
                               .path_bytes = content->path_bytes,
                               .passages = content->passage_count};
    fby_index_layout layout;
    if (!fby_index_lay_out(&header, &layout))
        return fby_error(FBY_EINVAL, "%s: vectors of %u dimensions", name, key->dim);

    struct sink sink = {.fd = fd, .name = name};
    sink.buffer = malloc(BUFFER);
    sink.hash = XXH3_createState();
    fby_status status = sink.buffer != NULL && sink.hash != NULL
                            ? write_whole(&sink, &header, &layout, content)
                            : fby_error(FBY_ENOMEM, "no memory for writing %s", name);
    XXH3_freeState(sink.hash);
    free(sink.buffer);
    return status;
}
