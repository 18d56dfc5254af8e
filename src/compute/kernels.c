/* SPDX-License-Identifier: Apache-2.0 */
#include "compute/kernels.h"

#include <stdalign.h>
#include <stdbool.h>
#include <time.h>

#include "base/bits.h"
#include "compute/tables.h"

const fby_kernels *fby_kernels_for(fby_isa isa)
{
    switch (isa) {
#if defined(__x86_64__)
    case FBY_ISA_AVX2:
    case FBY_ISA_AVXVNNI:
        return &fby_kernels_avx2;
    case FBY_ISA_AVX512:
    case FBY_ISA_AVX512VNNI:
    case FBY_ISA_AVX512BF16:
        return &fby_kernels_avx512;
#endif
#if defined(__aarch64__)
    case FBY_ISA_NEON:
    case FBY_ISA_NEONDOT:
    case FBY_ISA_NEONMM:
        return &fby_kernels_neon;
#endif
    default:
        return &fby_kernels_c;
    }
}

static uint32_t block_rows(uint32_t tile, uint32_t rows, uint32_t widest, uint32_t bytes)
{
    uint32_t fitting = bytes / (widest != 0 ? widest : 1) / (uint32_t)sizeof(float);
    uint32_t most = fitting > tile ? fitting / tile * tile : tile;
    uint32_t parts = rows > most ? fby_div_up_u32(rows, most) : 1;
    uint32_t even = fby_div_up_u32(fby_div_up_u32(rows != 0 ? rows : 1, parts), tile) * tile;
    return fby_min_u32(even, most);
}

uint32_t fby_kernels_block_rows(const fby_kernels *kernels, uint32_t rows, uint32_t widest)
{
    return block_rows(kernels->row_tile, rows, widest, fby_cpu_l2_bytes() / 4 * 3);
}

uint32_t fby_narrow_block_rows(const fby_narrow *narrow, uint32_t rows, uint32_t widest)
{
    return block_rows(narrow->row_tile, rows, widest, fby_cpu_l2_bytes() / 2);
}

typedef uint64_t (*peak_loop)(uint64_t rounds, float *sink);

static peak_loop peak_loop_for(fby_isa isa)
{
    switch (isa) {
#if defined(__x86_64__)
    case FBY_ISA_AVX2:
    case FBY_ISA_AVXVNNI:
        return fby_avx2_peak_loop;
    case FBY_ISA_AVX512:
    case FBY_ISA_AVX512VNNI:
    case FBY_ISA_AVX512BF16:
        return fby_avx512_peak_loop;
#endif
#if defined(__aarch64__)
    case FBY_ISA_NEON:
    case FBY_ISA_NEONDOT:
    case FBY_ISA_NEONMM:
        return fby_neon_peak_loop;
#endif
    default:
        return fby_c_peak_loop;
    }
}

/* The thread's own time: what else runs on this processor does not lower the peak. */
static uint64_t thread_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static double measure(peak_loop loop)
{
    enum { RUNS = 16, RUN_NS = 3000000 };
    alignas(64) float sink[FBY_PEAK_SINK];
    double best = 0.0;
    uint64_t rounds = 1024;

    for (int run = 0; run < RUNS;) {
        for (int i = 0; i < FBY_PEAK_SINK; i++)
            sink[i] = 0.5f;
        uint64_t start = thread_ns();
        uint64_t operations = loop(rounds, sink);
        uint64_t took = thread_ns() - start;
        if (took < RUN_NS && rounds < UINT64_MAX / 2) {
            rounds *= 2;
            continue;
        }
        double rate = (double)operations * 1e9 / (double)took;
        best = rate > best ? rate : best;
        run++;
    }
    return best;
}

double fby_kernels_peak(fby_isa isa)
{
    return measure(peak_loop_for(isa));
}

double fby_narrow_peak(fby_precision precision, fby_isa isa)
{
    const fby_narrow *narrow = fby_narrow_for(precision, isa);
    bool own = narrow != NULL && narrow->peak_loop != NULL;
    return measure(own ? narrow->peak_loop : peak_loop_for(isa));
}
