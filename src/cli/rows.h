/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Vectors as a file: NumPy's npy, JSON lines, CSV or bare floats.
 *
 *     fby_rows_begin --> fby_rows_add ... --> fby_rows_end
 *
 * npy    version 1.0, C order, shape (rows, values). Its header comes first and
 *        holds the number of rows: known beforehand, or patched in by
 *        fby_rows_end() where the output is a regular file. Until then it says 0.
 * jsonl  {"index":0,"tokens":5,"truncated":false,"embedding":[0.1,...]}; for
 *        int8 also "scale":127, by which a value is to be divided
 * csv    a row's values a line, no heading
 * f32    little-endian floats and nothing else
 *
 * Threads: one.
 */
#ifndef FBY_CLI_ROWS_H
#define FBY_CLI_ROWS_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/output.h"
#include "compute/row_type.h"
#include "forebay/embed.h"

typedef enum fby_row_format {
    FBY_ROWS_NPY = 0,
    FBY_ROWS_JSONL,
    FBY_ROWS_CSV,
    FBY_ROWS_F32
} fby_row_format;
#define FBY_ROW_FORMATS "npy|jsonl|csv|f32"

typedef struct fby_rows {
    fby_output *output;
    fby_row_format format;
    fby_row_type type;
    uint32_t dim;      /* floats of a vector */
    uint8_t *values;   /* of a row that is not float32; NULL otherwise */
    uint64_t count;    /* rows so far */
    uint64_t expected; /* 0: not known */
} fby_rows;

/* `expected` rows are to come, 0 if that is not known: FBY_EINVAL for npy then, unless the output
 * is a regular file, and for f32 with another type. */
fby_status fby_rows_begin(fby_rows *rows, fby_output *output, fby_row_format format,
                          fby_row_type type, uint32_t dim, uint64_t expected);

/* `vector` has `dim` floats. FBY_EFORMAT for a row beyond those expected. */
fby_status fby_rows_add(fby_rows *rows, const float *vector, const fby_text_info *info);

/* Makes what was written whole: as many rows as were added. */
fby_status fby_rows_end(fby_rows *rows);

/* Gives up what fby_rows_begin() took, after it succeeded. */
void fby_rows_drop(fby_rows *rows);

#endif
