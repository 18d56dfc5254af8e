/* SPDX-License-Identifier: Apache-2.0 */
#include "compute/search_kernels.h"

const fby_search_kernels *fby_search_kernels_for(fby_isa isa)
{
    switch (isa) {
#if defined(__x86_64__)
    case FBY_ISA_AVX2:
    case FBY_ISA_AVXVNNI:
        return &fby_search_kernels_avx2;
    case FBY_ISA_AVX512:
    case FBY_ISA_AVX512VNNI:
    case FBY_ISA_AVX512BF16:
        return &fby_search_kernels_avx512;
#endif
#if defined(__aarch64__)
    case FBY_ISA_NEON:
        return &fby_search_kernels_neon;
#endif
    default:
        return &fby_search_kernels_c;
    }
}
