/* SPDX-License-Identifier: Apache-2.0 */
#include "compute/row_type.h"

#include <math.h>
#include <string.h>

#include "base/bits.h"

uint32_t fby_row_type_values(fby_row_type type, uint32_t dim)
{
    return type == FBY_ROW_BINARY || type == FBY_ROW_UBINARY ? fby_div_up_u32(dim, 8) : dim;
}

const char *fby_row_type_descr(fby_row_type type)
{
    switch (type) {
    case FBY_ROW_INT8:
    case FBY_ROW_BINARY:
        return "|i1";
    case FBY_ROW_UINT8:
    case FBY_ROW_UBINARY:
        return "|u1";
    case FBY_ROW_FLOAT32:
        break;
    }
    return "<f4";
}

static uint8_t rounded(float x)
{
    float scaled = x * (float)FBY_ROW_INT8_SCALE;
    if (isnan(scaled))
        return 0;
    scaled = fminf(fmaxf(scaled, -(float)FBY_ROW_INT8_SCALE), (float)FBY_ROW_INT8_SCALE);
    return (uint8_t)(int8_t)lrintf(scaled);
}

void fby_row_type_pack(fby_row_type type, const float *vector, uint32_t dim, uint8_t *values)
{
    uint32_t count = fby_row_type_values(type, dim);

    if (type == FBY_ROW_INT8 || type == FBY_ROW_UINT8) {
        uint8_t zero = type == FBY_ROW_UINT8 ? 128 : 0;
        for (uint32_t i = 0; i < dim; i++)
            values[i] = (uint8_t)(rounded(vector[i]) + zero);
        return;
    }
    memset(values, 0, count);
    for (uint32_t i = 0; i < dim; i++)
        if (vector[i] > 0)
            values[i / 8] |= (uint8_t)(0x80u >> (i % 8));
    for (uint32_t i = 0; i < count && type == FBY_ROW_BINARY; i++)
        values[i] ^= 0x80; /* less 128, modulo 256 */
}

int fby_row_type_value(fby_row_type type, uint8_t value)
{
    return type == FBY_ROW_UINT8 || type == FBY_ROW_UBINARY ? value : (int8_t)value;
}
