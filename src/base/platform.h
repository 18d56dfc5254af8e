/* SPDX-License-Identifier: Apache-2.0 */
/* What depends on the compiler or the processor and nothing else. */
#ifndef FBY_BASE_PLATFORM_H
#define FBY_BASE_PLATFORM_H

#define FBY_CACHELINE   64

#define FBY_LIKELY(x)   __builtin_expect(!!(x), 1)
#define FBY_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define FBY_NOINLINE    __attribute__((noinline))
#define FBY_COLD        __attribute__((cold, noinline))

#if defined(__SANITIZE_ADDRESS__)
#define FBY_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FBY_ASAN 1
#endif
#endif
#ifndef FBY_ASAN
#define FBY_ASAN 0
#endif

/* A pause inside a spin loop. */
static inline void fby_relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

#endif
