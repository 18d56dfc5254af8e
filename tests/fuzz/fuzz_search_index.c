/* SPDX-License-Identifier: Apache-2.0 */
/* An index from anyone: its checks are made good, as a forger would, and all that it then claims
 * to hold is looked at. */
#include "fuzz.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/assert.h"
#include "search/index.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

static void use(const fby_index *index)
{
    static float query[FBY_DIM_MAX];
    fby_hit hits[3];
    size_t found = 0;

    query[0] = 1;
    for (size_t i = 0; i < index->file_count; i++)
        fby_assert(strlen(index->paths + index->files[i].path) <= index->files[i].path_size);
    if (fby_rank(&index->rows, query, 3, 1, hits, &found, NULL) != FBY_OK)
        return;
    for (size_t i = 0; i < found; i++) {
        const fby_index_file *file = &index->files[fby_index_file_of(index, hits[i].row)];
        fby_assert(file->first <= hits[i].row && hits[i].row - file->first < file->passages);
    }
}

static void make_rows_good(uint8_t *bytes, const fby_index_header *header,
                           const fby_index_layout *layout)
{
    size_t stride = fby_code_stride(header->key.dim);
    size_t vector_bytes = fby_vector_stride(header->key.dim) * sizeof(float);

    for (size_t i = 0; i < header->passages; i++) {
        fby_search_row row;
        uint8_t *at = bytes + layout->rows + i * sizeof row;
        const int8_t *codes = (const int8_t *)bytes + layout->codes + i * stride;
        memcpy(&row, at, sizeof row);
        row.code_check = 0;
        for (size_t j = 0; j < stride; j++)
            row.code_check += (uint32_t)(codes[j] * fby_code_weights()[j]);
        row.vector_check =
            (uint32_t)XXH3_64bits(bytes + layout->vectors + i * vector_bytes, vector_bytes);
        memcpy(at, &row, sizeof row);
    }
}

static void make_good(uint8_t *bytes, size_t size)
{
    fby_index_header header;
    fby_index_layout layout;

    memcpy(&header, bytes, sizeof header);
    memcpy(header.magic, FBY_INDEX_MAGIC, sizeof header.magic);
    header.version = FBY_INDEX_VERSION;
    header.byte_order = FBY_INDEX_BYTE_ORDER;
    bool fits = fby_index_lay_out(&header, &layout) && layout.end <= size;
    if (fits)
        make_rows_good(bytes, &header, &layout);
    if (fits)
        header.content = fby_hash_of(bytes + sizeof header, layout.codes - sizeof header);
    header.check = XXH3_64bits(&header, offsetof(fby_index_header, check));
    memcpy(bytes, &header, sizeof header);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t bytes[1 << 16];
    static int fd = -1;
    fby_index index;

    if (size > sizeof bytes)
        return 0;
    if (fd < 0)
        fd = memfd_create("index", MFD_CLOEXEC);
    memcpy(bytes, data, size);
    if (size >= sizeof(fby_index_header))
        make_good(bytes, size);
    fby_assert(ftruncate(fd, (off_t)size) == 0);
    fby_assert(pwrite(fd, bytes, size, 0) == (ssize_t)size);
    if (fby_index_map(fd, "input", &index) == FBY_OK) {
        use(&index);
        fby_index_drop(&index);
    }
    return 0;
}
