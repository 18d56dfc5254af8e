/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this processor can do and how much of it this process may use. Read
 * once, on first use; constant afterwards. Any thread.
 */
#ifndef FBY_BASE_CPU_H
#define FBY_BASE_CPU_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

/* Instruction sets that kernels are written for, each including those before it
 * of its family. */
typedef enum fby_isa {
    FBY_ISA_C,
    FBY_ISA_AVX2, /* with FMA */
    FBY_ISA_AVXVNNI,
    FBY_ISA_AVX512, /* F, BW, DQ, VL */
    FBY_ISA_AVX512VNNI,
    FBY_ISA_AVX512BF16,
    FBY_ISA_NEON,
    FBY_ISA_NEONDOT, /* products of 8 bits, four summed: ARMv8.4, most cores since 2018 */
    FBY_ISA_NEONMM,  /* matrix products of 8 bits, and bf16: ARMv8.6 */
    FBY_ISA_COUNT
} fby_isa;

/* "c", "avx2", …: the words that FBY_ISA takes. */
const char *fby_isa_name(fby_isa isa);

/* Whether this processor and its operating system run `isa`. */
bool fby_isa_available(fby_isa isa);

/* The widest available instruction set, or what the environment's FBY_ISA
 * narrows it to. FBY_EINVAL for an unknown word, FBY_EUNSUPPORTED for one that
 * this machine cannot run. */
fby_status fby_isa_select(fby_isa *isa);

/* The processor's own name, "unknown" where it has none. */
const char *fby_cpu_model(void);

/* Processors this process may keep busy: affinity, then the cgroup's quota
 * rounded up; at least 1. */
uint32_t fby_cpu_count(void);

/* Bytes of a core's level 1 data and level 2 cache, and of the level 3 cache
 * that it shares; a common value where the system does not say. */
uint32_t fby_cpu_l1d_bytes(void);
uint32_t fby_cpu_l2_bytes(void);
uint32_t fby_cpu_l3_bytes(void);

#endif
