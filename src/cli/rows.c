/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/rows.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "cli/float_text.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "floats are written as they lie");

/* Bytes of the npy header: room for any row count, a multiple of 64 as the format asks. */
enum { NPY_HEADER = 128, NPY_MAGIC = 10 };

/* numpy/lib/format.py, version 1.0: magic, version, the length of what follows, a Python literal
 * padded with spaces that ends with LF. */
static void npy_header(char header[NPY_HEADER], uint64_t rows, uint32_t dim)
{
    static const char magic[] = "\x93NUMPY\x01";
    char shape[NPY_HEADER - NPY_MAGIC];

    memset(header, ' ', NPY_HEADER);
    memcpy(header, magic, sizeof magic); /* with its NUL, the minor version */
    header[8] = NPY_HEADER - NPY_MAGIC;
    header[9] = 0;
    int size = snprintf(shape, sizeof shape,
                        "{'descr': '<f4', 'fortran_order': False, 'shape': (%llu, %u), }",
                        (unsigned long long)rows, dim);
    fby_assert(size > 0 && size < (int)sizeof shape);
    memcpy(header + NPY_MAGIC, shape, (size_t)size);
    header[NPY_HEADER - 1] = '\n';
}

fby_status fby_rows_begin(fby_rows *rows, fby_output *output, fby_row_format format, uint32_t dim,
                          uint64_t expected)
{
    *rows = (fby_rows){.output = output, .format = format, .dim = dim, .expected = expected};
    if (format != FBY_ROWS_NPY)
        return FBY_OK;
    if (expected == 0 && !output->regular)
        return fby_error(FBY_EINVAL,
                         "%s: npy begins with the number of rows, which only a file can "
                         "be given later: use --count N, -o FILE or --format jsonl",
                         output->name);
    char header[NPY_HEADER];
    npy_header(header, output->regular ? 0 : expected, dim);
    return fby_output_write(output, header, sizeof header);
}

/* Floats parted by commas. NaN and infinities, which JSON lacks, are null there. */
static fby_status add_numbers(fby_rows *rows, const float *vector)
{
    for (uint32_t i = 0; i < rows->dim; i++) {
        char *room = fby_output_room(rows->output, 1 + FBY_FLOAT_TEXT);
        if (room == NULL)
            return FBY_EIO;
        size_t size = 0;
        if (i > 0)
            room[size++] = ',';
        if (rows->format == FBY_ROWS_JSONL && !isfinite(vector[i])) {
            memcpy(room + size, "null", 4);
            size += 4;
        } else {
            size += fby_float_text(vector[i], room + size);
        }
        fby_output_took(rows->output, size);
    }
    return FBY_OK;
}

static fby_status add_json(fby_rows *rows, const float *vector, const fby_text_info *info)
{
    char begin[128];
    int size = snprintf(
        begin, sizeof begin, "{\"index\":%llu,\"tokens\":%u,\"truncated\":%s,\"embedding\":[",
        (unsigned long long)rows->count, info->tokens, info->truncated ? "true" : "false");
    fby_status status = fby_output_write(rows->output, begin, (size_t)size);
    if (status == FBY_OK)
        status = add_numbers(rows, vector);
    if (status == FBY_OK)
        status = fby_output_write(rows->output, "]}\n", 3);
    return status;
}

static fby_status add_csv(fby_rows *rows, const float *vector)
{
    fby_status status = add_numbers(rows, vector);
    return status == FBY_OK ? fby_output_write(rows->output, "\n", 1) : status;
}

fby_status fby_rows_add(fby_rows *rows, const float *vector, const fby_text_info *info)
{
    fby_status status = FBY_OK;

    if (rows->expected != 0 && rows->count == rows->expected)
        return fby_error(FBY_EFORMAT, "more texts than the %llu that --count states",
                         (unsigned long long)rows->expected);
    switch (rows->format) {
    case FBY_ROWS_NPY:
    case FBY_ROWS_F32:
        status = fby_output_write(rows->output, vector, rows->dim * sizeof *vector);
        break;
    case FBY_ROWS_JSONL:
        status = add_json(rows, vector, info);
        break;
    case FBY_ROWS_CSV:
        status = add_csv(rows, vector);
        break;
    }
    rows->count += status == FBY_OK;
    return status;
}

fby_status fby_rows_end(fby_rows *rows)
{
    if (rows->format != FBY_ROWS_NPY || !rows->output->regular)
        return fby_output_flush(rows->output);
    char header[NPY_HEADER];
    npy_header(header, rows->count, rows->dim);
    return fby_output_patch(rows->output, 0, header, sizeof header);
}
