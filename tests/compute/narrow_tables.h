/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of bf16 and int8 that this machine can run. */
#ifndef FBY_COMPUTE_NARROW_TABLES_H
#define FBY_COMPUTE_NARROW_TABLES_H

#include "compute/narrow.h"
#include "compute_test.h"

#if defined(__x86_64__)
extern const fby_narrow fby_int8_avxvnni_for_tests; /* see meson.build */
#endif

typedef struct narrow_tables {
    const fby_narrow *table[2 * FBY_ISA_COUNT];
    const fby_narrow *plain[2 * FBY_ISA_COUNT]; /* plain C's of the same precision */
    uint32_t count;
} narrow_tables;

/* Each table that this machine can run once, plain C's first of its precision. */
static inline narrow_tables runnable_narrow(void)
{
    narrow_tables all = {.count = 0};
    for (int p = FBY_PRECISION_BF16; p <= FBY_PRECISION_INT8; p++)
        for (int isa = 0; isa < FBY_ISA_COUNT; isa++) {
            const fby_narrow *table = fby_narrow_for((fby_precision)p, (fby_isa)isa);
            bool seen = !fby_isa_available((fby_isa)isa);
            for (uint32_t i = 0; i < all.count; i++)
                seen |= all.table[i] == table;
            if (seen)
                continue;
            all.table[all.count] = table;
            all.plain[all.count++] = fby_narrow_for((fby_precision)p, FBY_ISA_C);
        }
#if defined(__x86_64__)
    if (fby_isa_available(FBY_ISA_AVX512VNNI)) {
        all.table[all.count] = &fby_int8_avxvnni_for_tests;
        all.plain[all.count++] = fby_narrow_for(FBY_PRECISION_INT8, FBY_ISA_C);
    }
#endif
    return all;
}

#endif
