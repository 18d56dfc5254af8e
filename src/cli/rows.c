/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/rows.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/float_text.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "floats are written as they lie");

/* Bytes of the npy header: room for any row count, a multiple of 64 as the format asks. */
enum { NPY_HEADER = 128, NPY_MAGIC = 10 };

/* numpy/lib/format.py, version 1.0: magic, version, the length of what follows, a Python literal
 * padded with spaces that ends with LF. */
static void npy_header(const fby_rows *rows, uint64_t count, char header[NPY_HEADER])
{
    static const char magic[] = "\x93NUMPY\x01";
    char shape[NPY_HEADER - NPY_MAGIC];

    memset(header, ' ', NPY_HEADER);
    memcpy(header, magic, sizeof magic); /* with its NUL, the minor version */
    header[8] = NPY_HEADER - NPY_MAGIC;
    header[9] = 0;
    int size = snprintf(shape, sizeof shape,
                        "{'descr': '%s', 'fortran_order': False, 'shape': (%llu, %u), }",
                        fby_row_type_descr(rows->type), (unsigned long long)count,
                        fby_row_type_values(rows->type, rows->dim));
    fby_assert(size > 0 && size < (int)sizeof shape);
    memcpy(header + NPY_MAGIC, shape, (size_t)size);
    header[NPY_HEADER - 1] = '\n';
}

static fby_status begin_npy(fby_rows *rows)
{
    char header[NPY_HEADER];
    if (rows->expected == 0 && !rows->output->regular)
        return fby_error(FBY_EINVAL,
                         "%s: npy begins with the number of rows, which only a file can "
                         "be given later: use --count N, -o FILE or --format jsonl",
                         rows->output->name);
    npy_header(rows, rows->output->regular ? 0 : rows->expected, header);
    return fby_output_write(rows->output, header, sizeof header);
}

fby_status fby_rows_begin(fby_rows *rows, fby_output *output, fby_row_format format,
                          fby_row_type type, uint32_t dim, uint64_t expected)
{
    fby_status status = FBY_OK;

    *rows = (fby_rows){
        .output = output, .format = format, .type = type, .dim = dim, .expected = expected};
    if (format == FBY_ROWS_F32 && type != FBY_ROW_FLOAT32)
        return fby_error(FBY_EINVAL, "the format f32 holds floats only: use npy, jsonl or csv");
    if (type != FBY_ROW_FLOAT32) {
        rows->values = malloc(dim);
        if (rows->values == NULL)
            return fby_error(FBY_ENOMEM, "no memory for a row");
    }
    if (format == FBY_ROWS_NPY)
        status = begin_npy(rows);
    if (status != FBY_OK)
        fby_rows_drop(rows);
    return status;
}

void fby_rows_drop(fby_rows *rows)
{
    free(rows->values);
    rows->values = NULL;
}

/* The values of a row that is not float32, parted by commas. */
static fby_status add_values(fby_rows *rows)
{
    uint32_t count = fby_row_type_values(rows->type, rows->dim);
    for (uint32_t i = 0; i < count; i++) {
        enum { LONGEST = 8 };
        char *room = fby_output_room(rows->output, LONGEST);
        if (room == NULL)
            return FBY_EIO;
        int size = snprintf(room, LONGEST, "%s%d", i > 0 ? "," : "",
                            fby_row_type_value(rows->type, rows->values[i]));
        fby_output_took(rows->output, (size_t)size);
    }
    return FBY_OK;
}

/* Floats parted by commas. NaN and infinities, which JSON lacks, are null there. */
static fby_status add_numbers(fby_rows *rows, const float *vector)
{
    if (rows->type != FBY_ROW_FLOAT32)
        return add_values(rows);
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
        begin, sizeof begin, "{\"index\":%llu,\"tokens\":%u,\"truncated\":%s,%s\"embedding\":[",
        (unsigned long long)rows->count, info->tokens, info->truncated ? "true" : "false",
        rows->type == FBY_ROW_INT8 ? "\"scale\":127," : "");
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
    if (rows->type != FBY_ROW_FLOAT32)
        fby_row_type_pack(rows->type, vector, rows->dim, rows->values);
    switch (rows->format) {
    case FBY_ROWS_NPY:
    case FBY_ROWS_F32:
        status = rows->type == FBY_ROW_FLOAT32
                     ? fby_output_write(rows->output, vector, rows->dim * sizeof *vector)
                     : fby_output_write(rows->output, rows->values,
                                        fby_row_type_values(rows->type, rows->dim));
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
    npy_header(rows, rows->count, header);
    return fby_output_patch(rows->output, 0, header, sizeof header);
}
