/* SPDX-License-Identifier: Apache-2.0 */
#include "search/index.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/bits.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers are mapped as they lie");

fby_hash fby_hash_of(const void *bytes, size_t size)
{
    XXH128_hash_t hash = XXH3_128bits(bytes, size);
    return (fby_hash){hash.low64, hash.high64};
}

/* Moves `*at` behind `count` items that begin at `*begin`, aligned. */
static bool lay(size_t *at, size_t *begin, uint64_t count, size_t item, size_t align)
{
    size_t bytes;
    if (count > SIZE_MAX / 2 || *at > SIZE_MAX / 2)
        return false;
    *begin = fby_align_up(*at, align);
    return fby_mul_size((size_t)count, item, &bytes) && fby_add_size(*begin, bytes, at);
}

bool fby_index_lay_out(const fby_index_header *header, fby_index_layout *layout)
{
    size_t at = sizeof *header;
    uint32_t dim = header->key.dim;

    return dim >= 1 && dim <= FBY_DIM_MAX &&
           lay(&at, &layout->files, header->files, sizeof(fby_index_file), 8) &&
           lay(&at, &layout->paths, header->path_bytes, 1, 1) &&
           lay(&at, &layout->passages, header->passages, sizeof(fby_index_passage), 8) &&
           lay(&at, &layout->rows, header->passages, sizeof(fby_search_row), 16) &&
           lay(&at, &layout->codes, header->passages, fby_code_stride(dim), 64) &&
           lay(&at, &layout->vectors, header->passages, fby_vector_stride(dim) * sizeof(float),
               64) &&
           lay(&at, &layout->end, 0, 1, 1);
}

static fby_status torn(const char *name, const char *what)
{
    return fby_error(FBY_EFORMAT, "%s is damaged: %s", name, what);
}

static fby_status check_header(const char *name, const void *map, size_t size,
                               fby_index_header *header, fby_index_layout *layout)
{
    if (size < sizeof *header)
        return torn(name, "its header is cut");
    memcpy(header, map, sizeof *header);
    if (memcmp(header->magic, FBY_INDEX_MAGIC, sizeof header->magic) != 0)
        return torn(name, "it is no index");
    if (header->check != XXH3_64bits(header, offsetof(fby_index_header, check)))
        return torn(name, "its header");
    if (header->version != FBY_INDEX_VERSION || header->byte_order != FBY_INDEX_BYTE_ORDER)
        return fby_error(FBY_EUNSUPPORTED, "%s is an index of version %u", name, header->version);
    if (!fby_index_lay_out(header, layout) || layout->end != size)
        return torn(name, "its size");
    fby_hash content =
        fby_hash_of((const char *)map + sizeof *header, layout->codes - sizeof *header);
    if (memcmp(&content, &header->content, sizeof content) != 0)
        return torn(name, "its list of passages");
    return FBY_OK;
}

static int path_order(const char *a, size_t a_size, const char *b, size_t b_size)
{
    int order = memcmp(a, b, fby_min_size(a_size, b_size));
    return order != 0 ? order : (a_size > b_size) - (a_size < b_size);
}

/* The checks of what a writer gets right by itself: a file may have been made by someone else. */
static fby_status check_files(const char *name, const fby_index *index, size_t path_bytes)
{
    uint64_t first = 0;
    for (size_t i = 0; i < index->file_count; i++) {
        const fby_index_file *file = &index->files[i], *last = file - 1;
        if (file->path >= path_bytes || file->path_size >= path_bytes - file->path ||
            index->paths[file->path + file->path_size] != '\0')
            return torn(name, "a path");
        if (i > 0 && path_order(index->paths + last->path, last->path_size,
                                index->paths + file->path, file->path_size) >= 0)
            return torn(name, "the order of its files");
        if (file->first != first || file->passages > index->rows.count - first)
            return torn(name, "a file's passages");
        first += file->passages;
    }
    return first == index->rows.count ? FBY_OK : torn(name, "passages without a file");
}

static void point(fby_index *index, const fby_index_header *header, const fby_index_layout *layout)
{
    const char *map = index->map;
    index->key = header->key;
    index->files = (const void *)(map + layout->files);
    index->file_count = (size_t)header->files;
    index->paths = map + layout->paths;
    index->passages = (const void *)(map + layout->passages);
    index->rows = (fby_search_rows){.dim = header->key.dim,
                                    .count = (size_t)header->passages,
                                    .rows = (const void *)(map + layout->rows),
                                    .codes = (const void *)(map + layout->codes),
                                    .vectors = (const void *)(map + layout->vectors)};
}

fby_status fby_index_map(int fd, const char *name, fby_index *out)
{
    struct stat about;
    fby_index_header header;
    fby_index_layout layout;

    if (fstat(fd, &about) != 0)
        return fby_error_errno(FBY_EIO, errno, "%s", name);
    if (!S_ISREG(about.st_mode) || about.st_size < (off_t)sizeof header)
        return torn(name, "its header is cut");
    fby_index index = {.map_size = (size_t)about.st_size};
    void *map = mmap(NULL, index.map_size, PROT_READ, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        return fby_error_errno(FBY_EIO, errno, "mapping %s", name);
    index.map = map;

    fby_status status = check_header(name, map, index.map_size, &header, &layout);
    if (status == FBY_OK) {
        point(&index, &header, &layout);
        status = check_files(name, &index, (size_t)header.path_bytes);
    }
    if (status != FBY_OK) {
        munmap(map, index.map_size);
        return status;
    }
    *out = index;
    return FBY_OK;
}

void fby_index_drop(fby_index *index)
{
    if (index->map != NULL)
        munmap((void *)(uintptr_t)index->map, index->map_size);
    *index = (fby_index){0};
}

size_t fby_index_file_of(const fby_index *index, size_t passage)
{
    size_t low = 0, high = index->file_count; /* the last file that begins at or before it */
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (index->files[middle].first <= passage)
            low = middle;
        else
            high = middle;
    }
    return low;
}

bool fby_stored_is_whole(const fby_stored *stored, uint32_t dim)
{
    const int16_t *weights = fby_code_weights();
    uint32_t check = 0;
    for (size_t i = 0; i < fby_code_stride(dim); i++)
        check += (uint32_t)(stored->codes[i] * weights[i]);
    return check == stored->row->code_check &&
           fby_search_row_vector_is_whole(stored->row, stored->vector, dim);
}
