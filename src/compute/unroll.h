/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loops over the rows and vectors of a tile stand or fall with being unrolled
 * before the compiler decides what lives in a register. FBY_UNROLL stands before
 * a loop of at most 32 rounds whose bound is a constant once inlined;
 * FBY_NO_UNROLL before the loop over k, which clang 14 otherwise unrolls until
 * the accumulators spill.
 */
#ifndef FBY_COMPUTE_UNROLL_H
#define FBY_COMPUTE_UNROLL_H

#define FBY_INLINE static inline __attribute__((always_inline))

#if defined(__clang__)
#define FBY_UNROLL    _Pragma("clang loop unroll(full)")
#define FBY_NO_UNROLL _Pragma("clang loop unroll(disable)")
#else
#define FBY_UNROLL    _Pragma("GCC unroll 32")
#define FBY_NO_UNROLL _Pragma("GCC unroll 1")
#endif

#endif
