/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Vectors in fewer bits, as sentence-transformers and Cohere name them.
 *
 *     float32   as they are
 *     int8      round(127 x) of a vector of length 1; x ≈ value / 127
 *     uint8     the same plus 128, so that it has no sign; x ≈ (value - 128) / 127
 *     ubinary   a bit a dimension, 1 where x > 0, eight to a byte, the first in
 *               the highest bit, as numpy.packbits(x > 0): 0 … 255
 *     binary    the same less 128, so that it is an int8: -128 … 127
 *
 * The scale of int8 is the same for every vector and every model, so vectors
 * made apart can be compared; sentence-transformers fits ranges to a
 * calibration set instead. The last byte of bits is filled with zeros.
 *
 * Any thread.
 */
#ifndef FBY_COMPUTE_ROW_TYPE_H
#define FBY_COMPUTE_ROW_TYPE_H

#include <stddef.h>
#include <stdint.h>

typedef enum fby_row_type {
    FBY_ROW_FLOAT32 = 0,
    FBY_ROW_INT8,
    FBY_ROW_UINT8,
    FBY_ROW_BINARY,
    FBY_ROW_UBINARY
} fby_row_type;
#define FBY_ROW_TYPES "float32|int8|uint8|binary|ubinary"

enum { FBY_ROW_INT8_SCALE = 127 };

/* Values in a row of `dim` dimensions; a float32 is 4 bytes, every other 1. */
uint32_t fby_row_type_values(fby_row_type type, uint32_t dim);

/* numpy's name of a value: "<f4", "|i1", "|u1". */
const char *fby_row_type_descr(fby_row_type type);

/* Writes fby_row_type_values() bytes; not for float32. NaN is 0. */
void fby_row_type_pack(fby_row_type type, const float *vector, uint32_t dim, uint8_t *values);

/* A value as it is meant: signed but for uint8 and ubinary. */
int fby_row_type_value(fby_row_type type, uint8_t value);

#endif
