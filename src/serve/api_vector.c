/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/api_vector.h"

#include <math.h>
#include <string.h>

#include "base/assert.h"
#include "base/float_text.h"
#include "compute/row_type.h"
#include "serve/base64.h"

static fby_row_type row_type_of(uint32_t type)
{
    switch (type) {
    case FBY_TYPE_INT8:
        return FBY_ROW_INT8;
    case FBY_TYPE_UINT8:
        return FBY_ROW_UINT8;
    case FBY_TYPE_BINARY:
        return FBY_ROW_BINARY;
    default:
        return FBY_ROW_UBINARY;
    }
}

const char *fby_vector_type_name(uint32_t type)
{
    switch (type) {
    case FBY_TYPE_FLOAT:
        return "float";
    case FBY_TYPE_BASE64:
        return "base64";
    case FBY_TYPE_INT8:
        return "int8";
    case FBY_TYPE_UINT8:
        return "uint8";
    case FBY_TYPE_BINARY:
        return "binary";
    default:
        return "ubinary";
    }
}

size_t fby_vector_json_max(uint32_t type, uint32_t dim)
{
    enum { SMALL_TEXT = 5 }; /* "-128," */
    if (type == FBY_TYPE_FLOAT)
        return 2 + (size_t)dim * (FBY_FLOAT_TEXT + 1);
    if (type == FBY_TYPE_BASE64)
        return 2 + fby_base64_size(dim * sizeof(float));
    return 2 + (size_t)fby_row_type_values(row_type_of(type), dim) * SMALL_TEXT;
}

/* Each number with a comma behind it. */
static char *put_floats(char *at, const float *vector, uint32_t dim)
{
    for (uint32_t i = 0; i < dim; i++) {
        if (FBY_LIKELY(isfinite(vector[i]))) {
            at += fby_float_text(vector[i], at);
        } else {
            memcpy(at, "null", 4);
            at += 4;
        }
        *at++ = ',';
    }
    return at;
}

static char *put_small(char *at, int value)
{
    if (value < 0) {
        *at++ = '-';
        value = -value;
    }
    return at + fby_uint_text((uint64_t)value, at);
}

static char *put_packed(char *at, fby_row_type type, const float *vector, uint32_t dim)
{
    enum { STEP = 512 }; /* whole bytes of bits */
    uint8_t values[STEP];

    for (uint32_t begin = 0; begin < dim; begin += STEP) {
        uint32_t size = fby_min_u32(STEP, dim - begin);
        uint32_t count = fby_row_type_values(type, size);
        fby_row_type_pack(type, vector + begin, size, values);
        for (uint32_t i = 0; i < count; i++) {
            at = put_small(at, fby_row_type_value(type, values[i]));
            *at++ = ',';
        }
    }
    return at;
}

void fby_vector_json(fby_sink *sink, uint32_t type, const float *vector, uint32_t dim)
{
    char *at = sink->at;

    fby_assert((size_t)(sink->end - at) >= fby_vector_json_max(type, dim));
    if (type == FBY_TYPE_BASE64) {
        *at++ = '"';
        at += fby_base64(vector, dim * sizeof(float), at);
        *at++ = '"';
        sink->at = at;
        return;
    }
    *at++ = '[';
    at = type == FBY_TYPE_FLOAT ? put_floats(at, vector, dim)
                                : put_packed(at, row_type_of(type), vector, dim);
    at[-1] = ']'; /* for the last comma; dim is not 0 */
    sink->at = at;
}
