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
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

#include "base/cgroup.h"
#include "base/first_line.h"

static struct {
    bool isa[FBY_ISA_COUNT];
    char model[64];
    uint32_t count;
    uint32_t cache[3]; /* bytes, by level */
} cpu;

static const char *const isa_names[FBY_ISA_COUNT] = {
    "c", "avx2", "avxvnni", "avx512", "avx512vnni", "avx512bf16", "neon", "neondot", "neonmm",
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
#elif defined(__aarch64__)
static void detect_isa(void)
{
    const unsigned long first = getauxval(AT_HWCAP), second = getauxval(AT_HWCAP2);
    const unsigned long matrices = HWCAP2_I8MM | HWCAP2_BF16;
    cpu.isa[FBY_ISA_NEON] = (first & HWCAP_ASIMD) != 0;
    cpu.isa[FBY_ISA_NEONDOT] = cpu.isa[FBY_ISA_NEON] && (first & HWCAP_ASIMDDP) != 0;
    cpu.isa[FBY_ISA_NEONMM] = cpu.isa[FBY_ISA_NEONDOT] && (second & matrices) == matrices;
}

/* Implementer and part of MIDR_EL1 (Arm Architecture Reference Manual); not a name, but what names
 * the core in lists of them. */
static void detect_model(void)
{
    char text[32];
    (void)fby_first_line("/sys/devices/system/cpu/cpu0/regs/identification/midr_el1", text,
                         sizeof text);
    uint64_t id = strtoull(text, NULL, 16);
    if (id != 0)
        snprintf(cpu.model, sizeof cpu.model, "ARM implementer 0x%02x part 0x%03x",
                 (unsigned)(id >> 24 & 0xff), (unsigned)(id >> 4 & 0xfff));
}
#else
static void detect_isa(void)
{
}

static void detect_model(void)
{
}
#endif

static void detect_count(void)
{
    cpu_set_t set;
    cpu.count = 1;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        cpu.count = (uint32_t)CPU_COUNT(&set);
    else if (sysconf(_SC_NPROCESSORS_ONLN) > 0)
        cpu.count = (uint32_t)sysconf(_SC_NPROCESSORS_ONLN);
    uint32_t quota = fby_cgroup_processors();
    if (quota != 0 && quota < cpu.count)
        cpu.count = quota;
}

/* A cache of the first processor as Linux describes it, "48K" for example; 0 if it does not. */
static uint32_t described_cache_bytes(unsigned long level)
{
    for (int i = 0; i < 8; i++) {
        char path[96], text[32], *unit;
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/level", i);
        (void)fby_first_line(path, text, sizeof text);
        if (strtoul(text, NULL, 10) != level)
            continue;
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/type", i);
        (void)fby_first_line(path, text, sizeof text);
        if (text[0] == 'I') /* Instruction; the others are Data and Unified */
            continue;
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/size", i);
        (void)fby_first_line(path, text, sizeof text);
        unsigned long long size = strtoull(text, &unit, 10);
        unsigned shift = *unit == 'M' ? 20 : *unit == 'K' ? 10 : 0;
        return size <= UINT32_MAX >> shift ? (uint32_t)size << shift : 0;
    }
    return 0;
}

/* The C library knows on x86; on ARM64 it may not, or say 0. */
static uint32_t cache_bytes(int name, unsigned long level, uint32_t otherwise)
{
    long bytes = sysconf(name);
    if (bytes <= 0 || bytes > UINT32_MAX)
        bytes = described_cache_bytes(level);
    return bytes > 0 ? (uint32_t)bytes : otherwise;
}

static void detect_caches(void)
{
    cpu.cache[0] = cache_bytes(_SC_LEVEL1_DCACHE_SIZE, 1, 32u << 10);
    cpu.cache[1] = cache_bytes(_SC_LEVEL2_CACHE_SIZE, 2, 512u << 10);
    cpu.cache[2] = cache_bytes(_SC_LEVEL3_CACHE_SIZE, 3, 16u << 20);
}

static void detect(void)
{
    cpu.isa[FBY_ISA_C] = true;
    detect_isa();
    detect_model();
    if (cpu.model[0] == '\0')
        memcpy(cpu.model, "unknown", sizeof "unknown");
    detect_count();
    detect_caches();
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
                     "FBY_ISA=%.32s: expected c, avx2, avxvnni, avx512, avx512vnni, avx512bf16, "
                     "neon, neondot or neonmm",
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

uint32_t fby_cpu_l1d_bytes(void)
{
    detect_once();
    return cpu.cache[0];
}

uint32_t fby_cpu_l2_bytes(void)
{
    detect_once();
    return cpu.cache[1];
}

uint32_t fby_cpu_l3_bytes(void)
{
    detect_once();
    return cpu.cache[2];
}
