/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Assertions: for our own mistakes, never for input or memory.
 *
 * fby_assert()        always on; for checks that cost a predicted branch
 * fby_assert_debug()  debug builds (FBY_DEBUG >= 1)
 * fby_assert_deep()   whole-structure checks (FBY_DEBUG >= 2)
 */
#ifndef FBY_BASE_ASSERT_H
#define FBY_BASE_ASSERT_H

#include "base/platform.h"

#ifndef FBY_DEBUG
#define FBY_DEBUG 0
#endif

/* Writes the place and the expression to stderr without allocating; aborts. */
_Noreturn FBY_COLD void fby_assert_failed(const char *file, int line, const char *expression);

#define fby_assert(x) (FBY_LIKELY(x) ? (void)0 : fby_assert_failed(__FILE__, __LINE__, #x))

#if FBY_DEBUG >= 1
#define fby_assert_debug(x) fby_assert(x)
#else
#define fby_assert_debug(x) ((void)sizeof(!(x)))
#endif

#if FBY_DEBUG >= 2
#define fby_assert_deep(x) fby_assert(x)
#else
#define fby_assert_deep(x) ((void)sizeof(!(x)))
#endif

#endif
