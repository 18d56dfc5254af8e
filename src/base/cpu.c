/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cpu.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

static struct {
    bool isa[FBY_ISA_COUNT];
    char model[64];
    uint32_t count;
} cpu;

static const char *const isa_names[FBY_ISA_COUNT] = {
    "c", "avx2", "avxvnni", "avx512", "avx512vnni", "avx512bf16", "neon",
};

#if defined(__x86_64__)
/* The feature bits of Intel's SDM, volume 2, CPUID leaves 1 and 7, and the
 * register state that the operating system saves (XCR0). */
static bool bit(uint32_t word, unsigned n)
{
    return (word >> n) & 1;
}

static uint64_t saved_state(void)
{
    uint32_t low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

static void detect_isa(void)
{
    uint32_t a, b, c, d;

    if (!__get_cpuid(1, &a, &b, &c, &d) || !bit(c, 27)) /* OSXSAVE */
        return;
    uint64_t state = saved_state();
    bool fma = bit(c, 12), f16c = bit(c, 29);
    bool ymm = (state & 0x06) == 0x06, zmm = (state & 0xe6) == 0xe6;

    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d))
        return;
    cpu.isa[FBY_ISA_AVX2] = ymm && fma && f16c && bit(b, 5);
    cpu.isa[FBY_ISA_AVX512] =
        cpu.isa[FBY_ISA_AVX2] && zmm && bit(b, 16) && bit(b, 17) && bit(b, 30) && bit(b, 31);
    cpu.isa[FBY_ISA_AVX512VNNI] = cpu.isa[FBY_ISA_AVX512] && bit(c, 11);
    if (!__get_cpuid_count(7, 1, &a, &b, &c, &d))
        return;
    cpu.isa[FBY_ISA_AVXVNNI] = cpu.isa[FBY_ISA_AVX2] && bit(a, 4);
    cpu.isa[FBY_ISA_AVX512BF16] = cpu.isa[FBY_ISA_AVX512VNNI] && bit(a, 5);
}

static void detect_model(void)
{
    uint32_t words[12];

    for (unsigned i = 0; i < 3; i++)
        if (!__get_cpuid(0x80000002 + i, &words[4 * i], &words[4 * i + 1], &words[4 * i + 2],
                         &words[4 * i + 3]))
            return;
    memcpy(cpu.model, words, sizeof words);
    size_t size = strlen(cpu.model);
    while (size > 0 && cpu.model[size - 1] == ' ')
        cpu.model[--size] = '\0';
}
#else
static void detect_isa(void)
{
#if defined(__aarch64__)
    cpu.isa[FBY_ISA_NEON] = true;
#endif
}

static void detect_model(void)
{
}
#endif

/* cgroup v2's quota in processors, rounded up; 0 where there is none. The file says "QUOTA PERIOD"
 * in microseconds, or "max PERIOD". */
static uint32_t cgroup_quota(void)
{
    char text[64] = "";
    FILE *file = fopen("/sys/fs/cgroup/cpu.max", "re");
    if (file == NULL)
        return 0;
    char *line = fgets(text, sizeof text, file);
    fclose(file);
    if (line == NULL)
        return 0;

    char *end;
    unsigned long long quota = strtoull(line, &end, 10);
    unsigned long long period = strtoull(end, NULL, 10);
    if (quota == 0 || period == 0 || quota / period > UINT32_MAX - 1)
        return 0;
    return (uint32_t)(quota / period + (quota % period != 0));
}

static void detect_count(void)
{
    cpu_set_t set;
    cpu.count = 1;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        cpu.count = (uint32_t)CPU_COUNT(&set);
    else if (sysconf(_SC_NPROCESSORS_ONLN) > 0)
        cpu.count = (uint32_t)sysconf(_SC_NPROCESSORS_ONLN);
    uint32_t quota = cgroup_quota();
    if (quota != 0 && quota < cpu.count)
        cpu.count = quota;
}

static void detect(void)
{
    cpu.isa[FBY_ISA_C] = true;
    detect_isa();
    detect_model();
    if (cpu.model[0] == '\0')
        memcpy(cpu.model, "unknown", sizeof "unknown");
    detect_count();
}

static void detect_once(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, detect);
}

const char *fby_isa_name(fby_isa isa)
{
    return isa_names[isa];
}

bool fby_isa_available(fby_isa isa)
{
    detect_once();
    return cpu.isa[isa];
}

fby_status fby_isa_select(fby_isa *isa)
{
    const char *asked = getenv("FBY_ISA");

    detect_once();
    if (asked == NULL || asked[0] == '\0') {
        for (int i = FBY_ISA_COUNT - 1; i >= 0; i--)
            if (cpu.isa[i]) {
                *isa = (fby_isa)i;
                return FBY_OK;
            }
    }
    for (int i = 0; asked != NULL && i < FBY_ISA_COUNT; i++) {
        if (strcmp(asked, isa_names[i]) != 0)
            continue;
        if (!cpu.isa[i])
            return fby_error(FBY_EUNSUPPORTED, "FBY_ISA=%s: this processor does not have it",
                             asked);
        *isa = (fby_isa)i;
        return FBY_OK;
    }
    return fby_error(FBY_EINVAL,
                     "FBY_ISA=%.32s: expected c, avx2, avxvnni, avx512, avx512vnni, avx512bf16 "
                     "or neon",
                     asked);
}

const char *fby_cpu_model(void)
{
    detect_once();
    return cpu.model;
}

uint32_t fby_cpu_count(void)
{
    detect_once();
    return cpu.count;
}

static uint32_t cache_bytes(int name, uint32_t otherwise)
{
    long bytes = sysconf(name);
    return bytes > 0 && bytes <= UINT32_MAX ? (uint32_t)bytes : otherwise;
}

uint32_t fby_cpu_l1d_bytes(void)
{
    return cache_bytes(_SC_LEVEL1_DCACHE_SIZE, 32u << 10);
}

uint32_t fby_cpu_l2_bytes(void)
{
    return cache_bytes(_SC_LEVEL2_CACHE_SIZE, 512u << 10);
}

uint32_t fby_cpu_l3_bytes(void)
{
    return cache_bytes(_SC_LEVEL3_CACHE_SIZE, 16u << 20);
}
