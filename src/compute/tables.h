/* SPDX-License-Identifier: Apache-2.0 */
/* The tables that fby_kernels_for() chooses from, and each instruction set's measured peak:
 * what compute/kernels.h hides. Only call those whose instruction set is available. */
#ifndef FBY_COMPUTE_TABLES_H
#define FBY_COMPUTE_TABLES_H

#include "compute/kernels.h"
#include "compute/narrow.h"

extern const fby_kernels fby_kernels_c;
extern const fby_narrow fby_int8_c, fby_bf16_c;
#if defined(__x86_64__)
extern const fby_kernels fby_kernels_avx2;
extern const fby_kernels fby_kernels_avx512;
extern const fby_narrow fby_bf16_avx2, fby_bf16_avx512;
extern const fby_narrow fby_int8_avx2, fby_int8_avxvnni;
extern const fby_narrow fby_int8_avx512vnni, fby_int8_avx512bf16, fby_bf16_avx512bf16;
#endif
#if defined(__aarch64__)
extern const fby_kernels fby_kernels_neon;
extern const fby_narrow fby_bf16_neon, fby_bf16_neonmm;
extern const fby_narrow fby_int8_neondot, fby_int8_neonmm;
#endif

/* Runs multiply-adds of the instruction set in a loop of `rounds`; returns how many floating-point
 * operations that was. What the accumulators hold goes to `sink`, 64-byte aligned. */
enum { FBY_PEAK_SINK = 16 * 32 };
uint64_t fby_c_peak_loop(uint64_t rounds, float sink[FBY_PEAK_SINK]);
uint64_t fby_avx2_peak_loop(uint64_t rounds, float sink[FBY_PEAK_SINK]);
uint64_t fby_avx512_peak_loop(uint64_t rounds, float sink[FBY_PEAK_SINK]);
uint64_t fby_neon_peak_loop(uint64_t rounds, float sink[FBY_PEAK_SINK]);

#endif
