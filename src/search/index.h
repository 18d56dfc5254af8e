/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The index: a file that holds, for a set of files, their passages and vectors.
 *
 *     fby_index_write(new file) --> rename --> fby_index_map --> read only --> fby_index_drop
 *
 *     header | files, by path | paths | passages | rows | codes | vectors
 *            '---------- checked when it is mapped -----'  '-- a row's own checks --'
 *
 * It is written once, under another name, and never changed: whoever has mapped
 * it keeps what they have. Passages stand in the order of their files. Every
 * number is checked against the size of the file before anything is read
 * through it; vectors, which are most of the bytes, carry a check a row
 * (search/quantize.h) and are looked at when they are used. All numbers are
 * little-endian.
 *
 * A file whose mark is the same has not been read again. Its clock ticks
 * coarsely, so a file that was changed within FBY_MARK_TICK_NS of being read is
 * not trusted on its mark alone, but on the hash of its content.
 *
 * Threads: a mapped index is constant.
 */
#ifndef FBY_SEARCH_INDEX_H
#define FBY_SEARCH_INDEX_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "search/rank.h"
#include "search/walk.h"

/* What an index was made with. Vectors of another fingerprint mean nothing; under another recipe
 * the same passages would have been cut otherwise. */
typedef struct fby_index_key {
    char fingerprint[40]; /* of the model, padded with NUL */
    uint32_t dim, zero;
    uint64_t recipe;
} fby_index_key;

typedef struct fby_hash {
    uint64_t low, high; /* XXH3-128 */
} fby_hash;

fby_hash fby_hash_of(const void *bytes, size_t size);

enum { FBY_FILE_TEXT, FBY_FILE_BINARY, FBY_FILE_UNREADABLE };

#define FBY_MARK_TICK_NS 50000000

/* As they lie in the file. */
typedef struct fby_index_file {
    fby_file_mark mark;
    fby_hash content;
    int64_t read_ns;    /* the wall clock when it was read */
    uint64_t path;      /* where in the paths it begins */
    uint64_t first;     /* its first passage */
    uint32_t path_size; /* a NUL follows */
    uint32_t passages;
    uint32_t kind; /* FBY_FILE_… */
    uint32_t zero;
} fby_index_file;
_Static_assert(sizeof(fby_index_file) == 88, "lies in files");

typedef struct fby_index_passage {
    fby_hash hash;        /* of what was embedded: its heading, its text */
    uint32_t begin, size; /* bytes of its file */
    uint32_t first_line, last_line;
    uint32_t tokens, zero;
} fby_index_passage;
_Static_assert(sizeof(fby_index_passage) == 40, "lies in files");

typedef struct fby_index {
    const void *map;
    size_t map_size;
    fby_index_key key;
    const fby_index_file *files;
    size_t file_count;
    const char *paths;
    const fby_index_passage *passages; /* rows.count of them */
    fby_search_rows rows;
} fby_index;

/*
 * Maps the index that `fd` holds, which may be closed then. `name` is for messages. FBY_EFORMAT
 * when any byte before the vectors is not as written, FBY_EUNSUPPORTED for another version.
 * The key is the caller's to compare.
 */
fby_status fby_index_map(int fd, const char *name, fby_index *index);
void fby_index_drop(fby_index *index);

/* The file that passage `i` belongs to. */
size_t fby_index_file_of(const fby_index *index, size_t passage);

/* One vector as it is written. */
typedef struct fby_stored {
    const fby_search_row *row;
    const int8_t *codes;
    const float *vector;
} fby_stored;

/* Where the vector of passage `i` lies; what it refuses is passed up. */
typedef fby_status fby_stored_at(void *context, size_t i, fby_stored *stored);

typedef struct fby_index_content {
    const fby_index_file *files; /* by path, without two of one */
    size_t file_count;
    const char *paths;
    size_t path_bytes;
    const fby_index_passage *passages;
    size_t passage_count;
    fby_stored_at *stored_at;
    void *context;
} fby_index_content;

/* Writes an index from the beginning of `fd`, an empty file, and hands it to the disk. */
fby_status fby_index_write(int fd, const char *name, const fby_index_key *key,
                           const fby_index_content *content);

/* Whether a stored vector is what was stored. */
bool fby_stored_is_whole(const fby_stored *stored, uint32_t dim);

/* Inside: header and layout, which reader and writer share. */
typedef struct fby_index_header {
    char magic[8];
    uint32_t version, byte_order;
    fby_index_key key;
    uint64_t files, path_bytes, passages;
    fby_hash content; /* of all between this header and the codes */
    uint64_t check;   /* XXH3-64 of all before it */
} fby_index_header;
_Static_assert(sizeof(fby_index_header) == 120, "lies in files");

#define FBY_INDEX_MAGIC "FBYINDEX"
enum { FBY_INDEX_VERSION = 1, FBY_INDEX_BYTE_ORDER = 0x01020304 };

typedef struct fby_index_layout {
    size_t files, paths, passages, rows, codes, vectors, end; /* offsets */
} fby_index_layout;

/* False when the sizes overflow or the dimensions are out of range. */
bool fby_index_lay_out(const fby_index_header *header, fby_index_layout *layout);

#endif
