/* SPDX-License-Identifier: Apache-2.0 */
#include "compute/narrow.h"

#include "compute/tables.h"

const fby_narrow *fby_narrow_for(fby_precision precision, fby_isa isa)
{
    (void)isa;
    switch (precision) {
    case FBY_PRECISION_BF16:
        return &fby_bf16_c;
    case FBY_PRECISION_INT8:
        return &fby_int8_c;
    case FBY_PRECISION_F32:
        break;
    }
    return NULL;
}

const char *fby_precision_name(fby_precision precision)
{
    static const char *const names[] = {"f32", "bf16", "int8"};
    return names[precision];
}
