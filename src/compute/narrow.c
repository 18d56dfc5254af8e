/* SPDX-License-Identifier: Apache-2.0 */
#include "compute/narrow.h"

#include "compute/tables.h"

static const fby_narrow *bf16_for(fby_isa isa)
{
    switch (isa) {
#if defined(__x86_64__)
    case FBY_ISA_AVX2:
    case FBY_ISA_AVXVNNI:
        return &fby_bf16_avx2;
    case FBY_ISA_AVX512:
    case FBY_ISA_AVX512VNNI:
        return &fby_bf16_avx512;
    case FBY_ISA_AVX512BF16:
        return &fby_bf16_avx512bf16;
#endif
#if defined(__aarch64__)
    case FBY_ISA_NEON:
    case FBY_ISA_NEONDOT:
        return &fby_bf16_neon;
    case FBY_ISA_NEONMM:
        return &fby_bf16_neonmm;
#endif
    default:
        return &fby_bf16_c;
    }
}

static const fby_narrow *int8_for(fby_isa isa)
{
    switch (isa) {
#if defined(__x86_64__)
    case FBY_ISA_AVX2:
    case FBY_ISA_AVX512: /* without VNNI: 512-bit vpmaddwd was not built */
        return &fby_int8_avx2;
    case FBY_ISA_AVXVNNI:
        return &fby_int8_avxvnni;
    case FBY_ISA_AVX512VNNI:
        return &fby_int8_avx512vnni;
    case FBY_ISA_AVX512BF16:
        return &fby_int8_avx512bf16;
#endif
#if defined(__aarch64__)
    case FBY_ISA_NEONDOT:
        return &fby_int8_neondot;
    case FBY_ISA_NEONMM:
        return &fby_int8_neonmm;
#endif
    default:
        return &fby_int8_c;
    }
}

const fby_narrow *fby_narrow_for(fby_precision precision, fby_isa isa)
{
    switch (precision) {
    case FBY_PRECISION_BF16:
        return bf16_for(isa);
    case FBY_PRECISION_INT8:
        return int8_for(isa);
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
